// data-path-driver: the data path alone, in one thread: guest memory, ring, sessions, engines and the worker's loop, without
// a socket, a front-end or another processor. What it measures is what a request costs a worker whose memory is in its own
// cache. PerformanceGuardTests counts its instructions; people time it.
//
//   data-path-driver aes-128-cbc-encrypt:openssl:packed sha256:1024
//
// One JSON object a line: each scenario, and the same with an engine that does nothing.

import ArgumentParser
import EngineContract
import Foundation
import HostEngines

@main
struct DataPathDriver: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data-path-driver",
    abstract: "Times the data path in one process and one thread, and prints JSON.")

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
