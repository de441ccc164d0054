internal import Glibc
public import LinuxSystem

/// One assignment of a notification.
///
/// Spec: systemd, sd_notify(3), "Well-known assignments"
public enum ServiceState: Hashable, Sendable {
  /// Everything listens; also the end of a reload.
  case ready
  /// A reload begins, at this time of the monotonic clock; `ready` ends it.
  case reloading(monotonicMicroseconds: UInt64)
  case stopping
  /// The daemon is alive.
  case watchdog
  /// One line for people, as `systemctl status` shows it.
  case status(String)
  /// The `errno` value of what went wrong.
  case errno(Int32)
  /// Whatever is in the store by this name goes.
  case forgetDescriptors(String)

  var text: String {
    switch self {
    case .ready: "READY=1"
    case .reloading(let time): "RELOADING=1\nMONOTONIC_USEC=\(time)"
    case .stopping: "STOPPING=1"
    case .watchdog: "WATCHDOG=1"
    // A line feed would begin another assignment.
    case .status(let line):
      "STATUS=\(line.split(whereSeparator: \.isNewline).joined(separator: " "))"
    case .errno(let code): "ERRNO=\(code)"
    case .forgetDescriptors(let name): "FDSTOREREMOVE=1\nFDNAME=\(name)"
    }
  }
}

/// Why nobody can be notified.
public enum NotifierError: Error, Hashable, Sendable, CustomStringConvertible {
  case unusableAddress(String)
  case system(SystemError)

  public var description: String {
    switch self {
    case .unusableAddress(let address):
      "NOTIFY_SOCKET is '\(address)'; a path or an abstract name (@…) of 2 to 107 bytes can be notified"
    case .system(let error): "the service manager cannot be notified: \(error)"
    }
  }
}

/// Sends datagrams to the service manager's socket; from any thread.
public final class ServiceNotifier: Sendable {
  private let socket: FileDescriptor
  /// What follows the family in the socket's address.
  private let name: [UInt8]

  /// A manager that does not read its socket must not hold up the daemon's end for long.
  private static let patienceSeconds = 1

  /// Opens a socket; nothing is sent yet.
  ///
  /// `address`: as in `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
  public init(address: String) throws(NotifierError) {
    var name = Array(address.utf8)
    guard (2...107).contains(name.count), let first = name.first, !name.contains(0),
      [UInt8(ascii: "/"), UInt8(ascii: "@")].contains(first)
    else { throw .unusableAddress(address) }
    if first == UInt8(ascii: "@") {
      name[0] = 0
    } else {
      name.append(0)
    }
    self.name = name
    do throws(SystemError) {
      socket = try makeDatagramSocket(patienceSeconds: Self.patienceSeconds)
    } catch { throw .system(error) }
  }

  /// Sends the assignments in one datagram.
  ///
  /// `waits`: for room in the manager's socket, a second at most; otherwise a full one throws `EAGAIN`.
  public func send(_ states: [ServiceState], waits: Bool = true) throws(SystemError) {
    let text = states.map(\.text).joined(separator: "\n")
    try socket.sendDatagram(Array(text.utf8), to: name, waits: waits)
  }
  /// Puts a descriptor into the manager's store, out of which the service's next process gets it.
  ///
  /// `name`: printable, at most 255 bytes, without colons. Whether the manager takes it cannot be known. It does not
  /// look whether the other end hangs up (`FDPOLL=0`), as a file in memory has none.
  public func store(_ descriptor: Int32, name: String) throws(SystemError) {
    let text = "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0"
    try socket.sendDatagram(
      Array(text.utf8), to: self.name, waits: true, descriptors: [descriptor])
  }
}
