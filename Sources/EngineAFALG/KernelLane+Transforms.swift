import CKcapi
import CryptoTypes
import Glibc

// Sockets under sessions' keys: opened when a session is first used, and kept while there is room.

extension KernelLane {
  // MARK: - Entries

  /// The sockets of an operation's session, opened if they are not; nil with the reason in `outcome`.
  @_noAllocation @_noLocks
  mutating func entry(
    of operation: UnsafeMutablePointer<CryptoOperation>, _ outcome: inout CryptoOutcome
  ) -> Int32? {
    // SAFETY: the operation and its session are alive; indices are compared with their bounds.
    let index = unsafe operation.pointee.sessionIndex
    let generation = unsafe operation.pointee.sessionGeneration
    let isKept = index < sessionCapacity
    if isKept {
      let known = unsafe Int32(entryOfSession[Int(index)]) &- 1
      if known >= 0 {
        if unsafe entries[Int(known)].generation == generation { return known }
        close(known)
      }
    }
    guard let entry = freeEntry() else { return nil }
    unsafe entries[Int(entry)].sessionIndex = isKept ? index : CryptoOperation.transientSession
    unsafe entries[Int(entry)].generation = generation
    outcome = unsafe open(operation.pointee.session, in: entry)
    guard outcome == .ok else {
      close(entry)
      return nil
    }
    if isKept { unsafe entryOfSession[Int(index)] = UInt16(truncatingIfNeeded: entry &+ 1) }
    return entry
  }

  /// An entry that is not open: a free one, or that of the session which has been idle for longest.
  @_noAllocation @_noLocks
  mutating func freeEntry() -> Int32? {
    var oldest: Int32 = -1
    var oldestUse = UInt64.max
    var index = 0
    while index < entryCount {
      // SAFETY: index is in bounds.
      if unsafe !entries[index].isOpen { return Int32(truncatingIfNeeded: index) }
      if unsafe entries[index].userCount == 0 && entries[index].lastUse < oldestUse {
        oldest = Int32(truncatingIfNeeded: index)
        unsafe oldestUse = entries[index].lastUse
      }
      index &+= 1
    }
    guard oldest >= 0 else { return nil }
    close(oldest)
    return oldest
  }

  /// Closes an entry's sockets, with which the kernel wipes the keys.
  @_noAllocation @_noLocks
  func close(_ entry: Int32) {
    var part: Int32 = 0
    while part < KeyedEntry.partCount {
      // SAFETY: entries are in bounds, and have partCount parts each.
      let pointer = unsafe parts + Int(entry &* KeyedEntry.partCount &+ part)
      while unsafe pointer.pointee.idleCount > 0 {
        unsafe pointer.pointee.idleCount &-= 1
        unsafe idleSocketCount.pointee &-= 1
        unsafe ckcapi_close(Self.descriptor(Self.idle(of: pointer)[Int(pointer.pointee.idleCount)]))
      }
      if unsafe pointer.pointee.socketPlusOne > 0 {
        unsafe ckcapi_close(pointer.pointee.socketPlusOne &- 1)
        unsafe pointer.pointee.socketPlusOne = 0
      }
      part &+= 1
    }
    let session = unsafe entries[Int(entry)].sessionIndex
    if session < sessionCapacity,
      unsafe Int32(entryOfSession[Int(session)]) == entry &+ 1
    {
      unsafe entryOfSession[Int(session)] = 0
    }
    unsafe entries[Int(entry)].isOpen = false
    unsafe entries[Int(entry)].sessionIndex = CryptoOperation.transientSession
  }

  // MARK: - Opening

  /// Opens what a session takes; anything but `ok` leaves parts of it, which the caller closes.
  @_noAllocation @_noLocks
  func open(
    _ session: UnsafePointer<SessionParameters>, in entry: Int32
  ) -> CryptoOutcome {
    // SAFETY: the session and its keys are alive; the entry is in bounds and not open.
    unsafe entries[Int(entry)].isOpen = true
    unsafe entries[Int(entry)].userCount = 0
    switch unsafe session.pointee.service {
    case .cipher: return unsafe openCipher(session, in: entry)
    case .hash: return unsafe openHash(session, in: entry)
    case .mac: return unsafe openMAC(session, in: entry)
    case .aead: return unsafe openAEAD(session, in: entry)
    case .chain:
      let outcome = unsafe openCipher(session, in: entry)
      guard outcome == .ok else { return outcome }
      return unsafe session.pointee.hashMode == .authenticated
        ? openMAC(session, in: entry) : openHash(session, in: entry)
    case .akcipher: return .unsupported
    }
  }

