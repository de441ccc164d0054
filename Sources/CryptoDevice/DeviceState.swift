import CryptoTypes

/// The state of a device that goes to another host: its sessions.
///
/// What else there is (features, rings, status) the front-ends tell themselves. Format, version 1, little-endian:
///
/// ```text
/// 0   "VCDEVST1", u32 version, u32 bytes of this header (64), u64 bytes of all of it, u32 sessions,
///     u32 bytes of a session's head (72), 32 bytes of zeros
/// 64  for each session, by the low half of its identifier: u64 identifier, u32 bytes of its keys, u32 zero,
///     thirteen words of the session's request, u32 zero, then its keys
/// …   SHA-256 of all before it
/// ```
public enum DeviceState {
  static let magic: UInt64 = 0x3154_5356_4544_4356  // "VCDEVST1"
  static let version: UInt32 = 1
  public static let headerByteCount = 64
  static let sessionByteCount = 72
  static let wordsOffset = 16
  static let digestByteCount = 32

  /// The SHA-256 of bytes; nil where it cannot be had.
  public typealias Digest = (UnsafeRawBufferPointer) -> [UInt8]?

  /// The most bytes that the state of a device with so many slots can have.
  static func maximumByteCount(slotCount: Int) -> Int {
    headerByteCount + slotCount * (sessionByteCount + JournalLayout.longKeysByteCount)
      + digestByteCount
  }
}

/// Why a state is refused, in words.
public struct DeviceStateError: Error, Hashable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

extension DeviceCore {
  /// How many bytes `saveState` writes now.
  public var stateByteCount: Int {
    var count = DeviceState.headerByteCount + DeviceState.digestByteCount
    unsafe forEachSession { _, block in
      count += unsafe DeviceState.sessionByteCount + block.pointee.keyByteCount
    }
    return count
  }

  private func forEachSession(_ body: (UInt64, UnsafeMutablePointer<SessionBlock>) -> Void) {
    for index in 0..<Int(sessions.neverUsed) {
      // SAFETY: index < slotCount; blocks of live sessions are valid.
      let slot = unsafe sessions.slots[index]
      if slot.identifier != 0, let block = unsafe slot.block { unsafe body(slot.identifier, block) }
    }
  }

  /// Writes the sessions, keys included, into a buffer of `stateByteCount` bytes.
  public func saveState(
    to buffer: UnsafeMutableRawBufferPointer, digest: DeviceState.Digest
  ) throws(DeviceStateError) {
    guard buffer.count == stateByteCount, let base = buffer.baseAddress else {
      throw DeviceStateError("the buffer has another size")
    }
    // SAFETY: all offsets stay below the buffer's size, which was counted over the same sessions.
    func store<Word: FixedWidthInteger>(_ word: Word, at offset: Int) {
      unsafe base.storeBytes(of: word.littleEndian, toByteOffset: offset, as: Word.self)
    }
    unsafe base.initializeMemory(
      as: UInt8.self, repeating: 0, count: DeviceState.headerByteCount)
    store(DeviceState.magic, at: 0)
    store(DeviceState.version, at: 8)
    store(UInt32(DeviceState.headerByteCount), at: 12)
    store(UInt64(buffer.count), at: 16)
    store(UInt32(sessions.openCount), at: 24)
    store(UInt32(DeviceState.sessionByteCount), at: 28)
    var offset = DeviceState.headerByteCount
    unsafe forEachSession { identifier, block in
      let keyByteCount = unsafe block.pointee.keyByteCount
      store(identifier, at: offset)
      store(UInt32(keyByteCount), at: offset + 8)
      store(UInt32(0), at: offset + 12)
      unsafe block.pointee.recordedRequest.store(to: base + offset + DeviceState.wordsOffset)
      store(UInt32(0), at: offset + DeviceState.sessionByteCount - 4)
      offset += DeviceState.sessionByteCount
      if let keys = unsafe block.pointee.parameters.cipherKey {
        unsafe (base + offset).copyMemory(from: keys, byteCount: keyByteCount)
      }
      offset += keyByteCount
    }
    guard let digest = unsafe digest(UnsafeRawBufferPointer(rebasing: buffer[..<offset])),
      digest.count == DeviceState.digestByteCount
    else { throw DeviceStateError("its SHA-256 cannot be computed") }
    unsafe (base + offset).copyMemory(from: digest, byteCount: digest.count)
  }

