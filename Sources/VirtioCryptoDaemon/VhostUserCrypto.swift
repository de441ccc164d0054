import ArgumentParser
import Capabilities
import Foundation
import Glibc
import HostEngines
import LinuxSystem
import Logging
import ServiceManager

/// The daemon's command line.
///
/// Spec: vhost-user, "Backend program conventions".
@main
struct VhostUserCrypto: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "vhost-user-crypto",
    abstract: "Gives KVM guests a virtio-crypto accelerator over vhost-user.",
    discussion: """
      Serves one device per socket: a VMM such as QEMU connects, hands over the guest's memory and virtqueues, and \
      the daemon does the guest's crypto in place. It runs in the foreground and ends cleanly on SIGTERM.

        vhost-user-crypto --socket-path=/run/vm1-crypto.sock
        qemu-system-x86_64 … -object memory-backend-memfd,id=mem,size=2G,share=on -numa node,memdev=mem \\
          -chardev socket,id=chr0,path=/run/vm1-crypto.sock \\
          -object cryptodev-vhost-user,id=crypto0,chardev=chr0 -device virtio-crypto-pci,cryptodev=crypto0

      What it offers is settled by a capability file (--config; examples under config/) and by what this host can do, \
      proved by self-tests at start. Without a file: everything. `vhost-crypto stats` shows what it does.
      """,
    version: "vhost-user-crypto \(version)")

  @Option(
    name: .customLong("socket-path"),
    help: ArgumentHelp(
      "Listen at this Unix socket for a front-end; one device each, may be repeated.",
      valueName: "path"), completion: .file())
  var socketPaths: [String] = []

  @Option(
    help: ArgumentHelp(
      "Serve the socket that was inherited as this descriptor: connected or listening.",
      valueName: "fdnum"))
  var fd: Int32?

  @Flag(
    help: "Connect to --socket-path, where the front-end listens, and connect again when it leaves."
  )
  var client = false

  @Option(
    help: ArgumentHelp("Read this capability file.", valueName: "file"),
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Option(
    help: ArgumentHelp("Serve statistics (HTTP) at this Unix socket.", valueName: "path"),
    completion: .file())
  var statsSocket: String?

  @Option(
    help: ArgumentHelp(
      "Let limits be changed at this Unix socket, by the daemon's own user alone (vhost-crypto limit).",
      valueName: "path"), completion: .file())
  var controlSocket: String?

  @Option(
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical. (default: info)", valueName: "level"),
    completion: .list(LogConfiguration.Level.allCases.map(\.rawValue)))
  var logLevel: String?

  @Option(
    help: ArgumentHelp(
      """
      auto, text, json, or journal (priorities instead of times). (default: auto, which is journal under journald and \
      else text)
      """, valueName: "format"),
    completion: .list(LogConfiguration.Format.allCases.map(\.rawValue)))
  var logFormat: String?

  @Flag(
    name: .customLong("no-config-feature"),
    help: """
      Do not offer the CONFIG protocol feature, which makes QEMU 7.1 to 8.0 crash with some machine types.
      """)
  var noConfigFeature = false

  @Flag(
    name: .customLong("no-packed-rings"),
    help: "Offer split rings only: a generic front-end gives its guest packed ones otherwise.")
  var noPackedRings = false

  @Flag(
    help: """
      Let sessions end with the daemon, even where the service manager could keep them for the next one.
      """)
  var noSessionStore = false

  @Option(
    help: ArgumentHelp(
      "Hold sessions of an earlier process for so long for a guest that does not come back.",
      valueName: "seconds"))
  var sessionPatience = 600

  @Flag(
    help: """
      Measure again which engine is fastest for what, although the cache knows.
      """)
  var recalibrate = false

  @Option(
    help: ArgumentHelp(
      """
      Keep measured speeds in this file; none for nowhere. (default: calibration.json in systemd's CacheDirectory, in \
      /var/cache/vhost-user-crypto for root, else in ~/.cache/vhost-user-crypto)
      """, valueName: "file"), completion: .file())
  var calibrationCache: String?

  @OptionGroup(title: "Rights options") var rights: ConfinementOptions

  @Flag(help: "Say what the daemon is, as JSON for management software, and exit.")
  var printCapabilities = false

  @Flag(
    help: "Check the capability file, say what would be advertised, and exit: 0 or 78 (EX_CONFIG).")
  var checkConfig = false

  @Flag(help: "Print the effective capability file with every default, and exit.")
  var printConfig = false

  /// Runs the command; whatever is wrong with its words is told in one line, for logs and for scripts.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      // Requests for help, and complaints that were told already, are the library's to finish.
      guard !(error is ExitCode), exitCode(for: error) == .validationFailure else {
        exit(withError: error)
      }
      let words = message(for: error).split(separator: "\n").joined(separator: " ")
      complain("\(words); see vhost-user-crypto --help")
      exit(withError: ExitCode(EX_USAGE))
    }
  }

  func run() throws {
    if printCapabilities {
      print(#"{"#)
      print(#"  "type": "crypto""#)
      print(#"}"#)
      return
    }
    let file = try startFile()
    var effective = try effectiveConfiguration(file)
    if printConfig {
      print(effective.renderYAML(), terminator: "")
      return
    }
    if checkConfig {
      try ConfigurationCheck(effective, fileName: config, cache: cache).run()
      return
    }
    guard (1...86_400).contains(sessionPatience) else {
      throw complaint("--session-patience is a number of seconds, 1 to 86400", EX_USAGE)
    }
    let manager = ServiceManager.takeFromEnvironment()
    let (activation, files) = try activation(&effective)
    let confinement: Confinement
    do throws(StartError) {
      confinement = try Confinement(rights)
    } catch { throw complaint(error.description, error.status) }
    try Self.exit(
      code: Daemon(
        effective, file: CapabilityFile(start: file, path: config),
        endpoints: endpoints(effective, activation), activation: activation,
        confinement: confinement, manager: manager, storedFiles: files,
        keepsSessions: !noSessionStore, sessionPatience: sessionPatience,
        hidden: HiddenFeatures(config: noConfigFeature, packedRings: noPackedRings), cache: cache,
        recalibrates: recalibrate
      ).run()
    )
  }

  private var cache: CalibrationCache {
    if let calibrationCache {
      return CalibrationCache(path: calibrationCache == "none" ? nil : calibrationCache)
    }
    return .usual
  }

  /// The capability file, or the defaults.
  private func startFile() throws -> Configuration {
    guard let config else { return Configuration() }
    do throws(ConfigurationError) {
      return try Configuration.load(path: config, engines: HostEngines.descriptions)
    } catch { throw complaint("\(error)", EX_CONFIG) }
  }

  /// The file with the command line's own wishes on top.
  private func effectiveConfiguration(_ file: Configuration) throws -> Configuration {
    var effective = file
    for path in socketPaths {
      guard !path.isEmpty else {
        throw complaint("--socket-path is empty; give the path of a Unix socket", EX_USAGE)
      }
      effective.devices.append(
        DeviceConfiguration(
          name: Self.deviceName(path, taken: effective.devices.map(\.name)), socketPath: path,
          settings: effective.device))
    }
    if let statsSocket { effective.stats.socketPath = statsSocket }
    if let controlSocket { effective.control.socketPath = controlSocket }
    if let logLevel {
      guard let level = LogConfiguration.Level(rawValue: logLevel) else {
        let known = LogConfiguration.Level.allCases.map(\.rawValue).joined(separator: ", ")
        throw complaint("--log-level '\(logLevel)' is unknown; one of \(known)", EX_USAGE)
      }
      effective.log.level = level
    }
    if let logFormat {
      guard let format = LogConfiguration.Format(rawValue: logFormat) else {
        let known = LogConfiguration.Format.allCases.map(\.rawValue).joined(separator: ", ")
        throw complaint("--log-format '\(logFormat)' is unknown; one of \(known)", EX_USAGE)
      }
      effective.log.format = format
    }
    return effective
  }

  /// A device's name from its socket's: `/run/vm1.sock` is `vm1`.
  static func deviceName(_ path: String, taken: [String]) -> String {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    let base = file.hasSuffix(".sock") && file.count > 5 ? String(file.dropLast(5)) : file
    guard taken.contains(base) else { return base }
    return (2...).lazy.map { "\(base)-\($0)" }.first { !taken.contains($0) } ?? base
  }

  /// The sockets that a service manager gave, and the devices that come with them; and what it has kept for us.
  private func activation(
    _ effective: inout Configuration
  ) throws -> (Activation, [StoredFile]) {
    do throws(ActivationError) {
      let passed = try SocketActivation.takeFromEnvironment(storedPrefix: SessionStore.prefix)
      return (try Activation(passed.sockets, for: &effective, fd: fd), passed.files)
    } catch { throw complaint("\(error)", EX_CONFIG) }
  }

  /// One endpoint per device, in the order of the configuration's devices.
  private func endpoints(
    _ effective: Configuration, _ activation: Activation
  ) throws -> [DaemonEndpoint] {
    if let fd {
      guard !client else {
        throw complaint(
          "--fd and --client exclude each other; --client goes with --socket-path", EX_USAGE)
      }
      guard socketPaths.isEmpty, effective.devices.isEmpty else {
        throw complaint(
          "--fd and --socket-path (or devices: in the file) exclude each other; give one", EX_USAGE)
      }
      guard fcntl(fd, F_GETFD) >= 0 else {
        throw complaint("--fd \(fd) is not an open descriptor; pass an inherited socket", EX_USAGE)
      }
      return [.inherited(fd)]
    }
    guard !effective.devices.isEmpty else {
      throw complaint(
        "no socket; give --socket-path=PATH (or --fd, socket activation, or devices: in a capability file)",
        EX_USAGE)
    }
    var taken = Set<String>()
    for path in effective.devices.map(\.socketPath)
      + [effective.stats.socketPath, effective.control.socketPath].compactMap({ $0 })
    {
      guard taken.insert(path).inserted else {
        throw complaint(
          "\(path) is named twice; devices, statistics and control have a socket each", EX_USAGE)
      }
    }
    guard !client || activation.devices.isEmpty else {
      throw complaint(
        "--client and sockets of a service manager exclude each other; --client goes with --socket-path",
        EX_USAGE)
    }
    return effective.devices.map { device in
      if let socket = activation.devices[device.name] { return .activated(socket) }
      return client ? .connect(device.socketPath) : .listen(device.socketPath)
    }
  }

  /// One line on standard error, and the exit status that says the same.
  private func complaint(_ text: String, _ status: Int32) -> any Error {
    complain(text)
    return ExitCode(status)
  }

  private static func exit(code: Int32) throws {
    if code != 0 { throw ExitCode(code) }
  }
}

/// Where a device meets its front-end.
enum DaemonEndpoint: Sendable {
  case listen(String)
  case connect(String)
  case inherited(Int32)
  /// Listens already: a service manager's.
  case activated(ActivatedSocket)
}

/// Writes one line for people to standard error, as an error where that is the journal.
func complain(_ text: String) {
  let priority = JournalStream.isStandardError ? "<3>" : ""
  FileHandle.standardError.write(Data("\(priority)vhost-user-crypto: \(text)\n".utf8))
}
