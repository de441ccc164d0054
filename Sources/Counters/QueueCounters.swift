import CRingShims
import Glibc

/// Why counters could not be set up.
public enum CountersError: Error, Equatable, CustomStringConvertible {
  /// The address space for a queue's counters was refused.
  case cannotMap(byteCount: Int, errno: Int32)

  public var description: String {
    switch self {
    case .cannotMap(let byteCount, let errno):
      "reserving \(byteCount) bytes of address space for counters failed (errno \(errno))"
    }
  }
}

/// The counters of one data queue, and the owner of their memory.
///
/// They live as long as the device and keep counting when its worker restarts or its front-end reconnects. The memory
/// is reserved, not committed: a page costs nothing before its first write.
@safe
public final class QueueCounters: @unchecked Sendable {
  // Unchecked: `block` is the only state; see there.

  /// How many engines a block tells apart at most.
  public static let maximumEngineCount = 4

  /// The writer's handle.
  ///
  /// It does not keep the counters alive.
  public let block: CounterBlock
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int

  /// Reserves a block for rows 0..<`rowCount` (at most 65536) and engines 0..<`engineCount` (at most 4).
  ///
  /// With 1200 rows and 4 engines it takes some 40 MB of address space.
  public init(
    rowCount: Int, engineCount: Int = QueueCounters.maximumEngineCount
  ) throws(CountersError) {
    precondition((0...65536).contains(rowCount), "rows are numbered with 16 bits")
    precondition((1...Self.maximumEngineCount).contains(engineCount), "there are 1…4 engines")
    let cellCount = rowCount * engineCount
    let cellsOffset = CounterLayout.cellsOffset(cellCount: cellCount)
    byteCount = cellsOffset + cellCount * CounterLayout.cellByteCount
    // SAFETY: a new private mapping; this object is its only owner.
    let mapping = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapping = unsafe mapping, unsafe mapping != MAP_FAILED else {
      throw CountersError.cannotMap(byteCount: byteCount, errno: errno)
    }
    // A huge page would commit 2 MiB for one row in use. A kernel without huge pages refuses, which is as good.
    unsafe _ = madvise(mapping, byteCount, MADV_NOHUGEPAGE)
    unsafe base = mapping
    unsafe block = CounterBlock(
      base: mapping, cells: mapping + cellsOffset, rowCount: rowCount, engineCount: engineCount)
  }

  deinit { unsafe munmap(base, byteCount) }

  /// Reads everything once, while the worker goes on counting.
  ///
  /// Each number is whole and never goes backwards between snapshots; two numbers may be a few requests apart.
  /// Nothing is read of rows that no request has used.
  /// - Parameter nanosecondsPerTick: what one of the ticks given to `record` is worth.
  /// - Returns: a value that has nothing to do with the block any more.
  public func snapshot(nanosecondsPerTick: Double = 1) -> QueueSnapshot {
    var rows: [RowSnapshot] = []
    for row in 0..<block.rowCount {
      for engine in 0..<block.engineCount {
        let index = row * block.engineCount + engine
        // SAFETY: there is a flag and a cell for every row and engine of the block.
        guard unsafe cring_load8_relaxed(base + CounterLayout.flagsOffset + index) != 0 else {
          continue
        }
        let cell = unsafe block.cells + index * CounterLayout.cellByteCount
        unsafe rows.append(
          Self.readCell(cell, row: row, engine: engine, nanosecondsPerTick: nanosecondsPerTick))
      }
    }
    return QueueSnapshot(
      counters: QueueCounter.allCases.map { word($0.word) },
      gauges: QueueGauge.allCases.map { word(CounterLayout.firstGaugeWord + $0.word) },
      batchSizes: (0..<CounterLayout.batchSizeCount).map {
        word(CounterLayout.firstBatchWord + $0)
      },
      rows: rows)
  }

  /// A word of the hot part.
  ///
  /// `index` is one of the layout's.
  private func word(_ index: Int) -> UInt64 {
    // SAFETY: the layout's words are below the flags' offset, and the mapping is longer.
    unsafe cring_load64_relaxed(base + index * 8)
  }

  /// A word of the stages.
  ///
  /// `number` is below sixteen.
  func stageWord(_ number: Int) -> UInt64 { word(CounterLayout.firstStageWord + number) }

  private static func readCell(
    _ cell: UnsafeMutableRawPointer, row: Int, engine: Int, nanosecondsPerTick: Double
  ) -> RowSnapshot {
    // SAFETY: every offset is below the size of a cell. The buckets end with that of the longest latency, so that
    // pages above it stay untouched.
    let maximum = unsafe cring_load64_relaxed(cell + CounterLayout.maximumOffset)
    let buckets = (0...LatencyBuckets.index(of: maximum)).map {
      unsafe cring_load64_relaxed(cell + CounterLayout.bucketsOffset + $0 * 8)
    }
    return RowSnapshot(
      row: UInt16(truncatingIfNeeded: row), engine: UInt8(truncatingIfNeeded: engine),
      bytes: unsafe cring_load64_relaxed(cell + CounterLayout.bytesOffset),
      statuses: (0..<CounterLayout.statusCount).map {
        unsafe cring_load64_relaxed(cell + CounterLayout.statusesOffset + $0 * 8)
      },
      latency: LatencySnapshot(
        nanosecondsPerTick: nanosecondsPerTick, buckets: buckets,
        totalTicks: unsafe cring_load64_relaxed(cell + CounterLayout.ticksOffset),
        maximumTicks: maximum))
  }
}
