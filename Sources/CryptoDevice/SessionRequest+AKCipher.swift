import CryptoTypes
import VirtioSpec

// AKCIPHER sessions. Spec: the akcipher draft §Session operation: AKCIPHER session.
extension SessionRequest {
  /// The key itself is the engine's to judge.
  @_noAllocation @_noLocks
  func resolveAKCipher(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    guard let algorithm = table.akcipher(cipher) else { throw .unsupported }
    session.service = .akcipher
    session.asymmetric = algorithm
    switch keyType {
    case VirtioCryptoWire.keyTypePublic: session.keyForm = .encodedPublic
    case VirtioCryptoWire.keyTypePrivate: session.keyForm = .encodedPrivate
    default: throw .unsupported
    }
    switch algorithm {
    case .rsa: try resolveRSA(&session)
    case .ecdsa: session.curve = try curve()
    case .dsa, .dh, .ecdh: throw .unsupported
    }
    guard cipherKeyByteCount > 0 else { throw .error }
    guard cipherKeyByteCount <= UInt32(AsymmetricAlgorithm.maximumKeyByteCount) else {
      throw .unsupported
    }
  }

  /// The hash counts only with PKCS#1 padding.
  @_noAllocation @_noLocks
  private func resolveRSA(_ session: inout SessionParameters) throws(Refusal) {
    switch firstParameter {
    case VirtioCryptoWire.rsaRawPadding: session.padding = .raw
    case VirtioCryptoWire.rsaPKCS1Padding:
      session.padding = .pkcs1
      session.digest = try digest()
    default: throw .unsupported
    }
  }

  /// `VIRTIO_CRYPTO_RSA_*`; MD3 has never been published.
  @_noAllocation @_noLocks
  private func digest() throws(Refusal) -> SignatureDigest {
    switch secondParameter {
    case 0: .none
    case 1: .md2
    case 3: .md4
    case 4: .md5
    case 5: .sha1
    case 6: .sha256
    case 7: .sha384
    case 8: .sha512
    case 9: .sha224
    default: throw .unsupported
    }
  }

  /// `VIRTIO_CRYPTO_CURVE_NIST_*`.
  @_noAllocation @_noLocks
  private func curve() throws(Refusal) -> NamedCurve {
    switch firstParameter {
    case 1: .p192
    case 2: .p224
    case 3: .p256
    case 4: .p384
    case 5: .p521
    default: throw .unsupported
    }
  }
}
