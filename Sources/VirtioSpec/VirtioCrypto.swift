// VirtioSpec: the numbers and wire structs of virtio and virtio-crypto. No I/O, no live memory, no opinions.
//
// Codes that arrive from outside are `RawRepresentable` structs, so that an unknown value survives to be refused.
// Spec: virtio 1.3 §5.9 Crypto Device; drafts v25 and akcipher.

/// The virtio device ID of a crypto device.
public let virtioCryptoDeviceID: UInt32 = 20

/// `VIRTIO_CRYPTO_SERVICE_*`: the high byte of an opcode and a bit of `crypto_services`.
public struct VirtioCryptoService: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static var cipher: Self { Self(rawValue: 0) }
  @inlinable public static var hash: Self { Self(rawValue: 1) }
  @inlinable public static var mac: Self { Self(rawValue: 2) }
  @inlinable public static var aead: Self { Self(rawValue: 3) }
  @inlinable public static var akcipher: Self { Self(rawValue: 4) }
}

/// The opcodes of control requests (`VIRTIO_CRYPTO_*_CREATE_SESSION`, `…_DESTROY_SESSION`).
public struct VirtioCryptoControlOpcode: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static var cipherCreateSession: Self { Self(rawValue: 0x002) }
  @inlinable public static var cipherDestroySession: Self { Self(rawValue: 0x003) }
  @inlinable public static var hashCreateSession: Self { Self(rawValue: 0x102) }
  @inlinable public static var hashDestroySession: Self { Self(rawValue: 0x103) }
  @inlinable public static var macCreateSession: Self { Self(rawValue: 0x202) }
  @inlinable public static var macDestroySession: Self { Self(rawValue: 0x203) }
  @inlinable public static var aeadCreateSession: Self { Self(rawValue: 0x302) }
  @inlinable public static var aeadDestroySession: Self { Self(rawValue: 0x303) }
  @inlinable public static var akcipherCreateSession: Self { Self(rawValue: 0x404) }
  @inlinable public static var akcipherDestroySession: Self { Self(rawValue: 0x405) }
}

/// The opcodes of data requests.
public struct VirtioCryptoDataOpcode: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static var cipherEncrypt: Self { Self(rawValue: 0x000) }
  @inlinable public static var cipherDecrypt: Self { Self(rawValue: 0x001) }
  @inlinable public static var hash: Self { Self(rawValue: 0x100) }
  @inlinable public static var mac: Self { Self(rawValue: 0x200) }
  @inlinable public static var aeadEncrypt: Self { Self(rawValue: 0x300) }
  @inlinable public static var aeadDecrypt: Self { Self(rawValue: 0x301) }
  @inlinable public static var akcipherEncrypt: Self { Self(rawValue: 0x400) }
  @inlinable public static var akcipherDecrypt: Self { Self(rawValue: 0x401) }
  @inlinable public static var akcipherSign: Self { Self(rawValue: 0x402) }
  @inlinable public static var akcipherVerify: Self { Self(rawValue: 0x403) }
}

/// `enum VIRTIO_CRYPTO_STATUS`.
public struct VirtioCryptoStatus: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public static var ok: Self { Self(rawValue: 0) }
  @inlinable public static var err: Self { Self(rawValue: 1) }
  @inlinable public static var badmsg: Self { Self(rawValue: 2) }
  @inlinable public static var notsupp: Self { Self(rawValue: 3) }
  @inlinable public static var invsess: Self { Self(rawValue: 4) }
  @inlinable public static var nospc: Self { Self(rawValue: 5) }
  @inlinable public static var keyRejected: Self { Self(rawValue: 6) }
}

extension VirtioCryptoStatus: CustomStringConvertible {
  /// The specification's name without its prefix, such as `INVSESS`.
  public var description: String {
    let names = ["OK", "ERR", "BADMSG", "NOTSUPP", "INVSESS", "NOSPC", "KEY_REJECTED"]
    return Int(rawValue) < names.count ? names[Int(rawValue)] : "status \(rawValue)"
  }
}

/// Feature bits of the device, as masks.
public enum VirtioFeature {
  @inlinable public static var cryptoRevision1: UInt64 { 1 << 0 }
  @inlinable public static var cryptoCipherStateless: UInt64 { 1 << 1 }
  @inlinable public static var cryptoHashStateless: UInt64 { 1 << 2 }
  @inlinable public static var cryptoMACStateless: UInt64 { 1 << 3 }
  @inlinable public static var cryptoAEADStateless: UInt64 { 1 << 4 }
  @inlinable public static var cryptoAKCipherStateless: UInt64 { 1 << 5 }
  // Draft v15 has the same bits say that a service has sessions, instead of requests without them.
  @inlinable public static var cryptoCipherSessions: UInt64 { 1 << 1 }
  @inlinable public static var cryptoHashSessions: UInt64 { 1 << 2 }
  @inlinable public static var cryptoMACSessions: UInt64 { 1 << 3 }
  @inlinable public static var cryptoAEADSessions: UInt64 { 1 << 4 }
  @inlinable public static var ringIndirectDescriptors: UInt64 { 1 << 28 }
  @inlinable public static var ringEventIndex: UInt64 { 1 << 29 }
  /// `VHOST_USER_F_PROTOCOL_FEATURES`: never reaches the guest.
  @inlinable public static var vhostUserProtocolFeatures: UInt64 { 1 << 30 }
  @inlinable public static var version1: UInt64 { 1 << 32 }
  @inlinable public static var ringPacked: UInt64 { 1 << 34 }
  @inlinable public static var inOrder: UInt64 { 1 << 35 }
}

