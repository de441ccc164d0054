// CryptoTypes: algorithms, keys, operations and the contract between the device and its engines.
//
// It knows no wire words: what a guest writes is translated in CryptoDevice, what an operator writes in Capabilities.
// Engines are written against this room alone.

/// What a session or a request asks for.
public enum CryptoService: UInt8, CaseIterable, Sendable {
  case cipher, hash, mac, aead
  /// A cipher and a hash or MAC over one source (`VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING`).
  case chain
  /// Public-key operations: the AKCIPHER service, and the asymmetric RFC's ASYM.
  case akcipher

  /// Whether its operations take a public or private key, and therefore long.
  @inlinable public var isAsymmetric: Bool {
    @_noAllocation @_noLocks get {
      switch self {
      case .akcipher: true
      case .cipher, .hash, .mac, .aead, .chain: false
      }
    }
  }
}

/// The ciphers of virtio-crypto.
public enum CipherAlgorithm: UInt8, CaseIterable, Sendable {
  case arc4, aesECB, aesCBC, aesCTR, desECB, desCBC, tripleDESECB, tripleDESCBC, tripleDESCTR
  case kasumiF8, snow3gUEA2, aesF8, aesXTS, zucEEA3

  /// The name in the capability file and in statistics.
  public var name: String {
    switch self {
    case .arc4: "arc4"
    case .aesECB: "aes-ecb"
    case .aesCBC: "aes-cbc"
    case .aesCTR: "aes-ctr"
    case .desECB: "des-ecb"
    case .desCBC: "des-cbc"
    case .tripleDESECB: "3des-ecb"
    case .tripleDESCBC: "3des-cbc"
    case .tripleDESCTR: "3des-ctr"
    case .kasumiF8: "kasumi-f8"
    case .snow3gUEA2: "snow3g-uea2"
    case .aesF8: "aes-f8"
    case .aesXTS: "aes-xts"
    case .zucEEA3: "zuc-eea3"
    }
  }

  /// Bytes of initialization vector, counter block or tweak that a request must bring; 0 for none.
  @inlinable public var ivByteCount: Int {
    switch self {
    case .arc4, .aesECB, .desECB, .tripleDESECB: 0
    case .aesCBC, .aesCTR, .aesF8, .aesXTS, .snow3gUEA2, .zucEEA3: 16
    case .desCBC, .tripleDESCBC, .tripleDESCTR, .kasumiF8: 8
    }
  }

  /// The source length must be a multiple of this many bytes, a power of two.
  @inlinable public var granuleByteCount: Int {
    switch self {
    case .aesECB, .aesCBC: 16
    case .desECB, .desCBC, .tripleDESECB, .tripleDESCBC: 8
    default: 1
    }
  }

  /// The shortest source that the mode is defined for, in bytes (XTS needs one whole block).
  @inlinable public var minimumSourceByteCount: Int { self == .aesXTS ? 16 : 0 }

  /// Whether a key of this many bytes fits the algorithm.
  ///
  /// AES-F8 keys carry a mask of the same length.
  @inlinable public func accepts(keyByteCount: Int) -> Bool {
    switch self {
    case .arc4: keyByteCount >= 5 && keyByteCount <= 256
    case .aesECB, .aesCBC, .aesCTR: isAESKey(keyByteCount)
    case .desECB, .desCBC: keyByteCount == 8
    case .tripleDESECB, .tripleDESCBC, .tripleDESCTR: keyByteCount == 24
    case .kasumiF8, .snow3gUEA2, .zucEEA3: keyByteCount == 16
    case .aesF8: isAESKey(keyByteCount / 2) && keyByteCount & 1 == 0
    case .aesXTS: keyByteCount == 32 || keyByteCount == 64
    }
  }

