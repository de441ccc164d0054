public import Counters

/// Finished requests that are not in the counters yet.
///
/// One after the other of a batch has the same algorithm, engine, status and time; they are counted together.
@frozen @usableFromInline
struct CompletionTally {
  /// Row, engine and status.
  @usableFromInline var kind: UInt32 = 0
  @usableFromInline var ticks: UInt64 = 0
  @usableFromInline var count: UInt64 = 0
  @usableFromInline var byteCount: UInt64 = 0

  @_noAllocation @_noLocks
  @inlinable init() {}

  /// Adds a request; `ticks` as in `CounterBlock.record`.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func add(
    row: UInt16, engine: UInt8, status: UInt8, byteCount: UInt32, ticks: UInt64,
    _ counters: CounterBlock
  ) {
    let kind = UInt32(row) | UInt32(engine) << 16 | UInt32(status) << 24
    if kind != self.kind || ticks != self.ticks {
      flush(counters)
      self.kind = kind
      self.ticks = ticks
    }
    count &+= 1
    self.byteCount &+= UInt64(byteCount)
  }

  /// Puts everything into the counters.
  @_noAllocation @_noLocks
  @inlinable
  mutating func flush(_ counters: CounterBlock) {
    guard count > 0 else { return }
    counters.add(.requests, count)
    counters.add(.bytes, byteCount)
    counters.record(
      row: UInt16(truncatingIfNeeded: kind), engine: UInt8(truncatingIfNeeded: kind >> 16),
      count: count, byteCount: byteCount, statusCode: UInt8(truncatingIfNeeded: kind >> 24),
      ticks: ticks)
    count = 0
    byteCount = 0
  }
}
