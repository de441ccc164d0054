import CLinuxShims
import CRingShims
public import CryptoDevice

/// How much a device may do.
public struct LimitSettings: Equatable, Sendable {
  /// 0: unlimited.
  public var operationsPerSecond: UInt64 = 0
  /// Source bytes; 0: unlimited.
  public var bytesPerSecond: UInt64 = 0
  /// How much of a rate may be saved up, in milliseconds.
  public var burstMilliseconds = 100

  public init() {}
}

/// How a limit has held a queue back.
public struct ThrottleCounts: Equatable, Sendable {
  /// Times that requests had to wait.
  public var waits: UInt64 = 0
  /// How long they did, by the clock, one that goes on included.
  public var nanoseconds: UInt64 = 0

  public init() {}
}

/// A device's limits and orders: written by the control side, read by the device's workers once per batch.
///
/// Each rate is a bucket that the queues share, kept as the time (in ticks) up to which it is spent: what lies between
/// then and now is saved up, at most the burst; a time to come is a debt. A batch is paid for after it was taken, so that
/// its bytes are known; its queue may take the next one when the time has come at which the bucket had paid for its own.
/// So queues that are held back take turns of about the same size, in the order of their last ones.
///
/// Spec: ITU-T I.371, "Generic cell rate algorithm", which the buckets are two of.
@safe
public final class LimitBlock: @unchecked Sendable {
  // Unchecked: the words are read and written atomically; everything else belongs to the device's thread.

  private let words: UnsafeMutablePointer<UInt64>
  private let queueCount: Int
  private let ticksPerNanosecond: Double
  /// Orders with the version that published them; the last ones are in force.
  private var orders: [PublishedOrders] = []
  private var version: UInt64 = 0
  public private(set) var settings = LimitSettings()

  /// About how much of a rate is spent at a time: fewer wake-ups, at the price of so much latency for a throttled guest.
  private static let turnNanoseconds = 4_000_000.0

  public init(queueCount: Int, nanosecondsPerTick: Double) {
    self.queueCount = queueCount
    ticksPerNanosecond = 1 / nanosecondsPerTick
    let lines = LimitWords.lineCount + queueCount
    // Aligned, so that queues do not share lines of their own.
    unsafe words = UnsafeMutableRawPointer.allocate(
      byteCount: lines * LimitWords.lineWords * 8, alignment: LimitWords.lineWords * 8
    ).bindMemory(to: UInt64.self, capacity: lines * LimitWords.lineWords)
    unsafe words.initialize(repeating: 0, count: lines * LimitWords.lineWords)
  }

  deinit {
    unsafe words.deallocate()
  }

  // MARK: - Control side

  /// Sets the limits; the buckets start anew where a rate changes.
  ///
  /// Sleeping workers have to be woken, to hear of it.
  public func set(_ settings: LimitSettings) {
    guard settings != self.settings else { return }
    self.settings = settings
    let burst = Double(settings.burstMilliseconds) * 1e6 * ticksPerNanosecond
    store(LimitWords.operationTicks, ticks(per: settings.operationsPerSecond).bitPattern)
    store(LimitWords.byteTicks, ticks(per: settings.bytesPerSecond).bitPattern)
    store(LimitWords.burstTicks, UInt64(burst))
    store(
      LimitWords.turnTicks, UInt64(min(burst / 2, Self.turnNanoseconds * ticksPerNanosecond)))
    let now = clinux_ticks()
    store(LimitWords.operationTime, now)
    store(LimitWords.byteTime, now)
    publish()
  }

  /// Replaces the orders; sleeping workers hear of it when they wake.
  public func set(_ newOrders: DeviceOrders) {
    let published = PublishedOrders(newOrders, version: version + 1)
    orders.append(published)
    store(LimitWords.orders, published.address)
    publish()
    reclaim()
  }

  /// Frees orders that no worker goes by any more.
  private func reclaim() {
    // A worker reads the newest orders, so what it has seen makes all earlier ones unneeded.
    let seen =
      (0..<queueCount).map { load(LimitWords.queue($0) + LimitWords.seenVersion) }
      .filter { $0 != 0 }.min() ?? version
    while orders.count > 1, orders[1].version <= seen { orders.removeFirst() }
  }

