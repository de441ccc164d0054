public import CryptoTypes
public import VirtioSpec

/// A request to make a session, in the guest's words, whichever way it came: by control queue, by vhost-user message,
/// or as the head of a stateless data request.
public struct SessionRequest: Hashable, Sendable {
  public var service: VirtioCryptoService
  /// `op_type` of the CIPHER service: `VIRTIO_CRYPTO_SYM_OP_CIPHER` or `…_ALGORITHM_CHAINING`.
  public var symmetricType: UInt32 = VirtioCryptoWire.symmetricCipher
  /// Number of the cipher, or of the AEAD algorithm.
  public var cipher: UInt32 = 0
  public var cipherKeyByteCount: UInt32 = 0
  /// `VIRTIO_CRYPTO_OP_ENCRYPT` or `…_DECRYPT`.
  public var operation: UInt32 = 0
  /// Number of the hash or MAC.
  public var hash: UInt32 = 0
  public var hashMode: UInt32 = 0
  public var chainOrder: UInt32 = 0
  public var authKeyByteCount: UInt32 = 0
  /// `hash_result_len` or `tag_len`.
  public var resultByteCount: UInt32 = 0
  // AKCIPHER, whose algorithm is `cipher`: `VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_*`; RSA's padding and hash, or ECDSA's curve.
  public var keyType: UInt32 = 0
  public var firstParameter: UInt32 = 0
  public var secondParameter: UInt32 = 0

  @_noAllocation @_noLocks
  public init(service: VirtioCryptoService) { self.service = service }

  /// Checks the words against what is offered and gives the parameters of the session, without its keys.
  ///
  /// - Throws: `NOTSUPP` for anything that is not offered, `ERR` for a length that does not fit the algorithm.
  @_noAllocation @_noLocks
  public func resolve(_ table: AlgorithmTable) throws(Refusal) -> SessionParameters {
    var session = SessionParameters()
    if service != .akcipher {
      guard cipherKeyByteCount <= table.maximumCipherKeyByteCount,
        authKeyByteCount <= table.maximumAuthKeyByteCount
      else { throw .unsupported }
    }
    switch service {
    case .cipher: try resolveSymmetric(table, &session)
    case .hash:
      session.service = .hash
      try resolveHash(table, &session)
    case .mac:
      session.service = .mac
      try resolveMAC(table, &session)
    case .aead: try resolveAEAD(table, &session)
    case .akcipher: try resolveAKCipher(table, &session)
    default: throw .unsupported
    }
    session.resultByteCount = resultByteCount
    session.route = table.route(for: session)
    guard !session.route.isEmpty else { throw .unsupported }
    return session
  }

  @_noAllocation @_noLocks
  private func resolveSymmetric(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    guard let algorithm = table.cipher(cipher),
      algorithm.accepts(keyByteCount: Int(cipherKeyByteCount))
    else { throw .unsupported }
    session.cipher = algorithm
    session.direction = try direction()
    switch symmetricType {
    case VirtioCryptoWire.symmetricCipher: session.service = .cipher
    case VirtioCryptoWire.symmetricChain:
      session.service = .chain
      try resolveChain(table, &session)
    default: throw .unsupported
    }
  }

  @_noAllocation @_noLocks
  private func resolveChain(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    switch chainOrder {
    case VirtioCryptoWire.hashThenCipher: session.order = .hashThenCipher
    case VirtioCryptoWire.cipherThenHash: session.order = .cipherThenHash
    default: throw .unsupported
    }
    switch hashMode {
    case VirtioCryptoWire.hashModePlain:
      session.hashMode = .plain
      try resolveHash(table, &session)
    case VirtioCryptoWire.hashModeAuthenticated:
      session.hashMode = .authenticated
      try resolveMAC(table, &session)
    case VirtioCryptoWire.hashModeNested:
      session.hashMode = .nested
      try resolveHash(table, &session)
      // Two prefixes of one length: see docs/wire.md.
      guard authKeyByteCount <= UInt32(MACAlgorithm.maximumKeyByteCount) else { throw .unsupported }
      guard authKeyByteCount & 1 == 0 else { throw .error }
    default: throw .unsupported
    }
  }

  @_noAllocation @_noLocks
  private func resolveHash(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    guard let algorithm = table.hash(hash) else { throw .unsupported }
    session.hash = algorithm
    guard resultByteCount >= 1, resultByteCount <= algorithm.maximumResultByteCount else {
      throw .error
    }
  }

  @_noAllocation @_noLocks
  private func resolveMAC(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    guard let algorithm = table.mac(hash),
      algorithm.accepts(keyByteCount: Int(authKeyByteCount))
    else { throw .unsupported }
    session.mac = algorithm
    guard resultByteCount >= 1, resultByteCount <= algorithm.maximumResultByteCount else {
      throw .error
    }
  }

  @_noAllocation @_noLocks
  private func resolveAEAD(
    _ table: AlgorithmTable, _ session: inout SessionParameters
  ) throws(Refusal) {
    guard let algorithm = table.aead(cipher),
      algorithm.accepts(keyByteCount: Int(cipherKeyByteCount))
    else { throw .unsupported }
    session.service = .aead
    session.aead = algorithm
    session.direction = try direction()
    guard algorithm.accepts(tagByteCount: Int(resultByteCount)) else { throw .error }
  }

  @_noAllocation @_noLocks
  private func direction() throws(Refusal) -> CryptoDirection {
    switch operation {
    case VirtioCryptoWire.operationEncrypt: .encrypt
    case VirtioCryptoWire.operationDecrypt: .decrypt
    default: throw .unsupported
    }
  }
}
