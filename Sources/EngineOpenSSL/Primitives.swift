import COpenSSL
import CryptoTypes

/// What libcrypto fetches under one name: a block cipher with its key size and mode.
enum CipherPrimitive: UInt8, CaseIterable {
  case aes128ECB, aes192ECB, aes256ECB
  case aes128CBC, aes192CBC, aes256CBC
  case aes128CTR, aes192CTR, aes256CTR
  case aes128XTS, aes256XTS
  case tripleDESECB, tripleDESCBC
  case desECB, desCBC, arc4
  case aes128GCM, aes192GCM, aes256GCM
  case aes128CCM, aes192CCM, aes256CCM
  case chacha20Poly1305

  /// Its place in tables.
  var index: Int { @_noAllocation @_noLocks get { Int(rawValue) } }

  /// The name that libcrypto knows it by.
  var fetchName: String {
    switch self {
    case .aes128ECB: "AES-128-ECB"
    case .aes192ECB: "AES-192-ECB"
    case .aes256ECB: "AES-256-ECB"
    case .aes128CBC: "AES-128-CBC"
    case .aes192CBC: "AES-192-CBC"
    case .aes256CBC: "AES-256-CBC"
    case .aes128CTR: "AES-128-CTR"
    case .aes192CTR: "AES-192-CTR"
    case .aes256CTR: "AES-256-CTR"
    case .aes128XTS: "AES-128-XTS"
    case .aes256XTS: "AES-256-XTS"
    case .tripleDESECB: "DES-EDE3-ECB"
    case .tripleDESCBC: "DES-EDE3-CBC"
    case .desECB: "DES-ECB"
    case .desCBC: "DES-CBC"
    case .arc4: "RC4"
    case .aes128GCM: "AES-128-GCM"
    case .aes192GCM: "AES-192-GCM"
    case .aes256GCM: "AES-256-GCM"
    case .aes128CCM: "AES-128-CCM"
    case .aes192CCM: "AES-192-CCM"
    case .aes256CCM: "AES-256-CCM"
    case .chacha20Poly1305: "ChaCha20-Poly1305"
    }
  }

  /// The primitive behind a cipher of virtio-crypto under a key of this many bytes; nil if there is none.
  ///
  /// For modes that are put together, that of the key stream.
  @_noAllocation @_noLocks
  static func of(_ cipher: CipherAlgorithm, keyByteCount: UInt32) -> CipherPrimitive? {
    switch cipher {
    case .aesECB: sized(keyByteCount, .aes128ECB, .aes192ECB, .aes256ECB)
    case .aesCBC: sized(keyByteCount, .aes128CBC, .aes192CBC, .aes256CBC)
    case .aesCTR: sized(keyByteCount, .aes128CTR, .aes192CTR, .aes256CTR)
    case .aesXTS: keyByteCount == 32 ? .aes128XTS : keyByteCount == 64 ? .aes256XTS : nil
    case .tripleDESECB, .tripleDESCTR: keyByteCount == 24 ? .tripleDESECB : nil
    case .tripleDESCBC: keyByteCount == 24 ? .tripleDESCBC : nil
    case .desECB: keyByteCount == 8 ? .desECB : nil
    case .desCBC: keyByteCount == 8 ? .desCBC : nil
    case .arc4: cipher.accepts(keyByteCount: Int(keyByteCount)) ? .arc4 : nil
    case .aesF8: keyByteCount & 1 == 0 ? cbc(keyByteCount: keyByteCount / 2) : nil
    case .kasumiF8, .snow3gUEA2, .zucEEA3: nil
    }
  }

  /// The primitive behind an AEAD of virtio-crypto under a key of this many bytes; nil if there is none.
  @_noAllocation @_noLocks
  static func of(_ aead: AEADAlgorithm, keyByteCount: UInt32) -> CipherPrimitive? {
    switch aead {
    case .gcm: gcm(keyByteCount: keyByteCount)
    case .ccm: sized(keyByteCount, .aes128CCM, .aes192CCM, .aes256CCM)
    case .chacha20Poly1305: keyByteCount == 32 ? .chacha20Poly1305 : nil
    }
  }

  @_noAllocation @_noLocks
  static func gcm(keyByteCount: UInt32) -> CipherPrimitive? {
    sized(keyByteCount, .aes128GCM, .aes192GCM, .aes256GCM)
  }

  @_noAllocation @_noLocks
  static func cbc(keyByteCount: UInt32) -> CipherPrimitive? {
    sized(keyByteCount, .aes128CBC, .aes192CBC, .aes256CBC)
  }

  @_noAllocation @_noLocks
  static func ecb(keyByteCount: UInt32) -> CipherPrimitive? {
    sized(keyByteCount, .aes128ECB, .aes192ECB, .aes256ECB)
  }

