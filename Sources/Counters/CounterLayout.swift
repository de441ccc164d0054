/// Where things lie in a queue's block, in bytes or 8-byte words from its start.
///
/// ```
///    0  counters        16 words   \
///  128  gauges           8 words    | hot: written per batch; whole cache lines that belong to this queue alone
///  192  batch sizes     64 words   /
///  896  stages          16 words     written while somebody takes a profile (StageClock)
/// 1024  flags            1 byte per row and engine: the cell is in use
///    …  cells            at the next page: 8192 bytes per row and engine
/// ```
///
/// A cell's first page holds its totals and the buckets below 2^34 ticks (some seconds), so that an algorithm in
/// use costs one page and one that is not costs nothing.
@usableFromInline
internal enum CounterLayout {
  @usableFromInline internal static var pageByteCount: Int {
    @_noAllocation @_noLocks @inlinable get { 4096 }
  }

  @usableFromInline internal static var firstGaugeWord: Int {
    @_noAllocation @_noLocks @inlinable get { 16 }
  }
  @usableFromInline internal static var firstBatchWord: Int {
    @_noAllocation @_noLocks @inlinable get { 24 }
  }
  @usableFromInline internal static var batchSizeCount: Int {
    @_noAllocation @_noLocks @inlinable get { 64 }
  }
  @usableFromInline internal static var flagsOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 1024 }
  }

  // Within a cell.
  @usableFromInline internal static var bytesOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 0 }
  }
  @usableFromInline internal static var ticksOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 8 }
  }
  @usableFromInline internal static var maximumOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 16 }
  }
  /// Eight words, one per status; their sum is the number of requests.
  @usableFromInline internal static var statusesOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 24 }
  }
  @usableFromInline internal static var statusCount: Int {
    @_noAllocation @_noLocks @inlinable get { 8 }
  }
  @usableFromInline internal static var bucketsOffset: Int {
    @_noAllocation @_noLocks @inlinable get { 128 }
  }
  @usableFromInline internal static var cellByteCount: Int {
    @_noAllocation @_noLocks @inlinable get { 8192 }
  }

  /// Where the cells begin.
  static func cellsOffset(cellCount: Int) -> Int {
    (flagsOffset + cellCount + pageByteCount - 1) / pageByteCount * pageByteCount
  }
}
