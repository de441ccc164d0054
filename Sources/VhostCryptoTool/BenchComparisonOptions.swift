import ArgumentParser
import Foundation
import VhostUserFrontend
import VhostUserProtocol

/// The options of `bench` that set something beside the device, and what they come to.
struct BenchComparisonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Measure this back-end, too, in turn with the first one, and report the first one's requests per second as a multiple of its.",
      valueName: "socket"))
  var against: String?

  @Option(help: "How sessions are created in the second back-end: control (queue) or message.")
  var againstSessions: String?

  @Option(help: "Layout of the second back-end's session messages.")
  var againstMessageLayout: String?

  @Flag(help: "Measure this host's engines in this process, too, and report device/raw.")
  var raw = false

  @Option(
    help: ArgumentHelp(
      "The engine for --raw. (default: the daemon's own choice without a capability file)",
      valueName: "name"))
  var rawEngine: String?

  @Option(help: "Rounds of a comparison, each with a sample of --seconds of every side.")
  var samples: Int = 11

  @Option(
    help: ArgumentHelp(
      "Processor that the back-ends run on (where they do is theirs to say): with --cpu, its distance is measured before and after each sample, and rounds in which it changed do not count.",
      valueName: "cpu"))
  var backendCpu: Int?

  /// Whether there is anything to compare.
  var isWanted: Bool { against != nil || raw }

  /// The second back-end's way, which is the first one's where nothing else is said.
  func settings(from first: BenchSettings) throws -> BenchSettings {
    var settings = first
    settings.recordsInflight = false
    if let againstSessions {
      guard let sessions = BenchSettings.Sessions(rawValue: againstSessions) else {
        throw BenchFailure.usage(
          "--against-sessions is control or message, not \(againstSessions)")
      }
      settings.sessions = sessions
    }
    if let againstMessageLayout {
      settings.messageLayout = try Self.messageLayout(
        againstMessageLayout, of: "--against-message-layout")
    }
    return settings
  }

  static func messageLayout(_ name: String, of option: String) throws -> SessionLayout {
    guard let layout = BenchSettings.messageLayouts[name] else {
      let names = BenchSettings.messageLayouts.keys.sorted().joined(separator: ", ")
      throw BenchFailure.usage("\(option) is one of \(names), not \(name)")
    }
    return layout
  }

  /// Complains about values that mean nothing.
  func check(cpu: Int?) throws {
    guard (1...1000).contains(samples) else {
      throw BenchFailure.usage("--samples is from 1 to 1000, not \(samples)")
    }
    if rawEngine != nil && !raw { throw BenchFailure.usage("--raw-engine is for --raw") }
    if against == nil && (againstSessions != nil || againstMessageLayout != nil) {
      throw BenchFailure.usage(
        "--against-sessions and --against-message-layout are for --against")
    }
    guard let backendCpu else { return }
    guard (0..<1024).contains(backendCpu) else {
      throw BenchFailure.usage("--backend-cpu is from 0 to 1023, not \(backendCpu)")
    }
    guard let cpu, cpu != backendCpu else {
      throw BenchFailure.usage("--backend-cpu wants a --cpu that is another one")
    }
  }
}

/// `bench` with something to compare.
struct BenchComparer {
  let device: BenchRun
  /// The back-end of `--against`.
  let against: BenchRun?
  let ceiling: BenchCeiling?
  let options: BenchComparisonOptions
  let json: Bool

  /// Measures one operation at one size, and prints the samples where JSON is wanted.
  ///
  /// - Returns: what came out, a line for each regime; one without rounds where no round counts.
  func compare(_ operation: BenchOperation, byteCount: Int) throws -> [BenchComparisonLine] {
    let settings = device.settings
    var sides: [BenchSide] = [.device]
    if against != nil { sides.append(.against) }
    if ceiling != nil { sides.append(.raw) }
    var pingPong: LinePingPong?
    if let first = settings.processor, let second = options.backendCpu {
      pingPong = LinePingPong(first: first, second: second)
    }
    let comparison = BenchComparison(
      sides: sides, roundCount: options.samples, pingPong: pingPong)
    let rounds = try comparison.run { side in
      try sample(side, operation, byteCount)
    } report: { round, sample, lines in
      if json {
        try BenchReport.printLine(
          BenchSampleLine(
            operation: operation.name, byteCount: byteCount, round: round, sample: sample,
            lines: lines))
      }
      guard sample.verified == sample.compared else {
        throw BenchFailure(
          message: "\(operation.name) at \(byteCount) bytes (\(sample.side)): "
            + "\(sample.compared - sample.verified) of \(sample.compared) results are wrong",
          status: BenchFailure.wrong)
      }
    }
    let regimes = BenchComparison.regimes(rounds)
    return (regimes.isEmpty ? [[]] : regimes).map { regime in
      BenchComparisonLine(
        operation: operation.name, byteCount: byteCount, settings: settings, regime: regime,
        all: rounds)
    }
  }

  private func sample(
    _ side: BenchSide, _ operation: BenchOperation, _ byteCount: Int
  ) throws -> BenchSample {
    switch side {
    case .device:
      return BenchSample(side: side, row: try device.measure(operation, byteCount: byteCount))
    case .against:
      guard let against else { break }
      do {
        return BenchSample(side: side, row: try against.measure(operation, byteCount: byteCount))
      } catch var failure as BenchFailure {
        failure.message = "--against \(against.socketPath): \(failure.message)"
        throw failure
      } catch let error as FrontendError {
        throw BenchFailure(
          message: "--against \(against.socketPath): \(error)", status: BenchFailure.wrong)
      }
    case .raw:
      guard let ceiling else { break }
      return try ceiling.measure(
        operation, byteCount: byteCount, settings: device.settings, processor: options.backendCpu)
    }
    throw BenchFailure.usage("nothing to measure for \(side)")
  }
}
