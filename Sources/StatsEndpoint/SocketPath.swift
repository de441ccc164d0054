import Glibc
import LinuxSystem

/// Why the statistics cannot be served.
public enum StatsServerError: Error, Equatable, CustomStringConvertible {
  /// Too long for a Unix socket, or empty.
  case unusablePath(String)
  /// Something that is no socket is in the way.
  case notASocket(path: String)
  /// Another process answers there.
  case inUse(path: String)
  case cannotPrepare(path: String, reason: String)

  public var description: String {
    switch self {
    case .unusablePath(let path): "\(path): a Unix socket's path has 1 to 107 bytes"
    case .notASocket(let path): "\(path): exists and is not a socket; remove it or name another"
    case .inUse(let path): "\(path): another process serves this socket; name another"
    case .cannotPrepare(let path, let reason): "\(path): \(reason)"
    }
  }
}

/// The place in the file system where a server listens.
struct SocketPath: Sendable {
  let path: String

  init(_ path: String) throws(StatsServerError) {
    guard (1...107).contains(path.utf8.count), !path.utf8.contains(0) else {
      throw .unusablePath(path)
    }
    self.path = path
  }

  /// Removes a socket that a dead server left behind; refuses everything else that is in the way.
  func clear() throws(StatsServerError) {
    var status = stat()
    // SAFETY: the kernel writes one `stat`.
    guard unsafe lstat(path, &status) == 0 else {
      if errno == ENOENT { return }
      throw failure("looking at it failed")
    }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
    if try isAnswering() { throw .inUse(path: path) }
    // SAFETY: the path is lent with a final zero.
    guard unsafe unlink(path) == 0 || errno == ENOENT else {
      throw failure("removing the old socket failed")
    }
  }

  /// Makes the socket and listens, non-blocking, after `clear`.
  func listen(_ rights: SocketRights) throws(StatsServerError) -> FileDescriptor {
    do {
      return try listenOnUnixSocket(path: path, rights: rights)
    } catch {
      if error.code == EADDRINUSE { throw .inUse(path: path) }
      throw .cannotPrepare(path: path, reason: "\(error)")
    }
  }

  /// Which file is there now; nil: none.
  var inode: UInt64? {
    var status = stat()
    // SAFETY: as above.
    return unsafe lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Removes the socket if it is still the one that this server made.
  func remove(inode: UInt64?) {
    // SAFETY: as above.
    if let inode, inode == self.inode { unsafe _ = unlink(path) }
  }

  private func isAnswering() throws(StatsServerError) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
    guard descriptor >= 0 else { throw failure("making a socket failed") }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the path has at most 107 bytes and sun_path 108, which are zero.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { buffer in
      unsafe buffer.copyBytes(from: path.utf8)
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    // SAFETY: a sockaddr_un is passed with its own size.
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, size)
      }
    }
    return result == 0 || errno == EAGAIN
  }

  private func failure(_ what: String) -> StatsServerError {
    let code = errno
    // SAFETY: strerror's text is copied at once.
    return unsafe .cannotPrepare(path: path, reason: "\(what): \(String(cString: strerror(code)))")
  }
}
