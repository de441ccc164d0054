import COpenSSL
import CryptoTypes

// Public-key sessions and operations. Keys are read and checked by COpenSSL; an operation runs on contexts that the key
// keeps.

extension OpenSSLLane {
  /// Reads a session's key into an empty entry.
  ///
  /// `unsupported` for what libcrypto does not have, and for a key with which an operation would take too long.
  @_noAllocation @_noLocks
  func expandAsymmetric(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the session's key has the length that it gives and is alive; entry is one of ours.
    guard let key = unsafe session.pointee.cipherKey else { return .failed }
    if unsafe session.pointee.keyForm.isInParts {
      // Read anew with every operation: what it takes depends on the operation.
      unsafe entry.pointee.recipe = .asymmetricComponents
      return .ok
    }
    let byteCount = unsafe Int(session.pointee.cipherKeyByteCount)
    let isPrivate = unsafe session.pointee.keyForm.isPrivate
    var result = COPENSSL_FAILED
    let made: OpaquePointer?
    switch unsafe session.pointee.asymmetric {
    case .rsa:
      let padding = unsafe session.pointee.padding.code
      guard padding == COPENSSL_RAW || padding == COPENSSL_PKCS1 else { return .unsupported }
      let units = unsafe mostUnits(session)
      unsafe made = copenssl_rsa_new(
        algorithms.library, algorithms.properties, key, byteCount, isPrivate, padding,
        session.pointee.digest.nid, units, &result)
    case .ecdsa:
      unsafe made = copenssl_ecdsa_new(
        algorithms.library, algorithms.properties, session.pointee.curve.nid, key, byteCount,
        isPrivate, &result)
    case .dsa, .dh, .ecdh: return .unsupported
    }
    guard let made = unsafe made else { return CryptoOutcome(result) }
    unsafe entry.pointee.key = made
    unsafe entry.pointee.recipe = .asymmetric
    return .ok
  }

  @_noAllocation @_noLocks
  func runAsymmetric(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the entry has a key; the operation's ranges are alive, and its result has the room that it gives.
    let code = unsafe operation.pointee.asymmetric.code
    var written = 0
    let result = unsafe copenssl_key_run(
      entry.pointee.key, code, operation.pointee.source, Int(operation.pointee.sourceByteCount),
      operation.pointee.aad, Int(operation.pointee.aadByteCount), operation.pointee.result,
      Int(operation.pointee.resultByteCount), &written)
    unsafe operation.pointee.resultByteCount = UInt32(truncatingIfNeeded: written)
    return CryptoOutcome(result)
  }
}

extension OpenSSLLane {
  /// An operation whose session's key comes in parts.
  @_noAllocation @_noLocks
  func runComponents(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome {
    // SAFETY: as above; the key is the session's, which is alive.
    let session = unsafe operation.pointee.session
    var request = unsafe copenssl_component_request()
    unsafe request.algorithm = session.pointee.asymmetric.code
    unsafe request.operation = operation.pointee.asymmetric.code
    unsafe request.padding = session.pointee.padding.code
    unsafe request.digest_nid = session.pointee.digest.nid
    unsafe request.most_units = mostUnits(session)
    unsafe request.most_milliseconds = session.pointee.maximumOperationMilliseconds
    unsafe request.key = session.pointee.cipherKey
    unsafe request.key_count = Int(session.pointee.cipherKeyByteCount)
    unsafe request.input = operation.pointee.source
    unsafe request.input_count = Int(operation.pointee.sourceByteCount)
    unsafe request.extra = operation.pointee.aad
    unsafe request.extra_count = Int(operation.pointee.aadByteCount)
    var written = 0
    let result = unsafe copenssl_components_run(
      algorithms.library, algorithms.properties, &request, operation.pointee.result,
      Int(operation.pointee.resultByteCount), &written)
    unsafe operation.pointee.resultByteCount = UInt32(truncatingIfNeeded: written)
    return CryptoOutcome(result)
  }

  /// What one operation may take.
  @_noAllocation @_noLocks
  private func mostUnits(_ session: UnsafePointer<SessionParameters>) -> Double {
    unsafe Double(session.pointee.maximumOperationMilliseconds) * algorithms.unitsPerMillisecond
  }
}

extension CryptoOutcome {
  @_noAllocation @_noLocks
  fileprivate init(_ result: copenssl_result) {
    switch result {
    case COPENSSL_DONE: self = .ok
    case COPENSSL_MISMATCH: self = .signatureMismatch
    case COPENSSL_UNSUPPORTED: self = .unsupported
    default: self = .failed
    }
  }
}

extension AsymmetricKeyForm {
  fileprivate var isPrivate: Bool {
    @_noAllocation @_noLocks get {
      switch self {
      case .encodedPublic, .components: false
      case .encodedPrivate: true
      }
    }
  }

  fileprivate var isInParts: Bool {
    @_noAllocation @_noLocks get {
      switch self {
      case .encodedPublic, .encodedPrivate: false
      case .components: true
      }
    }
  }
}

extension AsymmetricAlgorithm {
  fileprivate var code: copenssl_algorithm {
    @_noAllocation @_noLocks get {
      switch self {
      case .rsa: COPENSSL_RSA
      case .dsa: COPENSSL_DSA
      case .dh: COPENSSL_DH
      case .ecdsa: COPENSSL_ECDSA
      case .ecdh: COPENSSL_ECDH
      }
    }
  }
}

extension AsymmetricOperation {
  fileprivate var code: copenssl_operation {
    @_noAllocation @_noLocks get {
      switch self {
      case .encrypt: COPENSSL_ENCRYPT
      case .decrypt: COPENSSL_DECRYPT
      case .sign: COPENSSL_SIGN
      case .verify: COPENSSL_VERIFY
      case .generateKey: COPENSSL_GENERATE_KEY
      case .generateParameters: COPENSSL_GENERATE_PARAMETERS
      case .computeSecret: COPENSSL_COMPUTE_SECRET
      }
    }
  }
}

extension RSAPadding {
  fileprivate var code: copenssl_padding {
    @_noAllocation @_noLocks get {
      switch self {
      case .raw: COPENSSL_RAW
      case .pkcs1: COPENSSL_PKCS1
      case .oaep: COPENSSL_OAEP
      case .x931: COPENSSL_X931
      case .pss: COPENSSL_PSS
      }
    }
  }
}

extension SignatureDigest {
  /// libcrypto's number.
  fileprivate var nid: Int32 {
    @_noAllocation @_noLocks get {
      switch self {
      case .none: NID_undef
      case .md2: NID_md2
      case .md4: NID_md4
      case .md5: NID_md5
      case .sha1: NID_sha1
      case .sha224: NID_sha224
      case .sha256: NID_sha256
      case .sha384: NID_sha384
      case .sha512: NID_sha512
      case .sha3_224: NID_sha3_224
      case .sha3_256: NID_sha3_256
      case .sha3_384: NID_sha3_384
      case .sha3_512: NID_sha3_512
      }
    }
  }
}

extension NamedCurve {
  /// libcrypto's number.
  fileprivate var nid: Int32 {
    @_noAllocation @_noLocks get {
      switch self {
      case .p192: NID_X9_62_prime192v1
      case .p224: NID_secp224r1
      case .p256: NID_X9_62_prime256v1
      case .p384: NID_secp384r1
      case .p521: NID_secp521r1
      }
    }
  }
}
