import CRingShims
public import GuestMemory
public import LinuxSystem

/// Runs of guest memory in order: where a request's payload is.
///
/// A run that continues the one before, in our address space, is merged with it, so that a payload in adjacent segments
/// is one run.
@safe
public struct SpanList: ~Copyable {
  /// As many as the longest chain has descriptors, each of which can cross into another region once.
  public static let capacity = 65536

  @usableFromInline let memory: MappedMemory
  @usableFromInline let slices: UnsafeMutablePointer<GuestSlice>
  public private(set) var count = 0
  public private(set) var totalByteCount = 0

  /// Reserves the list; pages are taken as it grows.
  public init() throws(SystemError) {
    memory = try MappedMemory(reserving: Self.capacity * MemoryLayout<GuestSlice>.stride)
    unsafe slices = memory.base.bindMemory(to: GuestSlice.self, capacity: Self.capacity)
  }

  @_noAllocation @_noLocks
  public mutating func removeAll() {
    count = 0
    totalByteCount = 0
  }

  /// Adds a run; false when the list is full.
  @_noAllocation @_noLocks
  public mutating func append(_ slice: GuestSlice) -> Bool {
    if count > 0 {
      // SAFETY: count ≤ capacity.
      let last = unsafe slices[count &- 1]
      if unsafe last.pointer + last.byteCount == slice.pointer {
        unsafe slices[count &- 1] = GuestSlice(
          pointer: last.pointer, byteCount: last.byteCount &+ slice.byteCount)
        totalByteCount &+= slice.byteCount
        return true
      }
    }
    guard count < Self.slotCount else { return false }
    unsafe slices[count] = slice
    count &+= 1
    totalByteCount &+= slice.byteCount
    return true
  }

  private static var slotCount: Int { 65536 }

  /// A run; `index` is below `count`.
  @_noAllocation @_noLocks
  public func slice(_ index: Int) -> GuestSlice {
    // SAFETY: the caller's bound.
    unsafe slices[index]
  }

  /// The whole payload, where it is one run.
  public var contiguous: GuestSlice? {
    @_noAllocation @_noLocks get { count == 1 ? slice(0) : nil }
  }

  /// Copies as many bytes of ours into the runs as they have.
  @_noAllocation @_noLocks
  public func scatter(from source: UnsafePointer<UInt8>) {
    var offset = 0
    for index in 0..<count {
      let run = slice(index)
      // SAFETY: runs are checked guest memory; the source has the bytes for their sum.
      unsafe cring_copy(run.pointer, source + offset, run.byteCount)
      offset &+= run.byteCount
    }
  }

  /// Copies all runs to memory of ours with room for `totalByteCount`.
  @_noAllocation @_noLocks
  public func gather(into destination: UnsafeMutablePointer<UInt8>) {
    var offset = 0
    for index in 0..<count {
      let run = slice(index)
      // SAFETY: runs are checked guest memory; the destination has room for their sum.
      unsafe cring_copy(destination + offset, run.pointer, run.byteCount)
      offset &+= run.byteCount
    }
  }
}
