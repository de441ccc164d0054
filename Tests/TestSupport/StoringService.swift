import Foundation
import LinuxSystem
import VhostUserFrontend

/// The daemon as a service whose manager keeps descriptors for it: killed and started again, it gets them back.
///
/// Plays systemd as far as sd_notify(3) and sd_listen_fds(3) go.
public final class StoringService {
  public let directory: TemporaryDirectory
  public private(set) var process: ChildProcess
  /// Names of what is in the store, as often as they are there.
  public var storedNames: [String] { stored.map(\.name) }
  /// Where the front-ends of the first device connect, and those of any.
  public var socketPath: String { socketPath(of: devices[0]) }
  public func socketPath(of device: String) -> String { directory.file(device + ".sock") }
  public let devices: [String]
  public var statsPath: String { directory.file("stats.sock") }
  public var log: String { DaemonProcess.text(directory.file("stderr-\(starts)")) }
  public var pid: Int32 { process.pid }

  private var stored: [(name: String, file: OwnedFile)] = []
  private let notifications: FileDescriptor
  private let listeners: [OwnedFile]
  /// What is started next.
  public var program: String
  private var arguments: [String]
  private let environment: [String: String]
  /// False: what is started next hears of no manager, which forgets what it has kept for it.
  public var isManaged = true
  private var starts = 0
  private var isReady = false

  /// Starts the daemon and waits until it is ready.
  ///
  /// - `isActivated`: the manager listens for it, so that the socket outlives it.
  /// - `keepsDescriptors`: false for a manager whose store has no room.
  /// - `program`: nil for the daemon that was built.
  /// - `environment`: for the daemon alone, not for what starts it.
  public init(
    devices: [String] = ["vm1"], isActivated: Bool = false, keepsDescriptors: Bool = true,
    program: String? = nil, arguments: [String] = [], environment: [String: String] = [:],
    configuration: String? = nil
  ) throws {
    self.program = try program ?? DaemonProcess.executable("vhost-user-crypto")
    let directory = try TemporaryDirectory()
    self.directory = directory
    self.devices = devices
    self.environment = environment
    self.keepsDescriptors = keepsDescriptors
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try Self.bind(descriptor, to: directory.file("notify"))
    notifications = FileDescriptor(owning: descriptor)
    let paths = devices.map { directory.file($0 + ".sock") }
    listeners =
      isActivated ? try paths.map { try UnixSocket.listening(at: $0, isInherited: true) } : []
    var all = isActivated ? [] : paths.map { "--socket-path=\($0)" }
    all.append("--stats-socket=\(directory.file("stats.sock"))")
    if let configuration {
      all.append("--config=\(try directory.write(configuration, to: "capabilities.yaml"))")
    }
    self.arguments = all + arguments + DaemonProcess.rights
    process = try ChildProcess(program: "/bin/true", arguments: [])
    try start()
  }

  private let keepsDescriptors: Bool

