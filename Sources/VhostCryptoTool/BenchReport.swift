import Foundation
import Histogram
import VhostUserFrontend

/// One line of the result: one operation at one size.
struct BenchRow: Codable, Sendable {
  /// Percentiles in microseconds, from posting a request to seeing it used.
  struct Latency: Codable, Sendable {
    var p50: Double
    var p90: Double
    var p99: Double
    var p999: Double
    var max: Double
  }

  /// Which kind of line it is.
  var type = "measurement"
  var operation: String
  var byteCount: Int
  var depth: Int
  var batch: Int
  var queues: Int
  var mode: String
  var layout: String
  var descriptors: String
  var ring: String
  var seconds: Double
  var requests: UInt64
  var requestsPerSecond: Double
  var megabytesPerSecond: Double
  var latencyMicroseconds: Latency
  /// How much of the time the front-end's threads had a processor: polling ones have it always, unless others want it.
  var processorShare: Double
  var kicks: UInt64
  var sleeps: UInt64
  /// Results that equal the independent computation, and results that were compared with it.
  var verified: UInt64
  var compared: UInt64

  init(operation: String, byteCount: Int, settings: BenchSettings, tally: BenchTally) {
    func microseconds(_ percentile: Double) -> Double {
      Double(tally.latencies.valueAtPercentile(percentile)) / 1000
    }
    self.operation = operation
    self.byteCount = byteCount
    depth = settings.depth
    batch = settings.batch
    queues = settings.queueCount
    mode = settings.mode.rawValue
    layout = settings.layoutName
    descriptors = settings.isIndirect ? "indirect" : "direct"
    ring = settings.ring.rawValue
    seconds = tally.seconds
    requests = tally.requestCount
    requestsPerSecond = tally.seconds > 0 ? Double(tally.requestCount) / tally.seconds : 0
    megabytesPerSecond = requestsPerSecond * Double(byteCount) / 1e6
    latencyMicroseconds = Latency(
      p50: microseconds(50), p90: microseconds(90), p99: microseconds(99),
      p999: microseconds(99.9), max: microseconds(100))
    processorShare =
      tally.seconds > 0
      ? min(1, tally.processorSeconds / tally.seconds / Double(settings.queueCount)) : 0
    kicks = tally.kickCount
    sleeps = tally.sleepCount
    verified = tally.matchedCount
    compared = tally.comparedCount
  }
}

/// How rows are printed.
enum BenchReport {
  private static let widths = [34, 8, 6, 11, 9, 8, 8, 8, 8, 9, 13]

  /// The head of the table.
  static var header: String {
    line([
      "op", "size", "depth", "req/s", "MB/s", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us",
      "verified",
    ])
  }

  static func line(_ row: BenchRow) -> String {
    let latency = row.latencyMicroseconds
    return line([
      row.operation, String(row.byteCount), String(row.depth),
      String(format: "%.0f", row.requestsPerSecond),
      String(format: "%.1f", row.megabytesPerSecond), String(format: "%.1f", latency.p50),
      String(format: "%.1f", latency.p90), String(format: "%.1f", latency.p99),
      String(format: "%.1f", latency.p999), String(format: "%.1f", latency.max),
      "\(row.verified)/\(row.compared)",
    ])
  }

  /// The first column to the left, the others to the right.
  private static func line(_ cells: [String]) -> String {
    zip(cells, widths).enumerated().map { index, pair in
      let (cell, width) = pair
      let space = String(repeating: " ", count: max(0, width - cell.count))
      return index == 0 ? cell + space : space + cell
    }.joined(separator: " ")
  }

  /// Prints a line of JSON, at once even where the output is no terminal.
  static func printLine(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
  }
}