  /// What a state's header is held against, from any thread.
  public var stateLimits: DeviceStateLimits { DeviceStateLimits(slotCount: sessions.slotCount) }

  /// Replaces all sessions by those of a state; on an error they stay as they were.
  ///
  /// No queue runs. Each session is checked like a guest's request, against what is offered here.
  public func loadState(
    _ bytes: UnsafeRawBufferPointer, digest: DeviceState.Digest
  ) throws(DeviceStateError) {
    guard unsafe try stateLimits.byteCount(header: bytes) == bytes.count else {
      throw DeviceStateError("it ends early, or goes on behind its end")
    }
    let end = bytes.count - DeviceState.digestByteCount
    guard let found = unsafe digest(UnsafeRawBufferPointer(rebasing: bytes[..<end])),
      unsafe found.elementsEqual(bytes[end...])
    else { throw DeviceStateError("its SHA-256 is not that of its bytes") }
    let arrivals = unsafe try arrivals(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
    sessions.destroyHeld()
    sessions.destroyAll()
    guard sessions.leavingCount == 0 else { throw DeviceStateError("queues are running") }
    guard sessions.place(arrivals) else {
      sessions.destroyAll()
      throw DeviceStateError("there is no memory for its sessions")
    }
  }

  /// The sessions of a state, each checked; their keys are still in its bytes.
  private func arrivals(_ bytes: UnsafeRawBufferPointer) throws(DeviceStateError) -> [Arrival] {
    guard let base = bytes.baseAddress else { throw DeviceStateError("it ends early") }
    // SAFETY: offsets are compared with the number of bytes before anything there is read.
    func word(_ offset: Int) -> UInt32 {
      unsafe UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    let count = Int(word(24))
    guard count <= sessions.capacity else {
      throw DeviceStateError("it has \(count) sessions, and there is room for \(sessions.capacity)")
    }
    var arrivals: [Arrival] = []
    arrivals.reserveCapacity(min(count, bytes.count / DeviceState.sessionByteCount))
    var offset = DeviceState.headerByteCount
    var next: UInt32 = 0
    for number in 0..<count {
      guard bytes.count - offset >= DeviceState.sessionByteCount else {
        throw DeviceStateError("session \(number) ends early")
      }
      let (index, generation) = (word(offset), word(offset + 4))
      let keyByteCount = Int(word(offset + 8))
      let request = unsafe SessionRequest(loading: base + offset + DeviceState.wordsOffset)
      guard index >= next, index < UInt32(sessions.slotCount),
        (1...0x7fff_ffff).contains(generation)
      else { throw DeviceStateError("session \(number) has no place here") }
      guard word(offset + 12) == 0, word(offset + DeviceState.sessionByteCount - 4) == 0,
        request.keyByteCount == keyByteCount,
        bytes.count - offset - DeviceState.sessionByteCount >= keyByteCount
      else { throw DeviceStateError("session \(number) is malformed") }
      offset += DeviceState.sessionByteCount
      let keys = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + keyByteCount])
      arrivals.append(
        unsafe try arrival(number, index: index, generation: generation, request, keys: keys))
      offset += keyByteCount
      next = index + 1
    }
    guard offset == bytes.count else { throw DeviceStateError("it goes on behind its sessions") }
    return arrivals
  }

