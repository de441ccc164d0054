public import VirtioSpec

/// Which shape requests have: what the driver and the device negotiated.
///
/// Spec: virtio-crypto v25, "Device Operation" (the lengths `flf_len`); docs/wire.md, "Dialects".
public struct RequestFormat: Hashable, Sendable {
  /// The text that both speak; no feature bit says so.
  public var dialect: Dialect
  /// `VIRTIO_CRYPTO_F_REVISION_1`: exact lengths instead of the legacy padding.
  public var isRevision1: Bool
  /// Services whose stateless feature is negotiated.
  ///
  /// Their requests may come without a session; those with one keep their shape.
  public var statelessServices: Set<VirtioCryptoService>
  /// Draft v15: services whose session mode is negotiated; empty in other dialects, which have sessions always.
  public var sessionServices: Set<VirtioCryptoService>

  public init(
    dialect: Dialect = .virtio13, isRevision1: Bool,
    statelessServices: Set<VirtioCryptoService> = [],
    sessionServices: Set<VirtioCryptoService> = []
  ) {
    self.dialect = dialect
    self.isRevision1 = isRevision1
    self.statelessServices = statelessServices
    self.sessionServices = sessionServices
  }

  /// What the negotiated feature word means.
  public init(features: UInt64, dialect: Dialect = .virtio13) {
    self.init(
      dialect: dialect,
      isRevision1: !dialect.isDraftV15 && features & VirtioFeature.cryptoRevision1 != 0)
    if dialect.isDraftV15 {
      sessionServices = Self.services(of: features, Self.sessionBits)
    } else if isRevision1 {
      statelessServices = Self.services(of: features, Self.statelessBits)
    }
  }

  /// Fixed fields padded to 56 (control) and 48 bytes (data): what Linux guests send.
  public static let legacy = RequestFormat(isRevision1: false)
  /// Exact sizes, session mode only.
  public static let revision1 = RequestFormat(isRevision1: true)
  /// Exact sizes, and every symmetric service has its stateless feature.
  public static let stateless = RequestFormat(
    isRevision1: true, statelessServices: [.cipher, .hash, .mac, .aead])
  /// Exact sizes, and the asymmetric service has its stateless feature.
  public static let statelessAKCipher = RequestFormat(
    isRevision1: true, statelessServices: [.akcipher])
  /// Draft v15 with session mode for all services.
  public static let draftV15 = RequestFormat(
    dialect: .draftV15, isRevision1: false, sessionServices: [.cipher, .hash, .mac, .aead])
  /// Draft v15 without any feature: requests without sessions only.
  public static let draftV15WithoutSessions = RequestFormat(
    dialect: .draftV15, isRevision1: false)

  /// The crypto feature bits that lead to this format.
  public var features: UInt64 {
    if dialect.isDraftV15 { return Self.word(sessionServices, Self.sessionBits) }
    return (isRevision1 ? VirtioFeature.cryptoRevision1 : 0)
      | Self.word(statelessServices, Self.statelessBits)
  }

  // MARK: - Bits

  private typealias ServiceBits = [(UInt64, VirtioCryptoService)]

  private static let statelessBits: ServiceBits = [
    (VirtioFeature.cryptoCipherStateless, .cipher), (VirtioFeature.cryptoHashStateless, .hash),
    (VirtioFeature.cryptoMACStateless, .mac),
    (VirtioFeature.cryptoAEADStateless, .aead),
    (VirtioFeature.cryptoAKCipherStateless, .akcipher),
  ]

  private static let sessionBits: ServiceBits = [
    (VirtioFeature.cryptoCipherSessions, .cipher), (VirtioFeature.cryptoHashSessions, .hash),
    (VirtioFeature.cryptoMACSessions, .mac), (VirtioFeature.cryptoAEADSessions, .aead),
  ]

  private static func services(
    of features: UInt64, _ bits: ServiceBits
  ) -> Set<VirtioCryptoService> {
    Set(bits.filter { features & $0.0 != 0 }.map(\.1))
  }

  private static func word(_ services: Set<VirtioCryptoService>, _ bits: ServiceBits) -> UInt64 {
    bits.filter { services.contains($0.1) }.reduce(0) { $0 | $1.0 }
  }
}
