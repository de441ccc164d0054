public import GuestMemory

/// What a queue of ours has in the buffer of requests in flight beside its record: memory that the front-end keeps, too, and
/// gives to the next daemon.
///
/// The protocol leaves it to the back-end how large the buffer is. Behind the regions of all queues, from the next page on,
/// comes a page for each of them, its head, and behind these as many bytes for each as the device asks for. So the heads
/// stand at the same place for every daemon, whatever its settings. A buffer that somebody else has made may lack any of it.
@safe
public struct InflightAnnex {
  /// Bytes of a head.
  public static let headByteCount = 4096
  /// No buffer is made larger than this for its annexes: 256 GiB, none of which is memory before it is written.
  private static let maximumByteCount = 1 << 38

  public let head: GuestSlice
  /// Nil where the buffer ends before.
  public let data: GuestSlice?

  /// Bytes of a buffer with annexes behind `regionsByteCount`; those alone where there are to be none, or would be too many.
  static func bufferByteCount(
    regionsByteCount: Int, queueCount: Int, dataByteCount: Int
  ) -> Int {
    guard dataByteCount > 0 else { return regionsByteCount }
    let byteCount =
      headsOffset(regionsByteCount) + queueCount * (headByteCount + dataByteCount)
    return byteCount <= maximumByteCount ? byteCount : regionsByteCount
  }

  private static func headsOffset(_ regionsByteCount: Int) -> Int {
    (regionsByteCount + headByteCount - 1) / headByteCount * headByteCount
  }

  /// One queue's; nil where the buffer ends before the last head.
  init?(
    _ buffer: GuestSlice, queueIndex: Int, queueCount: Int, regionsByteCount: Int,
    dataByteCount: Int
  ) {
    let heads = Self.headsOffset(regionsByteCount)
    let start = heads + queueCount * Self.headByteCount
    guard dataByteCount > 0, start <= buffer.byteCount else { return nil }
    // SAFETY: the head lies in the buffer, checked just now; the data below.
    unsafe head = GuestSlice(
      pointer: buffer.pointer + heads + queueIndex * Self.headByteCount,
      byteCount: Self.headByteCount)
    let end = start + (queueIndex + 1) * dataByteCount
    unsafe data =
      end > buffer.byteCount
      ? nil
      : GuestSlice(pointer: buffer.pointer + end - dataByteCount, byteCount: dataByteCount)
  }
}
