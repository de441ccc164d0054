import CIPsecMB
import CryptoTypes

// An operation as one job of the library. Each of these functions says whether the operation is one: what is too long,
// too short or in pieces for a job is put together elsewhere. A job that was filled in vain is simply not submitted.

extension IPsecMBLane {
  /// The longest text of a job for block ciphers, and for hashes and MACs: lengths of 16 bits inside of the library.
  static var longestBlockJob: UInt32 { @_noAllocation @_noLocks get { 65520 } }
  static var longestHashJob: UInt32 { @_noAllocation @_noLocks get { 65534 } }

  /// Fills a job with a whole operation.
  @_noAllocation @_noLocks
  func fill(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedEntry>, _ slot: UnsafeMutablePointer<JobSlot>
  ) -> Bool {
    // SAFETY: the operation's owner answers for its ranges; entry and slot stay where they are while the job runs.
    let source = unsafe operation.pointee.source
    let byteCount = unsafe operation.pointee.sourceByteCount
    unsafe cipsecmb_set_text(job, source, operation.pointee.destination)
    switch unsafe operation.pointee.session.pointee.service {
    case .cipher: return unsafe fillCipher(job, operation, entry, slot, 0, byteCount)
    case .hash: return unsafe fillHash(job, entry, slot, operation.pointee.session, 0, byteCount)
    case .mac:
      return unsafe fillMAC(job, operation, entry, slot, slot.iv, 0, byteCount)
    case .aead: return unsafe fillAEAD(job, operation, entry, slot)
    case .chain: return unsafe fillChain(job, operation, entry, slot)
    case .akcipher: return false
    }
  }

  /// Adds a cipher over part of the job's text.
  @_noAllocation @_noLocks
  func fillCipher(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedEntry>, _ slot: UnsafeMutablePointer<JobSlot>,
    _ offset: UInt32, _ byteCount: UInt32
  ) -> Bool {
    // SAFETY: as for fill.
    let mode = unsafe entry.pointee.cipherMode
    guard byteCount > 0 else { return false }
    var countsBits = false
    switch mode {
    case IMB_CIPHER_CBC, IMB_CIPHER_ECB, IMB_CIPHER_DES, IMB_CIPHER_DES3:
      guard byteCount <= Self.longestBlockJob else { return false }
    case IMB_CIPHER_CNTR:
      guard unsafe !Self.wraps(operation.pointee.iv.1, byteCount) else { return false }
    default:
      guard Self.isInRange(mode, byteCount) else { return false }
      countsBits = mode != IMB_CIPHER_ZUC_EEA3
    }
    let scale: UInt64 = countsBits ? 8 : 1
    unsafe cipsecmb_set_cipher(
      job, mode, operation.pointee.session.pointee.direction == .encrypt, entry.encryptionKey,
      entry.decryptionKey, UInt64(entry.pointee.cipherKeyByteCount), slot.iv,
      UInt64(operation.pointee.ivByteCount), UInt64(offset) &* scale,
      UInt64(byteCount) &* scale)
    return true
  }

  /// Whether a counter block's low 32 bits, which are all that the library counts in, run over on the way.
  @_noAllocation @_noLocks
  static func wraps(_ secondWord: UInt64, _ byteCount: UInt32) -> Bool {
    let start = UInt32(bigEndian: UInt32(truncatingIfNeeded: secondWord >> 32))
    let blocks = (UInt64(byteCount) &+ 15) / 16
    return UInt64(start) &+ blocks > UInt64(1) << 32
  }

  /// Whether a text has a length that a 3GPP cipher is defined for.
  ///
  /// Spec: 3GPP TS 35.201 §3.2 (20000 bits), TS 35.221 §3.3 (65504 bits); TS 35.215 §3.3 (2^32 bits)
  @_noAllocation @_noLocks
  static func isInRange(_ mode: IMB_CIPHER_MODE, _ byteCount: UInt32) -> Bool {
    switch mode {
    case IMB_CIPHER_KASUMI_UEA1_BITLEN: byteCount <= 2500
    case IMB_CIPHER_ZUC_EEA3: byteCount <= 8188
    default: byteCount < 1 << 29
    }
  }

