import COpenSSL
import CryptoTypes

// GCM with a pre-counter block J0 that the request brings. libcrypto would hash 16 bytes of IV, so it is put together
// from what libcrypto has:
//
// - the text, by AES-CTR from inc32(J0), in two parts where the low 32 bits wrap, because libcrypto counts in 128 bits;
// - the tag, from AES-GCM under a fixed nonce N. It is GHASH(A, C) ⊕ E(N ‖ 1) if N's own encryption puts out C, which it
//   does for the text C ⊕ keystream(N); and E(N ‖ 1) is then exchanged for E(J0) by means of AES-ECB. N's keystream
//   never leaves the scratch memory.
//
// Spec: NIST SP 800-38D §7.1 and §7.2, GCM-AE and GCM-AD

extension OpenSSLLane {
  /// GCM, both directions, with the operation's 16 bytes of IV as J0.
  ///
  /// Decryption verifies before it deciphers.
  @_noAllocation @_noLocks
  func runGCMFromCounterBlock(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, isTransient: Bool
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for source, destination, aad and result; the scratch has room for two blocks
    // and a tag at their offsets.
    let session = unsafe operation.pointee.session
    let isEncryption = unsafe session.pointee.direction == .encrypt
    let tagByteCount =
      unsafe isEncryption
      ? operation.pointee.resultByteCount : UInt32(operation.pointee.tagByteCount)
    guard
      AEADAlgorithm.gcm.accepts(tagByteCount: Int(tagByteCount)),
      unsafe prepareCounterBlock(session, entry, isTransient)
    else { return .failed }
    let tag = unsafe tagScratch
    if isEncryption {
      guard
        unsafe countFromCounterBlock(operation, entry),
        unsafe computeTag(
          operation, entry, entry.pointee.cipher,
          over: UnsafePointer(operation.pointee.destination),
          into: tag)
      else { return .failed }
      unsafe copenssl_copy(operation.pointee.result, tag, Int(tagByteCount))
      return .ok
    }
    let destination = unsafe operation.pointee.destination
    let byteCount = unsafe Int(operation.pointee.sourceByteCount)
    guard
      unsafe computeTag(
        operation, entry, entry.pointee.authenticator, over: operation.pointee.source, into: tag)
    else {
      unsafe copenssl_wipe(destination, byteCount)
      return .failed
    }
    let isGenuine = unsafe copenssl_block_equals(operation.pointee.tagBlock, tag, Int(tagByteCount))
    // Only now may the right tag of a wrong text be forgotten: it would make a forgery of the next one.
    unsafe copenssl_wipe(tag, 16)
    guard isGenuine else {
      unsafe copenssl_wipe(destination, byteCount)
      return .tagMismatch
    }
    return unsafe countFromCounterBlock(operation, entry) ? .ok : .failed
  }

  /// Makes the further contexts that a session needs when its first J0 arrives.
  @_noAllocation @_noLocks
  private func prepareCounterBlock(
    _ session: UnsafePointer<SessionParameters>, _ entry: UnsafeMutablePointer<KeyedContexts>,
    _ isTransient: Bool
  ) -> Bool {
    // SAFETY: the session's key is alive, and its length was found to fit when the entry was expanded.
    if unsafe entry.pointee.block != nil { return true }
    let count = unsafe session.pointee.cipherKeyByteCount
    guard
      let key = unsafe session.pointee.cipherKey,
      let gcm = CipherPrimitive.gcm(keyByteCount: count),
      let ctr = CipherPrimitive.of(.aesCTR, keyByteCount: count),
      let ecb = CipherPrimitive.of(.aesECB, keyByteCount: count)
    else { return false }
    if unsafe session.pointee.direction == .decrypt && entry.pointee.authenticator == nil {
      unsafe entry.pointee.authenticator = cipherContext(
        gcm, key: key, for: .encryption, isTransient)
      guard unsafe entry.pointee.authenticator != nil else { return false }
    }
    if unsafe entry.pointee.counter == nil {
      unsafe entry.pointee.counter = cipherContext(ctr, key: key, for: .encryption, isTransient)
      guard unsafe entry.pointee.counter != nil else { return false }
    }
    unsafe entry.pointee.block = cipherContext(ecb, key: key, for: .encryption, isTransient)
    return unsafe entry.pointee.block != nil
  }

