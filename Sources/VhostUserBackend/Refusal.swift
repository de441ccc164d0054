internal import VhostUserProtocol

/// Why a message is not obeyed.
enum Refusal: Error, Hashable {
  /// The version bits of the flags are not 1, or a request calls itself a reply.
  case flags(UInt32)
  /// A code that we do not serve.
  case unknownRequest
  /// A payload size that the code does not allow, in bytes.
  case payloadByteCount(Int)
  /// A payload that contradicts itself.
  case payload(PayloadError)
  /// More or fewer file descriptors than the message carries.
  case descriptorCount(Int)
  /// No ring has this index.
  case ringIndex(UInt32)
  /// A ring size of 0, not a power of two, or above 32768.
  case ringSize(UInt32)
  /// A base that is no index of a split ring.
  case ringBase(UInt32)
  /// Neither 0 nor 1 where a ring is to be enabled.
  case ringEnable(UInt32)
  /// A memory region that cannot be mapped or is not there.
  case memory(reason: String)
  /// A log of dirty pages that cannot be mapped.
  case dirtyLog(reason: String)
  /// More regions than slots.
  case memorySlots(Int)
  /// A device status beyond eight bits.
  case status(UInt64)
  /// The device does not take this write.
  case readOnlyConfiguration(offset: UInt32)
  /// The message belongs to a protocol feature that was not negotiated, or to one that lacks another.
  case notNegotiated
  /// A buffer of requests in flight that is not what the message says, or could become so.
  case inflightBuffer(reason: String)
  /// There is no such session.
  case unknownSession
  /// The device or the ring's own addresses would not let it start.
  case queueStart(index: Int, reason: String)

  /// Whether the front-end is to be cut off when it cannot be told.
  ///
  /// A sound message that cannot be obeyed leaves the two sides agreeing on everything else; one that is not sound does
  /// not.
  var endsConnection: Bool {
    switch self {
    case .readOnlyConfiguration, .unknownSession, .queueStart: false
    default: true
    }
  }
}
