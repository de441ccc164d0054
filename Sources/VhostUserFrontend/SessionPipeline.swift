import CRingShims
import VirtioSpec

/// Makes and ends sessions by the thousand over the control queue: many requests in flight, each laid out once.
///
/// Every session has a key of its own, which `spec(_:number:)` tells. A value, as is `bench`'s worker, because an
/// object's variables would be checked for exclusive access at every touch.
@safe
public struct SessionPipeline: ~Copyable {
  /// A creation and a destruction that go round and round, one of them in flight at a time.
  @safe
  private struct Slot {
    var creation: PlacedRequest
    var destruction: PlacedRequest
    var createHead: UInt16
    var destroyHead: UInt16
    /// nil where the session has no key.
    var key: UnsafeMutableRawPointer?
    var createOutcome: UnsafeMutableRawPointer
    var wantedIdentifier: UnsafeMutableRawPointer
    var destroyOutcome: UnsafeMutableRawPointer
    var number = 0
  }

  /// What the requests of one slot do.
  private enum Work {
    case create, destroy
    /// Each creation is followed by the destruction of what it made.
    case both
  }

  /// Times that the device wanted a kick.
  public private(set) var kickCount = 0
  private let queue: DriverQueue
  private let memory: GuestRAM
  private let batch: Int
  private let keyStart: [UInt8]
  private var slots: [Slot] = []
  private var slotOfHead: [Int]
  private var idle: [Int] = []
  private let timeoutNanoseconds: UInt64

  /// Lays out requests for sessions that differ from `template` in their keys only.
  ///
  /// `depth`: requests in flight; the control queue holds at least twice as many descriptors. `batch`: how many are
  /// posted before the device is shown them.
  public static func over(
    _ client: CryptoClient, template: SessionSpec, depth: Int, batch: Int
  ) throws(FrontendError) -> SessionPipeline {
    guard case .queue(let queue) = client.control else {
      throw .request("a session pipeline without a control queue")
    }
    var pipeline = SessionPipeline(client, queue, template, batch)
    let create = CryptoRequestBuilder.createSession(template, format: client.format)
    let destroy = CryptoRequestBuilder.destroySession(
      0, service: template.service, format: client.format)
    for _ in 0..<depth { try pipeline.addSlot(create, destroy) }
    return pipeline
  }

  private init(
    _ client: CryptoClient, _ queue: DriverQueue, _ template: SessionSpec, _ batch: Int
  ) {
    self.queue = queue
    self.batch = batch
    memory = client.memory
    timeoutNanoseconds = UInt64(client.timeoutMilliseconds) * 1_000_000
    slotOfHead = Array(repeating: -1, count: Int(queue.size))
    keyStart = Array((template.cipherKey + template.authKey).prefix(8))
  }

  /// Frees descriptors and guest memory; nothing may be in flight.
  public mutating func dispose() {
    for slot in slots {
      queue.release(slot.createHead)
      queue.release(slot.destroyHead)
      slot.creation.free(in: memory)
      slot.destruction.free(in: memory)
    }
    slots = []
    idle = []
  }

  /// The session that is made with a number.
  public static func spec(_ template: SessionSpec, number: Int) -> SessionSpec {
    func altered(_ key: [UInt8]) -> [UInt8] {
      let start = alteredStart(Array(key.prefix(8)), number)
      return start + key.dropFirst(8)
    }
    switch template {
    case .cipher(let algorithm, let direction, let key):
      return .cipher(algorithm, direction, key: altered(key))
    case .mac(let algorithm, let key, let count):
      return .mac(algorithm, key: altered(key), resultByteCount: count)
    case .aead(let algorithm, let direction, let key, let tagByteCount, let aadByteCount):
      return .aead(
        algorithm, direction, key: altered(key), tagByteCount: tagByteCount,
        aadByteCount: aadByteCount)
    case .chain(var chain):
      chain.cipherKey = altered(chain.cipherKey)
      return .chain(chain)
    case .hash, .akcipher: return template
    }
  }

  /// An odd factor: no two numbers give the same eight bytes.
  private static func alteredStart(_ start: [UInt8], _ number: Int) -> [UInt8] {
    let change = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
    return start.enumerated().map {
      $1 ^ UInt8(truncatingIfNeeded: change >> (8 * UInt64($0)))
    }
  }

  /// Makes the sessions of these numbers; their identifiers.
  ///
  /// - Throws: `refused` with the first status that is not OK, when everything is back.
  public mutating func create(_ numbers: Range<Int>) throws(FrontendError) -> [UInt64] {
    var identifiers = [UInt64](repeating: 0, count: numbers.count)
    try run(.create, numbers.count, first: numbers.lowerBound, &identifiers)
    return identifiers
  }

  /// Ends sessions.
  ///
  /// - Throws: `refused` with the first status that is not OK, when everything is back.
  public mutating func destroy(_ identifiers: [UInt64]) throws(FrontendError) {
    var identifiers = identifiers
    try run(.destroy, identifiers.count, first: 0, &identifiers)
  }

  /// Makes so many sessions and ends each at once: twice as many requests.
  ///
  /// - Throws: `refused` with the first status that is not OK, when everything is back.
  public mutating func createAndDestroy(_ count: Int) throws(FrontendError) {
    var none: [UInt64] = []
    try run(.both, count, first: 0, &none)
  }

  // MARK: Slots

