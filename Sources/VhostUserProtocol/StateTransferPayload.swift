/// Which way the device's state goes.
public enum StateTransferDirection: UInt32, Sendable {
  /// From the back-end, on the host that a guest leaves.
  case save = 0
  /// To the back-end, on the host that it comes to.
  case load = 1
}

/// The payload of `SET_DEVICE_STATE_FD`; nothing in it has been checked.
///
/// Spec: vhost-user, "Device state transfer parameters".
public struct StateTransferPayload: Hashable, Sendable {
  public static let byteCount = 8
  /// The only phase that there is: guest and device are stopped.
  public static let stoppedPhase: UInt32 = 0
  /// In the answer: no descriptor comes along (bit 8).
  public static let noDescriptor: UInt64 = 1 << 8
  /// In the answer: bits 0 to 7 of a refusal.
  public static let refused: UInt64 = 1

  public var direction: UInt32
  public var phase: UInt32

  public init(direction: UInt32, phase: UInt32 = Self.stoppedPhase) {
    self.direction = direction
    self.phase = phase
  }

  /// Throws `byteCount` unless it has eight bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.byteCount)
    direction = bytes.word32(at: 0)
    phase = bytes.word32(at: 4)
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(direction)
    bytes.appendWord(phase)
    return bytes
  }
}
