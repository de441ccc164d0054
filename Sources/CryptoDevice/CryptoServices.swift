public import CryptoTypes

/// Some of the services: a word of bits, because a hashed set would cost a destruction a good part of its time.
public struct CryptoServices: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let cipher = CryptoServices(.cipher)
  public static let chain = CryptoServices(.chain)
  public static let hash = CryptoServices(.hash)
  public static let mac = CryptoServices(.mac)
  public static let aead = CryptoServices(.aead)
  public static let akcipher = CryptoServices(.akcipher)
  public static let all: CryptoServices = [.cipher, .chain, .hash, .mac, .aead, .akcipher]

  /// One service alone.
  public init(_ service: CryptoService) {
    switch service {
    case .cipher: rawValue = 1
    case .chain: rawValue = 2
    case .hash: rawValue = 4
    case .mac: rawValue = 8
    case .aead: rawValue = 16
    case .akcipher: rawValue = 32
    }
  }

  /// Whether the service is one of them.
  public func contains(_ service: CryptoService) -> Bool { contains(CryptoServices(service)) }
}
