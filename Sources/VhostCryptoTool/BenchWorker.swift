import Histogram
import VhostUserFrontend

/// What one queue did in one run.
struct BenchTally: Sendable {
  var requestCount: UInt64 = 0
  var seconds: Double = 0
  /// Of the queue's thread, the processor time.
  var processorSeconds: Double = 0
  var comparedCount: UInt64 = 0
  var matchedCount: UInt64 = 0
  var kickCount: UInt64 = 0
  var sleepCount: UInt64 = 0
  /// Nanoseconds from the moment a chain is posted until it is seen in the used ring.
  var latencies = Histogram<UInt64>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)

  mutating func add(_ other: BenchTally) {
    requestCount += other.requestCount
    seconds = max(seconds, other.seconds)
    processorSeconds += other.processorSeconds
    comparedCount += other.comparedCount
    matchedCount += other.matchedCount
    kickCount += other.kickCount
    sleepCount += other.sleepCount
    latencies.add(other.latencies)
  }
}

/// Drives one data queue from one thread: `depth` preformatted requests, posted again as they come
/// back.
///
/// A value, not an object: one access to it covers a whole run, where an object's variables would be
/// checked for exclusive access at every touch (60 % of the time, when that was measured).
@safe
struct BenchWorker: ~Copyable, @unchecked Sendable {
  /// A request that goes round and round.
  @safe
  private struct Slot {
    var placed: PlacedRequest
    var head: UInt16
    var status: UnsafeMutableRawPointer
    var expected: BenchExpectation?
    var postedAt: UInt64 = 0
    var isPosted = false
    /// Compare the result when it comes back: its buffers were filled with a pattern before it went
    /// out.
    var isWatched = true
  }

  /// One in so many requests is compared after the first pass.
  private static let sampleInterval: UInt64 = 1009
  private static let silenceNanoseconds: UInt64 = 5_000_000_000

  private let queue: DriverQueue
  private let settings: BenchSettings
  private let operation: BenchOperation
  private var slots: [Slot] = []
  private var slotOfHead: [Int]
  private var idle: [Int] = []
  // With hasFixedEntries, when `idle` only counts: the slot whose turn it is.
  private var turn = 0
  private var tally = BenchTally()
  private var idleLooks: UInt64 = 0
  private var sampleCountdown = BenchWorker.sampleInterval

  /// Places and formats `settings.depth` requests.
  init(
    queue: DriverQueue, operations: [OperationSpec], format: RequestFormat,
    settings: BenchSettings, measuring measured: BenchOperation
  ) throws {
    self.queue = queue
    self.settings = settings
    operation = measured
    slotOfHead = Array(repeating: -1, count: Int(queue.size))
    var plan = RequestPlan()
    plan.isIndirect = settings.isIndirect
    for operation in operations {
      let request = CryptoRequestBuilder.data(operation, format: format)
      let placed = try PlacedRequest(request, plan: plan, in: queue.memory)
      let head = try queue.reserve(placed.buffers, indirect: settings.isIndirect)
      guard let statusAddress = placed.statusAddress else { continue }
      let expected = settings.verifies ? measured.expectation(of: operation) : nil
      if settings.verifies && expected == nil {
        throw BenchFailure.usage(
          "\(measured.name) cannot be computed independently here: give --no-verify to measure it unchecked"
        )
      }
      // SAFETY: one byte in guest memory, which `queue.memory` keeps mapped as long as this worker
      // lives.
      let slot = unsafe Slot(
        placed: placed, head: head,
        status: try queue.memory.pointer(at: statusAddress, byteCount: 1),
        expected: expected)
      slotOfHead[Int(head)] = slots.count
      idle.append(slots.count)
      slots.append(slot)
    }
  }

  /// Frees descriptors and guest memory; nothing may be in flight.
  mutating func dispose() {
    for slot in slots {
      queue.release(slot.head)
      slot.placed.free(in: queue.memory)
    }
    slots = []
  }

  /// Every request once, every result compared.
  mutating func runFirstPass() throws {
    queue.disableCalls()
    try postIdle(limit: slots.count)
    try drain()
    tally.latencies.reset()
    tally.requestCount = 0
    tally.kickCount = 0
    tally.sleepCount = 0
  }

