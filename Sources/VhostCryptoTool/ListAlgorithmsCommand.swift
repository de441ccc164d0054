import ArgumentParser
import Capabilities
import CryptoTypes
import Foundation
import HostEngines

/// `vhost-crypto list-algorithms`: which engine would serve what, and why not the others.
struct ListAlgorithms: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list-algorithms",
    abstract: "Show which engine would serve each algorithm, and why not the others.",
    discussion: """
      Decides as a daemon with the same capability file would on this host: by the file, the engines' known-answer \
      tests and, where the file says auto, by speeds, which are taken from the cache or measured and kept there.

      Sizes are those of a request's source. "then" leads to engines that are asked where the first cannot do a \
      request, such as one with an unusual IV.

      Examples:
        vhost-crypto list-algorithms
        vhost-crypto list-algorithms --config my.yaml
        vhost-crypto list-algorithms --json | jq '.[] | select(.servedBy == [])'
      """)

  @OptionGroup var options: EngineOptionsGroup

  private struct Row: Encodable {
    struct Choice: Encodable {
      var engine: String
      /// The sizes that it is the first choice for; both nil where it only steps in.
      var minimumByteCount: UInt64?
      var maximumByteCount: UInt64?
    }
    struct Refusal: Encodable {
      var engine: String
      var reason: String
    }
    var service: String
    var algorithm: String
    var servedBy: [Choice]
    var notBy: [Refusal]
  }

  func run() throws {
    let (configuration, engines) = try options.load()
    let selected = Set(try options.select(engines.reports(nil)).map { $0.service + $0.algorithm })
    let calibration = engines.calibrate(configuration, cache: .usual).calibration
    let advertisement = engines.advertisement(
      configuration, calibration: calibration, fileName: options.config ?? "(defaults)")
    let rows = CryptoAlgorithm.allCases
      .filter { selected.contains("\($0.service)" + $0.name) }
      .map { row($0, configuration, engines, advertisement) }
    if options.json {
      try EngineOptionsGroup.print(json: rows)
      return
    }
    EngineOptionsGroup.printEngines(engines)
    print()
    print(
      TextTable.render(
        ["service", "algorithm", "served by", "not by"],
        rows.map {
          [$0.service, $0.algorithm, Self.text($0.servedBy), Self.text($0.notBy, engines)]
        }, words: ["service", "algorithm", "served by", "not by"]),
      terminator: "")
    let count = rows.count { !$0.servedBy.isEmpty }
    print("\n\(count) of \(rows.count) algorithms are served.")
  }

  private func row(
    _ algorithm: CryptoAlgorithm, _ configuration: Configuration, _ engines: HostEngines,
    _ advertisement: Advertisement
  ) -> Row {
    let choices = advertisement.offers[algorithm] ?? []
    let refusals = HostEngines.descriptions.map(\.name).filter { name in
      !choices.contains { $0.engine == name }
    }
    return Row(
      service: "\(algorithm.service)", algorithm: algorithm.name,
      servedBy: choices.map { choice in
        let stepsIn = choice.minimumByteCount == UInt64(UInt32.max)
        return Row.Choice(
          engine: choice.engine, minimumByteCount: stepsIn ? nil : choice.minimumByteCount ?? 0,
          maximumByteCount: stepsIn ? nil : choice.maximumByteCount ?? UInt64(UInt32.max))
      },
      notBy: refusals.map { name in
        Row.Refusal(
          engine: name,
          reason: engines.reasonAgainst(name, algorithm) ?? Self.reason(algorithm, configuration))
      })
  }

  /// Why an engine that could serve an algorithm is not to.
  private static func reason(_ algorithm: CryptoAlgorithm, _ configuration: Configuration) -> String
  {
    let place = configuration.algorithms.position(of: algorithm).map { " (\($0))" } ?? ""
    return switch configuration.algorithms.policy(for: algorithm) {
    case .off: "the algorithm is off\(place)"
    case .engines: "not in its list\(place)"
    case .auto: "not chosen"
    }
  }

  private static func text(_ choices: [Row.Choice]) -> String {
    if choices.isEmpty { return "-" }
    let first = choices.filter { $0.minimumByteCount != nil }
    let rest = choices.filter { $0.minimumByteCount == nil }.map(\.engine)
    let served = first.map { choice -> String in
      let low = choice.minimumByteCount ?? 0
      let high = choice.maximumByteCount ?? UInt64(UInt32.max)
      if low == 0, high == UInt64(UInt32.max) { return choice.engine }
      if high == UInt64(UInt32.max) { return "\(choice.engine) from \(low) B" }
      return low == 0 ? "\(choice.engine) to \(high) B" : "\(choice.engine) \(low)-\(high) B"
    }.joined(separator: ", ")
    return rest.isEmpty ? served : served + ", then " + rest.joined(separator: ", ")
  }

  /// An engine's own absence is told above the table.
  private static func text(_ refusals: [Row.Refusal], _ engines: HostEngines) -> String {
    refusals.map { refusal in
      let isAbsent = engines.absences[refusal.engine] == refusal.reason
      return "\(refusal.engine): \(isAbsent ? "not used here" : refusal.reason)"
    }.joined(separator: "; ")
  }
}