  /// Orders at a place where workers find them.
  @safe
  private final class PublishedOrders {
    /// From which version on they are in force.
    let version: UInt64
    private let place: UnsafeMutablePointer<DeviceOrders>
    var address: UInt64 { unsafe UInt64(UInt(bitPattern: place)) }

    init(_ orders: DeviceOrders, version: UInt64) {
      self.version = version
      unsafe place = .allocate(capacity: 1)
      unsafe place.initialize(to: orders)
    }

    deinit { unsafe place.deallocate() }
  }

  /// Ticks for one of so many a second; 0: unlimited.
  private func ticks(per rate: UInt64) -> Double {
    rate == 0 ? 0 : 1e9 * ticksPerNanosecond / Double(rate)
  }

  private func publish() {
    version += 1
    // Whoever sees the version sees the words that were stored before.
    unsafe cring_store64_release(words + LimitWords.version, version)
  }

  private func load(_ word: Int) -> UInt64 { unsafe cring_load64_acquire(words + word) }
  private func store(_ word: Int, _ value: UInt64) {
    unsafe cring_store64_release(words + word, value)
  }

  // MARK: - Workers

  /// The end of a queue's worker; call it before the worker runs.
  ///
  /// The block must outlive the worker.
  public func limiter(queue: Int) -> QueueLimiter {
    // From here on no orders are freed that it may read.
    store(LimitWords.queue(queue) + LimitWords.seenVersion, max(1, version))
    return unsafe QueueLimiter(
      words: words, own: words + LimitWords.queue(queue), nanosecondsPerTick: 1 / ticksPerNanosecond
    )
  }

  /// A queue's worker has ended.
  public func leave(queue: Int) {
    store(LimitWords.queue(queue) + LimitWords.seenVersion, 0)
    store(LimitWords.queue(queue) + LimitWords.waitingSince, 0)
  }

  /// How a queue was held back so far; from any thread.
  public func throttling(queue: Int) -> ThrottleCounts {
    let base = LimitWords.queue(queue)
    var counts = ThrottleCounts()
    counts.waits = load(base + LimitWords.waitCount)
    let since = load(base + LimitWords.waitingSince)
    let now = clinux_ticks()
    let ticks =
      load(base + LimitWords.waitedTicks) &+ (since != 0 && now > since ? now &- since : 0)
    counts.nanoseconds = UInt64(Double(ticks) / ticksPerNanosecond)
    return counts
  }
}

/// The block's places, in words of 64 bits.
enum LimitWords {
  static var lineWords: Int { @_noAllocation @_noLocks get { 16 } }
  // Written by the control side alone.
  static var version: Int { @_noAllocation @_noLocks get { 0 } }
  /// Bits of a Double; 0: unlimited.
  static var operationTicks: Int { @_noAllocation @_noLocks get { 1 } }
  static var byteTicks: Int { @_noAllocation @_noLocks get { 2 } }
  static var burstTicks: Int { @_noAllocation @_noLocks get { 3 } }
  static var turnTicks: Int { @_noAllocation @_noLocks get { 4 } }
  /// The address of a `DeviceOrders`, or 0.
  static var orders: Int { @_noAllocation @_noLocks get { 5 } }
  // The buckets: written by all workers.
  static var operationTime: Int { @_noAllocation @_noLocks get { 16 } }
  static var byteTime: Int { @_noAllocation @_noLocks get { 32 } }
  static var lineCount: Int { @_noAllocation @_noLocks get { 3 } }
  // A queue's own line.
  static func queue(_ index: Int) -> Int { (lineCount + index) * lineWords }
  static var waitCount: Int { @_noAllocation @_noLocks get { 0 } }
  static var waitedTicks: Int { @_noAllocation @_noLocks get { 1 } }
  /// 0: the worker does not wait.
  static var waitingSince: Int { @_noAllocation @_noLocks get { 2 } }
  /// The version that the worker goes by; 0: there is no worker.
  static var seenVersion: Int { @_noAllocation @_noLocks get { 3 } }
}
