import ArgumentParser
import Foundation
import HostEngines

/// What recording requests in flight and logging written pages cost, side by side.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Times scenarios without and with records of requests in flight and a log of pages.",
    discussion: """
      In turns, so that what changes on the machine meets all of them alike. The ratio is the time without to the time
      with it: 0.97 is 3 % more time for each request.
      """)

  @Argument(help: ArgumentHelp("What to measure: \(Scenario.help)"))
  var scenarios: [Scenario]

  @Option(help: "Turns; median and quartiles are of these.")
  var samples = 21

  @Option(help: "How often the ring is filled in a turn.")
  var rounds = 2000

  func validate() throws {
    guard samples > 0, rounds > 0 else {
      throw ValidationError("--samples and --rounds: give at least 1")
    }
  }

  func run() throws {
    for scenario in scenarios { try compare(scenario) }
  }

  private func compare(_ scenario: Scenario) throws {
    var plain = scenario
    (plain.isRecorded, plain.isLogged) = (false, false)
    var variants = [plain, plain, plain, plain]
    variants[1].isRecorded = true
    variants[2].isLogged = true
    (variants[3].isRecorded, variants[3].isLogged) = (true, true)
    var times = [[Double]](repeating: [], count: variants.count)
    for sample in 0..<samples {
      for turn in variants.indices {
        // Nobody always comes first.
        let index = (turn + sample) % variants.count
        times[index].append(try nanoseconds(variants[index]))
      }
    }
    for index in variants.indices {
      let ratios = zip(times[0], times[index]).map { $0 / $1 }.sorted()
      let line = String(
        format: "%7.1f ns  ratio %.3f (%.3f to %.3f)  ", times[index].sorted()[samples / 2],
        ratios[samples / 2], ratios[samples / 4], ratios[samples * 3 / 4])
      print(line + "\(variants[index])")
    }
  }

  private func nanoseconds(_ scenario: Scenario) throws -> Double {
    if scenario.engine == NullEngine.description.name {
      return try DataPath<NullLanes>(scenario, depth: 64).measure(rounds: rounds)
        .nanosecondsPerRequest
    }
    return try DataPath<HostLanes>(scenario, depth: 64).measure(rounds: rounds)
      .nanosecondsPerRequest
  }
}