/// Words inside requests.
public enum VirtioCryptoWire {
  /// `VIRTIO_CRYPTO_OP_ENCRYPT`, `VIRTIO_CRYPTO_OP_DECRYPT`.
  @inlinable public static var operationEncrypt: UInt32 { 1 }
  @inlinable public static var operationDecrypt: UInt32 { 2 }
  /// `VIRTIO_CRYPTO_SYM_OP_*`.
  @inlinable public static var symmetricCipher: UInt32 { 1 }
  @inlinable public static var symmetricChain: UInt32 { 2 }
  /// `VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_*`.
  @inlinable public static var hashThenCipher: UInt32 { 1 }
  @inlinable public static var cipherThenHash: UInt32 { 2 }
  /// `VIRTIO_CRYPTO_SYM_HASH_MODE_*`.
  @inlinable public static var hashModePlain: UInt32 { 1 }
  @inlinable public static var hashModeAuthenticated: UInt32 { 2 }
  @inlinable public static var hashModeNested: UInt32 { 3 }
  /// `VIRTIO_CRYPTO_FLAG_SESSION_MODE`.
  @inlinable public static var flagSessionMode: UInt32 { 1 }
  /// `VIRTIO_CRYPTO_FLAG_NONE_SESSION_MODE` of draft v15.
  @inlinable public static var flagNoSessionMode: UInt32 { 2 }
  /// `VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_*`.
  @inlinable public static var keyTypePublic: UInt32 { 1 }
  @inlinable public static var keyTypePrivate: UInt32 { 2 }
  /// `VIRTIO_CRYPTO_RSA_RAW_PADDING`, `VIRTIO_CRYPTO_RSA_PKCS1_PADDING`.
  @inlinable public static var rsaRawPadding: UInt32 { 0 }
  @inlinable public static var rsaPKCS1Padding: UInt32 { 1 }

  /// Sizes in bytes of the fixed parts (headers and `flf`), per layout.
  @inlinable public static var controlHeaderByteCount: Int { 16 }
  @inlinable public static var controlLegacyFixedByteCount: Int { 56 }
  @inlinable public static var dataHeaderByteCount: Int { 24 }
  @inlinable public static var dataLegacyFixedByteCount: Int { 48 }
  @inlinable public static var createSessionInputByteCount: Int { 16 }

  // Session creation, `flf` sizes under REVISION_1.
  @inlinable public static var symmetricCreateFixedByteCount: Int { 56 }
  @inlinable public static var hashCreateFixedByteCount: Int { 8 }
  @inlinable public static var macCreateFixedByteCount: Int { 16 }
  @inlinable public static var aeadCreateFixedByteCount: Int { 24 }
  @inlinable public static var akcipherCreateFixedByteCount: Int { 56 }
  @inlinable public static var destroyFixedByteCount: Int { 8 }

  // Data requests, `flf` sizes under REVISION_1, session mode.
  @inlinable public static var symmetricDataFixedByteCount: Int { 48 }
  @inlinable public static var hashDataFixedByteCount: Int { 8 }
  @inlinable public static var macDataFixedByteCount: Int { 8 }
  @inlinable public static var aeadDataFixedByteCount: Int { 24 }
  @inlinable public static var akcipherDataFixedByteCount: Int { 8 }
  // Data requests, `flf` sizes of a stateless request: `flag` is 0 and the service's stateless feature is negotiated.
  // A request in session mode has the sizes above also then.
  @inlinable public static var symmetricStatelessFixedByteCount: Int { 76 }
  @inlinable public static var hashStatelessFixedByteCount: Int { 16 }
  @inlinable public static var macStatelessFixedByteCount: Int { 16 }
  @inlinable public static var aeadStatelessFixedByteCount: Int { 32 }
  @inlinable public static var akcipherStatelessFixedByteCount: Int { 28 }
  /// Draft v15: the union of all data requests, whose longest member is an algorithm chain's.
  @inlinable public static var draftV15DataFixedByteCount: Int { 80 }
}

/// `struct virtio_crypto_config`, 56 bytes little-endian, as `GET_CONFIG` and the guest read it.
public struct VirtioCryptoConfig: Hashable, Sendable {
  /// `VIRTIO_CRYPTO_S_HW_READY`.
  @inlinable public static var statusReady: UInt32 { 1 }
  @inlinable public static var byteCount: Int { 56 }

  public var status: UInt32 = 0
  public var maxDataQueues: UInt32 = 0
  public var cryptoServices: UInt32 = 0
  public var cipherAlgorithms: UInt64 = 0
  public var hashAlgorithms: UInt32 = 0
  public var macAlgorithms: UInt64 = 0
  public var aeadAlgorithms: UInt32 = 0
  public var maxCipherKeyByteCount: UInt32 = 0
  public var maxAuthKeyByteCount: UInt32 = 0
  public var akcipherAlgorithms: UInt32 = 0
  public var maxRequestByteCount: UInt64 = 0

