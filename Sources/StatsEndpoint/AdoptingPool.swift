internal import FlyingSocks
internal import Glibc
internal import Synchronization

/// Gives a server of the HTTP library, which can only make sockets itself, a socket that listens already.
///
/// The library binds its own to a name that nobody knows. When it has listened and begins to wait for connections, its
/// descriptor is made to mean ours: from then on it accepts, and finally closes, that.
struct AdoptingPool: AsyncSocketPool {
  private let pool: any AsyncSocketPool
  private let listener: Int32
  private let state = State()

  private final class State: Sendable {
    let isAdopted = Atomic(false)
  }

  /// `listener` stays the caller's, and open as long as the pool is used.
  init(_ pool: any AsyncSocketPool, listener: Int32) {
    self.pool = pool
    self.listener = listener
  }

  func prepare() async throws { try await pool.prepare() }
  func run() async throws { try await pool.run() }

  func suspendSocket(_ socket: Socket, untilReadyFor events: Socket.Events) async throws {
    let descriptor = socket.file.rawValue
    if !state.isAdopted.load(ordering: .acquiring), Self.isListening(descriptor),
      !state.isAdopted.exchange(true, ordering: .acquiringAndReleasing)
    {
      guard dup2(listener, descriptor) >= 0 else {
        throw SocketError.failed(type: "Adopt", errno: errno, message: "dup2")
      }
      // The caller tries to accept before it waits again.
      return
    }
    try await pool.suspendSocket(socket, untilReadyFor: events)
  }

  private static func isListening(_ descriptor: Int32) -> Bool {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    // SAFETY: the kernel writes one integer.
    let result = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length)
    return result == 0 && value != 0
  }
}
