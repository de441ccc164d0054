/// The twelve bytes in front of every message: request code, flags, payload size.
///
/// Spec: vhost-user, "Message Specification", "Header".
public struct MessageHeader: Hashable, Sendable {
  /// Bytes on the wire.
  public static let byteCount = 12
  /// The only protocol version there is; bits 0–1 of the flags.
  public static let version: UInt32 = 1

  private static let versionMask: UInt32 = 0b11
  private static let replyFlag: UInt32 = 1 << 2
  private static let needReplyFlag: UInt32 = 1 << 3

  /// The request code; a ``FrontendRequest`` or, on the back-end's channel, a ``BackendRequest``.
  public var code: UInt32
  /// The flags word as sent.
  public var flags: UInt32
  /// Bytes that follow the header.
  public var payloadByteCount: UInt32

  public init(code: UInt32, flags: UInt32, payloadByteCount: UInt32) {
    self.code = code
    self.flags = flags
    self.payloadByteCount = payloadByteCount
  }

  public init(
    _ request: FrontendRequest, isReply: Bool = false, needsReply: Bool = false,
    payloadByteCount: Int = 0
  ) {
    self.init(
      code: request.rawValue, flags: Self.flags(isReply: isReply, needsReply: needsReply),
      payloadByteCount: UInt32(truncatingIfNeeded: payloadByteCount))
  }

  public init(_ request: BackendRequest, needsReply: Bool = false, payloadByteCount: Int = 0) {
    self.init(
      code: request.rawValue, flags: Self.flags(isReply: false, needsReply: needsReply),
      payloadByteCount: UInt32(truncatingIfNeeded: payloadByteCount))
  }

  private static func flags(isReply: Bool, needsReply: Bool) -> UInt32 {
    version | (isReply ? replyFlag : 0) | (needsReply ? needReplyFlag : 0)
  }

  /// The code as a front-end's request.
  public var request: FrontendRequest { FrontendRequest(rawValue: code) }
  /// Whether the version bits say 1.
  public var hasKnownVersion: Bool { flags & Self.versionMask == Self.version }
  /// Whether this answers an earlier message; a front-end's requests never do.
  public var isReply: Bool { flags & Self.replyFlag != 0 }
  /// Whether the sender asks for an acknowledgement (`need_reply`; counts only under REPLY_ACK).
  public var needsReply: Bool { flags & Self.needReplyFlag != 0 }

  /// Reads the first twelve bytes; version and size are the caller's to judge.
  ///
  /// Throws `byteCount` when there are fewer.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard bytes.count >= Self.byteCount else {
      throw .byteCount(expected: Self.byteCount, actual: bytes.count)
    }
    code = bytes.word32(at: 0)
    flags = bytes.word32(at: 4)
    payloadByteCount = bytes.word32(at: 8)
  }

  /// The twelve bytes as they go on the wire.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    bytes.appendWord(code)
    bytes.appendWord(flags)
    bytes.appendWord(payloadByteCount)
    return bytes
  }
}
