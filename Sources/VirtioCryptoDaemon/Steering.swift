import Capabilities
import CryptoDevice
import EngineContract
import HostEngines
import Logging
import StatsEndpoint
import Synchronization

/// Changes to a running daemon, one at a time: reloads of the capability file, and limits that are set by hand.
actor Steering: ControlSource {
  private let devices: [GuestDevice]
  private let engines: HostEngines
  /// What was measured at the start and since.
  private var calibration: Calibration
  private let reports: ServiceReports
  private let logger: Logger
  /// Reads the capability file again; nil: the daemon was started without one.
  private let readFile: (@Sendable () throws(ConfigurationError) -> Configuration)?
  /// What the file said when it was last taken over, without the command line's wishes.
  private var file: Configuration
  /// Of each device, now and at the start.
  private var settings: [DeviceSettings]
  private let startSettings: [DeviceSettings]
  private let shown: Mutex<ConfigurationReport>

  init(
    devices: [GuestDevice], settings: [DeviceSettings], file: Configuration,
    report: ConfigurationReport, engines: HostEngines, calibration: Calibration,
    reports: ServiceReports, logger: Logger,
    readFile: (@Sendable () throws(ConfigurationError) -> Configuration)?
  ) {
    self.devices = devices
    self.settings = settings
    startSettings = settings
    self.file = file
    shown = Mutex(report)
    self.engines = engines
    self.calibration = calibration
    self.reports = reports
    self.logger = logger
    self.readFile = readFile
  }

  /// What the daemon runs with now; from any thread.
  nonisolated var report: ConfigurationReport { shown.withLock { $0 } }

  // MARK: - Reload

  /// Reads the capability file again; a bad one changes nothing.
  func reload() async {
    guard let readFile else {
      logger.notice("there is nothing to reload: the daemon was started without --config")
      return
    }
    reports.reloading()
    let new: Configuration
    do throws(ConfigurationError) {
      new = try readFile()
    } catch {
      logger.error(
        "the capability file is refused, nothing is changed", metadata: ["reason": "\(error)"])
      reports.reloaded("Reload refused: \(error)")
      return
    }
    for warning in new.warnings { logger.warning("\(warning)") }
    let fixed = Self.fixedChanges(from: file, to: new)
    for line in fixed {
      logger.warning("a change needs a restart", metadata: ["what": "\(line)"])
    }
    let isComplete = await take(new)
    file = new
    let rest = fixed.isEmpty ? "" : "; \(fixed.count) changes need a restart"
    let line = isComplete ? "Reloaded\(rest)" : "Reloaded, but a device does not answer\(rest)"
    logger.notice("the capability file is reloaded", metadata: ["restart": "\(fixed.count)"])
    reports.reloaded(line)
  }

  /// Changes what can be; whether every device answered.
  private func take(_ new: Configuration) async -> Bool {
    var effective = report.effective
    effective.algorithms = new.algorithms
    // Kept in memory alone: the filter of system calls ends a process that writes files.
    calibration =
      engines.calibrate(effective, cache: CalibrationCache(path: nil), known: calibration)
      .calibration
    let advertisement = engines.advertisement(
      effective, calibration: calibration, fileName: "(capability file)")
    for warning in advertisement.warnings { logger.warning("\(warning)") }
    let table = AlgorithmTable(offered: HostEngines.routes(advertisement))
    shown.withLock {
      $0.effective.algorithms = new.algorithms
      $0.effective.device.takeChangeable(of: new.device)
      $0.advertisement = advertisement
    }
    var isComplete = true
    for index in devices.indices {
      let wanted =
        new.devices.first { $0.name == devices[index].name }?.settings ?? new.device
      var next = settings[index]
      next.takeChangeable(of: wanted)
      for line in next.clamp(to: startSettings[index]) {
        logger.warning(
          "a change needs a restart",
          metadata: ["device": "\(devices[index].name)", "what": "\(line)"])
      }
      if await !change(index, next, table) { isComplete = false }
    }
    return isComplete
  }

  /// Changes one device; whether it answered.
  private func change(
    _ index: Int, _ next: DeviceSettings, _ algorithms: AlgorithmTable?
  ) async -> Bool {
    let device = devices[index]
    guard
      let outcome = await device.change(DeviceChange(settings: next, algorithms: algorithms))
    else {
      logger.error("a device does not answer", metadata: ["device": "\(device.name)"])
      return false
    }
    settings[index] = next
    shown.withLock { report in
      report.offers[index].offer = outcome.offer
      if report.effective.devices.indices.contains(index) {
        report.effective.devices[index].settings = next
      } else {
        // The inherited socket's device has no entry of its own.
        report.effective.device.takeChangeable(of: next)
      }
    }
    guard outcome.isConfigurationChanged else { return true }
    let guest =
      switch outcome.frontendIsTold {
      case true?: "told"
      case false?: "cannot be told"
      case nil: "none"
      }
    logger.notice(
      "what the device offers has changed",
      metadata: ["device": "\(device.name)", "front-end": "\(guest)"])
    return true
  }

  /// What differs between two files and is settled at the start, in a line each.
  static func fixedChanges(from old: Configuration, to new: Configuration) -> [String] {
    var lines: [String] = []
    func compare<Value: Equatable>(_ name: String, _ first: Value, _ second: Value) {
      if first != second { lines.append(name) }
    }
    compare("workers", old.workers, new.workers)
    compare("engines", old.engines, new.engines)
    compare("drivers of algorithms", old.algorithms.drivers, new.algorithms.drivers)
    compare("stats.socket", old.stats, new.stats)
    compare("control.socket", old.control, new.control)
    compare("log", old.log, new.log)
    compare(
      "devices (their names and sockets)", old.devices.map { [$0.name, $0.socketPath] },
      new.devices.map { [$0.name, $0.socketPath] })
    var pairs: [(String, DeviceSettings, DeviceSettings)] = [("device", old.device, new.device)]
    for device in new.devices {
      if let before = old.devices.first(where: { $0.name == device.name }) {
        pairs.append(("\(device.name): device", before.settings, device.settings))
      }
    }
    for (path, first, second) in pairs {
      compare("\(path).dialect", first.dialect, second.dialect)
      compare("\(path).queues", first.queueCount, second.queueCount)
      compare("\(path).queue-size", first.queueSize, second.queueSize)
      compare("\(path).stateless", first.statelessServices, second.statelessServices)
      compare(
        "\(path).max-operation-ms", first.maximumOperationMilliseconds,
        second.maximumOperationMilliseconds)
    }
    return lines
  }

  // MARK: - Limits by hand

  func limits() -> [NamedLimits] {
    zip(devices, settings).map { NamedLimits(device: $0.name, limits: DeviceLimits($1)) }
  }

  func setLimits(
    _ change: LimitChange, device: String?
  ) async throws(StatsProblem) -> [NamedLimits] {
    let names = devices.map(\.name)
    if let device, !names.contains(device) {
      let list = names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", …" : "")
      throw .badRequest("there is no device '\(device)'; there are: \(list)")
    }
    let chosen = devices.indices.filter { device == nil || names[$0] == device }
    // All or nothing: what one of them cannot take is found before the first is changed.
    for index in chosen {
      var next = settings[index]
      next.take(change)
      if let line = next.clamp(to: startSettings[index]).first {
        throw .badRequest("device \(names[index]): \(line); a larger one needs a restart")
      }
    }
    for index in chosen {
      var next = settings[index]
      next.take(change)
      guard await self.change(index, next, nil) else {
        throw .unavailable("device \(names[index]): its control thread does not answer; try again")
      }
      logger.notice(
        "limits are set", metadata: ["device": "\(names[index])", "limits": "\(change.query)"])
    }
    return limits().filter { device == nil || $0.device == device }
  }
}

