import CLinuxShims
import Glibc

/// What one `recvmsg` brought.
public struct ReceivedBytes {
  /// 0 when the peer has closed its end.
  public var byteCount: Int
  /// Descriptors that came along; the receiver owns them and closes each.
  public var descriptors: [Int32]
  /// The peer sent more descriptors than there was room for.
  public var descriptorsWereTruncated: Bool
}

extension FileDescriptor {
  /// Sends what fits without waiting, with descriptors at the first byte; the bytes sent.
  ///
  /// Never raises `SIGPIPE`.
  public borrowing func send(
    _ message: [UInt8], descriptors: [Int32] = []
  ) throws(SystemError) -> Int {
    let count = unsafe clinux_send(
      rawValue, message, message.count, descriptors, descriptors.count, 0)
    return try checked("sending to a socket", count)
  }

  /// Receives what is there, without waiting.
  ///
  /// - `buffer`: filled from its start.
  /// - `maximumDescriptors`: at most 63.
  /// Throws `EAGAIN` when there is nothing.
  public borrowing func receive(
    into buffer: UnsafeMutableRawBufferPointer, maximumDescriptors: Int
  ) throws(SystemError) -> ReceivedBytes {
    var descriptors = [Int32](repeating: -1, count: 64)
    var count = maximumDescriptors
    var truncated: Int32 = 0
    // SAFETY: the buffer is the caller's for the call; the array has the 64 elements that the shim fills at most.
    let received = unsafe clinux_receive(
      rawValue, buffer.baseAddress, buffer.count, &descriptors, &count, &truncated, 0)
    let byteCount = try checked("receiving from a socket", received)
    return ReceivedBytes(
      byteCount: byteCount, descriptors: Array(descriptors.prefix(count)),
      descriptorsWereTruncated: truncated != 0)
  }

  /// Accepts a connection without waiting; it is non-blocking.
  public borrowing func acceptConnection() throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      owning: Int32(try checked("accepting a connection", Int(clinux_accept(rawValue)))))
  }

  /// Whether the socket listens, rather than being connected.
  public borrowing func isListeningSocket() throws(SystemError) -> Bool {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard unsafe getsockopt(rawValue, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 else {
      throw .last("inspecting socket \(rawValue)")
    }
    return value != 0
  }

  /// Makes reads and writes return at once instead of waiting.
  public borrowing func setNonBlocking() throws(SystemError) {
    let flags = fcntl(rawValue, F_GETFL)
    guard flags >= 0, fcntl(rawValue, F_SETFL, flags | O_NONBLOCK) == 0 else {
      throw .last("making descriptor \(rawValue) non-blocking")
    }
  }
}

/// Calls with the address of a path; throws where the path does not fit.
private func withUnixAddress(
  _ path: String, _ call: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) throws(SystemError) {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  // One byte stays zero, to end the path.
  let room = MemoryLayout.size(ofValue: address.sun_path) - 1
  guard bytes.count <= room else { throw SystemError(call: call, code: ENAMETOOLONG) }
  unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
  // SAFETY: a sockaddr_un is what an AF_UNIX sockaddr points to.
  let result = unsafe withUnsafePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  if result != 0 { throw .last(call) }
}

/// Who may connect to a socket file.
public struct SocketRights: Hashable, Sendable {
  /// Permission bits; writing is connecting.
  public var mode: UInt32
  /// nil: the process's own.
  public var user: UInt32?
  /// nil: the process's own.
  public var group: UInt32?

  public init(mode: UInt32 = 0o660, user: UInt32? = nil, group: UInt32? = nil) {
    self.mode = mode
    self.user = user
    self.group = group
  }
}

/// Makes a socket file and listens at it, non-blocking; `EADDRINUSE` when the path exists.
public func listenOnUnixSocket(
  path: String, rights: SocketRights
) throws(SystemError) -> FileDescriptor {
  let socket = FileDescriptor(
    owning: Int32(try checked("making a socket", Int(clinux_socket_unix(1)))))
  let descriptor = socket.rawValue
  // The file gets the socket's own mode when it is made, and nobody can connect before it listens: there is no moment
  // with wrong rights, and no path that somebody could put something else behind.
  guard fchmod(descriptor, mode_t(rights.mode)) == 0 else {
    throw .last("setting the mode of \(path)")
  }
  do {
    let mask = umask(0o777 & ~mode_t(rights.mode))
    defer { umask(mask) }
    try unsafe withUnixAddress(path, "binding \(path)") { unsafe bind(descriptor, $0, $1) }
  }
  do throws(SystemError) {
    if rights.user != nil || rights.group != nil {
      _ = try checked(
        "giving \(path) to user \(word(rights.user)), group \(word(rights.group))",
        unsafe Int(clinux_give_socket_file(path, rights.user ?? .max, rights.group ?? .max)))
    }
    guard listen(descriptor, 64) == 0 else { throw .last("listening at \(path)") }
  } catch {
    unsafe _ = unlink(path)
    throw error
  }
  return socket
}

private func word(_ number: UInt32?) -> String { number.map(String.init) ?? "as it is" }

/// Connects to a socket file without waiting, and throws `EAGAIN` when its backlog is full.
///
/// The connection is non-blocking.
public func connectToUnixSocket(path: String) throws(SystemError) -> FileDescriptor {
  let socket = FileDescriptor(
    owning: Int32(try checked("making a socket", Int(clinux_socket_unix(1)))))
  let descriptor = socket.rawValue
  try unsafe withUnixAddress(path, "connecting to \(path)") { unsafe connect(descriptor, $0, $1) }
  return socket
}

/// Two sockets connected to each other.
public struct UnixSocketPair: ~Copyable {
  public var first: FileDescriptor
  public var second: FileDescriptor

  public init() throws(SystemError) {
    var pair: [Int32] = [-1, -1]
    _ = try checked("making a socket pair", unsafe Int(clinux_socketpair_unix(&pair)))
    first = FileDescriptor(owning: pair[0])
    second = FileDescriptor(owning: pair[1])
  }
}

/// Waits until a descriptor has input, an error or a hang-up; which have.
///
/// `timeoutMilliseconds`: -1 waits for ever.
public func pollInput(
  _ descriptors: [Int32], timeoutMilliseconds: Int32
) throws(SystemError) -> [Bool] {
  var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
  let count = nfds_t(entries.count)
  _ = try retrying("polling") { unsafe Int(poll(&entries, count, timeoutMilliseconds)) }
  return entries.map { $0.revents != 0 }
}