  /// Binds a part's socket and gives it its key, if it has one; nil stands for no key, an empty one is a key.
  @_noAllocation @_noLocks
  func openPart(
    _ part: Int32, of entry: Int32, transform index: Int, key: UnsafePointer<UInt8>?,
    keyByteCount: Int
  ) -> CryptoOutcome {
    // SAFETY: the entry is in bounds; the name lives as long as the engine; the key has the length given.
    let transform = table.transform(at: index)
    guard transform.isPresent, let name = unsafe transform.name else { return .unsupported }
    let socket = unsafe ckcapi_open(transform.kind.code, name)
    // What was there when the engine started lacks descriptors or memory now.
    guard socket >= 0 else { return socket == -ENOENT ? .unsupported : .exhausted }
    let pointer = unsafe parts + Int(entry &* KeyedEntry.partCount &+ part)
    unsafe pointer.pointee.socketPlusOne = socket &+ 1
    unsafe pointer.pointee.transformIndex = Int32(truncatingIfNeeded: index)
    unsafe pointer.pointee.idleCount = 0
    guard let key = unsafe key else { return .ok }
    return unsafe ckcapi_set_key(socket, key, keyByteCount) == 0 ? .ok : .failed
  }

  @_noAllocation @_noLocks
  private func openCipher(
    _ session: UnsafePointer<SessionParameters>, in entry: Int32
  ) -> CryptoOutcome {
    // SAFETY: as for open; the key's length is checked before it is used.
    let cipher = unsafe session.pointee.cipher
    let count = unsafe Int(session.pointee.cipherKeyByteCount)
    guard cipher.accepts(keyByteCount: count), let key = unsafe session.pointee.cipherKey else {
      return .failed
    }
    let half = count / 2
    // The kernel takes two equal halves, with which XTS protects nothing. Spec: IEEE 1619-2007, FIPS 140-2 IG A.9.
    if cipher == .aesXTS, unsafe ckcapi_equal(key, key + half, half) { return .failed }
    let isF8 = cipher == .aesF8
    let outcome = unsafe openPart(
      KeyedEntry.cipherPart, of: entry, transform: TransformTable.index(of: cipher), key: key,
      keyByteCount: isF8 ? half : count)
    guard outcome == .ok, isF8 else { return outcome }
    // Spec: RFC 3711 §4.1.2, IV' = E(k_e XOR m, IV).
    unsafe ckcapi_xor(keyScratch, key, key + half, half)
    let blockOutcome = unsafe openPart(
      KeyedEntry.blockPart, of: entry, transform: TransformTable.indexOfBlock, key: keyScratch,
      keyByteCount: half)
    unsafe ckcapi_wipe(keyScratch, half)
    return blockOutcome
  }

  @_noAllocation @_noLocks
  private func openHash(
    _ session: UnsafePointer<SessionParameters>, in entry: Int32
  ) -> CryptoOutcome {
    unsafe openPart(
      KeyedEntry.authPart, of: entry, transform: TransformTable.index(of: session.pointee.hash),
      key: nil, keyByteCount: 0)
  }

  @_noAllocation @_noLocks
  private func openMAC(
    _ session: UnsafePointer<SessionParameters>, in entry: Int32
  ) -> CryptoOutcome {
    // SAFETY: as for open. Where there is no key, one of no bytes is meant, of which nothing is read.
    let mac = unsafe session.pointee.mac
    let count = unsafe Int(session.pointee.authKeyByteCount)
    guard mac.accepts(keyByteCount: count) else { return .failed }
    var key = unsafe UnsafePointer(keyScratch)
    if let given = unsafe session.pointee.authKey {
      unsafe key = given
    } else if count > 0 {
      return .failed
    }
    return unsafe openPart(
      KeyedEntry.authPart, of: entry, transform: TransformTable.index(of: mac), key: key,
      keyByteCount: count)
  }

