public import LinuxSystem

/// The socket that statistics are served at, made before anything is started and while the process still may.
///
/// Readers who connect before a server runs wait.
public final class StatsListener: Sendable {
  /// For people.
  public let path: String
  private let socket: FileDescriptor
  private let place: SocketPath?
  private let inode: UInt64?

  /// Makes the socket file; replaces one that a dead server left there.
  public init(path: String, rights: SocketRights = SocketRights()) throws(StatsServerError) {
    let place = try SocketPath(path)
    try place.clear()
    socket = try place.listen(rights)
    inode = place.inode
    self.place = place
    self.path = path
  }

  /// Takes over a socket that listens already and is non-blocking; its file belongs to whoever made it.
  public init(adopting socket: consuming FileDescriptor, path: String) {
    self.socket = socket
    self.path = path
    place = nil
    inode = nil
  }

  /// Another descriptor of the socket.
  func duplicate() throws(SystemError) -> FileDescriptor { try socket.duplicate() }

  deinit { place?.remove(inode: inode) }
}