  private static func bind(_ descriptor: Int32, to path: String) throws {
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: Array(path.utf8) + [0]) }
    let result = withUnsafePointer(to: &target) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Foundation.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw TestSupportError("binding \(path): errno \(errno)") }
    chmod(path, 0o777)
  }

  /// Starts the daemon again, with what is in the store.
  ///
  /// `arguments`: in addition, from now on.
  public func start(arguments further: [String] = [], waitsUntilReady: Bool = true) throws {
    arguments += further
    starts += 1
    isReady = false
    if !isManaged { stored = [] }
    let given = zip(devices, listeners).map { (name: $0, file: $1) } + stored
    // Inherited copies, which end when the process has been started.
    let copies = given.map { OwnedFile(descriptor: fcntl($0.file.descriptor, F_DUPFD, 200)) }
    let moves = copies.enumerated().map { "\(100 + $0.offset)<&\($0.element.descriptor)" }
    let places = copies.indices.map { "\(3 + $0)<&\(100 + $0) \(100 + $0)<&-" }
    let rest = copies.map { "\($0.descriptor)<&-" }
    let script = """
      while [ "$1" != -- ]; do export "$1"; shift; done
      shift
      exec \(moves.joined(separator: " "))
      exec \(places.joined(separator: " ")) \(rest.joined(separator: " "))
      if [ -n "${LISTEN_FDS-}" ]; then export LISTEN_PID=$$; fi
      exec "$@"
      """
    var inherited = DaemonProcess.inheritedEnvironment
    if isManaged { inherited["NOTIFY_SOCKET"] = directory.file("notify") }
    if !given.isEmpty {
      inherited["LISTEN_FDS"] = "\(given.count)"
      inherited["LISTEN_FDNAMES"] = given.map(\.name).joined(separator: ":")
    }
    let own = environment.map { "\($0.key)=\($0.value)" }
    process = try withExtendedLifetime(copies) {
      try ChildProcess(
        program: "/bin/bash",
        arguments: ["-c", script, "bash"] + own + ["--", program] + arguments,
        environment: inherited.map { "\($0.key)=\($0.value)" },
        standardErrorPath: directory.file("stderr-\(starts)"))
    }
    if waitsUntilReady { try waitUntilReady() }
  }

  /// Waits until the daemon says that it is ready; one without a manager answers when it is.
  public func waitUntilReady(milliseconds: Int = 30000) throws {
    try waitUntil("the service", milliseconds: milliseconds) {
      listen()
      guard process.isRunning else { throw TestSupportError("the daemon ended at start: \(log)") }
      guard !isManaged else { return isReady }
      return (try? HTTPExchange.get("/healthz", socketPath: statsPath)) != nil
    }
  }

  /// Ends the daemon, and starts no other.
  ///
  /// SIGKILL is what a crash is, SIGTERM what `systemctl restart` sends.
  public func end(_ signal: Int32 = SIGKILL) throws {
    process.send(signal: signal)
    try waitUntil("the end", milliseconds: 10000) {
      listen()
      return !process.isRunning
    }
    let expected = signal == SIGTERM ? ChildProcess.Exit.status(0) : .signal(signal)
    guard process.exitIfEnded == expected else {
      throw TestSupportError("it ended with \(String(describing: process.exitIfEnded)): \(log)")
    }
    listen()
  }

  /// Reads what the daemon has said, and keeps what it has sent along.
  public func listen() {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let received = buffer.withUnsafeMutableBytes { bytes in
        try? notifications.receive(into: bytes, maximumDescriptors: 8)
      }
      guard let received else { return }
      let files = received.descriptors.map { OwnedFile(descriptor: $0) }
      let lines = String(decoding: buffer.prefix(received.byteCount), as: UTF8.self)
        .split(separator: "\n").map(String.init)
      let name = lines.first { $0.hasPrefix("FDNAME=") }.map { String($0.dropFirst(7)) }
      if lines.contains("READY=1") { isReady = true }
      if lines.contains("FDSTOREREMOVE=1") { stored.removeAll { $0.name == name } }
      if lines.contains("FDSTORE=1"), keepsDescriptors {
        stored += files.map { (name ?? "stored", $0) }
      }
    }
  }

  /// Forgets what is in the store but for these devices' sessions, as a manager does whose store has no more room.
  public func forgetSessions(except devices: Set<String>) {
    let kept = devices.map { "sessions-" + $0 }
    stored.removeAll { !kept.contains($0.name) }
  }

  /// A copy of the store's only file, as bytes.
  public func storedBytes(_ byteCount: Int) throws -> [UInt8] {
    guard let file = stored.first?.file else { throw TestSupportError("nothing is in the store") }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    guard pread(file.descriptor, &bytes, byteCount, 0) == byteCount else {
      throw TestSupportError("reading the store: errno \(errno)")
    }
    return bytes
  }

  /// Changes bytes of the store's only file.
  public func changeStored(at offset: Int, to bytes: [UInt8]) throws {
    guard let file = stored.first?.file,
      pwrite(file.descriptor, bytes, bytes.count, off_t(offset)) == bytes.count
    else { throw TestSupportError("changing the store: errno \(errno)") }
  }
}
