public import LinuxSystem
internal import Synchronization
internal import VhostUserProtocol

/// The way from the device to its front-end (`SET_BACKEND_REQ_FD`), usable from any thread.
public final class FrontendChannel: Sendable {
  private struct State: ~Copyable {
    var socket: FileDescriptor?
    var protocolFeatures: UInt64 = 0
    /// A change that could not be told: the front-end may have read the configuration space before it opens the channel.
    var owesChange = false
    /// A notification of a ring was sent, and the front-end has not said that it has seen to it.
    var awaitsReply = false
    /// What has come of its reply.
    var reply: [UInt8] = []
  }

  private let state = Mutex(State())
  /// The process that the front-end is, as far as the kernel says.
  public let peer: PeerProcess

  init(peer: PeerProcess = .unknown) { self.peer = peer }

  /// Tells the front-end that the configuration space changed, so that it reads it again and interrupts the guest.
  ///
  /// Never blocks. False when the front-end did not ask for such messages, gave no channel, left, or does not read. One
  /// that has not come so far is told as soon as it has.
  public func notifyConfigurationChange() -> Bool { state.withLock { Self.notify(&$0) } }

  private static func notify(_ state: inout State) -> Bool {
    let message = MessageHeader(BackendRequest.configChange).encoded
    let needed = ProtocolFeature.backendRequests | ProtocolFeature.config
    let isSent =
      state.protocolFeatures & needed == needed && state.socket?.sendWhole(message) ?? false
    state.owesChange = !isSent
    return isSent
  }

  private static func payDebt(_ state: inout State) {
    if state.owesChange { _ = notify(&state) }
  }

  /// Replaces the channel's socket; the old one is closed.
  func open(_ socket: consuming FileDescriptor) {
    var incoming: FileDescriptor? = consume socket
    state.withLock { state in
      state.socket = incoming.take()
      state.awaitsReply = false
      state.reply = []
      Self.payDebt(&state)
    }
  }

  func setProtocolFeatures(_ accepted: UInt64) {
    state.withLock { state in
      state.protocolFeatures = accepted
      Self.payDebt(&state)
    }
  }

  /// Closes the channel for good: the front-end is gone.
  func close() {
    state.withLock { state in
      state.socket = nil
      state.protocolFeatures = 0
      state.owesChange = false
      state.awaitsReply = false
    }
  }

  // MARK: Notifications of rings, one at a time

  /// Whether a notification can be sent now.
  var isFreeForNotifications: Bool {
    state.withLock { state in
      state.protocolFeatures & ProtocolFeature.inBandNotifications != 0 && !state.awaitsReply
        && state.socket?.rawValue != nil
    }
  }

  /// The channel's descriptor while a reply is awaited.
  var awaitedDescriptor: Int32? {
    state.withLock { state in state.awaitsReply ? state.socket?.rawValue : nil }
  }

  /// Sends `VRING_CALL` or `VRING_ERR`, and asks for the reply that lets the next one go.
  ///
  /// False when it could not be sent: the channel is closed then, as the front-end does not read.
  @discardableResult
  func notify(_ request: BackendRequest, ring: Int) -> Bool {
    let payload = VringState(index: UInt32(truncatingIfNeeded: ring), number: 0).encoded
    let header = MessageHeader(request, needsReply: true, payloadByteCount: payload.count)
    return state.withLock { state in
      let isSent = state.socket?.sendWhole(header.encoded + payload) ?? false
      state.awaitsReply = isSent
      state.reply = []
      if !isSent { state.socket = nil }
      return isSent
    }
  }

  /// Reads what there is of the awaited reply; the channel closes where it is none.
  func takeReply() {
    state.withLock { state in
      guard state.awaitsReply else { return }
      let byteCount = MessageHeader.byteCount + NumberPayload.byteCount
      var buffer = [UInt8](repeating: 0, count: byteCount - state.reply.count)
      var descriptors = IncomingDescriptors()
      switch state.socket?.receive(into: &buffer, from: 0, descriptors: &descriptors) {
      case .bytes(let count):
        state.reply += buffer.prefix(count)
        guard state.reply.count == byteCount else { return }
        state.awaitsReply = false
        let start = Array(state.reply.prefix(MessageHeader.byteCount))
        guard let header = try? MessageHeader(parsing: start.span), header.isReply,
          header.payloadByteCount == UInt32(NumberPayload.byteCount)
        else {
          state.socket = nil
          return
        }
      case .wouldBlock: return
      default:
        state.socket = nil
        state.awaitsReply = false
      }
    }
  }
}
