import Foundation
import VhostUserFrontend

/// One HTTP request over a Unix socket, by hand, so that a test can also be a bad client.
public final class HTTPExchange {
  private let socket: OwnedFile
  private var received = Data()

  /// Connects and sends the request.
  public init(_ target: String, socketPath: String) throws {
    socket = try UnixSocket.connected(to: socketPath)
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(
      socket.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let request = "GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    let sent = request.utf8CString.withUnsafeBytes {
      send(socket.descriptor, $0.baseAddress, $0.count - 1, Int32(MSG_NOSIGNAL))
    }
    guard sent == request.utf8.count else { throw TestSupportError("\(target) was not sent") }
  }

  /// Reads up to `byteCount` bytes; false at the end.
  @discardableResult
  public func readSome(_ byteCount: Int) throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: byteCount)
    let count = recv(socket.descriptor, &buffer, byteCount, 0)
    guard count >= 0 else { throw TestSupportError("no more of the answer: errno \(errno)") }
    received += buffer.prefix(count)
    return count > 0
  }

  /// The body of the complete answer, which must be a 200.
  public func body() throws -> Data {
    let answer = try answer()
    guard answer.status == 200 else {
      throw TestSupportError(
        "status \(answer.status): \(String(decoding: answer.body, as: UTF8.self))")
    }
    return answer.body
  }

  /// The complete answer.
  public func answer() throws -> (status: Int, body: Data) {
    while true {
      if let end = received.firstRange(of: Data("\r\n\r\n".utf8)) {
        let head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
        let words = head.split(separator: " ")
        guard words.count > 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
          throw TestSupportError("no HTTP: \(head)")
        }
        let length = head.split(separator: "\r\n").compactMap { line -> Int? in
          guard line.lowercased().hasPrefix("content-length:") else { return nil }
          return Int(line.dropFirst(15).trimmingCharacters(in: .whitespaces))
        }
        let body = received[end.upperBound...]
        if let length = length.first, body.count >= length {
          return (status, Data(body.prefix(length)))
        }
      }
      guard try readSome(65536) else {
        throw TestSupportError("the answer ends after \(received.count) bytes")
      }
    }
  }

  public static func get(_ target: String, socketPath: String) throws -> Data {
    try HTTPExchange(target, socketPath: socketPath).body()
  }
}

/// Sockets that tests make themselves.
public enum UnixSocket {
  /// A connected one; the descriptor is closed on exec.
  public static func connected(to path: String) throws -> OwnedFile {
    try made(path, "connecting to") { connect($0, $1, $2) }
  }

  /// A listening one, which children inherit if wanted.
  public static func listening(at path: String, isInherited: Bool = false) throws -> OwnedFile {
    let file = try made(path, "binding") { bind($0, $1, $2) }
    guard listen(file.descriptor, 8) == 0 else { throw TestSupportError("listen: errno \(errno)") }
    if isInherited { setInherited(file) }
    return file
  }

  /// Two ends; the first is inherited by children.
  public static func pair() throws -> (OwnedFile, OwnedFile) {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
      throw TestSupportError("socketpair: errno \(errno)")
    }
    let files = (OwnedFile(descriptor: ends[0]), OwnedFile(descriptor: ends[1]))
    setInherited(files.0)
    return files
  }

  /// The next connection within ten seconds.
  public static func accepted(_ listener: OwnedFile) throws -> OwnedFile {
    var entry = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, 10000) == 1 else { throw TestSupportError("nobody connects") }
    let descriptor = accept(listener.descriptor, nil, nil)
    guard descriptor >= 0 else { throw TestSupportError("accept: errno \(errno)") }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    return OwnedFile(descriptor: descriptor)
  }

  private static let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)

  private static func setInherited(_ file: OwnedFile) { _ = fcntl(file.descriptor, F_SETFD, 0) }

  private static func made(
    _ path: String, _ what: String,
    _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws -> OwnedFile {
    let file = OwnedFile(descriptor: socket(AF_UNIX, type, 0))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        call(file.descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw TestSupportError("\(what) \(path): errno \(errno)") }
    return file
  }
}
