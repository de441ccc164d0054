/// The asymmetric algorithms of virtio-crypto.
///
/// RSA and ECDSA are the AKCIPHER service's; all of them are the ASYM service's of the asymmetric RFC.
public enum AsymmetricAlgorithm: UInt8, CaseIterable, Sendable {
  case rsa, ecdsa, dsa, dh, ecdh

  /// The name in the capability file and in statistics.
  public var name: String {
    switch self {
    case .rsa: "rsa"
    case .ecdsa: "ecdsa"
    case .dsa: "dsa"
    case .dh: "dh"
    case .ecdh: "ecdh"
    }
  }

  /// The raw value, for the data path.
  @inlinable public var index: UInt8 {
    @_noAllocation @_noLocks get {
      switch self {
      case .rsa: 0
      case .ecdsa: 1
      case .dsa: 2
      case .dh: 3
      case .ecdh: 4
      }
    }
  }

  /// The longest encoded key that a session or a request may bring, in bytes: a private RSA key of 16384 bits takes
  /// 9.3 KiB.
  @inlinable public static var maximumKeyByteCount: Int { @_noAllocation @_noLocks get { 16384 } }
}

/// What one asymmetric operation does.
///
/// Unlike a cipher's direction it is the request's, not the session's.
public enum AsymmetricOperation: UInt8, CaseIterable, Sendable {
  case encrypt, decrypt, sign, verify
  /// Key generation; for DH and ECDH under given parameters.
  case generateKey
  /// DH only.
  case generateParameters
  /// DH and ECDH.
  case computeSecret

  /// The raw value, for the data path.
  @inlinable public var index: UInt8 {
    @_noAllocation @_noLocks get {
      switch self {
      case .encrypt: 0
      case .decrypt: 1
      case .sign: 2
      case .verify: 3
      case .generateKey: 4
      case .generateParameters: 5
      case .computeSecret: 6
      }
    }
  }

  /// The name in statistics.
  public var name: String {
    switch self {
    case .encrypt: "encrypt"
    case .decrypt: "decrypt"
    case .sign: "sign"
    case .verify: "verify"
    case .generateKey: "generate-key"
    case .generateParameters: "generate-parameters"
    case .computeSecret: "compute-secret"
    }
  }
}

/// How RSA pads.
public enum RSAPadding: UInt8, CaseIterable, Sendable {
  /// None: operands are numbers, with leading zeros to the modulus's length.
  case raw
  /// RSAES-PKCS1-v1_5 and EMSA-PKCS1-v1_5 (RFC 8017).
  case pkcs1
  /// RSAES-OAEP, with the session's digest.
  case oaep
  /// ANSI X9.31, for signatures.
  case x931
  /// RSASSA-PSS, with the session's digest and a salt of its length.
  case pss
}

/// The hash behind a signature.
public enum SignatureDigest: UInt8, CaseIterable, Sendable {
  /// None: what is signed is signed as it is.
  case none
  case md2, md4, md5, sha1, sha224, sha256, sha384, sha512
  case sha3_224, sha3_256, sha3_384, sha3_512

  /// Bytes of a digest; 0 for `none`.
  @inlinable public var byteCount: Int {
    @_noAllocation @_noLocks get {
      switch self {
      case .none: 0
      case .md2, .md4, .md5: 16
      case .sha1: 20
      case .sha224, .sha3_224: 28
      case .sha256, .sha3_256: 32
      case .sha384, .sha3_384: 48
      case .sha512, .sha3_512: 64
      }
    }
  }
}

/// The curves that the AKCIPHER service names.
public enum NamedCurve: UInt8, CaseIterable, Sendable {
  case p192, p224, p256, p384, p521
}

/// How a session's key is encoded.
public enum AsymmetricKeyForm: UInt8, CaseIterable, Sendable {
  /// RSA: `RSAPublicKey` of PKCS#1 in DER; ECDSA: a point as SEC 1 §2.3.3 encodes it.
  case encodedPublic
  /// RSA: `RSAPrivateKey` of PKCS#1; ECDSA: `ECPrivateKey` of RFC 5915; both in DER.
  case encodedPrivate
}
