internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// A listening Unix socket, and the file it made, if it made one.
struct Listener: ~Copyable {
  /// What asking for a front-end led to.
  enum Accepted: ~Copyable {
    case connection(FileDescriptor)
    /// The front-end gave up before we looked.
    case nobody
    case failed(SystemError)
  }

  private let socket: FileDescriptor
  private let file: SocketFile?

  /// Takes over a socket that listens already.
  init(adopting socket: consuming FileDescriptor) {
    self.socket = socket
    file = nil
  }

  /// Creates the socket file and listens.
  ///
  /// A socket file that nobody listens at is left over from a crash and is replaced. Throws `inUse` when somebody does,
  /// `notASocket` when the path names anything else, `badPath` when it fits no address.
  init(path: String, rights: SocketRights) throws(ServerError) {
    try SocketFile.clear(path)
    do {
      socket = try listenOnUnixSocket(path: path, rights: rights)
    } catch {
      throw error.code == EADDRINUSE ? .inUse(path: path) : .system(error)
    }
    file = SocketFile(path: path)
  }

  var descriptor: Int32 { socket.rawValue }

  /// Accepts without waiting.
  borrowing func accept() -> Accepted {
    do {
      return .connection(try socket.acceptConnection())
    } catch {
      switch error.code {
      case EAGAIN, ECONNABORTED: return .nobody
      default: return .failed(error)
      }
    }
  }

  deinit { file?.removeIfOurs() }
}