  /// The longest key the algorithm takes, in bytes.
  public var maximumKeyByteCount: Int {
    switch self {
    case .arc4: 256
    case .aesECB, .aesCBC, .aesCTR: 32
    case .desECB, .desCBC: 8
    case .tripleDESECB, .tripleDESCBC, .tripleDESCTR: 24
    case .kasumiF8, .snow3gUEA2, .zucEEA3: 16
    case .aesF8, .aesXTS: 64
    }
  }
}

/// The hashes of virtio-crypto.
public enum HashAlgorithm: UInt8, CaseIterable, Sendable {
  case md5, sha1, sha224, sha256, sha384, sha512
  case sha3_224, sha3_256, sha3_384, sha3_512, shake128, shake256

  /// The name in the capability file and in statistics.
  public var name: String {
    switch self {
    case .md5: "md5"
    case .sha1: "sha1"
    case .sha224: "sha224"
    case .sha256: "sha256"
    case .sha384: "sha384"
    case .sha512: "sha512"
    case .sha3_224: "sha3-224"
    case .sha3_256: "sha3-256"
    case .sha3_384: "sha3-384"
    case .sha3_512: "sha3-512"
    case .shake128: "shake128"
    case .shake256: "shake256"
    }
  }

  /// Whether the result has any length that is asked for (SHAKE).
  @inlinable public var isExtendable: Bool { self == .shake128 || self == .shake256 }

  /// The full result in bytes; for SHAKE the most that we give in one request.
  @inlinable public var maximumResultByteCount: Int {
    switch self {
    case .md5: 16
    case .sha1: 20
    case .sha224, .sha3_224: 28
    case .sha256, .sha3_256: 32
    case .sha384, .sha3_384: 48
    case .sha512, .sha3_512: 64
    case .shake128, .shake256: 65536
    }
  }
}

/// The message authentication codes of virtio-crypto.
public enum MACAlgorithm: UInt8, CaseIterable, Sendable {
  case hmacMD5, hmacSHA1, hmacSHA224, hmacSHA256, hmacSHA384, hmacSHA512
  case cmac3DES, cmacAES, kasumiF9, snow3gUIA2, gmacAES, gmacTwofish
  case cbcmacAES, cbcmacKasumiF9, xcbcAES, zucEIA3

  /// The name in the capability file and in statistics.
  public var name: String {
    switch self {
    case .hmacMD5: "hmac-md5"
    case .hmacSHA1: "hmac-sha1"
    case .hmacSHA224: "hmac-sha224"
    case .hmacSHA256: "hmac-sha256"
    case .hmacSHA384: "hmac-sha384"
    case .hmacSHA512: "hmac-sha512"
    case .cmac3DES: "cmac-3des"
    case .cmacAES: "cmac-aes"
    case .kasumiF9: "kasumi-f9"
    case .snow3gUIA2: "snow3g-uia2"
    case .gmacAES: "gmac-aes"
    case .gmacTwofish: "gmac-twofish"
    case .cbcmacAES: "cbcmac-aes"
    case .cbcmacKasumiF9: "cbcmac-kasumi-f9"
    case .xcbcAES: "xcbc-aes"
    case .zucEIA3: "zuc-eia3"
    }
  }

  /// Bytes of IV at the head of the source (or in a chain's `aad`); 0 for none.
  @inlinable public var ivByteCount: Int {
    switch self {
    case .gmacAES, .gmacTwofish: 12
    case .snow3gUIA2, .zucEIA3: 16
    default: 0
    }
  }

  /// The full result in bytes.
  @inlinable public var maximumResultByteCount: Int {
    switch self {
    case .hmacMD5, .cmacAES, .gmacAES, .gmacTwofish, .cbcmacAES, .xcbcAES: 16
    case .hmacSHA1: 20
    case .hmacSHA224: 28
    case .hmacSHA256: 32
    case .hmacSHA384: 48
    case .hmacSHA512: 64
    case .cmac3DES: 8
    case .kasumiF9, .cbcmacKasumiF9, .snow3gUIA2, .zucEIA3: 4
    }
  }

  /// The source length must be a multiple of this many bytes (CBC-MAC has no padding of its own).
  @inlinable public var granuleByteCount: Int { self == .cbcmacAES ? 16 : 1 }

