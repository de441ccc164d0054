import ArgumentParser
import Capabilities
import CryptoDevice
import CryptoTypes
import EngineContract
import Glibc
import HostEngines

/// `--check-config`: whether the file is good, and what it would advertise on this host.
struct ConfigurationCheck {
  private let effective: Configuration
  private let fileName: String
  private let cache: CalibrationCache

  init(_ effective: Configuration, fileName: String?, cache: CalibrationCache) {
    self.effective = effective
    self.cache = cache
    self.fileName = fileName ?? "(defaults)"
  }

  func run() throws {
    for warning in effective.warnings { complain("\(warning)") }
    let engines: HostEngines
    do throws(EngineError) {
      engines = try HostEngines(effective)
    } catch {
      complain("\(error)")
      throw ExitCode(EX_UNAVAILABLE)
    }
    let advertisement = engines.advertisement(
      effective, calibration: engines.calibrate(effective, cache: cache).calibration,
      fileName: fileName)
    for warning in advertisement.warnings { complain("\(warning)") }
    let table = AlgorithmTable(offered: HostEngines.routes(advertisement))
    print("\(fileName): ok")
    print("cipher_algo \(hex(table.cipherMask))")
    print("hash_algo   \(hex(UInt64(table.hashMask)))")
    print("mac_algo    \(hex(table.macMask))")
    print("aead_algo   \(hex(UInt64(table.aeadMask)))")
    print("akcipher_algo \(hex(UInt64(table.akcipherMask)))")
    for algorithm in CryptoAlgorithm.allCases {
      guard let offers = advertisement.offers[algorithm] else { continue }
      let engines = offers.map(\.engine).joined(separator: ", ")
      print("  \(algorithm.service) \(algorithm.name): \(engines)")
    }
  }

  private func hex(_ mask: UInt64) -> String { "0x" + String(mask, radix: 16) }
}