  private mutating func addSlot(
    _ create: ControlRequest, _ destroy: ControlRequest
  ) throws(FrontendError) {
    let creation = try PlacedRequest(create, in: memory)
    let destruction = try PlacedRequest(destroy, in: memory)
    guard let header = destruction.headerAddress else { return }
    let keyAddress = keyStart.isEmpty ? nil : creation.buffers[1].guestAddress
    var key: UnsafeMutableRawPointer?
    if let keyAddress {
      unsafe key = try memory.pointer(at: keyAddress, byteCount: keyStart.count)
    }
    // SAFETY: ranges of guest memory that belong to the two requests, mapped as long as `memory` lives.
    let slot = unsafe Slot(
      creation: creation, destruction: destruction,
      createHead: try queue.reserve(creation.buffers, indirect: true),
      destroyHead: try queue.reserve(destruction.buffers, indirect: true), key: key,
      createOutcome: try memory.pointer(at: creation.result[0].guestAddress, byteCount: 16),
      wantedIdentifier: try memory.pointer(
        at: header + UInt64(VirtioCryptoWire.controlHeaderByteCount), byteCount: 8),
      destroyOutcome: try memory.pointer(at: destruction.result[0].guestAddress, byteCount: 1))
    slotOfHead[Int(slot.createHead)] = slots.count
    slotOfHead[Int(slot.destroyHead)] = slots.count
    idle.append(slots.count)
    slots.append(slot)
  }

  // MARK: The loop

  private mutating func run(
    _ work: Work, _ count: Int, first: Int, _ identifiers: inout [UInt64]
  ) throws(FrontendError) {
    var started = 0
    var finished = 0
    var unpublished = 0
    var refusal: UInt8 = 0
    var looks = 0
    var lastProgress = monotonicNanoseconds()
    while finished < count {
      while started < count, unpublished < batch, let index = idle.popLast() {
        slots[index].number = started
        if work == .destroy {
          postDestruction(index, identifiers[started])
        } else {
          postCreation(index, number: first + started)
        }
        started += 1
        unpublished += 1
      }
      if unpublished > 0 {
        unpublished = 0
        try show()
      }
      var progressed = false
      while unpublished < batch, let used = queue.popUsed() {
        progressed = true
        let index = used.head < UInt32(slotOfHead.count) ? slotOfHead[Int(used.head)] : -1
        guard index >= 0 else { throw .ring("the device finished chain \(used.head)") }
        let isCreation = used.head == UInt32(slots[index].createHead)
        let status = try outcome(index, isCreation, used.byteCount)
        if status != 0, refusal == 0 { refusal = status }
        if isCreation, work == .both, status == 0 {
          // SAFETY: the device has written the outcome.
          postDestruction(index, unsafe cring_load64(slots[index].createOutcome))
          unpublished += 1
          continue
        }
        if isCreation, work == .create {
          identifiers[slots[index].number] = unsafe cring_load64(slots[index].createOutcome)
        }
        idle.append(index)
        finished += 1
      }
      if progressed {
        looks = 0
        continue
      }
      looks += 1
      if looks & 0xFF == 0 {
        // A device on the same processor gets a chance to run.
        yieldProcessor()
        let now = monotonicNanoseconds()
        if looks == 0x100 { lastProgress = now }
        guard now &- lastProgress < timeoutNanoseconds else {
          throw .timedOut(
            waitingFor: "\(count - finished) control requests",
            milliseconds: Int(timeoutNanoseconds / 1_000_000))
        }
      }
    }
    guard refusal == 0 else {
      throw .refused(message: "a control request", value: UInt64(refusal))
    }
  }

  private mutating func show() throws(FrontendError) {
    // With event indices, "no call" is a far away index that has to move on.
    queue.disableCalls()
    if queue.publish() {
      kickCount += 1
      try queue.kick()
    }
  }

  private func postCreation(_ index: Int, number: Int) {
    // SAFETY: guest memory of this slot, whose request is not in flight; the key is as long as its start.
    unsafe cring_store64(slots[index].createOutcome, 0)
    unsafe cring_store64(slots[index].createOutcome + 8, .max)
    if let key = unsafe slots[index].key {
      let change = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
      for position in 0..<keyStart.count {
        let byte = keyStart[position] ^ UInt8(truncatingIfNeeded: change >> (8 * UInt64(position)))
        unsafe cring_store8(key + position, byte)
      }
    }
    queue.post(slots[index].createHead)
  }

  private func postDestruction(_ index: Int, _ identifier: UInt64) {
    // SAFETY: guest memory of this slot, whose request is not in flight.
    unsafe cring_store8(slots[index].destroyOutcome, PlacedRequest.untouched)
    unsafe cring_store64(slots[index].wantedIdentifier, identifier)
    queue.post(slots[index].destroyHead)
  }

  /// The status of a request that came back, whose used length has to be right, too.
  private func outcome(
    _ index: Int, _ isCreation: Bool, _ usedByteCount: UInt32
  ) throws(FrontendError) -> UInt8 {
    let expected = UInt32(isCreation ? VirtioCryptoWire.createSessionInputByteCount : 1)
    guard usedByteCount == expected else {
      throw .ring("a control request came back with \(usedByteCount) bytes instead of \(expected)")
    }
    // SAFETY: the device has written the outcome.
    if isCreation { return unsafe cring_load8(slots[index].createOutcome + 8) }
    return unsafe cring_load8(slots[index].destroyOutcome)
  }
}
