import Foundation
import Glibc
import VhostUserFrontend

/// One measured point of a picture.
struct BenchPoint: Sendable {
  var side: BenchSide
  var operation: String
  var byteCount: Int
  var requestsPerSecond: Double
  /// Half of the rounds lie between.
  var quartiles: ClosedRange<Double>?
  var p50Microseconds: Double?
  var p99Microseconds: Double?

  var megabytesPerSecond: Double { requestsPerSecond * Double(byteCount) / 1e6 }

  init(_ row: BenchRow) {
    side = .device
    operation = row.operation
    byteCount = row.byteCount
    requestsPerSecond = row.requestsPerSecond
    p50Microseconds = row.latencyMicroseconds.p50
    p99Microseconds = row.latencyMicroseconds.p99
  }

  init(
    _ side: BenchSide, operation: String, byteCount: Int, _ spread: Spread,
    _ latency: BenchLatencies?
  ) {
    self.side = side
    self.operation = operation
    self.byteCount = byteCount
    requestsPerSecond = spread.median
    quartiles = spread.lowerQuartile...spread.upperQuartile
    p50Microseconds = latency?.p50Microseconds
    p99Microseconds = latency?.p99Microseconds
  }

  /// Each side's point of a comparison.
  static func all(of line: BenchComparisonLine) -> [BenchPoint] {
    let sides: [(BenchSide, Spread?, BenchLatencies?)] = [
      (.device, line.device, line.deviceLatency), (.against, line.against, line.againstLatency),
      (.raw, line.raw, nil),
    ]
    return sides.compactMap { side, spread, latency in
      spread.map {
        BenchPoint(side, operation: line.operation, byteCount: line.byteCount, $0, latency)
      }
    }
  }
}

/// The file of `--plot`.
struct BenchChartFile {
  /// `EX_CANTCREAT`.
  private static let cannotCreate: Int32 = 73

  private let path: String

  /// Finds out before anything is measured whether the picture can be drawn and kept.
  init(_ path: String, operations: [BenchOperation]) throws(BenchFailure) {
    self.path = path
    if let operation = operations.first(where: { $0.fixedByteCount != nil }) {
      throw .usage("--plot draws over sizes, and \(operation.name) has one of its own")
    }
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard file >= 0 else {
      let code = errno
      // SAFETY: strerror's text is copied at once.
      let reason = unsafe String(cString: strerror(code))
      throw BenchFailure(
        message: "--plot \(path) cannot be written: \(reason)", status: Self.cannotCreate)
    }
    close(file)
  }

  func write(_ points: [BenchPoint], _ settings: BenchSettings) throws(BenchFailure) {
    let chart = BenchChart(points: points, caption: Self.caption(settings))
    do {
      try Data(chart.svg().utf8).write(to: URL(fileURLWithPath: path))
    } catch {
      throw BenchFailure(
        message: "--plot \(path) cannot be written: \(error.localizedDescription)",
        status: Self.cannotCreate)
    }
  }

  /// Where and how it was measured.
  private static func caption(_ settings: BenchSettings) -> [String] {
    let name = (CommandLine.arguments.first ?? "").split(separator: "/").last.map(String.init)
    let words = [name ?? "vhost-crypto"] + CommandLine.arguments.dropFirst()
    let day = Date().formatted(.iso8601.year().month().day())
    return [
      "\(processor()), \(ProcessInfo.processInfo.activeProcessorCount) processors, \(kernel()), \(day)",
      "\(settings.depth) requests in flight, \(settings.batch) per kick, \(settings.queueCount) "
        + (settings.queueCount == 1 ? "queue" : "queues") + ", \(settings.ring.rawValue) ring, "
        + "\(settings.mode.rawValue) mode, \(settings.layoutName) layout",
      words.joined(separator: " "),
    ]
  }

  private static func processor() -> String {
    let file = FileHandle(forReadingAtPath: "/proc/cpuinfo")
    let text = (try? file?.readToEnd()).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) }
    let line = text?.split(separator: "\n").first { $0.hasPrefix("model name") }
    let name = line?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces)
    return name ?? "unknown processor"
  }

  private static func kernel() -> String {
    let file = FileHandle(forReadingAtPath: "/proc/sys/kernel/osrelease")
    let text = (try? file?.readToEnd()).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) }
    return "Linux " + (text ?? "?").trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
