import CRingShims
internal import Glibc

/// The front-end's side of the log of dirty pages: a file that back-ends set bits in, and we take them from.
@safe
public final class DirtyBitmap: @unchecked Sendable {
  /// Bytes of guest memory that one bit stands for.
  public static let pageByteCount = 4096

  /// Bytes of the log.
  public let byteCount: Int
  /// Where the log starts in its file.
  public let fileOffset: Int
  public let file: OwnedFile
  private let base: UnsafeMutableRawPointer

  /// A log with a bit for every page of a guest's memory, and for those up to `guestEnd` if that is more.
  ///
  /// `fileOffset`: a multiple of the page size.
  public init(
    covering memory: GuestRAM, guestEnd: UInt64 = 0, fileOffset: Int = 0
  ) throws(FrontendError) {
    let end = memory.regions.map(\.guestRange.upperBound).max() ?? 0
    let pages = (max(end, guestEnd) + UInt64(Self.pageByteCount) - 1) / UInt64(Self.pageByteCount)
    // Whole words, as QEMU has them.
    byteCount = max(8, Int((pages + 63) / 64) * 8)
    self.fileOffset = fileOffset
    file = try OwnedFile.memory(byteCount: fileOffset + byteCount, name: "dirty-log")
    // SAFETY: the kernel picks the address; the mapping is released in `deinit` alone.
    let address = unsafe mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, fileOffset)
    let code = errno
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .system(doing: "mapping the log of dirty pages", errno: code)
    }
    unsafe base = address
  }

  deinit { unsafe munmap(base, byteCount) }

  /// Takes all bits: the numbers of the pages that were written since the last time, in order.
  ///
  /// Copy the pages afterwards: what is written meanwhile has its bit again.
  public func take() -> [UInt64] {
    var pages: [UInt64] = []
    for index in 0..<byteCount / 8 {
      // SAFETY: the word is one of the log's. Back-ends set bits in it at the same time.
      let word = unsafe base + 8 * index
      guard unsafe cring_load64_relaxed(word) != 0 else { continue }
      var bits = unsafe cring_exchange64(word, 0)
      while bits != 0 {
        pages.append(UInt64(64 * index + bits.trailingZeroBitCount))
        bits &= bits - 1
      }
    }
    // Keeps the bits' exchange before the reading of pages.
    cring_fence_full()
    return pages
  }

  /// Clears all bits; how many were set.
  @discardableResult
  public func clear() -> Int {
    var count = 0
    for index in 0..<byteCount / 8 {
      // SAFETY: as in `take`.
      let word = unsafe base + 8 * index
      if unsafe cring_load64_relaxed(word) != 0 {
        count += unsafe cring_exchange64(word, 0).nonzeroBitCount
      }
    }
    return count
  }
}
