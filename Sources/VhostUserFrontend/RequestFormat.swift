public import VirtioSpec

/// Which shape requests have: what the driver and the device negotiated.
///
/// Spec: virtio-crypto v25, "Device Operation" (the lengths `flf_len`).
public struct RequestFormat: Hashable, Sendable {
  /// `VIRTIO_CRYPTO_F_REVISION_1`: exact lengths instead of the legacy padding.
  public var isRevision1: Bool
  /// Services whose stateless feature is negotiated.
  ///
  /// Their requests may come without a session; those with one keep their shape.
  public var statelessServices: Set<VirtioCryptoService>

  public init(isRevision1: Bool, statelessServices: Set<VirtioCryptoService> = []) {
    self.isRevision1 = isRevision1
    self.statelessServices = statelessServices
  }

  /// What the negotiated feature word means.
  public init(features: UInt64) {
    isRevision1 = features & VirtioFeature.cryptoRevision1 != 0
    statelessServices = []
    guard isRevision1 else { return }
    let bits: [(UInt64, VirtioCryptoService)] = [
      (VirtioFeature.cryptoCipherStateless, .cipher), (VirtioFeature.cryptoHashStateless, .hash),
      (VirtioFeature.cryptoMACStateless, .mac),
      (VirtioFeature.cryptoAEADStateless, .aead),
      (VirtioFeature.cryptoAKCipherStateless, .akcipher),
    ]
    for (bit, service) in bits where features & bit != 0 { statelessServices.insert(service) }
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

  /// The crypto feature bits that lead to this format.
  public var features: UInt64 {
    var word: UInt64 = isRevision1 ? VirtioFeature.cryptoRevision1 : 0
    if statelessServices.contains(.cipher) { word |= VirtioFeature.cryptoCipherStateless }
    if statelessServices.contains(.hash) { word |= VirtioFeature.cryptoHashStateless }
    if statelessServices.contains(.mac) { word |= VirtioFeature.cryptoMACStateless }
    if statelessServices.contains(.aead) { word |= VirtioFeature.cryptoAEADStateless }
    if statelessServices.contains(.akcipher) { word |= VirtioFeature.cryptoAKCipherStateless }
    return word
  }
}
