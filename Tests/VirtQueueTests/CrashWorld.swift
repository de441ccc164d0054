import CRingShims
import CStoreTrace
import GuestMemory
import LinuxSystem
import VirtQueue

/// A ring and the record of what is in flight in it, in a few kilobytes that can be copied: what is left of a daemon
/// that was killed.
final class CrashWorld {
  static let table = 0
  static let available = 256
  static let used = 512
  static let record = 1024
  /// Everything above; buffers come behind it.
  static let byteCount = 2048
  private static let address: UInt64 = 0x10_0000
  static let buffers = address + 4096
  /// Indirect tables of packed rings, which never change: for each identifier one of one descriptor.
  static let tables = address + 8192
  /// Bytes of what a table describes, by which tables are told apart.
  static func tableByteCount(of id: Int) -> UInt32 { UInt32(id) + 1 }

  let map: MemoryMap
  let base: UnsafeMutablePointer<UInt8>

  init() throws {
    let file = try MemoryFile.make(name: "crash-test", byteCount: 16384)
    map = try MemoryMap().adding(
      RegionDescription(
        guestAddress: GuestAddress(rawValue: Self.address), byteCount: 16384,
        frontendAddress: FrontendAddress(rawValue: 0), mmapOffset: 0),
      descriptor: file)
    guard
      let slice = map.translate(GuestAddress(rawValue: Self.address), byteCount: Self.byteCount)
    else { throw FixtureError.noSlice }
    base = slice.pointer
    guard let tables = map.translate(GuestAddress(rawValue: Self.tables), byteCount: 16 * 8) else {
      throw FixtureError.noSlice
    }
    for id in 0..<8 {
      cring_store64(tables.pointer + 16 * id, Self.buffers + 16 * UInt64(id))
      let word = UInt64(Self.tableByteCount(of: id)) | UInt64(DriverDescriptor.write) << 48
      cring_store64(tables.pointer + 16 * id + 8, word)
    }
  }

  func slice(_ offset: Int, _ byteCount: Int) -> GuestSlice {
    GuestSlice(pointer: base + offset, byteCount: byteCount)
  }

  /// Makes the world look as it did when something was killed.
  func restore(_ snapshot: [UInt8]) {
    for (index, byte) in snapshot.enumerated() { base[index] = byte }
  }

  var snapshot: [UInt8] { (0..<Self.byteCount).map { base[$0] } }

  /// - `spare`: the record has so many states more than the ring has descriptors.
  func record(size: Int, isPacked: Bool, spare: Int = 0) -> InflightRecord {
    InflightRecord(
      slice: slice(Self.record, (size + spare + 1) * (isPacked ? 32 : 16)),
      capacity: UInt16(size + spare))
  }

  func splitLayout(size: Int) throws -> SplitQueueLayout {
    try SplitQueueLayout(
      size: size, descriptorTable: slice(Self.table, 16 * size),
      availableRing: slice(Self.available, 6 + 2 * size), usedRing: slice(Self.used, 6 + 8 * size))
  }

  func packedLayout(size: Int, base: UInt32) throws -> PackedQueueLayout {
    try PackedQueueLayout(
      size: size, base: base, descriptorRing: slice(Self.table, 16 * size),
      driverEvent: slice(Self.available, 4), deviceEvent: slice(Self.used, 4))
  }

  /// A split ring that goes on where the record says; `base` counts where that says nothing.
  func split(size: Int, base: UInt16 = 0) throws -> SplitQueue {
    let layout = try splitLayout(size: size)
    return try SplitQueue(
      layout: layout, eventIndex: false, nextAvailable: base,
      recorder: SplitRecorder(record(size: size, isPacked: false), layout: layout))
  }

  func packed(
    size: Int, base: UInt32 = PackedQueueLayout.initialBase, spare: Int = 0
  ) throws -> PackedQueue {
    let layout = try packedLayout(size: size, base: base)
    return try PackedQueue(
      layout: layout, eventIndex: false,
      recorder: PackedRecorder(record(size: size, isPacked: true, spare: spare), layout: layout))
  }

  // MARK: - One instruction at a time

  private final class Body {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }

  /// What the world looks like at first, and after each store that changes it.
  func trace(_ body: () throws -> Void) throws -> [[UInt8]] {
    let capacity = 4096
    var snapshots = [UInt8](repeating: 0, count: capacity * Self.byteCount)
    var failure: (any Error)?
    let count = withoutActuallyEscaping(body) { body in
      let boxed = Body { do { try body() } catch { failure = error } }
      return withExtendedLifetime(boxed) {
        store_trace(
          base, Self.byteCount, &snapshots, capacity,
          { context in
            guard let context else { return }
            Unmanaged<Body>.fromOpaque(context).takeUnretainedValue().run()
          }, Unmanaged.passUnretained(boxed).toOpaque())
      }
    }
    if let failure { throw failure }
    guard count > 0 else { throw TraceFailure(code: count) }
    return (0..<count).map { Array(snapshots[$0 * Self.byteCount..<($0 + 1) * Self.byteCount]) }
  }
}

struct TraceFailure: Error {
  var code: Int
}