  public init() {}

  /// The bytes as the guest reads them.
  public var bytes: [UInt8] {
    let words: [UInt32] = [
      status, maxDataQueues, cryptoServices,
      UInt32(truncatingIfNeeded: cipherAlgorithms), UInt32(cipherAlgorithms >> 32), hashAlgorithms,
      UInt32(truncatingIfNeeded: macAlgorithms), UInt32(macAlgorithms >> 32), aeadAlgorithms,
      maxCipherKeyByteCount, maxAuthKeyByteCount, akcipherAlgorithms,
      UInt32(truncatingIfNeeded: maxRequestByteCount), UInt32(maxRequestByteCount >> 32),
    ]
    return words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
  }

  /// Reads the 56 bytes; nil for any other count.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    func word(_ index: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[4 * index + $1]) << (8 * UInt32($1)) }
    }
    status = word(0)
    maxDataQueues = word(1)
    cryptoServices = word(2)
    cipherAlgorithms = UInt64(word(3)) | UInt64(word(4)) << 32
    hashAlgorithms = word(5)
    macAlgorithms = UInt64(word(6)) | UInt64(word(7)) << 32
    aeadAlgorithms = word(8)
    maxCipherKeyByteCount = word(9)
    maxAuthKeyByteCount = word(10)
    akcipherAlgorithms = word(11)
    maxRequestByteCount = UInt64(word(12)) | UInt64(word(13)) << 32
  }
}

/// Algorithm numbers: values in requests, bit numbers in the configuration's masks.
///
/// 0 is "none" in each service.
public enum VirtioCryptoAlgorithm {
  public enum Cipher {
    @inlinable public static var arc4: UInt32 { 1 }
    @inlinable public static var aesECB: UInt32 { 2 }
    @inlinable public static var aesCBC: UInt32 { 3 }
    @inlinable public static var aesCTR: UInt32 { 4 }
    @inlinable public static var desECB: UInt32 { 5 }
    @inlinable public static var desCBC: UInt32 { 6 }
    @inlinable public static var tripleDESECB: UInt32 { 7 }
    @inlinable public static var tripleDESCBC: UInt32 { 8 }
    @inlinable public static var tripleDESCTR: UInt32 { 9 }
    @inlinable public static var kasumiF8: UInt32 { 10 }
    @inlinable public static var snow3gUEA2: UInt32 { 11 }
    @inlinable public static var aesF8: UInt32 { 12 }
    @inlinable public static var aesXTS: UInt32 { 13 }
    @inlinable public static var zucEEA3: UInt32 { 14 }
  }
  public enum Hash {
    @inlinable public static var md5: UInt32 { 1 }
    @inlinable public static var sha1: UInt32 { 2 }
    @inlinable public static var sha224: UInt32 { 3 }
    @inlinable public static var sha256: UInt32 { 4 }
    @inlinable public static var sha384: UInt32 { 5 }
    @inlinable public static var sha512: UInt32 { 6 }
    @inlinable public static var sha3_224: UInt32 { 7 }
    @inlinable public static var sha3_256: UInt32 { 8 }
    @inlinable public static var sha3_384: UInt32 { 9 }
    @inlinable public static var sha3_512: UInt32 { 10 }
    @inlinable public static var shake128: UInt32 { 11 }
    @inlinable public static var shake256: UInt32 { 12 }
  }
  public enum MAC {
    @inlinable public static var hmacMD5: UInt32 { 1 }
    @inlinable public static var hmacSHA1: UInt32 { 2 }
    @inlinable public static var hmacSHA224: UInt32 { 3 }
    @inlinable public static var hmacSHA256: UInt32 { 4 }
    @inlinable public static var hmacSHA384: UInt32 { 5 }
    @inlinable public static var hmacSHA512: UInt32 { 6 }
    @inlinable public static var cmac3DES: UInt32 { 25 }
    @inlinable public static var cmacAES: UInt32 { 26 }
    @inlinable public static var kasumiF9: UInt32 { 27 }
    @inlinable public static var snow3gUIA2: UInt32 { 28 }
    @inlinable public static var gmacAES: UInt32 { 41 }
    @inlinable public static var gmacTwofish: UInt32 { 42 }
    @inlinable public static var cbcmacAES: UInt32 { 49 }
    @inlinable public static var cbcmacKasumiF9: UInt32 { 50 }
    @inlinable public static var xcbcAES: UInt32 { 53 }
    @inlinable public static var zucEIA3: UInt32 { 54 }
  }
  public enum AEAD {
    @inlinable public static var gcm: UInt32 { 1 }
    @inlinable public static var ccm: UInt32 { 2 }
    @inlinable public static var chacha20Poly1305: UInt32 { 3 }
  }
  public enum AKCipher {
    @inlinable public static var rsa: UInt32 { 1 }
    @inlinable public static var ecdsa: UInt32 { 2 }
  }
}
