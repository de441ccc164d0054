import COpenSSL
import CryptoTypes

// Expanding keys into contexts, and wiping them again. Sessions get contexts of their own, which are freed by libcrypto
// with their contents wiped. Stateless requests borrow the lane's transient contexts and re-key them with a neutral key
// afterwards, so that no key schedule stays behind and none has to be allocated.

extension OpenSSLLane {
  /// Expands a session's keys into an empty entry.
  ///
  /// Anything but `ok` leaves the entry empty.
  @_noAllocation @_noLocks
  func expand(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>,
    generation: UInt32, isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: the session's keys have the lengths it gives and are alive; entry is one of ours.
    let outcome: CryptoOutcome
    switch unsafe session.pointee.service {
    case .cipher: unsafe outcome = expandCipher(session, into: entry, isTransient)
    case .hash: unsafe outcome = expandHash(session, into: entry)
    case .mac: unsafe outcome = expandMAC(session, into: entry, isTransient)
    case .aead: unsafe outcome = expandAEAD(session, into: entry, isTransient)
    case .chain: unsafe outcome = expandChain(session, into: entry, isTransient)
    case .akcipher: unsafe outcome = expandAsymmetric(session, into: entry)
    }
    if outcome == .ok {
      unsafe entry.pointee.generation = generation
    } else {
      unsafe discard(entry, isTransient: isTransient)
      copenssl_clear_errors()
    }
    return outcome
  }

  /// Empties an entry: contexts of a session are wiped and freed, transient ones re-keyed and left to the lane.
  @_noAllocation @_noLocks
  func discard(_ entry: UnsafeMutablePointer<KeyedContexts>, isTransient: Bool) {
    // SAFETY: an entry owns its contexts, or borrows the lane's; either way they are valid until emptied here.
    unsafe copenssl_key_free(entry.pointee.key)
    if isTransient {
      unsafe neutralise(cipher: entry.pointee.cipher)
      unsafe neutralise(cipher: entry.pointee.authenticator)
      unsafe neutralise(cipher: entry.pointee.counter)
      unsafe neutralise(cipher: entry.pointee.block)
      if let cmac = unsafe entry.pointee.cmac {
        unsafe _ = copenssl_mac_rekey(
          cmac, neutralKey, entry.pointee.cmacPrimitive.keyByteCount)
      }
      unsafe copenssl_digest_reset(entry.pointee.hmacInner)
      unsafe copenssl_digest_reset(entry.pointee.hmacOuter)
    } else {
      unsafe copenssl_cipher_free(entry.pointee.cipher)
      unsafe copenssl_cipher_free(entry.pointee.authenticator)
      unsafe copenssl_cipher_free(entry.pointee.counter)
      unsafe copenssl_cipher_free(entry.pointee.block)
      unsafe copenssl_mac_free(entry.pointee.cmac)
      unsafe copenssl_digest_free(entry.pointee.hmacInner)
      unsafe copenssl_digest_free(entry.pointee.hmacOuter)
    }
    unsafe copenssl_wipe(entry, MemoryLayout<KeyedContexts>.size)
  }

  /// A cipher context under a key: a new one, or the lane's transient one for this primitive and place.
  @_noAllocation @_noLocks
  func cipherContext(
    _ primitive: CipherPrimitive, key: UnsafePointer<UInt8>, for place: CipherPlace,
    _ isTransient: Bool
  ) -> OpaquePointer? {
    // SAFETY: tables are sized by the enums; the caller checked the key's length against the primitive.
    guard let algorithm = unsafe algorithms.ciphers[primitive.index] else { return nil }
    guard isTransient else {
      return unsafe copenssl_cipher_new(algorithm, key, place.isEncryption)
    }
    let slot = unsafe transientCiphers + place.index(of: primitive)
    if let context = unsafe slot.pointee {
      guard unsafe copenssl_cipher_rekey(context, key) else { return nil }
      return unsafe context
    }
    unsafe slot.pointee = copenssl_cipher_new(algorithm, key, place.isEncryption)
    return unsafe slot.pointee
  }

