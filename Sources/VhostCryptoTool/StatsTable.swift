import Foundation
import StatsEndpoint

/// Lays a snapshot out for people.
enum StatsTable {
  static func render(_ snapshot: DaemonSnapshot) -> String {
    let engines = snapshot.engines.map { "\($0.name) (\($0.version))" }.joined(separator: ", ")
    var text =
      "vhost-user-crypto \(snapshot.version), up \(TopText.duration(snapshot.uptimeSeconds)), "
      + "engines: \(engines.isEmpty ? "none" : engines)\n"
    let process = snapshot.process
    text +=
      "process \(process.pid): \(seconds(process.cpuSeconds)) of processor time, "
      + "\(TopText.bytes(process.residentBytes)) of memory, \(process.threads) threads, "
      + "\(process.openFiles) of \(process.maximumFiles) files\n"
    for device in snapshot.devices { text += "\n" + render(device) }
    if snapshot.devices.isEmpty { text += "\nno devices\n" }
    return text
  }

  private static func render(_ device: DeviceSnapshot) -> String {
    let sessions = device.sessions
    var text =
      "device \(device.name)  \(device.socket)  "
      + (device.connected ? "connected" : "no front-end") + "\n"
      + "  sessions: \(sessions.open) open, \(sessions.created) created, "
      + "\(sessions.destroyed) destroyed, \(sessions.refused) refused\n"
    if let line = limits(device) { text += "  \(line)\n" }
    if let fault = device.controlFault { text += "  control queue stopped: \(fault)\n" }
    for queue in device.queues {
      if let fault = queue.fault { text += "  queue \(queue.index) stopped: \(fault)\n" }
    }
    text += table(
      [
        "queue", "cpu", "cpu time", "helpers", "requests", "data", "errors", "in flight",
        "req/batch", "kicks", "calls", "suppressed", "spins", "sleeps", "starts", "faults",
      ],
      device.queues.map { queue in
        [
          "\(queue.index)" + (queue.running ? "" : " (stopped)"),
          queue.cpu.map(String.init) ?? "-", seconds(queue.cpuSeconds),
          seconds(queue.helperCPUSeconds), "\(queue.requests)", TopText.bytes(queue.bytes),
          "\(errors(queue))",
          "\(queue.inFlight)", ratio(queue.requests, queue.batches), "\(queue.kicks)",
          "\(queue.callsSent)", "\(queue.callsSuppressed)", "\(queue.spins)", "\(queue.sleeps)",
          "\(queue.starts)",
          "\(queue.malformedRings)",
        ]
      })
    if device.algorithms.isEmpty { return text + "  no requests yet\n" }
    return text
      + table(
        [
          "algorithm", "operation", "engine", "requests", "data", "errors", "p50", "p99", "p99.9",
          "max",
        ],
        device.algorithms.map { row in
          let latency = row.latencyNanoseconds
          return [
            row.algorithm, row.operation, row.engine, "\(row.requests)", TopText.bytes(row.bytes),
            errors(row), TopText.nanoseconds(latency.p50), TopText.nanoseconds(latency.p99),
            TopText.nanoseconds(latency.p999), TopText.nanoseconds(latency.max),
          ]
        })
  }

  /// Requests that were not answered OK, whether or not their algorithm was known.
  private static func errors(_ queue: QueueStatistics) -> UInt64 {
    queue.statuses.values.reduce(0, &+) &+ queue.requestsRefused &+ queue.requestsWithoutStatus
  }

  /// `3 (BADMSG 2, ERR 1)`.
  private static func errors(_ row: AlgorithmStatistics) -> String {
    if row.errors == 0 { return "0" }
    let list = row.statuses.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return "\(row.errors) (\(list.joined(separator: ", ")))"
  }

  /// What the device's rates are held to, and how often requests waited; nil where that is nothing.
  private static func limits(_ device: DeviceSnapshot) -> String? {
    let limits = device.limits
    let waits = device.queues.reduce(0) { $0 &+ $1.throttledWaits }
    guard limits.operationsPerSecond > 0 || limits.bytesPerSecond > 0 || waits > 0 else {
      return nil
    }
    let rates = [
      limits.operationsPerSecond > 0 ? "\(limits.operationsPerSecond) operations/s" : nil,
      limits.bytesPerSecond > 0 ? "\(TopText.bytes(limits.bytesPerSecond))/s" : nil,
    ].compactMap { $0 }
    let waited = seconds(device.queues.reduce(0) { $0 + $1.throttledSeconds })
    return "limits: \(rates.isEmpty ? "none now" : rates.joined(separator: ", ")); "
      + "requests waited \(waits) times, \(waited)"
  }

  private static func table(_ head: [String], _ rows: [[String]]) -> String {
    TextTable.render(
      head, rows, words: ["queue", "algorithm", "operation", "engine"], indent: "  ")
  }

  // MARK: - Units

  private static func seconds(_ value: Double) -> String { String(format: "%.1f s", value) }

  private static func ratio(_ first: UInt64, _ second: UInt64) -> String {
    second == 0 ? "-" : String(format: "%.1f", Double(first) / Double(second))
  }
}
