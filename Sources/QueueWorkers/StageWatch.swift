public import CLinuxShims
public import Counters

/// Who is told what a worker does.
///
/// The loop is compiled once for each kind: without a watcher nothing is left of it.
@usableFromInline
protocol StageWatch {
  /// Whether there is a watcher at all; a constant.
  static var isOn: Bool { get }
  /// The worker goes on to a stage.
  mutating func enter(_ stage: WorkerStage)
  /// The worker went on to a stage at a time that it had read anyway.
  mutating func enter(_ stage: WorkerStage, at now: UInt64)
  /// So many ticks of what goes on now were another stage.
  mutating func give(_ ticks: UInt64, to stage: WorkerStage)
  /// An operation stays in an engine; waiting for it is that engine's time.
  mutating func noteLate(engine: UInt8)
  /// The engine of the operation that was last to stay.
  var lateEngine: UInt8 { get }
}

/// Nobody.
@frozen @usableFromInline
struct NoWatch: StageWatch {
  @_noAllocation @_noLocks
  @inlinable init() {}
  @inlinable static var isOn: Bool { @_noAllocation @_noLocks get { false } }
  @_noAllocation @_noLocks
  @inlinable func enter(_ stage: WorkerStage) {}
  @_noAllocation @_noLocks
  @inlinable func enter(_ stage: WorkerStage, at now: UInt64) {}
  @_noAllocation @_noLocks
  @inlinable func give(_ ticks: UInt64, to stage: WorkerStage) {}
  @_noAllocation @_noLocks
  @inlinable func noteLate(engine: UInt8) {}
  @inlinable var lateEngine: UInt8 { @_noAllocation @_noLocks get { 0 } }
}

/// A profile.
@frozen @usableFromInline
struct ProfileWatch: StageWatch {
  @usableFromInline var clock: StageClock
  @usableFromInline var lateEngine: UInt8 = 0

  @_noAllocation @_noLocks
  @inlinable init(_ counters: CounterBlock, profile: UInt64) {
    clock = StageClock(counters, profile: profile, now: clinux_ticks())
  }
  @inlinable static var isOn: Bool { @_noAllocation @_noLocks get { true } }
  @_noAllocation @_noLocks
  @inlinable mutating func enter(_ stage: WorkerStage) { clock.enter(stage, now: clinux_ticks()) }
  @_noAllocation @_noLocks
  @inlinable mutating func enter(_ stage: WorkerStage, at now: UInt64) {
    clock.enter(stage, now: now)
  }
  @_noAllocation @_noLocks
  @inlinable mutating func give(_ ticks: UInt64, to stage: WorkerStage) {
    clock.give(ticks, to: stage)
  }
  @_noAllocation @_noLocks
  @inlinable mutating func noteLate(engine: UInt8) { lateEngine = engine }
}
