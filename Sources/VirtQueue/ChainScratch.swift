import LinuxSystem

/// A buffer of a chain, as its descriptor was read.
@safe
@frozen
@usableFromInline
struct ChainRun {
  /// Where it is, if one region has all of it.
  @usableFromInline let pointer: UnsafeMutablePointer<UInt8>?
  @usableFromInline let address: UInt64
  /// Below 2^32.
  @usableFromInline let byteCount: UInt64

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  init(pointer: UnsafeMutablePointer<UInt8>?, address: UInt64, byteCount: UInt64) {
    unsafe self.pointer = pointer
    self.address = address
    self.byteCount = byteCount
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
  private static var windowByteCount: Int { @_noAllocation @_noLocks get { 4096 } }

  private let memory: MappedMemory
  let window: UnsafeMutablePointer<ChainRun>

  init() throws(SystemError) {
    memory = try MappedMemory(
      reserving: Self.windowByteCount + DescriptorChain.maximumIndirectCount * 16)
    unsafe window = memory.base.bindMemory(to: ChainRun.self, capacity: Self.windowCount)
  }

  /// Room for the longest indirect table, behind a window.
  @_noAllocation @_noLocks
  static func tableRoom(
    behind window: UnsafeMutablePointer<ChainRun>
  ) -> UnsafeMutablePointer<UInt8> {
    // SAFETY: every window is the head of a scratch's mapping.
    unsafe (UnsafeMutableRawPointer(window) + windowByteCount)
      .assumingMemoryBound(to: UInt8.self)
  }
}
