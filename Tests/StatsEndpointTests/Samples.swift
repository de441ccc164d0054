import Counters
import CryptoTypes
import StatsEndpoint
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
  first.block.setGauge(.inFlightMaximum, 7)
  let sessions = SessionCounters()
  for _ in 0..<3 { sessions.recordCreated() }
  sessions.recordDestroyed()
  return DeviceSnapshot(
    name: name, socket: "/run/\(name).sock", connected: true, features: 1 << 32,
    sessions: sessions.snapshot(),
    queues: [
      MeasuredQueue(
        index: 0, isRunning: true, cpu: 2, counters: first.snapshot(nanosecondsPerTick: factor)),
      MeasuredQueue(
        index: 1, isRunning: false, cpu: nil, counters: second.snapshot(nanosecondsPerTick: factor)),
    ],
    engineNames: ["openssl"])
}

/// A daemon with so many of that device.
struct SampleSource: StatsSource {
  private let daemon: DaemonSnapshot

  init(deviceCount: Int = 1) {
    let device = try? sampleDevice()
    let devices = (0..<deviceCount).compactMap { index in
      var copy = device
      copy?.name = "vm\(index + 1)"
      return copy
    }
    daemon = DaemonSnapshot(
      version: "1.0 \"odd\"\nname\\", uptimeSeconds: 12.5,
      engines: [EngineInformation(name: "openssl", version: "OpenSSL 3.0.17")], devices: devices)
  }

  func snapshot() -> DaemonSnapshot { daemon }
}
