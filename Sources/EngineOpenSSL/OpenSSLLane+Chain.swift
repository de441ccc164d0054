import COpenSSL
import CryptoTypes

extension OpenSSLLane {
  /// A cipher over one range of the source and a hash or MAC over another, in the session's order.
  ///
  /// The destination receives the whole source, its cipher range processed. A hash that goes first covers the source,
  /// and is finished before the cipher writes, which may be in place.
  @_noAllocation @_noLocks
  func runChain(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the ranges are inside the source, as checked here; the owner answers for source and destination.
    let byteCount = unsafe operation.pointee.sourceByteCount
    guard
      unsafe operation.pointee.cipherOffset <= byteCount,
      unsafe operation.pointee.cipherByteCount <= byteCount &- operation.pointee.cipherOffset,
      unsafe operation.pointee.hashOffset <= byteCount,
      unsafe operation.pointee.hashByteCount <= byteCount &- operation.pointee.hashOffset
    else { return .failed }
    switch unsafe operation.pointee.session.pointee.order {
    case .hashThenCipher:
      let outcome = unsafe runChainTail(operation, with: entry, over: operation.pointee.source)
      guard outcome == .ok else { return outcome }
      return unsafe runChainCipher(operation, with: entry)
    case .cipherThenHash:
      let outcome = unsafe runChainCipher(operation, with: entry)
      guard outcome == .ok else { return outcome }
      return unsafe runChainTail(
        operation, with: entry, over: UnsafePointer(operation.pointee.destination))
    }
  }

  /// Processes the cipher range, and copies what is around it.
  @_noAllocation @_noLocks
  private func runChainCipher(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: runChain checked the ranges; source and destination are the same or disjoint.
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    let start = unsafe Int(operation.pointee.cipherOffset)
    let count = unsafe operation.pointee.cipherByteCount
    if unsafe source != UnsafePointer(destination) {
      let end = start &+ Int(count)
      unsafe copenssl_copy(destination, source, start)
      unsafe copenssl_copy(
        destination + end, source + end, Int(operation.pointee.sourceByteCount) &- end)
    }
    return unsafe runCipher(
      operation, with: entry, source: source + start, byteCount: count,
      destination: destination + start)
  }

  /// Hashes the hash range of the source or the output, behind the associated data.
  @_noAllocation @_noLocks
  private func runChainTail(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>, over text: UnsafePointer<UInt8>
  ) -> CryptoOutcome {
    // SAFETY: runChain checked the range; the owner answers for aad.
    let start = unsafe text + Int(operation.pointee.hashOffset)
    let count = unsafe operation.pointee.hashByteCount
    switch unsafe entry.pointee.tail {
    case .digest:
      return unsafe runHash(
        operation, prefix: operation.pointee.aad, source: start, byteCount: count)
    case .nestedDigest:
      return unsafe runNestedHash(operation, source: start, byteCount: count)
    case .mac:
      return unsafe runMAC(
        operation, with: entry, prefix: operation.pointee.aad,
        prefixByteCount: operation.pointee.aadByteCount, source: start, byteCount: count)
    case .gmac:
      guard unsafe operation.pointee.aadByteCount == 12 else { return .failed }
      let iv = unsafe copenssl_load_iv12(operation.pointee.aad)
      return unsafe runGMAC(operation, with: entry, iv: iv, source: start, byteCount: count)
    }
  }
}
