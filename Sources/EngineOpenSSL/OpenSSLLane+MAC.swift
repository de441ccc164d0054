import COpenSSL
import CryptoTypes

extension OpenSSLLane {
  /// The MAC, other than GMAC, of the whole source.
  @_noAllocation @_noLocks
  func runMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its source; of an empty prefix nothing is read.
    unsafe runMAC(
      operation, with: entry, prefix: operation.pointee.source, prefixByteCount: 0,
      source: operation.pointee.source, byteCount: operation.pointee.sourceByteCount)
  }

  /// The MAC, other than GMAC, of `prefix` ‖ `source`; the wanted leading bytes go to the operation's result.
  @_noAllocation @_noLocks
  func runMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, prefix: UnsafePointer<UInt8>,
    prefixByteCount: UInt32, source: UnsafePointer<UInt8>, byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: the caller answers for the ranges; the scratch has room for the longest MAC, the result for what is wanted.
    let algorithm = unsafe operation.pointee.session.pointee.mac
    let wanted = unsafe operation.pointee.resultByteCount
    let mac = unsafe digestScratch
    guard wanted > 0, wanted <= UInt32(algorithm.maximumResultByteCount) else { return .failed }
    let isDone: Bool
    if let hash = algorithm.hmacHash {
      unsafe isDone = copenssl_hmac_run(
        digests[hash.index], entry.pointee.hmacInner, entry.pointee.hmacOuter, prefix,
        prefixByteCount, source, byteCount, mac)
    } else if algorithm == .cbcmacAES {
      // What does not fill blocks is refused: padding is the guest's business.
      guard (prefixByteCount &+ byteCount) % UInt32(algorithm.granuleByteCount) == 0 else {
        return .failed
      }
      unsafe isDone = copenssl_cbcmac_run(
        entry.pointee.authenticator, prefix, prefixByteCount, source, byteCount, textScratch,
        Self.textScratchByteCount, mac)
    } else if algorithm == .xcbcAES {
      unsafe isDone = copenssl_xcbc_run(
        entry.pointee.authenticator, entry.pointee.wholeBlockKey, entry.pointee.paddedBlockKey,
        prefix, prefixByteCount, source, byteCount, textScratch, Self.textScratchByteCount, mac)
    } else {
      unsafe isDone = copenssl_mac_run(
        entry.pointee.cmac, prefix, prefixByteCount, source, byteCount, mac)
    }
    guard isDone else { return .failed }
    unsafe copenssl_copy(operation.pointee.result, mac, Int(wanted))
    return .ok
  }

  /// GMAC of the whole source under the operation's IV.
  @_noAllocation @_noLocks
  func runGMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its source.
    guard unsafe operation.pointee.ivByteCount == 12 else { return .failed }
    return unsafe runGMAC(
      operation, with: entry, iv: operation.pointee.ivBlock, source: operation.pointee.source,
      byteCount: operation.pointee.sourceByteCount)
  }

  /// GMAC of `source`: the tag of GCM with the source as associated data and no text.
  ///
  /// Spec: NIST SP 800-38D §3 and §7, GMAC
  @_noAllocation @_noLocks
  func runGMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, iv: copenssl_block,
    source: UnsafePointer<UInt8>, byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: the caller answers for the source, and the operation's owner for the room at result.
    let wanted = unsafe operation.pointee.resultByteCount
    guard
      wanted > 0, wanted <= 16,
      unsafe copenssl_aead_begin(entry.pointee.authenticator, iv, source, byteCount),
      unsafe copenssl_aead_finish(
        entry.pointee.authenticator, operation.pointee.result, wanted)
    else { return .failed }
    return .ok
  }
}
