import ArgumentParser
import Capabilities
import CryptoDevice
import CryptoTypes
import EngineContract
import Foundation
import HostEngines

/// `vhost-crypto check`: judges a capability file on this host.
struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check a capability file, and show what guests would see on this host.",
    discussion: """
      Reads the file as the daemon would, runs the engines' self-tests, and lists which algorithms would be offered by \
      which engine, with the masks of the device's configuration space. Without a FILE it judges the defaults.

      A mistake is one line, FILE:LINE:COLUMN: what is wrong; what would be right. The status is then 78.

      Examples:
        vhost-crypto check /etc/vhost-user-crypto.yaml
        vhost-crypto check --print-config my.yaml    with every default
      """)

  @Argument(help: "The capability file.")
  var file: String?

  @Flag(help: "Print the effective configuration as YAML, and nothing else.")
  var printConfig = false

  func run() throws {
    let configuration = try load()
    if printConfig {
      print(configuration.renderYAML(), terminator: "")
      return
    }
    let engines: HostEngines
    do throws(EngineError) {
      engines = try HostEngines(configuration)
    } catch {
      throw Exit.failing(Exit.configuration, "\(file ?? "(defaults)"): \(error)")
    }
    let cache = CalibrationCache.usual
    let advertisement = engines.advertisement(
      configuration, calibration: engines.calibrate(configuration, cache: cache).calibration,
      fileName: file ?? "(defaults)")
    for warning in configuration.warnings + advertisement.warnings { print(warning) }
    print("\(file ?? "(defaults)"): no mistakes")
    for engine in engines.versions { print("engine \(engine.name): \(engine.version)") }
    for (name, reason) in engines.absences.sorted(by: { $0.key < $1.key }) {
      print("engine \(name): not used, \(reason)")
    }
    printDevices(configuration)
    printAlgorithms(advertisement)
  }

  private func load() throws -> Configuration {
    guard let file else { return Configuration() }
    do {
      return try Configuration.load(path: file, engines: HostEngines.descriptions)
    } catch {
      // The line begins with the file's name, as editors like it.
      FileHandle.standardError.write(Data("\(error)\n".utf8))
      throw Exit.configuration
    }
  }

  private func printDevices(_ configuration: Configuration) {
    if configuration.devices.isEmpty {
      print("devices: from --socket-path; \(summary(configuration.device))")
    }
    for device in configuration.devices {
      print("device \(device.name): \(device.socketPath); \(summary(device.settings))")
    }
  }

  private func summary(_ settings: DeviceSettings) -> String {
    "max_dataqueues \(settings.queueCount), queue size \(settings.queueSize), "
      + "max_size \(settings.maximumRequestByteCount), sessions \(settings.maximumSessionCount)"
  }

  private func printAlgorithms(_ advertisement: Advertisement) {
    let table = AlgorithmTable(offered: HostEngines.routes(advertisement))
    let masks: [(CryptoService, String, UInt64)] = [
      (.cipher, "cipher_algo", table.cipherMask), (.hash, "hash_algo", UInt64(table.hashMask)),
      (.mac, "mac_algo", table.macMask), (.aead, "aead_algo", UInt64(table.aeadMask)),
      (.akcipher, "akcipher_algo", UInt64(table.akcipherMask)),
    ]
    for (service, name, mask) in masks {
      print("\(name) 0x" + String(mask, radix: 16))
      for algorithm in CryptoAlgorithm.allCases where algorithm.service == service {
        print("  \(status(of: algorithm, advertisement))")
      }
    }
  }

  private func status(of algorithm: CryptoAlgorithm, _ advertisement: Advertisement) -> String {
    let name = algorithm.name.padding(toLength: 18, withPad: " ", startingAt: 0)
    if let choices = advertisement.offers[algorithm] {
      return name + choices.map(\.engine).joined(separator: ", ")
    }
    return switch advertisement.omissions[algorithm] {
    case .noEngine(let reasons): name + "not offered: " + reasons.joined(separator: "; ")
    case .switchedOff, nil: name + "off"
    }
  }
}
