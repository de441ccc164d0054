import HostEngines
import StatsEndpoint
import Synchronization

/// What the daemon tells at the statistics endpoint.
final class DaemonStats: StatsSource, Sendable {
  let devices: [GuestDevice]
  let engines: [EngineInformation]
  private let steering: Steering
  let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  /// The number of the last profile.
  private let profiles = Mutex<UInt64>(0)

  init(devices: [GuestDevice], engines: [EngineInformation], steering: Steering) {
    self.devices = devices
    self.engines = engines
    self.steering = steering
    start = clock.now
  }

  func snapshot(percentiles: Bool) -> DaemonSnapshot {
    let uptime = start.duration(to: clock.now) / .seconds(1)
    return DaemonSnapshot(
      version: VhostUserCrypto.version, uptimeSeconds: uptime,
      process: .current(uptimeSeconds: uptime),
      engines: engines,
      devices: devices.map {
        $0.measure(engineNames: HostEngines.names, percentiles: percentiles)
      })
  }

  var takeProfile: (@Sendable (Int) async throws -> ProfileSnapshot)? {
    { [self] seconds in try await profile(seconds: seconds) }
  }

  /// The number of a new profile.
  func nextProfile() -> UInt64 {
    profiles.withLock { last in
      last += 1
      return last
    }
  }

  func silentDevices() async -> [String] {
    await withTaskGroup(of: String?.self) { group in
      for device in devices {
        group.addTask { await device.answers() ? nil : device.name }
      }
      return await group.reduce(into: []) { if let name = $1 { $0.append(name) } }.sorted()
    }
  }

  func configuration(_ format: ConfigurationFormat) throws -> String {
    let report = steering.report
    return switch format {
    case .json: try report.json()
    case .yaml: report.yaml()
    }
  }

  func sessions(of device: String, offset: Int, limit: Int) async throws -> SessionPage {
    guard let device = devices.first(where: { $0.name == device }) else {
      throw StatsProblem.badRequest("there is no device '\(device)'")
    }
    return try await device.sessions(
      offset: offset, limit: limit, engineNames: HostEngines.names)
  }
}