  /// Adds a plain hash over part of the job's text; its whole digest goes to the slot.
  @_noAllocation @_noLocks
  func fillHash(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ session: UnsafePointer<SessionParameters>,
    _ offset: UInt32, _ byteCount: UInt32
  ) -> Bool {
    // SAFETY: as for fill.
    guard byteCount <= Self.longestHashJob else { return false }
    unsafe cipsecmb_set_hash(
      job, entry.pointee.hash, UInt64(offset), UInt64(byteCount), slot.tag,
      UInt64(session.pointee.hash.maximumResultByteCount))
    return true
  }

  /// Adds a MAC over part of the job's text; it goes to the slot.
  ///
  /// `iv` is for MACs that take one: 16 readable bytes.
  @_noAllocation @_noLocks
  func fillMAC(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedEntry>, _ slot: UnsafeMutablePointer<JobSlot>,
    _ iv: UnsafeMutablePointer<UInt8>, _ offset: UInt32, _ byteCount: UInt32
  ) -> Bool {
    // SAFETY: as for fill.
    let mac = unsafe operation.pointee.session.pointee.mac
    let room = unsafe entry.authKey
    var tagByteCount = UInt64(mac.maximumResultByteCount)
    var scale: UInt64 = 1
    switch mac {
    case .cmacAES:
      guard
        byteCount <= Self.longestHashJob, unsafe entry.pointee.authKeyByteCount != 24
      else { return false }
      unsafe cipsecmb_set_cmac_key(job, room)
    case .xcbcAES:
      // A job gives the 12 bytes of RFC 3566 only.
      guard
        byteCount > 0, byteCount <= Self.longestHashJob,
        unsafe operation.pointee.resultByteCount <= 12
      else { return false }
      tagByteCount = 12
      unsafe cipsecmb_set_xcbc_key(job, room)
    case .gmacAES: unsafe cipsecmb_set_gmac_key(job, room, iv)
    case .kasumiF9, .cbcmacKasumiF9:
      guard byteCount > 8, byteCount <= 2500 else { return false }
      unsafe cipsecmb_set_kasumi_key(job, room)
    case .snow3gUIA2:
      guard byteCount > 0, byteCount < 1 << 29 else { return false }
      scale = 8
      unsafe cipsecmb_set_snow3g_key(job, room, iv)
    case .zucEIA3:
      guard byteCount > 0, byteCount <= 8188 else { return false }
      scale = 8
      unsafe cipsecmb_set_zuc_key(job, room, iv)
    default:
      guard byteCount > 0, byteCount <= Self.longestHashJob else { return false }
      unsafe cipsecmb_set_hmac_key(job, room)
    }
    unsafe cipsecmb_set_hash(
      job, entry.pointee.hash, UInt64(offset), UInt64(byteCount) &* scale, slot.tag, tagByteCount)
    return true
  }

