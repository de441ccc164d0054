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
  public static let cipher = Self(rawValue: 0)
  public static let hash = Self(rawValue: 1)
  public static let mac = Self(rawValue: 2)
  public static let aead = Self(rawValue: 3)
  public static let akcipher = Self(rawValue: 4)
}

/// The opcodes of control requests (`VIRTIO_CRYPTO_*_CREATE_SESSION`, `…_DESTROY_SESSION`).
public struct VirtioCryptoControlOpcode: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static let cipherCreateSession = Self(rawValue: 0x002)
  public static let cipherDestroySession = Self(rawValue: 0x003)
  public static let hashCreateSession = Self(rawValue: 0x102)
  public static let hashDestroySession = Self(rawValue: 0x103)
  public static let macCreateSession = Self(rawValue: 0x202)
  public static let macDestroySession = Self(rawValue: 0x203)
  public static let aeadCreateSession = Self(rawValue: 0x302)
  public static let aeadDestroySession = Self(rawValue: 0x303)
  public static let akcipherCreateSession = Self(rawValue: 0x404)
  public static let akcipherDestroySession = Self(rawValue: 0x405)
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
  public static let cryptoRevision1: UInt64 = 1 << 0
  public static let cryptoCipherStateless: UInt64 = 1 << 1
  public static let cryptoHashStateless: UInt64 = 1 << 2
  public static let cryptoMACStateless: UInt64 = 1 << 3
  public static let cryptoAEADStateless: UInt64 = 1 << 4
  public static let cryptoAKCipherStateless: UInt64 = 1 << 5
  public static let ringIndirectDescriptors: UInt64 = 1 << 28
  public static let ringEventIndex: UInt64 = 1 << 29
  /// `VHOST_USER_F_PROTOCOL_FEATURES`: never reaches the guest.
  public static let vhostUserProtocolFeatures: UInt64 = 1 << 30
  public static let version1: UInt64 = 1 << 32
  public static let ringPacked: UInt64 = 1 << 34
  public static let inOrder: UInt64 = 1 << 35
}

/// Words inside requests.
public enum VirtioCryptoWire {
  /// `VIRTIO_CRYPTO_OP_ENCRYPT`, `VIRTIO_CRYPTO_OP_DECRYPT`.
  public static let operationEncrypt: UInt32 = 1
  public static let operationDecrypt: UInt32 = 2
  /// `VIRTIO_CRYPTO_SYM_OP_*`.
  public static let symmetricCipher: UInt32 = 1
  public static let symmetricChain: UInt32 = 2
  /// `VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_*`.
  public static let hashThenCipher: UInt32 = 1
  public static let cipherThenHash: UInt32 = 2
  /// `VIRTIO_CRYPTO_SYM_HASH_MODE_*`.
  public static let hashModePlain: UInt32 = 1
  public static let hashModeAuthenticated: UInt32 = 2
  public static let hashModeNested: UInt32 = 3
  /// `VIRTIO_CRYPTO_FLAG_SESSION_MODE`.
  public static let flagSessionMode: UInt32 = 1

  /// Sizes in bytes of the fixed parts (headers and `flf`), per layout.
  public static let controlHeaderByteCount = 16
  public static let controlLegacyFixedByteCount = 56
  public static let dataHeaderByteCount = 24
  public static let dataLegacyFixedByteCount = 48
  public static let createSessionInputByteCount = 16

  // Session creation, `flf` sizes under REVISION_1.
  public static let symmetricCreateFixedByteCount = 56
  public static let hashCreateFixedByteCount = 8
  public static let macCreateFixedByteCount = 16
  public static let aeadCreateFixedByteCount = 24
  public static let destroyFixedByteCount = 8

  // Data requests, `flf` sizes under REVISION_1, session mode.
  public static let symmetricDataFixedByteCount = 48
  public static let hashDataFixedByteCount = 8
  public static let macDataFixedByteCount = 8
  public static let aeadDataFixedByteCount = 24
  // The same where the service's stateless feature is negotiated (session mode uses the front of it).
  public static let symmetricStatelessFixedByteCount = 76
  public static let hashStatelessFixedByteCount = 16
  public static let macStatelessFixedByteCount = 16
  public static let aeadStatelessFixedByteCount = 32
}

/// `struct virtio_crypto_config`, 56 bytes little-endian, as `GET_CONFIG` and the guest read it.
public struct VirtioCryptoConfig: Hashable, Sendable {
  /// `VIRTIO_CRYPTO_S_HW_READY`.
  public static let statusReady: UInt32 = 1
  public static let byteCount = 56

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

/// Algorithm numbers: values in requests, bit numbers in the configuration's masks. 0 is "none" in each service.
public enum VirtioCryptoAlgorithm {
  public enum Cipher {
    public static let arc4: UInt32 = 1
    public static let aesECB: UInt32 = 2
    public static let aesCBC: UInt32 = 3
    public static let aesCTR: UInt32 = 4
    public static let desECB: UInt32 = 5
    public static let desCBC: UInt32 = 6
    public static let tripleDESECB: UInt32 = 7
    public static let tripleDESCBC: UInt32 = 8
    public static let tripleDESCTR: UInt32 = 9
    public static let kasumiF8: UInt32 = 10
    public static let snow3gUEA2: UInt32 = 11
    public static let aesF8: UInt32 = 12
    public static let aesXTS: UInt32 = 13
    public static let zucEEA3: UInt32 = 14
  }
  public enum Hash {
    public static let md5: UInt32 = 1
    public static let sha1: UInt32 = 2
    public static let sha224: UInt32 = 3
    public static let sha256: UInt32 = 4
    public static let sha384: UInt32 = 5
    public static let sha512: UInt32 = 6
    public static let sha3_224: UInt32 = 7
    public static let sha3_256: UInt32 = 8
    public static let sha3_384: UInt32 = 9
    public static let sha3_512: UInt32 = 10
    public static let shake128: UInt32 = 11
    public static let shake256: UInt32 = 12
  }
  public enum MAC {
    public static let hmacMD5: UInt32 = 1
    public static let hmacSHA1: UInt32 = 2
    public static let hmacSHA224: UInt32 = 3
    public static let hmacSHA256: UInt32 = 4
    public static let hmacSHA384: UInt32 = 5
    public static let hmacSHA512: UInt32 = 6
    public static let cmac3DES: UInt32 = 25
    public static let cmacAES: UInt32 = 26
    public static let kasumiF9: UInt32 = 27
    public static let snow3gUIA2: UInt32 = 28
    public static let gmacAES: UInt32 = 41
    public static let gmacTwofish: UInt32 = 42
    public static let cbcmacAES: UInt32 = 49
    public static let cbcmacKasumiF9: UInt32 = 50
    public static let xcbcAES: UInt32 = 53
    public static let zucEIA3: UInt32 = 54
  }
  public enum AEAD {
    public static let gcm: UInt32 = 1
    public static let ccm: UInt32 = 2
    public static let chacha20Poly1305: UInt32 = 3
  }
}
