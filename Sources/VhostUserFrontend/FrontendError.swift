// VhostUserFrontend: the other side of the socket and of the rings. It plays the virtual machine
// monitor (negotiation, memory table, ring set-up, session messages) and the guest's driver (rings,
// requests) over a real Unix socket with real shared memory. Integration tests, fuzzers and
// `vhost-crypto bench` are written against it.
//
// It judges nothing: what a device answers is handed back as it came. It shares words with the
// daemon (VirtioSpec, VhostUserProtocol) and no code that the daemon serves requests with.

/// What went wrong between the front-end and a device, in words for a person who watches a test
/// fail.
public enum FrontendError: Error, Sendable, Hashable {
  /// Nothing came within the time allowed.
  case timedOut(waitingFor: String, milliseconds: Int)
  /// A system call failed.
  case system(doing: String, errno: Int32)
  /// The back-end closed the connection.
  case disconnected(doing: String)
  /// The back-end answered a message with a value other than success.
  case refused(message: String, value: UInt64)
  /// The back-end answered with something that vhost-user does not allow.
  case unexpectedReply(String)
  /// The front-end was asked for something that negotiation did not give.
  case notNegotiated(String)
  /// No room left in guest memory, or an address outside of it.
  case guestMemory(String)
  /// The ring has too few free descriptors, or the device broke the ring's rules.
  case ring(String)
  /// The request that a test describes cannot be laid out that way.
  case request(String)
}

extension FrontendError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .timedOut(let what, let milliseconds): "no \(what) within \(milliseconds) ms"
    case .system(let doing, let errno): "\(doing) failed with errno \(errno)"
    case .disconnected(let doing): "the back-end closed the connection while \(doing)"
    case .refused(let message, let value): "the back-end refused \(message) with \(value)"
    case .unexpectedReply(let what): "unexpected reply: \(what)"
    case .notNegotiated(let what): "\(what) was not negotiated"
    case .guestMemory(let what): "guest memory: \(what)"
    case .ring(let what): "ring: \(what)"
    case .request(let what): "request: \(what)"
    }
  }
}