  @_noAllocation @_noLocks
  private func openAEAD(
    _ session: UnsafePointer<SessionParameters>, in entry: Int32
  ) -> CryptoOutcome {
    // SAFETY: as for open.
    let aead = unsafe session.pointee.aead
    let count = unsafe Int(session.pointee.cipherKeyByteCount)
    guard aead.accepts(keyByteCount: count), let key = unsafe session.pointee.cipherKey else {
      return .failed
    }
    let tagByteCount = unsafe Int(session.pointee.resultByteCount)
    guard aead.accepts(tagByteCount: tagByteCount) else { return .failed }
    // A short tag that the kernel does not make is cut from a whole one, and compared with what GCM is put together from.
    let isMade = Self.makesTag(aead, byteCount: tagByteCount)
    guard unsafe isMade || session.pointee.direction == .encrypt || canCompose else {
      return .unsupported
    }
    let outcome = unsafe openPart(
      KeyedEntry.cipherPart, of: entry, transform: TransformTable.index(of: aead), key: key,
      keyByteCount: count)
    guard outcome == .ok, isMade else { return outcome }
    let socket =
      unsafe parts[Int(entry &* KeyedEntry.partCount &+ KeyedEntry.cipherPart)].socketPlusOne &- 1
    return ckcapi_set_tag_count(socket, tagByteCount) == 0 ? .ok : .unsupported
  }

  /// Whether the kernel makes tags of this length; it always makes 16 bytes.
  @_noAllocation @_noLocks
  static func makesTag(_ aead: AEADAlgorithm, byteCount: Int) -> Bool {
    switch aead {
    // Spec: NIST SP 800-38D §5.2.1.2, the lengths that it recommends.
    case .gcm: byteCount >= 12 || byteCount == 8 || byteCount == 4
    case .ccm, .chacha20Poly1305: true
    }
  }

  // MARK: - Operation sockets

  /// A socket for the step that a job is at; nil where the host has none left.
  ///
  /// Negative: it was widened, and `isLong` is for such.
  @_noAllocation @_noLocks
  func operationSocket(_ job: UnsafeMutablePointer<KernelJob>, isLong: Bool) -> Int32? {
    // SAFETY: the job's entry is open; idle sockets are idleCount of idleCapacity.
    let part = unsafe parts + Int(job.pointee.entry &* KeyedEntry.partCount &+ job.pointee.part)
    let idle = unsafe Self.idle(of: part)
    var index = unsafe part.pointee.idleCount &- 1
    while index >= 0 {
      let socket = unsafe idle[Int(index)]
      if !isLong || socket < 0 {
        unsafe part.pointee.idleCount &-= 1
        unsafe idleSocketCount.pointee &-= 1
        unsafe idle[Int(index)] = idle[Int(part.pointee.idleCount)]
        return socket
      }
      index &-= 1
    }
    let socket = unsafe ckcapi_accept(part.pointee.socketPlusOne &- 1)
    guard socket >= 0 else { return nil }
    guard isLong else { return socket }
    // A message that it does not hold would be cut short.
    guard unsafe UInt64(ckcapi_widen(socket, messageByteCount)) >= Self.byteCount(of: job) else {
      ckcapi_close(socket)
      return nil
    }
    return 0 &- socket
  }

  /// The descriptor of an operation socket, whose sign says whether it was widened.
  @_noAllocation @_noLocks
  static func descriptor(_ socket: Int32) -> Int32 { socket < 0 ? 0 &- socket : socket }

  /// Gives a step's socket back, for the next operation or, where something is left in it, to nobody.
  @_noAllocation @_noLocks
  func giveBack(_ job: UnsafeMutablePointer<KernelJob>, isUsable: Bool) {
    // SAFETY: as for operationSocket.
    let socket = unsafe job.pointee.socket
    guard socket != .min else { return }
    unsafe job.pointee.socket = .min
    let part = unsafe parts + Int(job.pointee.entry &* KeyedEntry.partCount &+ job.pointee.part)
    guard isUsable, unsafe part.pointee.idleCount < KeyedPart.idleCapacity,
      unsafe idleSocketCount.pointee < entryCount
    else {
      ckcapi_close(Self.descriptor(socket))
      return
    }
    unsafe Self.idle(of: part)[Int(part.pointee.idleCount)] = socket
    unsafe part.pointee.idleCount &+= 1
    unsafe idleSocketCount.pointee &+= 1
  }

  @_noAllocation @_noLocks
  private static func idle(
    of part: UnsafeMutablePointer<KeyedPart>
  ) -> UnsafeMutablePointer<Int32> {
    // SAFETY: the address of a stored tuple of one type, in memory that stays where it is.
    unsafe withUnsafeMutablePointer(to: &part.pointee.idle) {
      unsafe UnsafeMutableRawPointer($0).assumingMemoryBound(to: Int32.self)
    }
  }
}
