import Glibc

/// A mapping, and its only owner: it is unmapped when the value ends.
@safe
public struct MappedMemory: ~Copyable, @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int

  /// Reserves private zeroed memory that takes no page until it is touched.
  public init(reserving byteCount: Int) throws(SystemError) {
    // SAFETY: a new mapping that overlays nothing.
    let address = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .last("reserving \(byteCount) bytes")
    }
    unsafe base = address
    self.byteCount = byteCount
  }

  /// Maps a part of a file, shared with everybody who maps it.
  ///
  /// `offset`: in bytes, a multiple of the page size.
  public init(
    sharing file: borrowing FileDescriptor, offset: Int, byteCount: Int
  ) throws(SystemError) {
    // SAFETY: a new mapping that overlays nothing.
    let address = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.rawValue, offset)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .last("mapping \(byteCount) bytes of a file")
    }
    unsafe base = address
    self.byteCount = byteCount
  }

  deinit { unsafe munmap(base, byteCount) }

  /// Keeps the memory out of core dumps.
  public borrowing func excludeFromCoreDumps() {
    unsafe _ = madvise(base, byteCount, MADV_DONTDUMP)
  }
}
