import Capabilities
import CryptoDevice
import CryptoTypes
import EngineContract
import Glibc
import HostEngines
import LinuxSystem
import Logging
import ServiceLifecycle
import ServiceManager
import StatsEndpoint
import Synchronization
import UnixSignals
import VhostUserBackend

/// The running daemon: its engines, its devices with their servers, and the statistics.
///
/// Everything that can be refused is refused before the first front-end could connect: nothing is half-started.
struct Daemon {
  private let effective: Configuration
  private let file: CapabilityFile
  private let endpoints: [DaemonEndpoint]
  private let confinement: Confinement
  private let activation: Activation
  private let manager: ServiceManager
  private let storedFiles: [StoredFile]
  private let keepsSessions: Bool
  private let sessionPatience: Int
  private let hidden: HiddenFeatures
  private let cache: CalibrationCache
  private let recalibrates: Bool

  init(
    _ effective: Configuration, file: CapabilityFile, endpoints: [DaemonEndpoint],
    activation: Activation, confinement: Confinement, manager: ServiceManager,
    storedFiles: [StoredFile], keepsSessions: Bool, sessionPatience: Int, hidden: HiddenFeatures,
    cache: CalibrationCache, recalibrates: Bool
  ) {
    self.effective = effective
    self.file = file
    self.endpoints = endpoints
    self.confinement = confinement
    self.activation = activation
    self.manager = manager
    self.storedFiles = storedFiles
    self.keepsSessions = keepsSessions
    self.sessionPatience = sessionPatience
    self.hidden = hidden
    self.cache = cache
    self.recalibrates = recalibrates
  }

  /// Serves until SIGTERM or SIGINT, or until an inherited connection ends; the exit status.
  func run() -> Int32 {
    EarlySignals.watchForReloads()
    let logger = DaemonLog.start(effective.log)
    confinement.begin(logger)
    for warning in effective.warnings { logger.warning("\(warning)") }
    for warning in manager.warnings { logger.warning("\(warning)") }
    let reports = ServiceReports(manager, logger: logger)
    do {
      let parts = try build(logger)
      try confinement.apply(logger, socketPaths: socketPaths)
      return serve(parts, reports, logger)
    } catch let error as StartError {
      reports.failed(error)
      complain(error.description)
      return error.status
    } catch {
      complain("\(error)")
      return EX_SOFTWARE
    }
  }

  private struct Parts {
    var devices: [GuestDevice]
    var servers: [VhostUserServer]
    var engines: HostEngines
    var calibration: Calibration
    var advertisement: Advertisement
    var statistics: StatsListener?
    var control: StatsListener?
  }

  /// The socket files that are made, and removed at the end.
  private var socketPaths: [String] {
    endpoints.compactMap { if case .listen(let path) = $0 { path } else { nil } }
      + (activation.statistics == nil ? [effective.stats.socketPath].compactMap { $0 } : [])
      + [effective.control.socketPath].compactMap { $0 }
  }