  /// A context for keys of this length, which it has not been given yet; new, or the lane's transient one.
  @_noAllocation @_noLocks
  private func unkeyedContext(
    _ primitive: CipherPrimitive, keyByteCount: UInt32, for place: CipherPlace, _ isTransient: Bool
  ) -> OpaquePointer? {
    // SAFETY: tables are sized by the enums.
    guard let algorithm = unsafe algorithms.ciphers[primitive.index] else { return nil }
    let slot = unsafe transientCiphers + place.index(of: primitive)
    if isTransient, let context = unsafe slot.pointee {
      return unsafe copenssl_cipher_set_key_count(context, Int(keyByteCount)) ? context : nil
    }
    let context = unsafe copenssl_cipher_new_unkeyed(
      algorithm, Int(keyByteCount), place.isEncryption)
    if isTransient { unsafe slot.pointee = context }
    return unsafe context
  }

  /// Whether the providers offer a primitive.
  @_noAllocation @_noLocks
  func offers(_ primitive: CipherPrimitive) -> Bool {
    // SAFETY: the table is sized by the enum.
    unsafe algorithms.ciphers[primitive.index] != nil
  }

  @_noAllocation @_noLocks
  private func expandCipher(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    let cipher = unsafe session.pointee.cipher
    let keyByteCount = unsafe session.pointee.cipherKeyByteCount
    guard let primitive = CipherPrimitive.of(cipher, keyByteCount: keyByteCount) else {
      return refusal(of: cipher)
    }
    guard offers(primitive) else { return .unsupported }
    guard let key = unsafe session.pointee.cipherKey else { return .failed }
    if cipher == .aesXTS {
      // libcrypto refuses equal halves for encryption only; a key that cannot encrypt is of no use for decryption.
      let half = Int(keyByteCount / 2)
      if unsafe copenssl_equal(key, key + half, half) { return .failed }
    }
    let place = unsafe CipherPlace(session.pointee.direction)
    switch cipher {
    case .arc4:
      unsafe entry.pointee.cipher = unkeyedContext(
        primitive, keyByteCount: keyByteCount, for: place, isTransient)
      unsafe entry.pointee.cipherConstruction = .rekeyed
    case .tripleDESCTR:
      // Both directions encipher counters.
      unsafe entry.pointee.cipher = cipherContext(
        primitive, key: key, for: .encryption, isTransient)
      unsafe entry.pointee.cipherConstruction = .counter64
    case .aesF8:
      guard unsafe expandMaskedKey(key, keyByteCount / 2, into: entry, isTransient) else {
        return .failed
      }
      unsafe entry.pointee.cipher = cipherContext(
        primitive, key: key, for: .encryption, isTransient)
      unsafe entry.pointee.cipherConstruction = .f8
    default:
      unsafe entry.pointee.cipher = cipherContext(primitive, key: key, for: place, isTransient)
      unsafe entry.pointee.cipherConstruction = cipher.ivByteCount > 0 ? .withIV : .withoutIV
    }
    guard unsafe entry.pointee.cipher != nil else { return .failed }
    unsafe entry.pointee.recipe = .cipher
    return .ok
  }

  /// The context that makes f8's secret IV: AES under key ⊕ mask, where the mask stands behind the key.
  @_noAllocation @_noLocks
  private func expandMaskedKey(
    _ key: UnsafePointer<UInt8>, _ keyByteCount: UInt32,
    into entry: UnsafeMutablePointer<KeyedContexts>, _ isTransient: Bool
  ) -> Bool {
    // SAFETY: the caller found both halves to be AES keys; the scratch has room for one.
    guard let primitive = CipherPrimitive.ecb(keyByteCount: keyByteCount) else { return false }
    let masked = unsafe digestScratch
    let count = Int(keyByteCount)
    unsafe copenssl_xor(masked, key, key + count, count)
    unsafe entry.pointee.block = cipherContext(
      primitive, key: masked, for: .encryption, isTransient)
    unsafe copenssl_wipe(masked, count)
    return unsafe entry.pointee.block != nil
  }