  @_noAllocation @_noLocks
  private static func sized(
    _ keyByteCount: UInt32, _ small: CipherPrimitive, _ medium: CipherPrimitive,
    _ large: CipherPrimitive
  ) -> CipherPrimitive? {
    switch keyByteCount {
    case 16: small
    case 24: medium
    case 32: large
    default: nil
    }
  }
}

/// Which of a lane's shared contexts of one primitive a stateless request borrows.
///
/// A MAC has its own, because the cipher of a chain may be the same primitive under another key.
enum CipherPlace {
  case encryption, decryption, authentication

  /// That of a cipher.
  @_noAllocation @_noLocks
  init(_ direction: CryptoDirection) {
    switch direction {
    case .encrypt: self = .encryption
    case .decrypt: self = .decryption
    }
  }

  /// How many a primitive has.
  static var count: Int { @_noAllocation @_noLocks get { 3 } }

  /// Its place in tables, behind those of other primitives.
  @_noAllocation @_noLocks
  func index(of primitive: CipherPrimitive) -> Int {
    switch self {
    case .encryption: primitive.index * Self.count
    case .decryption: primitive.index * Self.count + 1
    case .authentication: primitive.index * Self.count + 2
    }
  }

  /// Which way its contexts run.
  var isEncryption: Bool {
    @_noAllocation @_noLocks get {
      switch self {
      case .encryption, .authentication: true
      case .decryption: false
      }
    }
  }
}

/// A cipher that CMAC is built on.
enum CMACPrimitive: UInt8, CaseIterable {
  case aes128, aes192, aes256, tripleDES

  /// Its place in tables.
  var index: Int { @_noAllocation @_noLocks get { Int(rawValue) } }

  /// The length of its keys.
  var keyByteCount: Int {
    @_noAllocation @_noLocks get {
      switch self {
      case .aes128: 16
      case .aes192, .tripleDES: 24
      case .aes256: 32
      }
    }
  }

  /// The cipher, by the name that libcrypto knows it by.
  var fetchName: String {
    switch self {
    case .aes128: "AES-128-CBC"
    case .aes192: "AES-192-CBC"
    case .aes256: "AES-256-CBC"
    case .tripleDES: "DES-EDE3-CBC"
    }
  }

  /// The primitive behind a CMAC of virtio-crypto; nil if the key does not fit, or it is no CMAC.
  @_noAllocation @_noLocks
  static func of(_ mac: MACAlgorithm, keyByteCount: UInt32) -> CMACPrimitive? {
    switch (mac, keyByteCount) {
    case (.cmacAES, 16): .aes128
    case (.cmacAES, 24): .aes192
    case (.cmacAES, 32): .aes256
    case (.cmac3DES, 24): .tripleDES
    default: nil
    }
  }
}

extension CryptoAlgorithm {
  /// Whether libcrypto keeps it in the provider `legacy`.
  var isLegacy: Bool {
    switch self {
    case .cipher(.arc4), .cipher(.desECB), .cipher(.desCBC): true
    default: false
    }
  }
}

extension MACAlgorithm {
  /// The hash of an HMAC; nil for other MACs.
  var hmacHash: HashAlgorithm? {
    @_noAllocation @_noLocks get {
      switch self {
      case .hmacMD5: .md5
      case .hmacSHA1: .sha1
      case .hmacSHA224: .sha224
      case .hmacSHA256: .sha256
      case .hmacSHA384: .sha384
      case .hmacSHA512: .sha512
      default: nil
      }
    }
  }
}

extension HashAlgorithm {
  /// Its place in tables.
  var index: Int {
    @_noAllocation @_noLocks get {
      switch self {
      case .md5: 0
      case .sha1: 1
      case .sha224: 2
      case .sha256: 3
      case .sha384: 4
      case .sha512: 5
      case .sha3_224: 6
      case .sha3_256: 7
      case .sha3_384: 8
      case .sha3_512: 9
      case .shake128: 10
      case .shake256: 11
      }
    }
  }
}

extension HashAlgorithm {
  /// The name that libcrypto knows it by.
  var fetchName: String {
    switch self {
    case .md5: "MD5"
    case .sha1: "SHA1"
    case .sha224: "SHA224"
    case .sha256: "SHA256"
    case .sha384: "SHA384"
    case .sha512: "SHA512"
    case .sha3_224: "SHA3-224"
    case .sha3_256: "SHA3-256"
    case .sha3_384: "SHA3-384"
    case .sha3_512: "SHA3-512"
    case .shake128: "SHAKE128"
    case .shake256: "SHAKE256"
    }
  }
}
