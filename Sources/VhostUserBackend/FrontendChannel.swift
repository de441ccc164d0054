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
    }
  }
}
