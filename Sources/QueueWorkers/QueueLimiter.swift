import CLinuxShims
public import CRingShims
public import CryptoDevice

/// A worker's end of its device's limits: what it may take, and how long it has to wait.
///
/// A plain value, used by the worker's thread; `LimitBlock` says how the buckets work.
@safe
public struct QueueLimiter {
  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  private let own: UnsafeMutablePointer<UInt64>
  private let nanosecondsPerTick: Double
  /// The version at which nothing is to be asked; none while there are limits.
  @usableFromInline var freeVersion = UInt64.max
  /// Whether a rate is limited.
  public private(set) var isLimited = false
  /// Whether the ring holds requests that have to wait.
  public private(set) var isThrottled = false
  private var version: UInt64 = 0
  private var operationTicks = 0.0
  private var byteTicks = 0.0
  private var burstTicks: UInt64 = 0
  private var turnTicks: UInt64 = 0
  /// When the next batch may be taken.
  private var releaseTime: UInt64 = 0
  /// Bytes of a request in the last batch, for how many the next one may have.
  private var meanByteCount = 4096.0

  init(
    words: UnsafeMutablePointer<UInt64>, own: UnsafeMutablePointer<UInt64>,
    nanosecondsPerTick: Double
  ) {
    unsafe self.words = words
    unsafe self.own = own
    self.nanosecondsPerTick = nanosecondsPerTick
  }

  /// Whether a batch may be taken without a further look: there are no limits, and no news.
  @inlinable public var isFree: Bool {
    @_noAllocation @_noLocks get { unsafe cring_load64_acquire(words) == freeVersion }
  }

  @_noAllocation @_noLocks
  private func load(_ word: Int) -> UInt64 {
    // SAFETY: `word` is a place of the block, which outlives the worker.
    unsafe cring_load64_relaxed(words + word)
  }

  // MARK: - News

  /// Takes in what the control side has changed; whether it has.
  @_noAllocation @_noLocks
  public mutating func adoptChanges() -> Bool {
    let current = unsafe cring_load64_acquire(words + LimitWords.version)
    guard current != version || freeVersion == .max && !isLimited else { return false }
    version = current
    operationTicks = Double(bitPattern: load(LimitWords.operationTicks))
    byteTicks = Double(bitPattern: load(LimitWords.byteTicks))
    burstTicks = load(LimitWords.burstTicks)
    turnTicks = load(LimitWords.turnTicks)
    isLimited = operationTicks > 0 || byteTicks > 0
    freeVersion = isLimited ? .max : current
    // Behind what others have taken: a ring that is started again and again gets no more than one that runs.
    releaseTime = max(
      operationTicks > 0 ? load(LimitWords.operationTime) : 0,
      byteTicks > 0 ? load(LimitWords.byteTime) : 0)
    return true
  }

  /// What to go by; nil: what the worker was started with.
  public var orders: UnsafePointer<DeviceOrders>? {
    @_noAllocation @_noLocks get {
      unsafe UnsafePointer(bitPattern: UInt(cring_load64_acquire(words + LimitWords.orders)))
    }
  }

  /// The orders have been copied: earlier ones may go, and so may these when there are others.
  @_noAllocation @_noLocks
  public func acknowledge() {
    unsafe cring_store64_release(own + LimitWords.seenVersion, version == 0 ? 1 : version)
  }

  // MARK: - Taking

  /// `WorkerSettings.batchCapacity`, for reckoning.
  private static var batchCapacity: Double { @_noAllocation @_noLocks get { 64 } }

  /// How many requests may be taken; none while the last batch is not paid for.
  @_noAllocation @_noLocks
  public mutating func allowance(at now: UInt64) -> Int {
    isThrottled = false
    guard isLimited else { return Int(Self.batchCapacity) }
    guard now >= releaseTime else {
      isThrottled = true
      return 0
    }
    var most = Self.batchCapacity
    if operationTicks > 0 {
      most = min(most, turn(load(LimitWords.operationTime), now) / operationTicks)
    }
    if byteTicks > 0 {
      most = min(most, turn(load(LimitWords.byteTime), now) / (byteTicks * meanByteCount))
    }
    // However low the rate: one request, and a debt.
    return max(1, Int(most))
  }

  /// Nothing waits; what may be taken next is asked again then.
  @_noAllocation @_noLocks
  public mutating func beIdle() -> Int {
    isThrottled = false
    return 0
  }

  /// How much may be spent at a time, in ticks: what is saved up, or a usual turn.
  @_noAllocation @_noLocks
  private func turn(_ time: UInt64, _ now: UInt64) -> Double {
    let saved = now > time ? min(now &- time, burstTicks) : 0
    return Double(max(saved, turnTicks))
  }

  /// Pays for a batch.
  @_noAllocation @_noLocks
  public mutating func charge(operations: Int, bytes: UInt64, at now: UInt64) {
    releaseTime = 0
    if operationTicks > 0 {
      releaseTime = pay(LimitWords.operationTime, Double(operations) * operationTicks, now)
    }
    if byteTicks > 0 {
      releaseTime = max(releaseTime, pay(LimitWords.byteTime, Double(bytes) * byteTicks, now))
      meanByteCount = max(1, Double(bytes) / Double(max(1, operations)))
    }
  }

  /// Moves a bucket's time on by the price; where it is then.
  @_noAllocation @_noLocks
  private func pay(_ word: Int, _ price: Double, _ now: UInt64) -> UInt64 {
    // A year of ticks is more than any debt that will be paid, and far from where numbers end.
    let ticks = UInt64(min(price, 1e17))
    let earliest = now > burstTicks ? now &- burstTicks : 0
    var old = load(word)
    while true {
      let new = max(old, earliest) &+ ticks
      if unsafe cring_compare_exchange64(words + word, &old, new) { return new }
    }
  }

  // MARK: - Waiting

  /// How long to sleep, in nanoseconds.
  ///
  /// At least a turn, whose worth is saved up meanwhile: a guest with one request at a time does not cost a wake-up for
  /// each.
  @_noAllocation @_noLocks
  public func beginWait() -> UInt64 {
    let now = clinux_ticks()
    unsafe cring_store64_relaxed(own + LimitWords.waitingSince, now)
    unsafe cring_store64_relaxed(
      own + LimitWords.waitCount, cring_load64_relaxed(own + LimitWords.waitCount) &+ 1)
    let ticks = max(releaseTime > now ? releaseTime &- now : 0, turnTicks)
    return UInt64(min(Double(ticks) * nanosecondsPerTick, 3.6e12)) &+ 1
  }

  @_noAllocation @_noLocks
  public func endWait() {
    let since = unsafe cring_load64_relaxed(own + LimitWords.waitingSince)
    let now = clinux_ticks()
    unsafe cring_store64_relaxed(
      own + LimitWords.waitedTicks,
      cring_load64_relaxed(own + LimitWords.waitedTicks) &+ (now > since ? now &- since : 0))
    unsafe cring_store64_relaxed(own + LimitWords.waitingSince, 0)
  }
}
