import Foundation
import StatsEndpoint

/// Lays a snapshot out for people.
enum StatsTable {
  static func render(_ snapshot: DaemonSnapshot) -> String {
    let engines = snapshot.engines.map { "\($0.name) (\($0.version))" }.joined(separator: ", ")
    var text =
      "vhost-user-crypto \(snapshot.version), up \(duration(snapshot.uptimeSeconds)), "
      + "engines: \(engines.isEmpty ? "none" : engines)\n"
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
    text += table(
      [
        "queue", "cpu", "requests", "data", "in flight", "req/batch", "kicks", "calls",
        "suppressed",
        "spins", "sleeps", "faults",
      ],
      device.queues.map { queue in
        [
          "\(queue.index)" + (queue.running ? "" : " (stopped)"),
          queue.cpu.map(String.init) ?? "-", "\(queue.requests)", bytes(queue.bytes),
          "\(queue.inFlight)", ratio(queue.requests, queue.batches), "\(queue.kicks)",
          "\(queue.callsSent)", "\(queue.callsSuppressed)", "\(queue.spins)", "\(queue.sleeps)",
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
            row.algorithm, row.operation, row.engine, "\(row.requests)", bytes(row.bytes),
            errors(row), nanoseconds(latency.p50), nanoseconds(latency.p99),
            nanoseconds(latency.p999), nanoseconds(latency.max),
          ]
        })
  }

  /// `3 (BADMSG 2, ERR 1)`.
  private static func errors(_ row: AlgorithmStatistics) -> String {
    if row.errors == 0 { return "0" }
    let list = row.statuses.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return "\(row.errors) (\(list.joined(separator: ", ")))"
  }

  private static func table(_ head: [String], _ rows: [[String]]) -> String {
    TextTable.render(
      head, rows, words: ["queue", "algorithm", "operation", "engine"], indent: "  ")
  }

  // MARK: - Units

  private static func bytes(_ count: UInt64) -> String {
    scaled(Double(count), step: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
  }

  private static func nanoseconds(_ value: UInt64) -> String {
    scaled(Double(value), step: 1000, ["ns", "us", "ms", "s"])
  }

  private static func scaled(_ value: Double, step: Double, _ units: [String]) -> String {
    var value = value
    var unit = 0
    while value >= step, unit + 1 < units.count {
      value /= step
      unit += 1
    }
    return unit == 0
      ? "\(Int(value)) \(units[0])" : String(format: "%.1f ", value) + units[unit]
  }

  private static func ratio(_ first: UInt64, _ second: UInt64) -> String {
    second == 0 ? "-" : String(format: "%.1f", Double(first) / Double(second))
  }

  private static func duration(_ seconds: Double) -> String {
    let whole = seconds > 0 ? Int(min(seconds, 1e12)) : 0
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    if whole < 86400 { return "\(whole / 3600) h \(whole / 60 % 60) min" }
    return "\(whole / 86400) d \(whole / 3600 % 24) h"
  }
}
