import COpenSSL
import CryptoTypes

extension OpenSSLLane {
  /// Hashes the whole source.
  @_noAllocation @_noLocks
  func runHash(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its source.
    unsafe runHash(
      operation, prefix: nil, source: operation.pointee.source,
      byteCount: operation.pointee.sourceByteCount)
  }

  /// Hashes `prefix` ‖ `source` and writes the wanted leading bytes to the operation's result.
  ///
  /// A nil prefix is empty; another has the length of the operation's `aad`.
  @_noAllocation @_noLocks
  func runHash(
    _ operation: UnsafeMutablePointer<CryptoOperation>, prefix: UnsafePointer<UInt8>?,
    source: UnsafePointer<UInt8>, byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: the table is sized by the enum, and contexts exist where digests do; the caller answers for the ranges.
    let hash = unsafe operation.pointee.session.pointee.hash
    let context = unsafe digests[hash.index]
    guard
      unsafe copenssl_digest_begin(context, algorithms.digests[hash.index]),
      unsafe prefix == nil
        || copenssl_digest_update(context, prefix, operation.pointee.aadByteCount),
      unsafe copenssl_digest_update(context, source, byteCount)
    else { return .failed }
    guard hash.isExtendable else {
      return unsafe finishDigest(context, of: operation)
    }
    let wanted = unsafe operation.pointee.resultByteCount
    guard wanted > 0, wanted <= UInt32(hash.maximumResultByteCount) else { return .failed }
    return unsafe copenssl_digest_finish_extendable(context, operation.pointee.result, wanted)
      ? .ok : .failed
  }

  /// H(outer ‖ H(inner ‖ aad ‖ source)), the prefixes being the halves of the session's authentication key.
  @_noAllocation @_noLocks
  func runNestedHash(
    _ operation: UnsafeMutablePointer<CryptoOperation>, source: UnsafePointer<UInt8>,
    byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: expansion saw to an even count of bytes at authKey and to a hash of fixed length; the scratch has room for
    // the longest digest; for an empty prefix any address will do.
    let session = unsafe operation.pointee.session
    let index = unsafe session.pointee.hash.index
    let context = unsafe digests[index]
    let digest = unsafe algorithms.digests[index]
    let inner = unsafe session.pointee.authKey ?? neutralKey
    let half = unsafe session.pointee.authKeyByteCount / 2
    guard
      unsafe copenssl_digest_begin(context, digest),
      unsafe copenssl_digest_update(context, inner, half),
      unsafe copenssl_digest_update(
        context, operation.pointee.aad, operation.pointee.aadByteCount),
      unsafe copenssl_digest_update(context, source, byteCount)
    else { return .failed }
    let innerResult = unsafe digestScratch
    let innerByteCount = unsafe copenssl_digest_finish(context, innerResult)
    guard
      innerByteCount > 0,
      unsafe copenssl_digest_begin(context, digest),
      unsafe copenssl_digest_update(context, inner + Int(half), half),
      unsafe copenssl_digest_update(context, innerResult, innerByteCount)
    else { return .failed }
    return unsafe finishDigest(context, of: operation)
  }

  @_noAllocation @_noLocks
  private func finishDigest(
    _ context: OpaquePointer?, of operation: UnsafeMutablePointer<CryptoOperation>
  ) -> CryptoOutcome {
    // SAFETY: the scratch has room for the longest digest, and the result for as many bytes as are wanted.
    let digest = unsafe digestScratch
    let written = unsafe copenssl_digest_finish(context, digest)
    let wanted = unsafe operation.pointee.resultByteCount
    guard wanted > 0, wanted <= written else { return .failed }
    unsafe copenssl_copy(operation.pointee.result, digest, Int(wanted))
    return .ok
  }
}
