import ArgumentParser
import Capabilities
import EngineContract
import Foundation
import HostEngines

/// What `probe` and `list-algorithms` have in common: the capability file, and the engines as it wants them.
struct EngineOptionsGroup: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Judge by this capability file instead of the defaults: providers, drivers, choices of engines.",
      valueName: "file"))
  var config: String?

  @Option(
    name: .customLong("algorithm"),
    help: ArgumentHelp("Show this algorithm only, such as aes-cbc; repeatable.", valueName: "name"))
  var algorithms: [String] = []

  @Flag(help: "Print JSON.")
  var json = false

  func load() throws -> (Configuration, HostEngines) {
    var configuration = Configuration()
    if let config {
      do throws(ConfigurationError) {
        configuration = try Configuration.load(path: config, engines: HostEngines.descriptions)
      } catch {
        // The line begins with the file's name, as editors like it.
        FileHandle.standardError.write(Data("\(error)\n".utf8))
        throw Exit.configuration
      }
    }
    do throws(EngineError) {
      return (configuration, try HostEngines(configuration))
    } catch { throw Exit.failing(Exit.configuration, "\(config ?? "(defaults)"): \(error)") }
  }

  /// The rows that are asked for.
  func select(_ reports: [AlgorithmReport]) throws -> [AlgorithmReport] {
    for name in algorithms where !reports.contains(where: { $0.algorithm == name }) {
      throw ValidationError(
        "--algorithm \(name) is unknown; names are those of the capability file, such as aes-cbc")
    }
    return algorithms.isEmpty
      ? reports : reports.filter { algorithms.contains($0.algorithm) }
  }

  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
  }

  /// Names, versions and absences, as the head of a table.
  static func printEngines(_ engines: HostEngines) {
    for engine in engines.versions { Swift.print("engine \(engine.name): \(engine.version)") }
    for (name, reason) in engines.absences.sorted(by: { $0.key < $1.key }) {
      Swift.print("engine \(name): not used, \(reason)")
    }
    for note in engines.notes { Swift.print("engine \(note.name): \(note.text)") }
  }
}
