import GuestMemory
import LinuxSystem

/// A buffer of a chain, as its descriptor was read: 16 bytes, four to a cache line.
@safe
@frozen
@usableFromInline
struct ChainRun {
  /// Our address where one region has all of it, else the guest's.
  @usableFromInline let start: UInt64
  @usableFromInline let byteCount: UInt32
  /// The same where one region has all of it, else 0.
  @usableFromInline let mappedByteCount: UInt32

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  init(start: UInt64, byteCount: UInt32, mappedByteCount: UInt32) {
    self.start = start
    self.byteCount = byteCount
    self.mappedByteCount = mappedByteCount
  }

  /// A buffer that may be in any region.
  @_noAllocation @_noLocks
  init(at address: UInt64, byteCount: UInt32, _ memory: inout MemoryView) {
    if let pointer = unsafe memory.pointer(at: address, byteCount: UInt64(byteCount)) {
      self.init(
        start: UInt64(UInt(bitPattern: pointer)), byteCount: byteCount, mappedByteCount: byteCount)
    } else {
      self.init(start: address, byteCount: byteCount, mappedByteCount: 0)
    }
  }

  /// A buffer that is in a region, `offset` bytes from its start.
  @_noAllocation @_noLocks
  @inline(__always)
  init(mappedAt region: RegionEntry, _ offset: UInt64, byteCount: UInt32) {
    self.init(
      start: region.baseAddress &+ offset, byteCount: byteCount, mappedByteCount: byteCount)
  }

  /// Where its byte `offset` is; `mappedByteCount` is above the offset.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  func pointer(_ offset: UInt64) -> UnsafeMutablePointer<UInt8> {
    // SAFETY: the address of mapped memory, which is not 0.
    unsafe UnsafeMutablePointer(bitPattern: UInt(start &+ offset)).unsafelyUnwrapped
  }
}

/// A queue's room for reading chains, of which one at a time uses it: the window, and where an indirect table that crosses
/// regions is put together.
///
/// Reserved when the queue starts, untouched until needed.
@safe
struct ChainScratch: ~Copyable {
  /// How many descriptors are read ahead.
  static var windowCount: Int { @_noAllocation @_noLocks get { 64 } }
  static var windowByteCount: Int { @_noAllocation @_noLocks get { windowCount &* 16 } }
  /// What is kept for a window and its copy, whole pages of it.
  private static var headByteCount: Int { @_noAllocation @_noLocks get { 4096 } }

  private let memory: MappedMemory
  let window: UnsafeMutablePointer<ChainRun>

  init() throws(SystemError) {
    memory = try MappedMemory(
      reserving: Self.headByteCount + DescriptorChain.maximumIndirectCount * 16)
    unsafe window = memory.base.bindMemory(to: ChainRun.self, capacity: Self.windowCount)
  }

  /// Room for a copy of a window, behind it.
  @_noAllocation @_noLocks
  static func copyOfWindow(
    behind window: UnsafeMutablePointer<ChainRun>
  ) -> UnsafeMutablePointer<ChainRun> {
    // SAFETY: every window is the head of a scratch's mapping, whose first page has room for four.
    unsafe window + windowCount
  }

  /// Room for the longest indirect table, behind a window.
  @_noAllocation @_noLocks
  static func tableRoom(
    behind window: UnsafeMutablePointer<ChainRun>
  ) -> UnsafeMutablePointer<UInt8> {
    // SAFETY: every window is the head of a scratch's mapping.
    unsafe (UnsafeMutableRawPointer(window) + headByteCount)
      .assumingMemoryBound(to: UInt8.self)
  }
}
