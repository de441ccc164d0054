internal import LinuxSystem
internal import Synchronization
internal import VhostUserProtocol

/// The way from the device to its front-end (`SET_BACKEND_REQ_FD`), usable from any thread.
public final class FrontendChannel: Sendable {
  private struct State: ~Copyable {
    var socket: FileDescriptor?
    var protocolFeatures: UInt64 = 0
  }

  private let state = Mutex(State())

  init() {}

  /// Tells the front-end that the configuration space changed, so that it reads it again and interrupts the guest.
  ///
  /// Never blocks. False when the front-end did not ask for such messages, gave no channel, left, or does not read.
  public func notifyConfigurationChange() -> Bool {
    let message = MessageHeader(BackendRequest.configChange).encoded
    let needed = ProtocolFeature.backendRequests | ProtocolFeature.config
    return state.withLock { state in
      guard state.protocolFeatures & needed == needed else { return false }
      return state.socket?.sendWhole(message) ?? false
    }
  }

  /// Replaces the channel's socket; the old one is closed.
  func open(_ socket: consuming FileDescriptor) {
    var incoming: FileDescriptor? = consume socket
    state.withLock { $0.socket = incoming.take() }
  }

  func setProtocolFeatures(_ accepted: UInt64) {
    state.withLock { $0.protocolFeatures = accepted }
  }

  /// Closes the channel for good: the front-end is gone.
  func close() {
    state.withLock { state in
      state.socket = nil
      state.protocolFeatures = 0
    }
  }
}