  /// Requests at full depth for the time that the settings give.
  mutating func run() throws -> BenchTally {
    let processorStart = threadProcessorNanoseconds()
    let start = monotonicNanoseconds()
    let end = start &+ UInt64(settings.seconds * 1e9)
    var lastProgress = start
    var now = start
    while now < end {
      if idle.count >= settings.batch || idle.count == slots.count {
        try postIdle(limit: settings.batch)
      }
      if try reap(&now) {
        lastProgress = now
      } else {
        try pause(since: lastProgress, &now)
      }
    }
    // The tail that is still in flight is not counted in the rate: the load falls off there.
    let counted = tally.requestCount
    tally.seconds = Double(now &- start) / 1e9
    tally.processorSeconds = Double(threadProcessorNanoseconds() &- processorStart) / 1e9
    try drain()
    var result = tally
    result.requestCount = counted
    return result
  }

  private mutating func drain() throws {
    var now = monotonicNanoseconds()
    var lastProgress = now
    while queue.inFlightCount > 0 {
      if try reap(&now) { lastProgress = now } else { try pause(since: lastProgress, &now) }
    }
  }

  private mutating func postIdle(limit: Int) throws {
    var left = min(limit, idle.count)
    guard left > 0 else { return }
    let now = monotonicNanoseconds()
    while left > 0, let index = nextToPost() {
      slots[index].postedAt = now
      slots[index].isPosted = true
      queue.post(slots[index].head)
      left -= 1
    }
    if queue.publish() {
      tally.kickCount += 1
      try queue.kick()
    }
  }

  /// The idle slot that was used last, whose memory is most likely in a cache; in order, the next one once it is back.
  private mutating func nextToPost() -> Int? {
    guard settings.hasFixedEntries else { return idle.popLast() }
    guard !idle.isEmpty, !slots[turn].isPosted else { return nil }
    idle.removeLast()
    defer { turn = turn + 1 < slots.count ? turn + 1 : 0 }
    return turn
  }

  /// Takes everything that is finished; false when there is nothing.
  private mutating func reap(_ now: inout UInt64) throws -> Bool {
    guard var used = queue.popUsed() else { return false }
    now = monotonicNanoseconds()
    while true {
      try finish(used, now)
      guard let next = queue.popUsed() else { return true }
      used = next
    }
  }

  private mutating func finish(_ used: UsedElement, _ now: UInt64) throws {
    let index = used.head < UInt32(slotOfHead.count) ? slotOfHead[Int(used.head)] : -1
    guard index >= 0, slots[index].isPosted else {
      throw BenchFailure(
        message:
          "\(operation.name): the device finished chain \(used.head), which is not in flight",
        status: BenchFailure.wrong)
    }
    slots[index].isPosted = false
    tally.requestCount += 1
    tally.latencies.record(now &- slots[index].postedAt)
    let status = unsafe slots[index].status.load(as: UInt8.self)
    guard status == 0 else {
      throw BenchFailure(
        message: "\(operation.name): the device answered status \(status)",
        status: BenchFailure.wrong)
    }
    if slots[index].isWatched { try compare(index, used) }
    sampleCountdown -= 1
    if sampleCountdown == 0 {
      sampleCountdown = Self.sampleInterval
      try watch(index)
    }
    idle.append(index)
  }

  /// Fills the result with a pattern, so that a stale one cannot pass.
  private mutating func watch(_ index: Int) throws {
    guard settings.verifies else { return }
    slots[index].isWatched = true
    for buffer in slots[index].placed.destination + slots[index].placed.result {
      try queue.memory.fill(
        buffer.guestAddress, byteCount: Int(buffer.byteCount), with: PlacedRequest.untouched)
    }
  }

  private mutating func compare(_ index: Int, _ used: UsedElement) throws {
    slots[index].isWatched = false
    guard settings.verifies else { return }
    let slot = slots[index]
    let content = try PlacedRequest.content(
      of: slot.placed.destination + slot.placed.result, in: queue.memory)
    tally.comparedCount += 1
    if slot.expected?.isMet(by: content, usedByteCount: Int(used.byteCount)) ?? false {
      tally.matchedCount += 1
    }
  }

  /// Nothing was finished: look again soon, or sleep until called.
  private mutating func pause(since lastProgress: UInt64, _ now: inout UInt64) throws {
    if settings.mode == .interrupt && queue.inFlightCount > 0 {
      if queue.enableCalls() { return }
      tally.sleepCount += 1
      _ = try queue.callEvent.wait(milliseconds: 100)
      _ = try queue.callEvent.drain()
      queue.disableCalls()
    }
    idleLooks &+= 1
    // A device on the same processor gets a chance to run.
    if idleLooks & 0xFF == 0 { yieldProcessor() }
    now = monotonicNanoseconds()
    if now &- lastProgress > Self.silenceNanoseconds && queue.inFlightCount > 0 {
      throw BenchFailure(
        message:
          "\(operation.name): no answer for 5 s with \(queue.inFlightCount) requests in flight",
        status: BenchFailure.wrong)
    }
  }
}
