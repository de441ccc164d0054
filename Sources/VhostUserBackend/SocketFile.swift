internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// The file of a listening Unix socket, known by its inode so that nobody else's is ever removed.
struct SocketFile {
  private let path: String
  private let identity: Identity?

  private struct Identity: Equatable {
    var device: UInt64
    var inode: UInt64
    var isSocket: Bool
  }

  /// Remembers the file that is at the path now: the one just created.
  init(path: String) {
    self.path = path
    identity = Self.identity(of: path)
  }

  /// Makes room for a socket at the path.
  ///
  /// Removes a socket that nobody listens at. Throws `inUse` when somebody does, `notASocket` for any other file.
  static func clear(_ path: String) throws(ServerError) {
    // `sun_path` has 108 bytes, the closing zero included.
    guard !path.isEmpty, path.utf8.count < 108, !path.utf8.contains(0) else {
      throw .badPath(path: path)
    }
    guard let found = identity(of: path) else { return }
    guard found.isSocket else { throw .notASocket(path: path) }
    do {
      _ = try connectToUnixSocket(path: path)
    } catch {
      switch error.code {
      case ECONNREFUSED: _ = unsafe unlink(path)
      case ENOENT: break
      // A full backlog and a missing permission both mean that somebody is there.
      default: throw .inUse(path: path)
      }
      return
    }
    throw .inUse(path: path)
  }

  /// Removes the file unless somebody has put another in its place.
  func removeIfOurs() {
    guard let identity, Self.identity(of: path) == identity else { return }
    // SAFETY: the string is bridged to a C string for the call.
    unsafe unlink(path)
  }

  private static func identity(of path: String) -> Identity? {
    var information = stat()
    // SAFETY: the string is bridged for the call, which fills the local structure.
    guard unsafe lstat(path, &information) == 0 else { return nil }
    return Identity(
      device: UInt64(information.st_dev), inode: UInt64(information.st_ino),
      isSocket: information.st_mode & S_IFMT == S_IFSOCK)
  }
}