  /// Why a cipher has no primitive for a key: it has none for any, or not for this length.
  @_noAllocation @_noLocks
  private func refusal(of cipher: CipherAlgorithm) -> CryptoOutcome {
    switch cipher {
    case .kasumiF8, .snow3gUEA2, .zucEEA3: .unsupported
    default: .failed
    }
  }

  @_noAllocation @_noLocks
  private func expandHash(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the table is sized by the enum.
    guard unsafe digests[session.pointee.hash.index] != nil else { return .unsupported }
    unsafe entry.pointee.recipe = .hash
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandMAC(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: as for expand. An absent key stands for an empty one, for which any address will do.
    let mac = unsafe session.pointee.mac
    let keyByteCount = unsafe session.pointee.authKeyByteCount
    let key = unsafe session.pointee.authKey ?? neutralKey
    guard unsafe keyByteCount == 0 || session.pointee.authKey != nil else { return .failed }
    if mac == .gmacAES {
      guard let primitive = CipherPrimitive.gcm(keyByteCount: keyByteCount) else { return .failed }
      guard offers(primitive) else { return .unsupported }
      guard
        let context = unsafe cipherContext(primitive, key: key, for: .authentication, isTransient)
      else { return .failed }
      unsafe entry.pointee.authenticator = context
      unsafe entry.pointee.recipe = .gmac
      return .ok
    }
    if mac == .cbcmacAES {
      guard let primitive = CipherPrimitive.cbc(keyByteCount: keyByteCount) else { return .failed }
      guard offers(primitive) else { return .unsupported }
      unsafe entry.pointee.authenticator = cipherContext(
        primitive, key: key, for: .authentication, isTransient)
      guard unsafe entry.pointee.authenticator != nil else { return .failed }
      unsafe entry.pointee.recipe = .mac
      return .ok
    }
    if mac == .xcbcAES {
      guard mac.accepts(keyByteCount: Int(keyByteCount)) else { return .failed }
      guard offers(.aes128ECB), offers(.aes128CBC) else { return .unsupported }
      guard unsafe expandXCBC(key, into: entry, isTransient) else { return .failed }
      unsafe entry.pointee.recipe = .mac
      return .ok
    }
    if let hash = mac.hmacHash {
      guard keyByteCount <= UInt32(MACAlgorithm.maximumKeyByteCount) else { return .failed }
      guard let digest = unsafe algorithms.digests[hash.index] else { return .unsupported }
      unsafe entry.pointee.hmacInner = isTransient ? transientHMAC[0] : copenssl_digest_new()
      unsafe entry.pointee.hmacOuter = isTransient ? transientHMAC[1] : copenssl_digest_new()
      guard
        let inner = unsafe entry.pointee.hmacInner, let outer = unsafe entry.pointee.hmacOuter,
        unsafe copenssl_hmac_key(inner, outer, digest, key, Int(keyByteCount))
      else { return .failed }
      unsafe entry.pointee.recipe = .mac
      return .ok
    }
    guard let primitive = CMACPrimitive.of(mac, keyByteCount: keyByteCount) else {
      switch mac {
      case .cmacAES, .cmac3DES: return .failed
      default: return .unsupported
      }
    }
    guard unsafe algorithms.cmac != nil else { return .unsupported }
    unsafe entry.pointee.cmacPrimitive = primitive
    unsafe entry.pointee.cmac = cmacContext(primitive, key: key, isTransient)
    guard unsafe entry.pointee.cmac != nil else { return .failed }
    unsafe entry.pointee.recipe = .mac
    return .ok
  }

  /// K1, K2 and K3 of XCBC: the key enciphers blocks of ones, twos and threes.
  ///
  /// Spec: RFC 3566 §4, step (1)
  @_noAllocation @_noLocks
  private func expandXCBC(
    _ key: UnsafePointer<UInt8>, into entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> Bool {
    // SAFETY: the key is an AES-128 one; the scratch has room for three blocks. The lane's own context serves sessions
    // too, because the key itself is of no use once the three are made.
    guard let ecb = unsafe cipherContext(.aes128ECB, key: key, for: .authentication, true) else {
      return false
    }
    let keys = unsafe digestScratch
    for index in 0..<48 { unsafe keys[index] = UInt8(truncatingIfNeeded: index / 16 &+ 1) }
    let isDone = unsafe copenssl_cipher_run_plain(ecb, keys, 48, keys)
    unsafe neutralise(cipher: ecb)
    if isDone {
      unsafe entry.pointee.authenticator = cipherContext(
        .aes128CBC, key: keys, for: .authentication, isTransient)
      unsafe entry.pointee.wholeBlockKey = copenssl_load_block(keys + 16)
      unsafe entry.pointee.paddedBlockKey = copenssl_load_block(keys + 32)
    }
    unsafe copenssl_wipe(keys, 48)
    return unsafe entry.pointee.authenticator != nil
  }

  @_noAllocation @_noLocks
  private func cmacContext(
    _ primitive: CMACPrimitive, key: UnsafePointer<UInt8>, _ isTransient: Bool
  ) -> OpaquePointer? {
    // SAFETY: tables are sized by the enum; names live as long as the engine; the key fits the primitive.
    let slot = unsafe transientCMACs + primitive.index
    if isTransient, let context = unsafe slot.pointee {
      guard unsafe copenssl_mac_rekey(context, key, primitive.keyByteCount) else { return nil }
      return unsafe context
    }
    let context = unsafe copenssl_mac_new(
      algorithms.cmac, algorithms.cmacCipherNames[primitive.index], algorithms.properties, key,
      primitive.keyByteCount)
    if isTransient { unsafe slot.pointee = context }
    return unsafe context
  }

  @_noAllocation @_noLocks
  private func expandAEAD(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    let aead = unsafe session.pointee.aead
    let keyByteCount = unsafe session.pointee.cipherKeyByteCount
    guard let primitive = CipherPrimitive.of(aead, keyByteCount: keyByteCount) else {
      return .failed
    }
    guard offers(primitive) else { return .unsupported }
    guard
      let key = unsafe session.pointee.cipherKey,
      let context = unsafe cipherContext(
        primitive, key: key, for: CipherPlace(session.pointee.direction), isTransient)
    else { return .failed }
    unsafe entry.pointee.cipher = context
    switch aead {
    case .gcm: unsafe entry.pointee.recipe = .gcm
    case .ccm: unsafe entry.pointee.recipe = .ccm
    case .chacha20Poly1305: unsafe entry.pointee.recipe = .chacha20Poly1305
    }
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandChain(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    let outcome = unsafe expandCipher(session, into: entry, isTransient)
    guard outcome == .ok else { return outcome }
    switch unsafe session.pointee.hashMode {
    case .plain:
      let outcome = unsafe expandHash(session, into: entry)
      guard outcome == .ok else { return outcome }
      unsafe entry.pointee.tail = .digest
    case .nested:
      let outcome = unsafe expandNestedHash(session, into: entry)
      guard outcome == .ok else { return outcome }
      unsafe entry.pointee.tail = .nestedDigest
    case .authenticated:
      let outcome = unsafe expandMAC(session, into: entry, isTransient)
      guard outcome == .ok else { return outcome }
      if case .mac = unsafe entry.pointee.recipe {
        unsafe entry.pointee.tail = .mac
      } else {
        unsafe entry.pointee.tail = .gmac
      }
    }
    unsafe entry.pointee.recipe = .chain
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandNestedHash(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    // An extendable hash has no length of its own that the inner result could have.
    guard unsafe !session.pointee.hash.isExtendable else { return .unsupported }
    let prefixesByteCount = unsafe session.pointee.authKeyByteCount
    guard
      prefixesByteCount & 1 == 0, prefixesByteCount <= UInt32(MACAlgorithm.maximumKeyByteCount),
      unsafe prefixesByteCount == 0 || session.pointee.authKey != nil
    else { return .failed }
    return unsafe expandHash(session, into: entry)
  }

  @_noAllocation @_noLocks
  private func neutralise(cipher context: OpaquePointer?) {
    // SAFETY: the neutral key has room for the longest key.
    guard let context = unsafe context else { return }
    unsafe _ = copenssl_cipher_rekey(context, neutralKey)
  }
}
