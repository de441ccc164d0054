import Capabilities
import CryptoDevice
import CryptoTypes
import Foundation
import HostEngines
import VirtioSpec

/// What the daemon runs with: the effective capability file, and what came of it on this host.
struct ConfigurationReport: Sendable {
  var effective: Configuration
  var advertisement: Advertisement
  var offers: [(name: String, offer: DeviceOffer)]

  /// The capability file, with the masks and routes in comments: it can be used as one again.
  func yaml() -> String {
    var lines = ["# What vhost-user-crypto \(VhostUserCrypto.version) runs with.", "#"]
    for (name, offer) in offers {
      let masks = Self.masks(offer).map { "\($0.name) \($0.text)" }.joined(separator: ", ")
      lines.append("# device \(Self.oneLine(name)): \(masks)")
    }
    lines.append("#")
    for algorithm in CryptoAlgorithm.allCases {
      lines.append("# \(algorithm.service) \(algorithm.name): \(routeText(algorithm))")
    }
    return lines.joined(separator: "\n") + "\n" + effective.renderYAML()
  }

  /// The same as JSON.
  func json() throws -> String {
    let document: [String: Any] = [
      "version": VhostUserCrypto.version,
      "settings": try effective.plainValue(),
      "devices": offers.map { name, offer in
        [
          "name": name,
          "dialect": offer.dialect.rawValue,
          "maximumDataQueues": offer.dataQueueCount,
          "maximumRequestBytes": Int(offer.orders.maximumRequestByteCount),
          "masks": Dictionary(
            uniqueKeysWithValues: Self.masks(offer).map { ($0.name, $0.text) }),
          "features": Self.hex(offer.features),
        ] as [String: Any]
      },
      "algorithms": CryptoAlgorithm.allCases.map(algorithmValue),
    ]
    let data = try JSONSerialization.data(
      withJSONObject: document, options: [.sortedKeys, .withoutEscapingSlashes])
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  private func algorithmValue(_ algorithm: CryptoAlgorithm) -> [String: Any] {
    var value: [String: Any] = ["service": "\(algorithm.service)", "algorithm": algorithm.name]
    value["engines"] = (advertisement.offers[algorithm] ?? []).map { choice in
      var engine: [String: Any] = ["engine": choice.engine]
      engine["minimumBytes"] = choice.minimumByteCount.map { Int(clamping: $0) }
      engine["maximumBytes"] = choice.maximumByteCount.map { Int(clamping: $0) }
      return engine
    }
    if advertisement.offers[algorithm] == nil { value["reason"] = routeText(algorithm) }
    return value
  }

  private func routeText(_ algorithm: CryptoAlgorithm) -> String {
    if let choices = advertisement.offers[algorithm] {
      return choices.map { choice in
        guard choice.minimumByteCount != nil || choice.maximumByteCount != nil else {
          return choice.engine
        }
        let shortest = choice.minimumByteCount.map { "\($0)" } ?? "0"
        return
          "\(choice.engine) (\(shortest)…\(choice.maximumByteCount.map { "\($0)" } ?? "") bytes)"
      }.joined(separator: ", ")
    }
    switch advertisement.omissions[algorithm] {
    case .noEngine(let reasons) where !reasons.isEmpty:
      return "not advertised: \(Self.oneLine(reasons.joined(separator: "; ")))"
    case .noEngine, nil: return "not advertised: no engine has it"
    case .switchedOff: return "not advertised: switched off"
    }
  }

  private static func masks(_ offer: DeviceOffer) -> [(name: String, text: String)] {
    let configuration = offer.configuration
    var masks: [(String, UInt64)] = [
      ("crypto_services", UInt64(configuration.cryptoServices)),
      ("cipher_algo", configuration.cipherAlgorithms),
      ("hash_algo", UInt64(configuration.hashAlgorithms)),
      ("mac_algo", configuration.macAlgorithms),
      ("aead_algo", UInt64(configuration.aeadAlgorithms)),
      ("akcipher_algo", UInt64(configuration.akcipherAlgorithms)),
    ]
    if offer.dialect.hasASYM {
      masks.append(("asym_algo", UInt64(offer.algorithms.asymmetricMask)))
    }
    return masks.map { ($0.0, hex($0.1)) }
  }

  private static func hex(_ mask: UInt64) -> String { "0x" + String(mask, radix: 16) }

  /// A comment must not end early.
  private static func oneLine(_ text: String) -> String {
    String(text.map { $0.isNewline ? " " : $0 })
  }
}