  /// Whether a key of this many bytes fits the algorithm.
  @inlinable public func accepts(keyByteCount: Int) -> Bool {
    switch self {
    case .hmacMD5, .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512:
      keyByteCount >= 0 && keyByteCount <= Self.maximumKeyByteCount
    case .cmac3DES: keyByteCount == 24
    case .cmacAES, .gmacAES, .gmacTwofish, .cbcmacAES: isAESKey(keyByteCount)
    case .kasumiF9, .cbcmacKasumiF9, .snow3gUIA2, .xcbcAES, .zucEIA3: keyByteCount == 16
    }
  }

  /// The longest authentication key that we take, in bytes: what a session message has room for.
  @inlinable public static var maximumKeyByteCount: Int { 512 }
}

/// The authenticated ciphers of virtio-crypto.
public enum AEADAlgorithm: UInt8, CaseIterable, Sendable {
  case gcm, ccm, chacha20Poly1305

  /// The name in the capability file and in statistics.
  public var name: String {
    switch self {
    case .gcm: "aes-gcm"
    case .ccm: "aes-ccm"
    case .chacha20Poly1305: "chacha20-poly1305"
    }
  }

  /// Whether a request may bring an IV of this many bytes.
  ///
  /// GCM takes 16 bytes as J0.
  @inlinable public func accepts(ivByteCount: Int) -> Bool {
    switch self {
    case .gcm: ivByteCount == 12 || ivByteCount == 16
    case .ccm: ivByteCount >= 7 && ivByteCount <= 13
    case .chacha20Poly1305: ivByteCount == 12
    }
  }

  /// Whether a key of this many bytes fits the algorithm.
  @inlinable public func accepts(keyByteCount: Int) -> Bool {
    switch self {
    case .gcm, .ccm: isAESKey(keyByteCount)
    case .chacha20Poly1305: keyByteCount == 32
    }
  }

  /// Whether a tag of this many bytes is defined (SP 800-38D, SP 800-38C, RFC 8439).
  @inlinable public func accepts(tagByteCount: Int) -> Bool {
    switch self {
    case .gcm: tagByteCount >= 1 && tagByteCount <= 16
    case .ccm: tagByteCount >= 4 && tagByteCount <= 16 && tagByteCount & 1 == 0
    case .chacha20Poly1305: tagByteCount == 16
    }
  }
}

/// AES-128, AES-192, AES-256.
@inlinable internal func isAESKey(_ byteCount: Int) -> Bool {
  byteCount == 16 || byteCount == 24 || byteCount == 32
}

// Here, beside the enumerations, because the data path needs their raw values without a call.
extension StatisticsRow {
  /// The row of every request of a session; of an asymmetric one, whose requests say what they do, the first.
  @_noAllocation @_noLocks
  public init(_ session: SessionParameters) {
    let index: UInt16
    let direction: UInt16 =
      switch session.direction {
      case .encrypt: 0
      case .decrypt: 1
      }
    switch session.service {
    case .cipher: index = UInt16(session.cipher.rawValue) * 2 + direction
    case .hash: index = Self.hashBase + UInt16(session.hash.rawValue)
    case .mac: index = Self.macBase + UInt16(session.mac.rawValue)
    case .aead: index = Self.aeadBase + UInt16(session.aead.rawValue) * 2 + direction
    case .chain:
      let half: UInt16 =
        switch session.hashMode {
        case .plain: UInt16(session.hash.rawValue)
        case .nested: Self.hashes + UInt16(session.hash.rawValue)
        case .authenticated: Self.hashes * 2 + UInt16(session.mac.rawValue)
        }
      index =
        Self.chainBase
        + (UInt16(session.cipher.rawValue) * Self.chainHalves + half) * 2 + direction
    case .akcipher:
      index = Self.akcipherBase + UInt16(session.asymmetric.index) * Self.asymmetricOperations
    }
    self.init(index: index)
  }
}
