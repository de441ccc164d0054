/// `VhostUserLog`: where in its file the log of dirty pages is.
///
/// Nothing in it has been checked: the sum may wrap and the size may exceed the file.
public struct LogPayload: Hashable, Sendable {
  public static let byteCount = 16

  public var mmapByteCount: UInt64
  public var mmapOffset: UInt64

  public init(mmapByteCount: UInt64, mmapOffset: UInt64) {
    self.mmapByteCount = mmapByteCount
    self.mmapOffset = mmapOffset
  }

  /// Throws `byteCount` unless there are exactly sixteen bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.byteCount)
    mmapByteCount = bytes.word64(at: 0)
    mmapOffset = bytes.word64(at: 8)
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(mmapByteCount)
    bytes.appendWord(mmapOffset)
    return bytes
  }
}
