/// `VhostUserInflight`, the payload of `GET_INFLIGHT_FD`, of its reply and of `SET_INFLIGHT_FD`: where the record of
/// requests in flight is in the file that comes along.
///
/// Nothing in it has been checked.
public struct InflightPayload: Hashable, Sendable {
  /// Bytes of the fields alone, and with the padding that C puts behind them (QEMU's); both are in use.
  public static let byteCounts = 20...24

  /// Bytes of the buffer; in a request without meaning, in a reply 0 where there is none.
  public var mmapByteCount: UInt64
  /// Where the buffer starts in its file, in bytes.
  public var mmapOffset: UInt64
  public var queueCount: UInt16
  /// Descriptors per queue.
  public var queueSize: UInt16

  public init(
    mmapByteCount: UInt64 = 0, mmapOffset: UInt64 = 0, queueCount: UInt16, queueSize: UInt16
  ) {
    self.mmapByteCount = mmapByteCount
    self.mmapOffset = mmapOffset
    self.queueCount = queueCount
    self.queueSize = queueSize
  }

  /// Throws `byteCount` unless there are 20 or 24 bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard bytes.count == Self.byteCounts.lowerBound || bytes.count == Self.byteCounts.upperBound
    else { throw .byteCount(expected: Self.byteCounts.upperBound, actual: bytes.count) }
    mmapByteCount = bytes.word64(at: 0)
    mmapOffset = bytes.word64(at: 8)
    let counts = bytes.word32(at: 16)
    // In memory the first of the two comes first, whatever the host's byte order.
    let pair = counts.littleEndian
    queueCount = UInt16(littleEndian: UInt16(truncatingIfNeeded: pair))
    queueSize = UInt16(littleEndian: UInt16(truncatingIfNeeded: pair >> 16))
  }

  /// The payload with so many bytes, 20 or 24: an answer has those of its question.
  public func encoded(byteCount: Int = Self.byteCounts.upperBound) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(mmapByteCount)
    bytes.appendWord(mmapOffset)
    bytes.appendWord(queueCount)
    bytes.appendWord(queueSize)
    while bytes.count < byteCount { bytes.append(0) }
    return bytes
  }
}

/// How a buffer of requests in flight is laid out: one region per queue, one behind the other.
///
/// Spec: vhost-user, "Inflight I/O tracking": `QueueRegionSplit` and `QueueRegionPacked`, a head and one state for each
/// descriptor; that regions start at multiples of 64 bytes is what DPDK and QEMU's library have.
public enum InflightLayout {
  private static let alignment = 64

  /// Where the region's `version` is; 0 says that the region holds nothing.
  public static let versionOffset = 8

  /// Bytes from one queue's region to the next.
  public static func regionByteCount(queueSize: Int, isPacked: Bool) -> Int {
    // Both have a head as long as a state: 16 bytes in a split ring's region, 32 in a packed one's.
    let byteCount = (queueSize + 1) * (isPacked ? 32 : 16)
    return (byteCount + alignment - 1) / alignment * alignment
  }
}
