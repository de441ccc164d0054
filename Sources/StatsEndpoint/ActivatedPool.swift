internal import FlyingSocks
internal import Glibc
internal import LinuxSystem
internal import Synchronization

// The HTTP library binds its own socket and offers no way to give it one that listens already. Its socket pool is ours to
// choose, and learns of the listening socket before that waits for the first time: at this moment the inherited
// socket takes its number, and the library never knows.

/// Where the library's own socket is bound until the inherited one takes its place: at an abstract name that the kernel
/// chooses, which leaves no file.
struct Placeholder: SocketAddress {
  static var family: sa_family_t { sa_family_t(AF_UNIX) }

  func withSockAddr<R, E: Error>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws(E) -> R
  ) throws(E) -> R {
    var address = sockaddr()
    address.sa_family = Self.family
    // SAFETY: the length says that there is nothing behind the family.
    return unsafe try body(&address, socklen_t(MemoryLayout<sa_family_t>.size))
  }
}

/// The library's usual pool, which puts the inherited socket in the place of the first that waits.
///
/// That is the listening one: others come from it.
struct ActivatedPool: AsyncSocketPool {
  private let pool: any AsyncSocketPool
  private let inherited: Inherited

  init(socket: consuming LinuxSystem.FileDescriptor) {
    pool = .make()
    inherited = Inherited(socket)
  }

  func prepare() async throws { try await pool.prepare() }
  func run() async throws { try await pool.run() }

  func suspendSocket(_ socket: Socket, untilReadyFor events: Socket.Events) async throws {
    try inherited.replace(socket.file.rawValue)
    try await pool.suspendSocket(socket, untilReadyFor: events)
  }

  private final class Inherited: Sendable {
    private let socket: LinuxSystem.FileDescriptor
    private let isInPlace = Mutex(false)

    init(_ socket: consuming LinuxSystem.FileDescriptor) { self.socket = socket }

    func replace(_ rawValue: Int32) throws {
      try isInPlace.withLock { isInPlace in
        guard !isInPlace else { return }
        try socket.duplicate(onto: rawValue)
        isInPlace = true
      }
    }
  }
}
