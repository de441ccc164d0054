import Foundation

/// The socket at which a service manager hears its services, played by a test.
public final class ManagerSocket: Sendable {
  /// As `NOTIFY_SOCKET` has it.
  public let address: String
  private let descriptor: Int32

  /// Listens in the directory, or at an abstract name of the same words.
  public init(_ directory: TemporaryDirectory, isAbstract: Bool = false) throws {
    let path = directory.file("notify")
    address = isAbstract ? "@" + path : path
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    let name = isAbstract ? [0] + Array(path.utf8) : Array(path.utf8) + [0]
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let result = withUnsafePointer(to: &target) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
    }
    guard result == 0 else { throw TestSupportError("binding \(address): errno \(errno)") }
    // As systemd's: services are not root's.
    if !isAbstract { chmod(path, 0o777) }
  }

  deinit { close(descriptor) }

  /// The next datagram; an error when none comes in time.
  public func next(milliseconds: Int32 = 15000) throws -> String {
    guard let text = poll(milliseconds: milliseconds) else {
      throw TestSupportError("no notification within \(milliseconds) ms")
    }
    return text
  }

  /// The next datagram; nil when none comes in time.
  ///
  /// What is to be kept is not kept here, and passed by: `StoringService` does that.
  public func poll(milliseconds: Int32) -> String? {
    while true {
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard Foundation.poll(&entry, 1, milliseconds) == 1 else { return nil }
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count >= 0 else { return nil }
      let text = String(decoding: buffer.prefix(count), as: UTF8.self)
      if !text.hasPrefix("FDSTORE") { return text }
    }
  }
}
