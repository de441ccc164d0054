import Counters
import CryptoTypes
import StatsEndpoint
import Synchronization
import Testing

/// The number of the row with these names.
private func row(_ algorithm: String, _ operation: String) throws -> UInt16 {
  let rows = (0..<StatisticsRow.count).map { StatisticsRow(index: UInt16($0)) }
  return try #require(
    rows.first { $0.algorithmName == algorithm && $0.operationName == operation }
  ).index
}

/// A device with two queues that did a little of everything.
func sampleDevice(name: String = "vm1", factor: Double = 0.5) throws -> DeviceSnapshot {
  let first = try QueueCounters(rowCount: StatisticsRow.count)
  let second = try QueueCounters(rowCount: StatisticsRow.count)
  let encrypt = try row("aes-cbc", "encrypt")
  let decrypt = try row("aes-cbc", "decrypt")
  let chain = try row("aes-cbc+hmac-sha1", "decrypt")
  let aead = try row("aes-gcm", "decrypt")
  for queue in [first, second] {
    for index: UInt64 in 1...10 {
      queue.block.record(
        row: encrypt, engine: 0, byteCount: 100, statusCode: 0, ticks: index * 1000)
    }
    queue.block.add(.requests, 13)
    queue.block.add(.bytes, 1320)
    queue.block.recordBatch(size: 10)
    queue.block.recordBatch(size: 3)
    queue.block.add(.kicks, 2)
  }
  first.block.record(row: decrypt, engine: 1, byteCount: 7, statusCode: 1, ticks: 50)
  first.block.record(row: chain, engine: 0, byteCount: 9, statusCode: 0, ticks: 60)
  first.block.record(row: aead, engine: 0, byteCount: 11, statusCode: 2, ticks: 70)
  first.block.record(
    row: try row("rsa", "sign"), engine: 0, byteCount: 32, statusCode: 0, ticks: 80)
  first.block.record(
    row: try row("ecdsa", "verify"), engine: 0, byteCount: 104, statusCode: 0, ticks: 90)
  first.block.setGauge(.inFlightMaximum, 7)
  let sessions = SessionCounters()
  for _ in 0..<3 { sessions.recordCreated() }
  sessions.recordDestroyed()
  var stopped = MeasuredQueue(
    index: 1, isRunning: false, cpu: nil, counters: second.snapshot(nanosecondsPerTick: factor))
  stopped.starts = 3
  stopped.cpuSeconds = 1.5
  stopped.helperCPUSeconds = 0.25
  return DeviceSnapshot(
    name: name, socket: "/run/\(name).sock", connected: true, features: 1 << 32,
    sessions: sessions.snapshot(),
    queues: [
      MeasuredQueue(
        index: 0, isRunning: true, cpu: 2, counters: first.snapshot(nanosecondsPerTick: factor)),
      stopped,
    ],
    engineNames: ["openssl"])
}

/// A daemon with so many of that device, each of which has seven sessions.
final class SampleSource: StatsSource {
  private let daemon: DaemonSnapshot
  let silent: [String]
  let takeProfile: (@Sendable (Int) async throws -> ProfileSnapshot)?
  /// How often it was asked for a snapshot.
  let snapshotCount = Atomic(0)

  init(
    deviceCount: Int = 1, silent: [String] = [], fault: String? = nil,
    takeProfile: (@Sendable (Int) async throws -> ProfileSnapshot)? = nil
  ) {
    let device = try? sampleDevice()
    let devices = (0..<deviceCount).compactMap { index in
      var copy = device
      copy?.name = "vm\(index + 1)"
      if let fault { copy?.queues[0].fault = fault }
      return copy
    }
    daemon = DaemonSnapshot(
      version: "1.0 \"odd\"\nname\\", uptimeSeconds: 12.5,
      process: .current(uptimeSeconds: 12.5),
      engines: [EngineInformation(name: "openssl", version: "OpenSSL 3.0.17")], devices: devices)
    self.silent = silent
    self.takeProfile = takeProfile
  }

  func snapshot(percentiles: Bool) -> DaemonSnapshot {
    snapshotCount.add(1, ordering: .relaxed)
    return daemon
  }

  func silentDevices() async -> [String] { silent }

  func configuration(_ format: ConfigurationFormat) throws -> String {
    format == .json ? "{\"version\":\"1.0\"}\n" : "version: 1\n"
  }

  func sessions(of device: String, offset: Int, limit: Int) async throws -> SessionPage {
    guard !silent.contains(device) else { throw StatsProblem.unavailable("\(device) is silent") }
    let all = (0..<7).map { index in
      SessionEntry(
        id: 1 << 32 | index, service: "cipher", algorithm: "aes-cbc", operation: "encrypt",
        engines: ["openssl"], ageSeconds: index)
    }
    let page = Array(all.dropFirst(offset).prefix(limit))
    return SessionPage(
      device: device, open: 7, offset: offset, sessions: page,
      next: offset + page.count < 7 ? offset + page.count : nil)
  }
}
