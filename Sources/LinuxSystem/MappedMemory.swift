import Glibc

/// A mapping, and its only owner: it is unmapped when the value ends.
@safe
public struct MappedMemory: ~Copyable, @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  /// For `LostMappings.isLost`; -1 for memory that nobody can take away.
  public let lossNumber: Int32

  /// Reserves private zeroed memory that takes no page until it is touched.
  public init(reserving byteCount: Int) throws(SystemError) {
    // SAFETY: a new mapping that overlays nothing.
    let address = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .last("reserving \(byteCount) bytes")
    }
    // Where the system has huge pages for everybody (`always`), the first byte that is touched would take two mebibytes.
    // Refused by a kernel that has none.
    unsafe _ = madvise(address, byteCount, MADV_NOHUGEPAGE)
    unsafe base = address
    self.byteCount = byteCount
    lossNumber = -1
  }

  /// Maps a part of a file, shared with everybody who maps it.
  ///
  /// Whoever shares it may truncate it: see `isLost`.
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
    do throws(SystemError) {
      lossNumber = unsafe try LostMappings.watch(address, byteCount: byteCount)
    } catch {
      unsafe munmap(address, byteCount)
      throw error
    }
    unsafe base = address
    self.byteCount = byteCount
  }

  deinit {
    // Before the addresses can be somebody else's.
    LostMappings.unwatch(lossNumber)
    unsafe munmap(base, byteCount)
  }

  /// Whether the file was truncated and we have touched what was missing: the memory is zeros of our own since then, and
  /// nothing more is to be done with it.
  public var isLost: Bool { LostMappings.isLost(lossNumber) }

  /// Keeps the memory out of core dumps.
  public borrowing func excludeFromCoreDumps() {
    unsafe _ = madvise(base, byteCount, MADV_DONTDUMP)
  }
}
