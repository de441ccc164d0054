import ArgumentParser
import EngineContract
import Foundation
import HostEngines

/// Times scenarios, for people; under Callgrind, for `InstructionsCommand`.
struct TimeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "time",
    abstract: "Times it: one JSON object a line, each scenario and the same with the null engine.")

  @Argument(help: ArgumentHelp("What to measure: \(Scenario.help)"))
  var scenarios: [Scenario]

  @Option(help: "Requests in the ring at once, 1 to 128.")
  var depth = 64

  @Option(help: "How often the ring is filled.")
  var rounds = 5000

  @Flag(help: "Leave out the same with the null engine.")
  var withoutNull = false

  func validate() throws {
    guard (1...128).contains(depth) else {
      throw ValidationError("--depth \(depth): give 1 to 128")
    }
    guard rounds > 0 else { throw ValidationError("--rounds \(rounds): give at least 1") }
  }

  func run() throws {
    for scenario in scenarios {
      try show(scenario)
      guard !withoutNull, scenario.engine != NullEngine.description.name else { continue }
      var null = scenario
      null.engine = NullEngine.description.name
      try show(null)
    }
  }

  private func show(_ scenario: Scenario) throws {
    let measurement: Measurement
    if scenario.engine == NullEngine.description.name {
      measurement = try DataPath<NullLanes>(scenario, depth: depth).measure(rounds: rounds)
    } else {
      measurement = try DataPath<HostLanes>(scenario, depth: depth).measure(rounds: rounds)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(measurement), as: UTF8.self))
  }
}