extension DeviceSettings {
  /// Takes over what can change while the device runs.
  mutating func takeChangeable(of other: DeviceSettings) {
    limits = other.limits
    maximumSessionCount = other.maximumSessionCount
    maximumRequestByteCount = other.maximumRequestByteCount
    maximumCipherKeyByteCount = other.maximumCipherKeyByteCount
    maximumAuthKeyByteCount = other.maximumAuthKeyByteCount
  }

  mutating func take(_ change: LimitChange) {
    if let value = change.operationsPerSecond { limits.operationsPerSecond = value }
    if let value = change.bytesPerSecond { limits.bytesPerSecond = value }
    if let value = change.burstMilliseconds { limits.burstMilliseconds = Int(clamping: value) }
    if let value = change.sessions { maximumSessionCount = Int(clamping: value) }
    if let value = change.requestBytes { maximumRequestByteCount = value }
    if let value = change.cipherKeyBytes { maximumCipherKeyByteCount = Int(clamping: value) }
    if let value = change.authKeyBytes { maximumAuthKeyByteCount = Int(clamping: value) }
  }

  /// Stays within the memory that the device was started with; what was too much, in a line each.
  mutating func clamp(to start: DeviceSettings) -> [String] {
    var lines: [String] = []
    if maximumSessionCount > start.maximumSessionCount {
      lines.append(
        "max-sessions \(maximumSessionCount) is more than the \(start.maximumSessionCount) of the start"
      )
      maximumSessionCount = start.maximumSessionCount
    }
    if maximumRequestByteCount > start.maximumRequestByteCount {
      let wanted = LimitText.text(bytes: maximumRequestByteCount)
      let most = LimitText.text(bytes: start.maximumRequestByteCount)
      lines.append("max-request \(wanted) is more than the \(most) of the start")
      maximumRequestByteCount = start.maximumRequestByteCount
    }
    return lines
  }
}
