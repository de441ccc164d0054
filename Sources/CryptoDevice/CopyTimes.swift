import CLinuxShims

/// How long copies through bounce buffers take, while somebody wants to know.
@frozen
public struct CopyTimes {
  /// Whether the clock is read at all.
  public var isTimed = false
  @usableFromInline var ticks: UInt64 = 0

  /// What was added since the last call.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func takeTicks() -> UInt64 {
    let taken = ticks
    ticks = 0
    return taken
  }

  /// Before a copy.
  @_noAllocation @_noLocks
  func start() -> UInt64 { isTimed ? clinux_ticks() : 0 }

  /// After it.
  @_noAllocation @_noLocks
  mutating func add(since start: UInt64) {
    if isTimed { ticks = ticks &+ (clinux_ticks() &- start) }
  }
}
