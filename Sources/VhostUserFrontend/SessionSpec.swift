public import CryptoTypes
public import VirtioSpec

/// The second half of a chain: what is computed beside the cipher.
public enum ChainSecond: Hashable, Sendable {
  case plain(HashAlgorithm)
  case authenticated(MACAlgorithm, key: [UInt8])
  /// `key` holds the two prefixes (docs/wire.md).
  case nested(HashAlgorithm, key: [UInt8])

  public var mode: ChainHashMode {
    switch self {
    case .plain: .plain
    case .authenticated: .authenticated
    case .nested: .nested
    }
  }

  /// The algorithm's number on the wire.
  public var algorithmCode: UInt32 {
    switch self {
    case .plain(let hash), .nested(let hash, _): hash.wireCode
    case .authenticated(let mac, _): mac.wireCode
    }
  }

  public var key: [UInt8] {
    switch self {
    case .plain: []
    case .authenticated(_, let key), .nested(_, let key): key
    }
  }

  /// The full result in bytes (SHAKE: 32, as an application would ask for).
  public var resultByteCount: Int {
    switch self {
    case .plain(let hash), .nested(let hash, _):
      hash.isExtendable ? 32 : hash.maximumResultByteCount
    case .authenticated(let mac, _): mac.maximumResultByteCount
    }
  }
}

/// What a session computes, and its keys: everything that a guest says when it creates one.
///
/// The values are not checked; a test describes wrong sessions in the same way.
public enum SessionSpec: Hashable, Sendable {
  case cipher(CipherAlgorithm, CryptoDirection, key: [UInt8])
  case hash(HashAlgorithm, resultByteCount: Int)
  case mac(MACAlgorithm, key: [UInt8], resultByteCount: Int)
  case aead(
    AEADAlgorithm, CryptoDirection, key: [UInt8], tagByteCount: Int, aadByteCount: Int = 0)
  case chain(Chain)
  case akcipher(AKCipherSpec)

  /// A cipher and a hash or MAC over one source.
  public struct Chain: Hashable, Sendable {
    public var cipher: CipherAlgorithm
    public var direction: CryptoDirection
    public var cipherKey: [UInt8]
    public var order: ChainOrder
    public var second: ChainSecond
    public var resultByteCount: Int
    public var aadByteCount: Int

    /// `resultByteCount` nil means the full length.
    public init(
      _ cipher: CipherAlgorithm, _ direction: CryptoDirection, key: [UInt8], order: ChainOrder,
      second: ChainSecond, resultByteCount: Int? = nil, aadByteCount: Int = 0
    ) {
      self.cipher = cipher
      self.direction = direction
      self.cipherKey = key
      self.order = order
      self.second = second
      self.resultByteCount = resultByteCount ?? second.resultByteCount
      self.aadByteCount = aadByteCount
    }
  }

  /// The service whose opcodes and whose stateless feature count: a chain belongs to CIPHER.
  public var service: VirtioCryptoService {
    switch self {
    case .cipher, .chain: .cipher
    case .hash: .hash
    case .mac: .mac
    case .aead: .aead
    case .akcipher: .akcipher
    }
  }

  /// The number for the `algo` field of a header: for a chain, its cipher's.
  public var algorithmCode: UInt32 {
    switch self {
    case .cipher(let algorithm, _, _): algorithm.wireCode
    case .hash(let algorithm, _): algorithm.wireCode
    case .mac(let algorithm, _, _): algorithm.wireCode
    case .aead(let algorithm, _, _, _, _): algorithm.wireCode
    case .chain(let chain): chain.cipher.wireCode
    case .akcipher(let spec): spec.algorithm
    }
  }

  /// The cipher's, AEAD's or asymmetric key; empty for the others.
  public var cipherKey: [UInt8] {
    switch self {
    case .cipher(_, _, let key), .aead(_, _, let key, _, _): key
    case .chain(let chain): chain.cipherKey
    case .akcipher(let spec): spec.key
    case .hash, .mac: []
    }
  }

  /// The MAC's key or a chain's second key; empty for the others.
  public var authKey: [UInt8] {
    switch self {
    case .mac(_, let key, _): key
    case .chain(let chain): chain.second.key
    case .cipher, .hash, .aead, .akcipher: []
    }
  }

  /// The direction; nil for hash and MAC, and where each request says what it does.
  public var direction: CryptoDirection? {
    switch self {
    case .cipher(_, let direction, _), .aead(_, let direction, _, _, _): direction
    case .chain(let chain): chain.direction
    case .hash, .mac, .akcipher: nil
    }
  }

  /// Bytes of hash, MAC or tag that the session asks for; 0 for a cipher or an asymmetric key.
  public var resultByteCount: Int {
    switch self {
    case .cipher, .akcipher: 0
    case .hash(_, let count), .mac(_, _, let count): count
    case .aead(_, _, _, let tagByteCount, _): tagByteCount
    case .chain(let chain): chain.resultByteCount
    }
  }
}
