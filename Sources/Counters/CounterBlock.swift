public import CRingShims

/// A worker's handle on its queue's counters: a plain value without reference counting, for the data path.
///
/// One thread at a time writes through it, the queue's worker. The memory belongs to a `QueueCounters`, which must
/// outlive every use.
@safe
@frozen
public struct CounterBlock: @unchecked Sendable {
  // Unchecked: the words are written by one thread and read by others, always with relaxed atomic accesses.

  @usableFromInline internal let base: UnsafeMutableRawPointer
  @usableFromInline internal let cells: UnsafeMutableRawPointer
  @usableFromInline internal let rowCount: Int
  @usableFromInline internal let engineCount: Int

  internal init(
    base: UnsafeMutableRawPointer, cells: UnsafeMutableRawPointer, rowCount: Int, engineCount: Int
  ) {
    unsafe self.base = base
    unsafe self.cells = cells
    self.rowCount = rowCount
    self.engineCount = engineCount
  }

  /// Adds to a counter.
  @_noAllocation @_noLocks
  @inlinable public func add(_ counter: QueueCounter, _ amount: UInt64) {
    // SAFETY: a counter's place is below the words that the layout reserves for counters.
    unsafe Self.increase(base.advanced(by: counter.word &* 8), amount)
  }

  /// Adds one to a counter.
  @_noAllocation @_noLocks
  @inlinable public func add(_ counter: QueueCounter) { add(counter, 1) }

  /// Sets a gauge.
  @_noAllocation @_noLocks
  @inlinable public func setGauge(_ gauge: QueueGauge, _ value: UInt64) {
    // SAFETY: as for counters.
    unsafe cring_store64_relaxed(
      base.advanced(by: (CounterLayout.firstGaugeWord &+ gauge.word) &* 8), value)
  }

  /// Counts one batch of `size` requests in `batches` and in the histogram of batch sizes.
  ///
  /// The histogram counts sizes 1…64; a larger batch counts as 64, an empty one not at all.
  @_noAllocation @_noLocks
  @inlinable public func recordBatch(size: Int) {
    if size < 1 { return }
    add(.batches, 1)
    let bucket = Swift.min(size, CounterLayout.batchSizeCount) &- 1
    // SAFETY: 0 ≤ bucket < batchSizeCount.
    unsafe Self.increase(base.advanced(by: (CounterLayout.firstBatchWord &+ bucket) &* 8), 1)
  }

  /// Counts finished requests of one kind: their bytes, status and latency, under their row and engine.
  ///
  /// It leaves the queue's own `requests` and `bytes` alone.
  /// - Parameters:
  ///   - row: a dense row number; one that the block has no room for is ignored.
  ///   - engine: the engine's index, 0…3, likewise.
  ///   - count: how many, all with the same status and latency.
  ///   - byteCount: source bytes of all of them.
  ///   - statusCode: the virtio-crypto status; 7 and above count together.
  ///   - ticks: time from seeing each one in the ring to its completion, in whatever unit the reader knows.
  @_noAllocation @_noLocks
  @inlinable public func record(
    row: UInt16, engine: UInt8, count: UInt64 = 1, byteCount: UInt64, statusCode: UInt8,
    ticks: UInt64
  ) {
    let rowIndex = Int(truncatingIfNeeded: row)
    let engineIndex = Int(truncatingIfNeeded: engine)
    if rowIndex >= rowCount || engineIndex >= engineCount { return }
    let index = rowIndex &* engineCount &+ engineIndex
    // SAFETY: the flags hold one byte and the cells one cell for each row and engine, and both were just compared
    // with their counts; within a cell every offset is below the cell's size.
    touch(index)
    let cell = unsafe cells.advanced(by: index &* CounterLayout.cellByteCount)
    unsafe Self.increase(cell.advanced(by: CounterLayout.bytesOffset), byteCount)
    unsafe Self.increase(cell.advanced(by: CounterLayout.ticksOffset), ticks &* count)
    if unsafe cring_load64_relaxed(cell.advanced(by: CounterLayout.maximumOffset)) < ticks {
      unsafe cring_store64_relaxed(cell.advanced(by: CounterLayout.maximumOffset), ticks)
    }
    let status = Int(truncatingIfNeeded: Swift.min(statusCode, 7))
    unsafe Self.increase(
      cell.advanced(by: CounterLayout.statusesOffset &+ status &* 8), count)
    let bucket = LatencyBuckets.index(of: ticks)
    unsafe Self.increase(cell.advanced(by: CounterLayout.bucketsOffset &+ bucket &* 8), count)
  }

  /// Notes that a cell is in use.
  ///
  /// Readers look at no cell before they see its flag.
  @_noAllocation @_noLocks
  @inlinable internal func touch(_ index: Int) {
    // SAFETY: `index` was checked by the caller.
    let flag = unsafe base.advanced(by: CounterLayout.flagsOffset &+ index)
    if unsafe cring_load8_relaxed(flag) == 0 { unsafe cring_store8_relaxed(flag, 1) }
  }

  /// One writer: a load and a store are an increment, without the bus lock of an atomic addition.
  @_noAllocation @_noLocks
  @inlinable internal static func increase(_ word: UnsafeMutableRawPointer, _ amount: UInt64) {
    unsafe cring_store64_relaxed(word, cring_load64_relaxed(word) &+ amount)
  }
}