  private func build(_ logger: Logger) throws -> Parts {
    let start = try EngineStart(effective, cache: cache, force: recalibrates)
    let (engines, measured) = (start.engines, start.measured)
    let advertisement = engines.advertisement(
      effective, calibration: measured.calibration, fileName: "(capability file)")
    for warning in advertisement.warnings { logger.warning("\(warning)") }
    let table = AlgorithmTable(offered: HostEngines.routes(advertisement))
    // What the clock is worth is measured now, not when the first worker wants to know.
    _ = TickClock.nanosecondsPerTick

    EarlySignals.watch()
    // Before the devices' sockets: a front-end must not meet a daemon that then gives up.
    var statistics: StatsListener?
    if let socket = activation.statistics {
      statistics = StatsListener(
        adopting: FileDescriptor(owning: socket.rawValue), path: socket.path)
    } else if let path = effective.stats.socketPath {
      do throws(StatsServerError) {
        statistics = try StatsListener(path: path, rights: confinement.statistics)
      } catch { throw StartError(error) }
    }
    var control: StatsListener?
    if let path = effective.control.socketPath {
      do throws(StatsServerError) {
        control = try StatsListener(path: path, rights: confinement.control)
      } catch { throw StartError(error, "--control-socket") }
    }
    var devices: [GuestDevice] = []
    var servers: [VhostUserServer] = []
    var firstWorker = 0
    var store = SessionStore(
      manager, files: storedFiles, isWanted: keepsSessions, logger: logger)
    for (index, endpoint) in endpoints.enumerated() {
      let configuration = deviceConfiguration(index)
      let journal = store.journal(
        ofDevice: configuration.name,
        slotCount: DeviceCore.slotCount(capacity: configuration.settings.maximumSessionCount))
      let device = try GuestDevice(
        configuration: configuration, workers: effective.workers, firstWorker: firstWorker,
        algorithms: table, engines: engines, hidden: hidden, journal: journal,
        sessionPatience: sessionPatience, logger: logger)
      firstWorker += configuration.settings.queueCount
      servers.append(try makeServer(endpoint, device, logger))
      devices.append(device)
    }
    store.finish()
    // Only now: a start that fails is one line.
    report(engines, measured, logger)
    return Parts(
      devices: devices, servers: servers, engines: engines, calibration: measured.calibration,
      advertisement: advertisement, statistics: statistics, control: control)
  }

  /// Says which engines are not used and what others cannot do here, and how long finding that out took.
  private func report(
    _ engines: HostEngines, _ measured: HostEngines.CalibrationReport, _ logger: Logger
  ) {
    for (name, reason) in engines.absences.sorted(by: { $0.key < $1.key }) {
      logger.notice("engine is not used", metadata: ["name": "\(name)", "reason": "\(reason)"])
    }
    for note in engines.notes {
      logger.notice("engine", metadata: ["name": "\(note.name)", "note": "\(note.text)"])
    }
    logger.info(
      "engines tested",
      metadata: ["milliseconds": "\(engines.selfTestDuration / .milliseconds(1))"])
    if let duration = measured.duration {
      logger.info(
        "engines measured",
        metadata: [
          "milliseconds": "\(duration / .milliseconds(1))", "cache": "\(cache.path ?? "none")",
        ])
    }
    if let complaint = measured.complaint {
      logger.notice("speeds are not kept", metadata: ["reason": "\(complaint)"])
    }
  }

  /// The inherited socket has no place in the configuration: its device is the defaults'.
  private func deviceConfiguration(_ index: Int) -> DeviceConfiguration {
    if effective.devices.indices.contains(index) { return effective.devices[index] }
    return DeviceConfiguration(name: "fd", socketPath: "", settings: effective.device)
  }

  private func makeServer(
    _ endpoint: DaemonEndpoint, _ device: GuestDevice, _ logger: Logger
  ) throws(StartError) -> VhostUserServer {
    var logger = logger
    logger[metadataKey: "device"] = "\(device.name)"
    do throws(ServerError) {
      switch endpoint {
      case .listen(let path):
        return try VhostUserServer(
          endpoint: .path(path, rights: confinement.sockets), device: device, logger: logger)
      case .activated(let socket):
        return try VhostUserServer(
          endpoint: .listening(FileDescriptor(owning: socket.rawValue)), device: device,
          logger: logger)
      case .connect(let path):
        return try VhostUserServer(endpoint: .connecting(path), device: device, logger: logger)
      case .inherited(let rawValue):
        let socket = FileDescriptor(owning: rawValue)
        guard let isListening = try? socket.isListeningSocket() else {
          throw .system(SystemError(call: "using --fd \(rawValue)", code: ENOTSOCK))
        }
        try? socket.setNonBlocking()
        return try VhostUserServer(
          endpoint: isListening ? .listening(socket) : .connected(socket), device: device,
          logger: logger)
      }
    } catch { throw StartError(error) }
  }

