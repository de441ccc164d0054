import HostEngines
import StatsEndpoint

/// The daemon's snapshot for the statistics endpoint.
final class DaemonStats: StatsSource, Sendable {
  private let devices: [GuestDevice]
  private let engines: [EngineInformation]
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  init(devices: [GuestDevice], engines: [EngineInformation]) {
    self.devices = devices
    self.engines = engines
    start = clock.now
  }

  func snapshot() -> DaemonSnapshot {
    let uptime = start.duration(to: clock.now).components
    return DaemonSnapshot(
      version: VhostUserCrypto.version,
      uptimeSeconds: Double(uptime.seconds) + Double(uptime.attoseconds) / 1e18,
      engines: engines, devices: devices.map { $0.measure(engineNames: HostEngines.names) })
  }
}