  @_noAllocation @_noLocks
  private func fillAEAD(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedEntry>, _ slot: UnsafeMutablePointer<JobSlot>
  ) -> Bool {
    // SAFETY: as for fill.
    let byteCount = unsafe UInt64(operation.pointee.sourceByteCount)
    let aad = unsafe operation.pointee.aad
    let aadByteCount = unsafe UInt64(operation.pointee.aadByteCount)
    let isEncryption = unsafe operation.pointee.session.pointee.direction == .encrypt
    let keyByteCount = unsafe UInt64(entry.pointee.cipherKeyByteCount)
    let key = unsafe UnsafeRawPointer(entry.cipherKey)
    var hash = IMB_AUTH_AES_GMAC
    var tagByteCount: UInt64 = 16
    var ivByteCount: UInt64 = 12
    switch unsafe operation.pointee.session.pointee.aead {
    case .gcm:
      guard unsafe !Self.startsFromCounterBlock(operation) else { return false }
      unsafe cipsecmb_set_gcm_aad(job, aad, aadByteCount)
    case .chacha20Poly1305:
      hash = IMB_AUTH_CHACHA20_POLY1305
      unsafe cipsecmb_set_chacha_aad(job, aad, aadByteCount)
    case .ccm:
      guard
        keyByteCount != 24, aadByteCount <= 46, byteCount <= UInt64(Self.longestHashJob)
      else { return false }
      hash = IMB_AUTH_AES_CCM
      tagByteCount = unsafe UInt64(Self.tagByteCount(operation))
      ivByteCount = unsafe UInt64(operation.pointee.ivByteCount)
      unsafe cipsecmb_set_ccm_aad(job, aad, aadByteCount)
    }
    unsafe cipsecmb_set_cipher(
      job, entry.pointee.cipherMode, isEncryption, key, key, keyByteCount, slot.iv, ivByteCount, 0,
      byteCount)
    unsafe cipsecmb_set_hash(job, hash, 0, byteCount, slot.tag, tagByteCount)
    // CCM's tag covers the plaintext.
    unsafe cipsecmb_set_order(job, isEncryption)
    return true
  }

  /// A cipher and a hash or MAC in one job: CBC or CTR with what the library hashes whole.
  @_noAllocation @_noLocks
  private func fillChain(
    _ job: UnsafeMutablePointer<IMB_JOB>, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedEntry>, _ slot: UnsafeMutablePointer<JobSlot>
  ) -> Bool {
    // SAFETY: as for fill; the ranges were found to be inside the source.
    let session = unsafe operation.pointee.session
    let mode = unsafe entry.pointee.cipherMode
    let hashByteCount = unsafe operation.pointee.hashByteCount
    guard
      mode == IMB_CIPHER_CBC || mode == IMB_CIPHER_CNTR, hashByteCount > 0,
      unsafe operation.pointee.aadByteCount == 0
    else { return false }
    let offset = unsafe operation.pointee.hashOffset
    switch unsafe session.pointee.hashMode {
    case .nested: return false
    case .plain:
      guard unsafe fillHash(job, entry, slot, session, offset, hashByteCount) else { return false }
    case .authenticated:
      switch unsafe session.pointee.mac {
      case .hmacMD5, .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512, .cmacAES,
        .xcbcAES:
        guard unsafe fillMAC(job, operation, entry, slot, slot.authIV, offset, hashByteCount) else {
          return false
        }
      default: return false
      }
    }
    let start = unsafe operation.pointee.cipherOffset
    let count = unsafe operation.pointee.cipherByteCount
    guard unsafe fillCipher(job, operation, entry, slot, start, count) else { return false }
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    let isHashFirst = unsafe session.pointee.order == .hashThenCipher
    unsafe cipsecmb_set_order(job, isHashFirst)
    if isHashFirst {
      unsafe copyAround(operation)
      unsafe cipsecmb_set_text(job, source, destination + Int(start))
    } else {
      // The library hashes where it reads, so the text is enciphered in place.
      if unsafe source != UnsafePointer(destination) {
        unsafe cipsecmb_copy(destination, source, Int(operation.pointee.sourceByteCount))
      }
      unsafe cipsecmb_set_text(job, destination, destination + Int(start))
    }
    return true
  }

  /// Copies what a chain does not encipher to the destination.
  @_noAllocation @_noLocks
  func copyAround(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    // SAFETY: the cipher range is inside the source; source and destination are the same or disjoint.
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    guard unsafe source != UnsafePointer(destination) else { return }
    let start = unsafe Int(operation.pointee.cipherOffset)
    let end = unsafe start &+ Int(operation.pointee.cipherByteCount)
    let byteCount = unsafe Int(operation.pointee.sourceByteCount)
    if start > 0 { unsafe cipsecmb_copy(destination, source, start) }
    if end < byteCount {
      unsafe cipsecmb_copy(destination + end, source + end, byteCount &- end)
    }
  }
}