  /// Runs the servers and the statistics as services that end together.
  private func serve(_ parts: Parts, _ reports: ServiceReports, _ logger: Logger) -> Int32 {
    for engine in parts.engines.versions {
      logger.info("engine", metadata: ["name": "\(engine.name)", "version": "\(engine.version)"])
    }
    for (endpoint, device) in zip(endpoints, parts.devices) {
      switch endpoint {
      case .listen(let path):
        logger.info("listening", metadata: ["device": "\(device.name)", "socket": "\(path)"])
      case .activated(let socket):
        logger.info(
          "listening at the service manager's socket",
          metadata: ["device": "\(device.name)", "socket": "\(socket.path)"])
      case .connect, .inherited: break
      }
    }
    var awaited: ServiceReports.Parts = .services
    if effective.stats.socketPath != nil { awaited.insert(.statistics) }
    if effective.control.socketPath != nil { awaited.insert(.control) }
    reports.begin(devices: parts.devices, waitingFor: awaited)
    let steering = Steering(
      devices: parts.devices,
      settings: parts.devices.indices.map { deviceConfiguration($0).settings },
      file: file.start,
      report: ConfigurationReport(
        effective: effective, advertisement: parts.advertisement,
        offers: parts.devices.map { ($0.name, $0.core.offer) }),
      engines: parts.engines, calibration: parts.calibration, reports: reports, logger: logger,
      readFile: file.readAgain)
    let stats = DaemonStats(
      devices: parts.devices,
      engines: parts.engines.versions.map {
        EngineInformation(name: $0.name, version: $0.version)
      },
      steering: steering)
    var services: [ServiceGroupConfiguration.ServiceConfiguration] = parts.servers.map {
      // An inherited connection's end is the daemon's; a failed server must not leave the others half-served.
      .init(
        service: DeviceService(server: $0), successTerminationBehavior: .gracefullyShutdownGroup,
        failureTerminationBehavior: .gracefullyShutdownGroup)
    }
    if let listener = parts.statistics {
      services.append(
        .init(
          service: StatsService(
            StatsServer(
              listener: listener, source: stats, logger: logger,
              whenListening: { reports.started(.statistics) })),
          failureTerminationBehavior: .gracefullyShutdownGroup))
    }
    if let listener = parts.control {
      services.append(
        .init(
          service: StatsService(
            StatsServer(
              listener: listener, steering: steering, logger: logger,
              whenListening: { reports.started(.control) })),
          failureTerminationBehavior: .gracefullyShutdownGroup))
    }
    services.append(.init(service: ReloadService(steering: steering)))
    services.append(
      .init(
        service: EarlySignals.Follower(), successTerminationBehavior: .gracefullyShutdownGroup))
    services.append(.init(service: ManagerService(reports: reports)))
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    return Blocking.run { try await group.run() }
  }
}

/// Why the daemon does not start, and the exit status (sysexits) that says so.
struct StartError: Error, CustomStringConvertible {
  var description: String
  var status: Int32
  /// Of the system call that failed, where one did.
  var errno: Int32?

  init(_ description: String, _ status: Int32) {
    self.description = description
    self.status = status
  }

  init(_ error: ServerError) {
    switch error {
    case .notASocket(let path):
      self.init(
        "\(path) exists and is no socket; give another --socket-path, or remove it", EX_CANTCREAT)
    case .inUse(let path):
      self.init("\(path): another process listens there; give another --socket-path", EX_CANTCREAT)
    case .badPath(let path):
      self.init("'\(path)' is no socket path; give 1 to 107 bytes", EX_USAGE)
    case .system(let error):
      self.init("\(error)", error.code == ENOTSOCK ? EX_USAGE : EX_CANTCREAT)
      errno = error.code
    }
  }

  init(_ error: StatsServerError, _ option: String = "--stats-socket") {
    if case .unusablePath = error {
      self.init("\(option) \(error)", EX_USAGE)
    } else {
      self.init("\(option) \(error)", EX_CANTCREAT)
    }
  }
}
