import CLinuxShims
import Glibc

/// What a descriptor that somebody handed over is.
public enum SocketKind: Hashable, Sendable {
  /// The path is empty for an unnamed socket, and begins with `@` for an abstract one.
  case listeningUnixStream(path: String)
  /// Anything else, in words that follow "is".
  case other(String)

  /// Looks at an open descriptor; throws `EBADF` where there is none.
  public static func of(_ rawValue: Int32) throws(SystemError) -> SocketKind {
    guard fcntl(rawValue, F_GETFD) >= 0 else { throw .last("looking at descriptor \(rawValue)") }
    do throws(SystemError) {
      guard try option(SO_DOMAIN, of: rawValue) == AF_UNIX else {
        return .other("not a Unix socket")
      }
    } catch {
      if error.code == ENOTSOCK { return .other("not a socket") }
      throw error
    }
    guard try option(SO_TYPE, of: rawValue) == Int32(SOCK_STREAM.rawValue) else {
      return .other("not a stream socket")
    }
    guard try option(SO_ACCEPTCONN, of: rawValue) != 0 else {
      return .other("not a listening socket")
    }
    return .listeningUnixStream(path: try boundPath(of: rawValue))
  }

  private static func option(_ name: Int32, of rawValue: Int32) throws(SystemError) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    // SAFETY: the kernel writes at most the four bytes of `value`.
    guard unsafe getsockopt(rawValue, SOL_SOCKET, name, &value, &length) == 0 else {
      throw .last("inspecting descriptor \(rawValue)")
    }
    return value
  }

  private static func boundPath(of rawValue: Int32) throws(SystemError) -> String {
    var address = sockaddr_un()
    var length = socklen_t(MemoryLayout<sockaddr_un>.size)
    // SAFETY: a sockaddr_un is passed with its own size.
    let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getsockname(rawValue, $0, &length)
      }
    }
    guard result == 0 else { throw .last("asking where descriptor \(rawValue) is bound") }
    let count = max(0, Int(length) - MemoryLayout<sa_family_t>.size)
    // SAFETY: `sun_path` is plain bytes of our own; the prefix stays inside.
    let name = unsafe withUnsafeBytes(of: &address.sun_path) { unsafe Array($0.prefix(count)) }
    guard let first = name.first else { return "" }
    return first == 0
      ? "@" + String(decoding: name.dropFirst(), as: UTF8.self)
      : String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// Makes an inherited socket like our own: closed on exec, and non-blocking.
public func prepareInheritedSocket(_ rawValue: Int32) throws(SystemError) {
  let flags = fcntl(rawValue, F_GETFL)
  guard flags >= 0, fcntl(rawValue, F_SETFL, flags | O_NONBLOCK) == 0,
    fcntl(rawValue, F_SETFD, FD_CLOEXEC) == 0
  else { throw .last("preparing descriptor \(rawValue)") }
}

/// Makes an inherited file like our own: closed on exec.
public func prepareInheritedFile(_ rawValue: Int32) throws(SystemError) {
  guard fcntl(rawValue, F_SETFD, FD_CLOEXEC) == 0 else {
    throw .last("preparing descriptor \(rawValue)")
  }
}

/// A Unix socket that sends datagrams and waits for room no longer than some seconds.
public func makeDatagramSocket(patienceSeconds: Int) throws(SystemError) -> FileDescriptor {
  let rawValue = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  guard rawValue >= 0 else { throw .last("making a socket") }
  let socket = FileDescriptor(owning: rawValue)
  var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
  // SAFETY: the kernel reads one `timeval`.
  unsafe _ = setsockopt(
    rawValue, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  return socket
}

extension FileDescriptor {
  /// Sends one datagram to a Unix address, never raising `SIGPIPE`.
  ///
  /// - `name`: what follows the family: at most 108 bytes, a path with its final zero, or an abstract name behind one.
  /// - `descriptors`: go with it, and stay the caller's.
  public borrowing func sendDatagram(
    _ bytes: [UInt8], to name: [UInt8], waits: Bool, descriptors: [Int32] = []
  ) throws(SystemError) {
    let call = "notifying the service manager"
    // SAFETY: bytes, name and descriptors live through the call, each with its own length.
    let sent = unsafe clinux_send_to(
      rawValue, bytes, bytes.count, name, name.count, descriptors, descriptors.count,
      waits ? 1 : 0)
    guard try checked(call, sent) == bytes.count else {
      throw SystemError(call: call, code: EMSGSIZE)
    }
  }
}

extension FileDescriptor {
  /// Makes another number, which is open, one of the same open file; what it was is closed.
  public borrowing func duplicate(onto other: Int32) throws(SystemError) {
    let descriptor = rawValue
    _ = try checked(
      "duplicating descriptor \(descriptor)", Int(clinux_duplicate_onto(descriptor, other)))
  }
}
