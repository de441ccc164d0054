public import CRingShims

/// Splits a worker's time into stages and adds it up in the queue's block, while somebody watches.
///
/// One thread writes, the queue's worker. From `start` on every tick is in some stage, so that the stages' sum and the
/// time since the last change of stage are all of the time that has passed.
@frozen
@safe
public struct StageClock {
  @usableFromInline internal let counters: CounterBlock
  @usableFromInline internal var current = WorkerStage.idle
  @usableFromInline internal var last: UInt64

  /// Begins to watch: from now on the worker is idle.
  ///
  /// - `profile`: whom the numbers are for, above 0.
  @_noAllocation @_noLocks
  @inlinable public init(_ counters: CounterBlock, profile: UInt64, now: UInt64) {
    self.counters = counters
    last = now
    var number = 0
    while number < WorkerStage.count {
      counters.setStageWord(number, 0)
      number &+= 1
    }
    counters.setStageWord(CounterLayout.currentStage, 0)
    counters.setStageWord(CounterLayout.stagesStart, now)
    counters.setStageWord(CounterLayout.stagesProfile, profile)
  }

  /// The worker goes on to another stage, or stays in this one.
  @_noAllocation @_noLocks
  @inlinable public mutating func enter(_ stage: WorkerStage, now: UInt64) {
    // Not below: the counts of two processors may be some ticks apart.
    let passed = now > last ? now &- last : 0
    counters.addToStageWord(current.number, passed)
    last = last &+ passed
    if stage.number != current.number {
      current = stage
      counters.setStageWord(CounterLayout.currentStage, UInt64(truncatingIfNeeded: stage.number))
    }
  }

  /// Part of the current stage, which is not added up yet, was another one.
  @_noAllocation @_noLocks
  @inlinable public mutating func give(_ ticks: UInt64, to stage: WorkerStage) {
    counters.addToStageWord(stage.number, ticks)
    last = last &+ ticks
  }

  /// Ends the numbers: nobody reads them any more.
  @_noAllocation @_noLocks
  @inlinable public func stop() { counters.setStageWord(CounterLayout.stagesProfile, 0) }
}

extension CounterBlock {
  @_noAllocation @_noLocks
  @inlinable internal func setStageWord(_ number: Int, _ value: UInt64) {
    // SAFETY: the layout reserves sixteen words for stages, and callers keep to them.
    unsafe cring_store64_relaxed(
      base.advanced(by: (CounterLayout.firstStageWord &+ number) &* 8), value)
  }

  @_noAllocation @_noLocks
  @inlinable internal func addToStageWord(_ number: Int, _ amount: UInt64) {
    // SAFETY: as above.
    unsafe Self.increase(
      base.advanced(by: (CounterLayout.firstStageWord &+ number) &* 8), amount)
  }
}

extension CounterLayout {
  /// Sixteen words: a cache line and the next one; by `WorkerStage`, then these.
  @usableFromInline internal static var firstStageWord: Int {
    @_noAllocation @_noLocks @inlinable get { 112 }
  }
  /// The stage that is not added up yet.
  @usableFromInline internal static var currentStage: Int {
    @_noAllocation @_noLocks @inlinable get { 13 }
  }
  /// When the watching began.
  @usableFromInline internal static var stagesStart: Int {
    @_noAllocation @_noLocks @inlinable get { 14 }
  }
  /// The profile that the words are for, 0 where the worker keeps no account.
  @usableFromInline internal static var stagesProfile: Int {
    @_noAllocation @_noLocks @inlinable get { 15 }
  }
}

/// A worker's time by stage, since a profile began.
public struct StageSnapshot: Equatable, Sendable {
  /// Ticks by `WorkerStage.number`.
  public var ticks: [UInt64]
  /// All of the time; the stages add up to it.
  public var elapsedTicks: UInt64

  public subscript(stage: WorkerStage) -> UInt64 { ticks[stage.number] }
}

extension QueueCounters {
  /// The stages so far, up to `now`; nil where the worker keeps no account for this profile.
  ///
  /// What the worker has not added up yet goes to the stage that it is in: all the time of one that sleeps.
  public func stages(ofProfile profile: UInt64, now: UInt64) -> StageSnapshot? {
    guard stageWord(CounterLayout.stagesProfile) == profile else { return nil }
    let start = stageWord(CounterLayout.stagesStart)
    let current = stageWord(CounterLayout.currentStage)
    var ticks = (0..<WorkerStage.count).map { stageWord($0) }
    let elapsed = now > start ? now - start : 0
    let sum = ticks.reduce(0, &+)
    // It adds up while it is read: some ticks may be there that are later than `now`.
    if sum < elapsed, current < UInt64(WorkerStage.count) { ticks[Int(current)] += elapsed - sum }
    return StageSnapshot(ticks: ticks, elapsedTicks: max(elapsed, sum))
  }
}
