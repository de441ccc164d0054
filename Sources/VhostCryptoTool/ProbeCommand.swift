import ArgumentParser
import Foundation
import HostEngines

/// `vhost-crypto probe`: what this host can do, and how fast.
struct Probe: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find out what this host can do: every algorithm on every engine, tested and timed.",
    discussion: """
      Runs each engine's known-answer tests, then measures it alone on one processor, without a guest: batches of 32 \
      requests (16 of 16 KiB), the best of several, in GB/s of source bytes. Ciphers run in both directions in turn. \
      "auto" names the sizes that the capability file's `engine: auto` gives to the engine by these numbers.

      It needs no daemon and disturbs none but for the processor time; it takes some seconds.

      Examples:
        vhost-crypto probe
        vhost-crypto probe --algorithm aes-cbc --algorithm aes-gcm
        vhost-crypto probe --config my.yaml --json
      """)

  @OptionGroup var options: EngineOptionsGroup

  @Flag(inversion: .prefixedNo, help: "Measure speeds.")
  var speed = true

  private struct Output: Encodable {
    struct Engine: Encodable {
      var name: String
      var version: String?
      var absence: String?
    }
    var engines: [Engine]
    var selfTestMilliseconds: Double
    var sizes: [Int]
    var algorithms: [AlgorithmReport]
  }

  func run() throws {
    let (_, engines) = try options.load()
    // Told before the seconds of measuring.
    _ = try options.select(engines.reports(nil))
    let calibration = speed ? engines.measureAll(only: options.algorithms) : nil
    let rows = try options.select(engines.reports(calibration))
    if options.json {
      try EngineOptionsGroup.print(
        json: Output(
          engines: engines.versions.map { .init(name: $0.name, version: $0.version) }
            + engines.absences.sorted { $0.key < $1.key }
            .map { .init(name: $0.key, absence: $0.value) },
          selfTestMilliseconds: engines.selfTestDuration / .milliseconds(1),
          sizes: Calibration.sizes, algorithms: rows))
      return
    }
    EngineOptionsGroup.printEngines(engines)
    print(
      String(
        format: "self-tests: %.1f ms\n", engines.selfTestDuration / .milliseconds(1)))
    printTable(rows, engines)
  }

  private func printTable(_ rows: [AlgorithmReport], _ engines: HostEngines) {
    var lines: [[String]] = []
    for row in rows {
      for (index, engine) in row.engines.enumerated() {
        // An engine that refuses a size has no speed there.
        let speeds = engine.gigabytesPerSecond.map {
          $0 > 0 ? String(format: $0 < 0.1 ? "%.4f" : "%.2f", $0) : "-"
        }
        lines.append(
          [
            index == 0 ? row.service : "", index == 0 ? row.algorithm : "", engine.engine,
            engine.isUsable ? "yes" : "-",
          ] + (speeds.isEmpty ? Calibration.sizes.map { _ in "-" } : speeds) + [
            engine.automaticSizes.map(Self.size).joined(separator: " "),
            engines.absences[engine.engine] == engine.selfTest ? "not used" : engine.selfTest,
          ])
      }
    }
    print(
      TextTable.render(
        ["service", "algorithm", "engine", "usable"] + Calibration.sizes.map(Self.size) + [
          "auto", "self-test",
        ], lines,
        words: ["service", "algorithm", "engine", "usable", "auto", "self-test"]),
      terminator: "")
  }

  private static func size(_ byteCount: Int) -> String {
    byteCount < 1024 ? "\(byteCount)B" : "\(byteCount / 1024)KiB"
  }
}