  /// Source ⊕ keystream from inc32(J0) on, to the destination.
  @_noAllocation @_noLocks
  private func countFromCounterBlock(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedContexts>
  ) -> Bool {
    // SAFETY: both parts are inside source and destination.
    let first = unsafe operation.pointee.iv.0
    let second = unsafe operation.pointee.iv.1
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    let byteCount = unsafe operation.pointee.sourceByteCount
    let start = UInt32(bigEndian: UInt32(truncatingIfNeeded: second >> 32)) &+ 1
    // Blocks until the low 32 bits are zero again; starting with zero, more than any text has.
    let blocksBeforeWrap = start == 0 ? UInt64(1) << 32 : (UInt64(1) << 32) &- UInt64(start)
    let firstByteCount = UInt32(
      truncatingIfNeeded: min(UInt64(byteCount), blocksBeforeWrap &* 16))
    guard
      unsafe copenssl_cipher_run(
        entry.pointee.counter, Self.counterBlock(first, second, start), source, firstByteCount,
        destination)
    else { return false }
    let restByteCount = byteCount &- firstByteCount
    guard restByteCount > 0 else { return true }
    return unsafe copenssl_cipher_run(
      entry.pointee.counter, Self.counterBlock(first, second, 0), source + Int(firstByteCount),
      restByteCount, destination + Int(firstByteCount))
  }

  /// The whole tag of `ciphertext` and the operation's associated data, to 16 bytes of scratch.
  ///
  /// `sealer` is a GCM context in encryption under the session's key. False if libcrypto failed.
  @_noAllocation @_noLocks
  private func computeTag(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ entry: UnsafeMutablePointer<KeyedContexts>,
    _ sealer: OpaquePointer?, over ciphertext: UnsafePointer<UInt8>,
    into tag: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    // SAFETY: pieces are inside the ciphertext and fit the scratch; tag and blocks lie apart in the scratch.
    let text = unsafe textScratch
    let byteCount = unsafe operation.pointee.sourceByteCount
    guard
      unsafe copenssl_aead_begin(
        sealer, copenssl_make_block(0, 0), operation.pointee.aad, operation.pointee.aadByteCount)
    else { return false }
    var offset: UInt32 = 0
    while offset < byteCount {
      let piece = min(byteCount &- offset, Self.textScratchByteCount)
      // N ‖ 2 is the block that GCM enciphers text with first.
      let counter = Self.counterBlock(0, 0, 2 &+ offset / 16)
      guard
        unsafe copenssl_cipher_run(
          entry.pointee.counter, counter, ciphertext + Int(offset), piece, text),
        unsafe copenssl_aead_update(sealer, text, piece, text)
      else { return false }
      offset &+= piece
    }
    let blocks = unsafe blockScratch
    unsafe copenssl_store_block(blocks, Self.counterBlock(0, 0, 1))
    unsafe copenssl_store_block(blocks + 16, operation.pointee.ivBlock)
    guard
      unsafe copenssl_aead_finish(sealer, tag, 16),
      unsafe copenssl_cipher_run_plain(entry.pointee.block, blocks, 32, blocks)
    else { return false }
    unsafe copenssl_xor_block(tag, blocks)
    unsafe copenssl_xor_block(tag, blocks + 16)
    unsafe copenssl_wipe(blocks, 32)
    return true
  }

  /// The block with these first 12 bytes and this count, in network order, as the last 4.
  @_noAllocation @_noLocks
  private static func counterBlock(
    _ first: UInt64, _ second: UInt64, _ count: UInt32
  ) -> copenssl_block {
    copenssl_make_block(first, second & 0xffff_ffff | UInt64(count.bigEndian) << 32)
  }
}
