import CIPsecMB
import CryptoTypes

extension IPsecMBLane {
  /// Expands a session's keys into an empty entry.
  ///
  /// Anything but `ok` leaves the entry empty.
  @_noAllocation @_noLocks
  func expand(
    _ session: UnsafePointer<SessionParameters>, into entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: the session's keys have the lengths it gives and are alive; entry is one of ours.
    var outcome = CryptoOutcome.ok
    switch unsafe session.pointee.service {
    case .cipher: unsafe outcome = expandCipher(session, entry)
    case .hash: unsafe outcome = expandHash(session, entry)
    case .mac: unsafe outcome = expandMAC(session, entry)
    case .aead: unsafe outcome = expandAEAD(session, entry)
    case .chain:
      unsafe outcome = expandCipher(session, entry)
      if outcome == .ok { unsafe outcome = expandTail(session, entry) }
    case .akcipher: outcome = .unsupported
    }
    unsafe entry.pointee.isExpanded = outcome == .ok
    if outcome != .ok { unsafe cipsecmb_wipe(entry, KeyedEntry.stride) }
    return outcome
  }

  @_noAllocation @_noLocks
  private func expandCipher(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: as for expand; the key's length is checked against the algorithm before it is read.
    let cipher = unsafe session.pointee.cipher
    let count = unsafe session.pointee.cipherKeyByteCount
    let mode: IMB_CIPHER_MODE
    switch cipher {
    case .aesECB: mode = IMB_CIPHER_ECB
    case .aesCBC: mode = IMB_CIPHER_CBC
    case .aesCTR: mode = IMB_CIPHER_CNTR
    case .desCBC: mode = IMB_CIPHER_DES
    case .tripleDESCBC: mode = IMB_CIPHER_DES3
    case .kasumiF8: mode = IMB_CIPHER_KASUMI_UEA1_BITLEN
    case .snow3gUEA2: mode = IMB_CIPHER_SNOW3G_UEA2_BITLEN
    case .zucEEA3: mode = IMB_CIPHER_ZUC_EEA3
    case .arc4, .desECB, .tripleDESECB, .tripleDESCTR, .aesF8, .aesXTS: return .unsupported
    }
    guard
      cipher.accepts(keyByteCount: Int(count)), let key = unsafe session.pointee.cipherKey
    else { return .failed }
    unsafe entry.pointee.cipherMode = mode
    unsafe entry.pointee.cipherKeyByteCount = count
    let room = unsafe entry.cipherKey
    switch cipher {
    case .desCBC: unsafe cipsecmb_expand_des(direct, key, room)
    case .tripleDESCBC: unsafe cipsecmb_expand_3des(direct, key, room)
    case .kasumiF8: unsafe cipsecmb_expand_kasumi(direct, key, false, room)
    case .snow3gUEA2: unsafe cipsecmb_expand_snow3g(direct, key, room)
    case .zucEEA3: unsafe cipsecmb_copy(room, key, 16)
    default: unsafe cipsecmb_expand_aes(direct, key, UInt64(count), room)
    }
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandHash(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    switch unsafe session.pointee.hash {
    case .sha1: unsafe entry.pointee.hash = IMB_AUTH_SHA_1
    case .sha224: unsafe entry.pointee.hash = IMB_AUTH_SHA_224
    case .sha256: unsafe entry.pointee.hash = IMB_AUTH_SHA_256
    case .sha384: unsafe entry.pointee.hash = IMB_AUTH_SHA_384
    case .sha512: unsafe entry.pointee.hash = IMB_AUTH_SHA_512
    case .md5, .sha3_224, .sha3_256, .sha3_384, .sha3_512, .shake128, .shake256:
      return .unsupported
    }
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandMAC(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: as for expand. An absent key stands for an empty one, of which nothing is read.
    let mac = unsafe session.pointee.mac
    let count = unsafe session.pointee.authKeyByteCount
    let hash: IMB_HASH_ALG
    switch mac {
    case .hmacMD5: hash = IMB_AUTH_MD5
    case .hmacSHA1: hash = IMB_AUTH_HMAC_SHA_1
    case .hmacSHA224: hash = IMB_AUTH_HMAC_SHA_224
    case .hmacSHA256: hash = IMB_AUTH_HMAC_SHA_256
    case .hmacSHA384: hash = IMB_AUTH_HMAC_SHA_384
    case .hmacSHA512: hash = IMB_AUTH_HMAC_SHA_512
    case .cmacAES: hash = count == 32 ? IMB_AUTH_AES_CMAC_256 : IMB_AUTH_AES_CMAC
    case .xcbcAES: hash = IMB_AUTH_AES_XCBC
    case .gmacAES:
      hash =
        count == 16
        ? IMB_AUTH_AES_GMAC_128 : count == 24 ? IMB_AUTH_AES_GMAC_192 : IMB_AUTH_AES_GMAC_256
    case .kasumiF9, .cbcmacKasumiF9: hash = IMB_AUTH_KASUMI_UIA1
    case .snow3gUIA2: hash = IMB_AUTH_SNOW3G_UIA2_BITLEN
    case .zucEIA3: hash = IMB_AUTH_ZUC_EIA3_BITLEN
    case .cmac3DES, .gmacTwofish, .cbcmacAES: return .unsupported
    }
    guard mac.accepts(keyByteCount: Int(count)) else { return .failed }
    let room = unsafe entry.authKey
    guard let key = unsafe session.pointee.authKey ?? (count == 0 ? UnsafePointer(room) : nil)
    else { return .failed }
    unsafe entry.pointee.hash = hash
    unsafe entry.pointee.authKeyByteCount = count
    switch mac {
    case .cmacAES:
      return unsafe cipsecmb_expand_cmac(direct, key, UInt64(count), room) ? .ok : .failed
    case .xcbcAES: unsafe cipsecmb_expand_xcbc(direct, key, room)
    case .gmacAES: unsafe cipsecmb_expand_gcm(direct, key, UInt64(count), room)
    case .kasumiF9, .cbcmacKasumiF9: unsafe cipsecmb_expand_kasumi(direct, key, true, room)
    case .snow3gUIA2: unsafe cipsecmb_expand_snow3g(direct, key, room)
    case .zucEIA3: unsafe cipsecmb_copy(room, key, 16)
    default:
      return unsafe cipsecmb_expand_hmac(direct, hash, key, UInt64(count), room) ? .ok : .failed
    }
    return .ok
  }

  @_noAllocation @_noLocks
  private func expandAEAD(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    let aead = unsafe session.pointee.aead
    let count = unsafe session.pointee.cipherKeyByteCount
    guard aead.accepts(keyByteCount: Int(count)), let key = unsafe session.pointee.cipherKey else {
      return .failed
    }
    unsafe entry.pointee.cipherKeyByteCount = count
    let room = unsafe entry.cipherKey
    switch aead {
    case .gcm:
      unsafe entry.pointee.cipherMode = IMB_CIPHER_GCM
      unsafe cipsecmb_expand_gcm(direct, key, UInt64(count), room)
    case .ccm:
      unsafe entry.pointee.cipherMode = IMB_CIPHER_CCM
      unsafe cipsecmb_expand_aes(direct, key, UInt64(count), room)
    case .chacha20Poly1305:
      unsafe entry.pointee.cipherMode = IMB_CIPHER_CHACHA20_POLY1305
      unsafe cipsecmb_copy(room, key, 32)
    }
    return .ok
  }

  /// The second half of a chain.
  @_noAllocation @_noLocks
  private func expandTail(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedEntry>
  ) -> CryptoOutcome {
    // SAFETY: as for expand.
    switch unsafe session.pointee.hashMode {
    case .plain: return unsafe expandHash(session, entry)
    case .authenticated: return unsafe expandMAC(session, entry)
    case .nested:
      let outcome = unsafe expandHash(session, entry)
      guard outcome == .ok else { return outcome }
      let count = unsafe session.pointee.authKeyByteCount
      guard
        count & 1 == 0, count <= UInt32(MACAlgorithm.maximumKeyByteCount),
        unsafe count == 0 || session.pointee.authKey != nil
      else { return .failed }
      return .ok
    }
  }
}