  private func arrival(
    _ number: Int, index: UInt32, generation: UInt32, _ request: SessionRequest,
    keys: UnsafeRawBufferPointer
  ) throws(DeviceStateError) -> Arrival {
    var parameters: SessionParameters
    do throws(Refusal) {
      parameters = try request.resolve(offer.algorithms)
    } catch {
      throw DeviceStateError("session \(number) is of a kind that is not offered here")
    }
    parameters.maximumOperationMilliseconds = offer.maximumOperationMilliseconds
    let cipherKey = unsafe UnsafeRawBufferPointer(
      rebasing: keys[..<Int(request.cipherKeyByteCount)])
    let authKey = unsafe UnsafeRawBufferPointer(rebasing: keys[Int(request.cipherKeyByteCount)...])
    unsafe parameters.cipherKey = cipherKey.bindMemory(to: UInt8.self).baseAddress
    parameters.cipherKeyByteCount = request.cipherKeyByteCount
    unsafe parameters.authKey = authKey.bindMemory(to: UInt8.self).baseAddress
    parameters.authKeyByteCount = request.authKeyByteCount
    guard unsafe validate(&parameters) == .ok else {
      throw DeviceStateError("session \(number) has a key that no engine here takes")
    }
    return unsafe Arrival(
      index: index, generation: generation, request: request, parameters: parameters,
      cipherKey: cipherKey, authKey: authKey)
  }
}

/// What the state of a device can be at most.
public struct DeviceStateLimits: Sendable {
  var slotCount: Int

  /// How long a state says that it is, by its header: what is to be read in all.
  public func byteCount(header: UnsafeRawBufferPointer) throws(DeviceStateError) -> Int {
    guard header.count >= DeviceState.headerByteCount, let base = header.baseAddress else {
      throw DeviceStateError("it ends early")
    }
    // SAFETY: the header has as many bytes, checked above.
    func word<Word: FixedWidthInteger>(_ offset: Int, _: Word.Type) -> Word {
      unsafe Word(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: Word.self))
    }
    guard word(0, UInt64.self) == DeviceState.magic else {
      throw DeviceStateError("it is no device state of ours")
    }
    let version = word(8, UInt32.self)
    guard version == DeviceState.version else {
      throw DeviceStateError(
        "it has version \(version), and this program reads \(DeviceState.version)")
    }
    let count = word(16, UInt64.self)
    let reserved = [32, 40, 48, 56].allSatisfy { word($0, UInt64.self) == 0 }
    guard word(12, UInt32.self) == UInt32(DeviceState.headerByteCount),
      word(28, UInt32.self) == UInt32(DeviceState.sessionByteCount), reserved,
      count >= UInt64(DeviceState.headerByteCount + DeviceState.digestByteCount),
      count <= UInt64(DeviceState.maximumByteCount(slotCount: slotCount))
    else { throw DeviceStateError("its header is damaged") }
    return Int(count)
  }
}

/// A session that has come from another host, checked and not in the table yet; its keys are in the bytes it came in.
@safe
struct Arrival {
  var index: UInt32
  var generation: UInt32
  var request: SessionRequest
  var parameters: SessionParameters
  var cipherKey: UnsafeRawBufferPointer
  var authKey: UnsafeRawBufferPointer
}

extension SessionBlock {
  var keyByteCount: Int {
    Int(parameters.cipherKeyByteCount) + Int(parameters.authKeyByteCount)
  }

  /// The guest's request with the keys' true lengths.
  var recordedRequest: SessionRequest {
    var request = request
    request.cipherKeyByteCount = parameters.cipherKeyByteCount
    request.authKeyByteCount = parameters.authKeyByteCount
    return request
  }
}

extension SessionTable {
  /// Puts sessions at their places in a table that has none; false where memory does not reach.
  func place(_ arrivals: [Arrival]) -> Bool {
    if let last = arrivals.last { useIndices(max(neverUsed, last.index + 1)) }
    precondition(openCount == 0 && leavingCount == 0 && held.isEmpty, "sessions are there")
    spare = (0..<neverUsed).reversed()
    var taken = Set<UInt32>()
    defer { spare.removeAll { taken.contains($0) } }
    for arrival in arrivals {
      guard
        let block = unsafe makeBlock(
          arrival.parameters, arrival.request, at: arrival.index, cipherKey: arrival.cipherKey,
          authKey: arrival.authKey)
      else {
        journal?.erase(Int(arrival.index))
        return false
      }
      taken.insert(arrival.index)
      _ = unsafe publish(block, at: arrival.index, generation: arrival.generation)
    }
    return true
  }
}
