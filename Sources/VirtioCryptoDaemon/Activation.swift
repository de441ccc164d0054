import Capabilities
import ServiceManager

/// Which of the service manager's sockets is for what.
struct Activation {
  /// The listening sockets of devices, by the devices' names.
  private(set) var devices: [String: ActivatedSocket] = [:]
  private(set) var statistics: ActivatedSocket?

  static let none = Activation()

  private init() {}

  /// Gives each socket a purpose: by its name, which is a device's or `stats`, else by the path that it is bound to.
  ///
  /// Without a device in file or command line each further socket makes one. `fd` is what `--fd` asks for, which has its
  /// purpose already.
  init(
    _ sockets: [ActivatedSocket], for effective: inout Configuration, fd: Int32?
  ) throws(ActivationError) {
    let namesDevices = !effective.devices.isEmpty || fd != nil
    for socket in sockets where socket.rawValue != fd {
      if let device = Self.device(for: socket, of: effective) {
        try take(socket, for: device)
      } else if Self.isStatistics(socket, of: effective) {
        guard statistics == nil else { throw Self.second(socket, "the statistics") }
        statistics = socket
        effective.stats.socketPath = socket.path
      } else if namesDevices {
        throw Self.stranger(socket, effective)
      } else {
        let taken = effective.devices.map(\.name)
        let name =
          socket.isNamed ? socket.name : VhostUserCrypto.deviceName(socket.path, taken: taken)
        guard !taken.contains(name) else { throw Self.second(socket, "device '\(name)'") }
        effective.devices.append(
          DeviceConfiguration(name: name, socketPath: socket.path, settings: effective.device))
        devices[name] = socket
      }
    }
  }

  private mutating func take(
    _ socket: ActivatedSocket, for device: DeviceConfiguration
  ) throws(ActivationError) {
    guard devices[device.name] == nil else { throw Self.second(socket, "device '\(device.name)'") }
    devices[device.name] = socket
  }

  /// A name counts before a path; the path is that of the file or the command line.
  private static func device(
    for socket: ActivatedSocket, of effective: Configuration
  ) -> DeviceConfiguration? {
    if socket.name == statisticsName { return nil }
    return effective.devices.first { $0.name == socket.name }
      ?? effective.devices.first { $0.socketPath == socket.path }
  }

  private static func isStatistics(_ socket: ActivatedSocket, of effective: Configuration) -> Bool {
    socket.name == statisticsName
      || (!socket.path.isEmpty && effective.stats.socketPath == socket.path)
  }

  private static let statisticsName = "stats"

  private static func second(_ socket: ActivatedSocket, _ owner: String) -> ActivationError {
    ActivationError(
      "\(socket.place) is a second socket for \(owner); each has one, with a FileDescriptorName= of its own"
    )
  }

  private static func stranger(
    _ socket: ActivatedSocket, _ effective: Configuration
  ) -> ActivationError {
    let known = (effective.devices.map(\.name) + [statisticsName]).joined(separator: ", ")
    return ActivationError(
      "\(socket.place) is for no device; FileDescriptorName= must be one of \(known), or ListenStream= the path of one"
    )
  }
}

extension ActivatedSocket {
  /// For a message.
  fileprivate var place: String { "descriptor \(rawValue) ('\(name)', \(path)) of LISTEN_FDS" }

  /// Whether somebody gave it a name; systemd's own are the unit's and a few words.
  fileprivate var isNamed: Bool {
    !name.isEmpty && !name.hasSuffix(".socket")
      && !["unknown", "stored", "connection"].contains(name)
  }
}
