public import VirtioSpec

// The AKCIPHER service in the driver's words, with the front-end's own numbers; the device has
// another table, so that a slip in either shows up as a failing test.

/// `VIRTIO_CRYPTO_RSA_*_PADDING`.
public enum AKCipherPadding: UInt32, CaseIterable, Hashable, Sendable {
  case raw = 0
  case pkcs1 = 1
}

/// `VIRTIO_CRYPTO_RSA_*`: the hash that a signature names.
public enum AKCipherHash: UInt32, CaseIterable, Hashable, Sendable {
  case none = 0
  case md2 = 1
  case md3 = 2
  case md4 = 3
  case md5 = 4
  case sha1 = 5
  case sha256 = 6
  case sha384 = 7
  case sha512 = 8
  case sha224 = 9

  /// Bytes of a digest; nil where the signer may give any number of them.
  public var digestByteCount: Int? {
    switch self {
    case .none: nil
    case .md2, .md3, .md4, .md5: 16
    case .sha1: 20
    case .sha224: 28
    case .sha256: 32
    case .sha384: 48
    case .sha512: 64
    }
  }
}

/// `VIRTIO_CRYPTO_CURVE_NIST_*`.
public enum AKCipherCurve: UInt32, CaseIterable, Hashable, Sendable {
  case p192 = 1
  case p224 = 2
  case p256 = 3
  case p384 = 4
  case p521 = 5

  /// Bytes of a coordinate; as many as a private scalar has.
  public var byteCount: Int {
    switch self {
    case .p192: 24
    case .p224: 28
    case .p256: 32
    case .p384: 48
    case .p521: 66
    }
  }

  /// The longest DER encoding of a signature: two integers below the order.
  public var maximumSignatureByteCount: Int {
    // An order of whole bytes has its highest bit set, so that its integers begin with a zero.
    let content = 2 * (2 + byteCount + (self == .p521 ? 0 : 1))
    return content + (content < 128 ? 2 : 3)
  }
}

/// What a data request of the AKCIPHER service does.
public enum AKCipherOperation: UInt32, CaseIterable, Hashable, Sendable {
  case encrypt = 0
  case decrypt = 1
  case sign = 2
  case verify = 3

  /// `VIRTIO_CRYPTO_AKCIPHER_ENCRYPT` and its siblings.
  public var opcode: VirtioCryptoDataOpcode { VirtioCryptoDataOpcode(rawValue: 0x400 | rawValue) }
}

/// A key, encoded as the service wants it, and of which type it says that it is.
public enum AKCipherKey: Hashable, Sendable {
  /// RSA: `RSAPublicKey`; ECDSA: the value of an `ECPoint`.
  case publicKey([UInt8])
  /// RSA: `RSAPrivateKey`; ECDSA: `ECPrivateKey`.
  case privateKey([UInt8])
}

/// An AKCIPHER session as words on the wire, right or wrong.
///
/// Spec: virtio-crypto AKCIPHER draft, "Session operation: AKCIPHER session".
public struct AKCipherSpec: Hashable, Sendable {
  /// `VIRTIO_CRYPTO_AKCIPHER_RSA`, `…_ECDSA`.
  public static let rsa: UInt32 = 1
  public static let ecdsa: UInt32 = 2
  /// `VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_*`.
  public static let publicKeyType: UInt32 = 1
  public static let privateKeyType: UInt32 = 2

  public var algorithm: UInt32
  public var keyType: UInt32
  public var key: [UInt8]
  /// RSA: `padding_algo`, `hash_algo`.
  ///
  /// ECDSA: `curve_id`, and a word without a meaning.
  public var parameters: [UInt32]

  public init(algorithm: UInt32, key: AKCipherKey, parameters: [UInt32]) {
    self.algorithm = algorithm
    switch key {
    case .publicKey(let bytes): (keyType, self.key) = (Self.publicKeyType, bytes)
    case .privateKey(let bytes): (keyType, self.key) = (Self.privateKeyType, bytes)
    }
    self.parameters = parameters
  }

  /// An RSA session; `hash` counts for signatures only.
  public static func rsa(
    _ padding: AKCipherPadding, _ hash: AKCipherHash = .none, key: AKCipherKey
  ) -> AKCipherSpec {
    AKCipherSpec(algorithm: rsa, key: key, parameters: [padding.rawValue, hash.rawValue])
  }

  /// An ECDSA session.
  public static func ecdsa(_ curve: AKCipherCurve, key: AKCipherKey) -> AKCipherSpec {
    AKCipherSpec(algorithm: ecdsa, key: key, parameters: [curve.rawValue, 0])
  }

  func parameter(_ index: Int) -> UInt32 {
    parameters.indices.contains(index) ? parameters[index] : 0
  }

  /// `algo`, `key_type`, `key_len` and the two words of parameters: the start of a session's fixed
  /// fields and, without a session, of a request's.
  func append(to request: inout WireBytes) {
    request.append32(algorithm)
    request.append32(keyType)
    request.append32(UInt32(truncatingIfNeeded: key.count))
    request.append32(parameter(0))
    request.append32(parameter(1))
  }
}

/// Sizes of the AKCIPHER service's fixed fields.
enum AKCipherWire {
  static let createFixedByteCount = 56
  static let dataFixedByteCount = 8
  static let statelessFixedByteCount = 28
}
