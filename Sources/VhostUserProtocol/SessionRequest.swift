/// The layouts of a session message in the wild; a reply has the size of its request.
public enum SessionLayout: CaseIterable, Hashable, Sendable {
  /// 1072 bytes: QEMU since 8.1, DPDK since 25.
  case current
  /// 632 bytes without an operation code: QEMU 7.1 to 8.0.
  case withoutOpcode
  /// 632 bytes with a 32-bit operation code before the fields: QEMU up to 7.0, DPDK 22.
  case opcodeFirst

  /// Payload bytes of request and reply.
  public var byteCount: Int { self == .current ? 1072 : 632 }

  /// Where request and reply have the 64-bit session identifier.
  public var sessionIDOffset: Int { self == .current ? 1064 : 0 }

  /// Whether a payload of this many bytes is a session message of some layout.
  public static func accepts(payloadByteCount: Int) -> Bool {
    payloadByteCount == Self.current.byteCount || payloadByteCount == Self.opcodeFirst.byteCount
  }
}

/// `CREATE_CRYPTO_SESSION` in one shape, whatever layout it came in.
///
/// Numbers are the wire's (`VIRTIO_CRYPTO_*`): only lengths, operation and direction have been checked here, algorithms
/// are the device's to judge. What each operation code means for the fields, which the protocol leaves open for all but
/// the symmetric and asymmetric ones that QEMU sends:
///
/// | opcode | kind | algorithm | key | further |
/// | --- | --- | --- | --- | --- |
/// | CIPHER 0x002, `op_type` 1 | `cipher` | cipher_alg | cipher_key | direction |
/// | CIPHER 0x002, `op_type` 2 | `chain` | cipher_alg, hash_alg | cipher_key, auth_key | direction, mode, order, hash_result_len, add_len |
/// | HASH 0x102 | `hash` | hash_alg | – | hash_result_len |
/// | MAC 0x202 | `mac` | hash_alg | auth_key | hash_result_len |
/// | AEAD 0x302 | `aead` | cipher_alg | cipher_key | direction, hash_result_len = tag length, add_len |
/// | AKCIPHER 0x404 | `asymmetric` | algo | key | keytype, padding_algo or curve_id, hash_algo |
public struct SessionRequest: Sendable {
  /// What the session is for.
  public enum Kind: Hashable, Sendable { case cipher, chain, hash, mac, aead, asymmetric }

  /// The longest keys that a message has room for, in bytes.
  public static let maximumCipherKeyByteCount = 64
  public static let maximumAuthKeyByteCount = 512
  public static let maximumAsymmetricKeyByteCount = 1024
  /// `direction`: encrypt, decrypt.
  public static let encrypt: UInt8 = 1
  public static let decrypt: UInt8 = 2

  public var kind: Kind
  /// The layout it came in or is to be sent in.
  public var layout: SessionLayout

  // Symmetric kinds.
  /// `VIRTIO_CRYPTO_CIPHER_*`; for `aead` `VIRTIO_CRYPTO_AEAD_*`.
  public var cipherAlgorithm: UInt32 = 0
  /// `VIRTIO_CRYPTO_HASH_*` or `VIRTIO_CRYPTO_MAC_*`; in a chain the mode says which.
  public var hashAlgorithm: UInt32 = 0
  /// Bytes of hash, MAC or tag.
  public var hashResultByteCount: UInt32 = 0
  /// Bytes of additional authenticated data (`add_len`): a hint.
  public var additionalByteCount: UInt32 = 0
  /// ``encrypt`` or ``decrypt``; meaningless for `hash`, `mac` and `asymmetric`.
  public var direction: UInt8 = Self.encrypt
  /// `VIRTIO_CRYPTO_SYM_HASH_MODE_*`, for `chain`.
  public var hashMode: UInt8 = 0
  /// `VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_*`, for `chain`.
  public var chainOrder: UInt8 = 0

  // The asymmetric kind.
  /// `VIRTIO_CRYPTO_AKCIPHER_*`.
  public var asymmetricAlgorithm: UInt32 = 0
  /// `VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_*`: public or private.
  public var asymmetricKeyType: UInt32 = 0
  /// The two words of algorithm parameters.
  ///
  /// RSA: padding, hash. ECDSA: curve, unused.
  public var asymmetricParameters: (UInt32, UInt32) = (0, 0)

  /// The cipher's, AEAD's or asymmetric key; may be empty.
  public var cipherKey: SecretBytes
  /// The MAC's key or the nested hash's prefix; may be empty.
  public var authKey: SecretBytes

  /// A request to be filled in by a front-end.
  public init(
    kind: Kind, layout: SessionLayout = .current, cipherKey: SecretBytes = SecretBytes([]),
    authKey: SecretBytes = SecretBytes([])
  ) {
    self.kind = kind
    self.layout = layout
    self.cipherKey = cipherKey
    self.authKey = authKey
  }
}

/// Operation codes of session creation, as the message spells them.
enum SessionOpcode {
  static let cipher: UInt64 = 0x002
  static let hash: UInt64 = 0x102
  static let mac: UInt64 = 0x202
  static let aead: UInt64 = 0x302
  static let akcipher: UInt64 = 0x404
}

/// `op_type` of a symmetric session.
enum SymmetricOperationType {
  static let cipher: UInt8 = 1
  static let chain: UInt8 = 2
}

/// The reply to `CREATE_CRYPTO_SESSION`: the request's size, zeros but for the identifier.
public struct SessionReply: Hashable, Sendable {
  /// The session if not negative, else minus the virtio-crypto status.
  public var sessionID: Int64

  public init(sessionID: Int64) { self.sessionID = sessionID }

  /// Reads a reply of either size; throws `byteCount` for any other.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard SessionLayout.accepts(payloadByteCount: bytes.count) else {
      throw .byteCount(expected: SessionLayout.current.byteCount, actual: bytes.count)
    }
    let offset =
      bytes.count == SessionLayout.current.byteCount
      ? SessionLayout.current.sessionIDOffset : SessionLayout.opcodeFirst.sessionIDOffset
    sessionID = Int64(bitPattern: bytes.word64(at: offset))
  }

  /// The reply's payload for a request of `payloadByteCount` bytes, 1072 or 632 (anything else counts as 632).
  ///
  /// The request is not echoed, since it holds keys.
  public func encoded(payloadByteCount: Int) -> [UInt8] {
    let layout: SessionLayout =
      payloadByteCount == SessionLayout.current.byteCount ? .current : .opcodeFirst
    var bytes = [UInt8](repeating: 0, count: layout.byteCount)
    bytes.storeWord(sessionID, at: layout.sessionIDOffset)
    return bytes
  }
}
