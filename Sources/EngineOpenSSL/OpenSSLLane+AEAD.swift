import COpenSSL
import CryptoTypes

extension OpenSSLLane {
  /// GCM, with a 12-byte IV or with 16 bytes taken as J0.
  @_noAllocation @_noLocks
  func runGCM(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its ranges.
    guard unsafe operation.pointee.ivByteCount == 16 else {
      return unsafe runAEAD(operation, with: entry)
    }
    // What a 12-byte IV makes of itself: IV ‖ 1 (SP 800-38D §7.1).
    if unsafe UInt32(bigEndian: UInt32(truncatingIfNeeded: operation.pointee.iv.1 >> 32)) == 1 {
      return unsafe runAEAD(operation, with: entry)
    }
    return unsafe runGCMFromCounterBlock(operation, with: entry, isTransient: isTransient)
  }

  /// GCM with the first 12 bytes of the IV, or ChaCha20-Poly1305.
  @_noAllocation @_noLocks
  func runAEAD(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for source, destination, aad and result.
    let session = unsafe operation.pointee.session
    let context = unsafe entry.pointee.cipher
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    let byteCount = unsafe operation.pointee.sourceByteCount
    let ivByteCount = unsafe operation.pointee.ivByteCount
    let aead = unsafe session.pointee.aead
    guard aead.accepts(ivByteCount: Int(ivByteCount)) else { return .failed }
    if unsafe session.pointee.direction == .encrypt {
      let tagByteCount = unsafe operation.pointee.resultByteCount
      guard
        aead.accepts(tagByteCount: Int(tagByteCount)),
        unsafe copenssl_aead_begin(
          context, operation.pointee.ivBlock, operation.pointee.aad,
          operation.pointee.aadByteCount),
        unsafe copenssl_aead_update(context, source, byteCount, destination),
        unsafe copenssl_aead_finish(context, operation.pointee.result, tagByteCount)
      else { return .failed }
      return .ok
    }
    let tagByteCount = unsafe UInt32(operation.pointee.tagByteCount)
    guard aead.accepts(tagByteCount: Int(tagByteCount)) else { return .failed }
    let isDeciphered =
      unsafe copenssl_aead_begin(
        context, operation.pointee.ivBlock, operation.pointee.aad, operation.pointee.aadByteCount)
      && copenssl_aead_update(context, source, byteCount, destination)
    let verdict =
      isDeciphered
      ? unsafe copenssl_aead_verify(context, operation.pointee.tagBlock, tagByteCount) : -1
    if verdict == 1 { return .ok }
    unsafe copenssl_wipe(destination, Int(byteCount))
    return verdict == 0 ? .tagMismatch : .failed
  }

  /// CCM, whose contexts are keyed for one pair of nonce and tag lengths; another pair keys them again.
  @_noAllocation @_noLocks
  func runCCM(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for source, destination, aad and result; the session's key is alive and
    // was found to fit when the entry was expanded.
    let session = unsafe operation.pointee.session
    let context = unsafe entry.pointee.cipher
    let byteCount = unsafe operation.pointee.sourceByteCount
    let isEncryption = unsafe session.pointee.direction == .encrypt
    let nonceByteCount = unsafe operation.pointee.ivByteCount
    let tagByteCount =
      unsafe isEncryption
      ? operation.pointee.resultByteCount : UInt32(operation.pointee.tagByteCount)
    guard
      AEADAlgorithm.ccm.accepts(ivByteCount: Int(nonceByteCount)),
      AEADAlgorithm.ccm.accepts(tagByteCount: Int(tagByteCount)),
      Self.ccmFits(byteCount: byteCount, nonceByteCount: nonceByteCount)
    else { return .failed }
    if unsafe entry.pointee.ccmNonceByteCount != nonceByteCount
      || UInt32(entry.pointee.ccmTagByteCount) != tagByteCount
    {
      unsafe entry.pointee.ccmNonceByteCount = 0
      guard
        let key = unsafe session.pointee.cipherKey,
        unsafe copenssl_ccm_rekey(context, key, Int(nonceByteCount), Int(tagByteCount))
      else { return .failed }
      unsafe entry.pointee.ccmNonceByteCount = nonceByteCount
      unsafe entry.pointee.ccmTagByteCount = UInt8(truncatingIfNeeded: tagByteCount)
    }
    if isEncryption {
      guard
        unsafe beginCCM(operation, context),
        unsafe copenssl_ccm_seal(
          context, operation.pointee.source, byteCount, operation.pointee.destination,
          operation.pointee.result, tagByteCount)
      else { return .failed }
      return .ok
    }
    let isReady =
      unsafe copenssl_ccm_expect(context, operation.pointee.tagBlock, tagByteCount)
      && beginCCM(operation, context)
    if isReady,
      unsafe copenssl_ccm_open(
        context, operation.pointee.source, byteCount, operation.pointee.destination)
    {
      return .ok
    }
    unsafe copenssl_wipe(operation.pointee.destination, Int(byteCount))
    return isReady ? .tagMismatch : .failed
  }

  @_noAllocation @_noLocks
  private func beginCCM(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ context: OpaquePointer?
  ) -> Bool {
    // SAFETY: the operation's owner answers for aad.
    unsafe copenssl_ccm_begin(
      context, operation.pointee.ivBlock, operation.pointee.sourceByteCount,
      operation.pointee.aad, operation.pointee.aadByteCount)
  }

  /// Whether the text's length can be said in the bytes that the nonce leaves for it.
  ///
  /// Spec: NIST SP 800-38C §A.1, n + q = 15
  @_noAllocation @_noLocks
  private static func ccmFits(byteCount: UInt32, nonceByteCount: UInt8) -> Bool {
    let lengthBits = (15 &- UInt32(nonceByteCount)) &* 8
    return lengthBits >= 32 || byteCount >> lengthBits == 0
  }
}
