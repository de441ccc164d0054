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
    let byteCount = unsafe Int(session.pointee.cipherKeyByteCount)
    let isPrivate = unsafe session.pointee.keyForm.isPrivate
    var result = COPENSSL_FAILED
    let made: OpaquePointer?
    switch unsafe session.pointee.asymmetric {
    case .rsa:
      guard let padding = unsafe session.pointee.padding.code else { return .unsupported }
      let units =
        unsafe Double(session.pointee.maximumOperationMilliseconds) * algorithms.unitsPerMillisecond
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
    guard let code = unsafe operation.pointee.asymmetric.code else { return .unsupported }
    var written = 0
    let result = unsafe copenssl_key_run(
      entry.pointee.key, code, operation.pointee.source, Int(operation.pointee.sourceByteCount),
      operation.pointee.aad, Int(operation.pointee.aadByteCount), operation.pointee.result,
      Int(operation.pointee.resultByteCount), &written)
    unsafe operation.pointee.resultByteCount = UInt32(truncatingIfNeeded: written)
    return CryptoOutcome(result)
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
      case .encodedPublic: false
      case .encodedPrivate: true
      }
    }
  }
}

extension AsymmetricOperation {
  fileprivate var code: copenssl_operation? {
    @_noAllocation @_noLocks get {
      switch self {
      case .encrypt: COPENSSL_ENCRYPT
      case .decrypt: COPENSSL_DECRYPT
      case .sign: COPENSSL_SIGN
      case .verify: COPENSSL_VERIFY
      case .generateKey, .generateParameters, .computeSecret: nil
      }
    }
  }
}

extension RSAPadding {
  fileprivate var code: copenssl_padding? {
    @_noAllocation @_noLocks get {
      switch self {
      case .raw: COPENSSL_RAW
      case .pkcs1: COPENSSL_PKCS1
      case .oaep, .x931, .pss: nil
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
