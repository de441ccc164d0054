/// Which way a cipher runs.
public enum CryptoDirection: UInt8, CaseIterable, Sendable {
  case encrypt, decrypt
}

/// What a chain's second half is.
public enum ChainHashMode: UInt8, Sendable {
  /// A plain hash.
  case plain
  /// A MAC under the authentication key.
  case authenticated
  /// A hash of a hash: H(outer ‖ H(inner ‖ data)), prefixes taken from the authentication key (docs/wire.md).
  case nested
}

/// Which half of a chain goes first.
public enum ChainOrder: UInt8, Sendable {
  /// The hash or MAC covers the source.
  case hashThenCipher
  /// The hash or MAC covers the cipher's output.
  case cipherThenHash
}

/// What a session computes, and its keys, as an engine sees them.
///
/// A plain value over memory that the session's owner keeps alive, unchanged and in one place until every worker has
/// let go of the session, and wipes then. Fields that the service does not use are zero.
@safe
@frozen
public struct SessionParameters {
  public var service: CryptoService = .cipher
  /// Valid for `cipher` and `chain`.
  public var cipher: CipherAlgorithm = .aesCBC
  /// Valid for `hash`, and for `chain` in the modes `plain` and `nested`.
  public var hash: HashAlgorithm = .sha256
  /// Valid for `mac`, and for `chain` in the mode `authenticated`.
  public var mac: MACAlgorithm = .hmacSHA256
  /// Valid for `aead`.
  public var aead: AEADAlgorithm = .gcm
  /// Valid for `cipher`, `aead` and `chain`.
  public var direction: CryptoDirection = .encrypt
  public var hashMode: ChainHashMode = .plain
  // Valid for `akcipher`, whose key is `cipherKey`.
  public var asymmetric: AsymmetricAlgorithm = .rsa
  public var keyForm: AsymmetricKeyForm = .encodedPublic
  /// RSA only.
  public var padding: RSAPadding = .raw
  /// The hash whose results are signed: with an encoded key RSA only.
  public var digest: SignatureDigest = .none
  /// ECDSA only.
  public var curve: NamedCurve = .p256
  /// A key with which one operation would take longer than this is refused; in milliseconds.
  public var maximumOperationMilliseconds: UInt32 = 2000
  public var order: ChainOrder = .hashThenCipher
  /// The engines that may serve the session; engines themselves ignore it.
  public var route = EngineRoute()
  /// Length of hash, MAC or tag in bytes that the session was created for.
  public var resultByteCount: UInt32 = 0
  /// The cipher's, AEAD's or asymmetric key; may be nil when the count is 0.
  public var cipherKey: UnsafePointer<UInt8>?
  public var cipherKeyByteCount: UInt32 = 0
  /// The MAC's key, or the prefixes of a nested hash.
  public var authKey: UnsafePointer<UInt8>?
  public var authKeyByteCount: UInt32 = 0

  @inlinable public init() {
    unsafe cipherKey = nil
    unsafe authKey = nil
  }
}

extension UnsafePointer<SessionParameters> {
  /// The route's engine for a source, without a copy of the route.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public func engine(forByteCount byteCount: UInt32) -> UInt8 {
    // SAFETY: whoever has the pointer keeps the session alive.
    if unsafe byteCount >= pointee.route.shortest.0, unsafe byteCount <= pointee.route.longest.0 {
      return unsafe UInt8(truncatingIfNeeded: pointee.route.engines)
    }
    return unsafe pointee.route.engine(forByteCount: byteCount)
  }
}
