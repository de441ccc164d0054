import CryptoDevice
import GuestMemory
import LinuxSystem
import VhostUserFrontend
import VirtQueue

/// What a front-end keeps for one queue: the record of requests in flight, and the log of dirty pages.
final class KeptMemory {
  private static let recordByteCount = 64 << 10
  private let memory: MappedMemory
  private let dataByteCount: Int
  private let log: DirtyLog?

  /// - `records`, `logs`: whether there is the one and the other.
  init(records: Bool, logs: Bool, maximumRequestByteCount: Int) throws {
    dataByteCount =
      records ? UndoLog.dataByteCount(maximumRequestByteCount: maximumRequestByteCount) : 0
    memory = try MappedMemory(
      reserving: Self.recordByteCount + UndoLog.headByteCount + dataByteCount)
    guard logs else {
      log = nil
      return
    }
    // A bit for each page up to 4 GiB, which is more than the guest has.
    let byteCount = 1 << 17
    let file = try MemoryFile.make(name: "dirty-log", byteCount: byteCount)
    log = try DirtyLog(file: file, offset: 0, byteCount: UInt64(byteCount))
  }

  private func slice(_ offset: Int, _ byteCount: Int) -> GuestSlice {
    GuestSlice(
      pointer: memory.base.assumingMemoryBound(to: UInt8.self) + offset, byteCount: byteCount)
  }

  /// Nil where nothing is recorded.
  func record(capacity: UInt16) -> InflightRecord? {
    guard dataByteCount > 0 else { return nil }
    return InflightRecord(slice: slice(0, Self.recordByteCount), capacity: capacity)
  }

  func undoLog(maximumRequestByteCount: Int) -> UndoLog {
    guard dataByteCount > 0 else { return UndoLog() }
    return UndoLog(
      head: slice(Self.recordByteCount, UndoLog.headByteCount),
      data: slice(Self.recordByteCount + UndoLog.headByteCount, dataByteCount),
      maximumRequestByteCount: maximumRequestByteCount, resubmissionCount: 0)
  }

  /// Of a guest that is being moved: everything is logged, and nobody has taken a bit yet.
  func dirtyPages(of guest: GuestSide) -> DirtyPages {
    guard let log else { return DirtyPages() }
    return DirtyPages(
      DirtyLogging(log: log, includesBuffers: true, ring: guest.writtenRingParts),
      memory: guest.map)
  }
}
