import COpenSSL
import CryptoTypes

extension OpenSSLLane {
  /// Enciphers or deciphers the whole source.
  @_noAllocation @_noLocks
  func runCipher(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for source and destination; the entry is expanded for its session.
    unsafe runCipher(
      operation, with: entry, source: operation.pointee.source,
      byteCount: operation.pointee.sourceByteCount, destination: operation.pointee.destination)
  }

  /// Enciphers or deciphers part of an operation's memory with its IV.
  ///
  /// Checks the length against the algorithm, since libcrypto would otherwise keep half a block back for the next request.
  @_noAllocation @_noLocks
  func runCipher(
    _ operation: UnsafeMutablePointer<CryptoOperation>,
    with entry: UnsafeMutablePointer<KeyedContexts>,
    source: UnsafePointer<UInt8>, byteCount: UInt32, destination: UnsafeMutablePointer<UInt8>
  ) -> CryptoOutcome {
    // SAFETY: as above; the caller answers for byteCount bytes at source and destination. The session's key is alive,
    // and of the length that the context was made for.
    let algorithm = unsafe operation.pointee.session.pointee.cipher
    guard
      byteCount % UInt32(algorithm.granuleByteCount) == 0,
      byteCount >= UInt32(algorithm.minimumSourceByteCount),
      unsafe algorithm.ivByteCount == 0
        || Int(operation.pointee.ivByteCount) == algorithm.ivByteCount
    else { return .failed }
    let isDone: Bool
    switch unsafe entry.pointee.cipherConstruction {
    case .withIV:
      unsafe isDone = copenssl_cipher_run(
        entry.pointee.cipher, operation.pointee.ivBlock, source, byteCount, destination)
    case .withoutIV:
      unsafe isDone = copenssl_cipher_run_plain(
        entry.pointee.cipher, source, byteCount, destination)
    case .rekeyed:
      guard let key = unsafe operation.pointee.session.pointee.cipherKey else { return .failed }
      unsafe isDone =
        copenssl_cipher_rekey(entry.pointee.cipher, key)
        && copenssl_cipher_run_plain(entry.pointee.cipher, source, byteCount, destination)
    case .counter64:
      unsafe isDone = copenssl_count64_run(
        entry.pointee.cipher, UInt64(bigEndian: operation.pointee.iv.0), source, byteCount,
        destination, textScratch, Self.textScratchByteCount)
    case .f8:
      unsafe isDone = copenssl_f8_run(
        entry.pointee.block, entry.pointee.cipher, operation.pointee.ivBlock, source, byteCount,
        destination, textScratch, Self.textScratchByteCount)
    }
    return isDone ? .ok : .failed
  }
}

extension CryptoOperation {
  /// The IV as libcrypto's shims take it.
  var ivBlock: copenssl_block {
    @_noAllocation @_noLocks get { copenssl_make_block(iv.0, iv.1) }
  }

  /// The expected tag as libcrypto's shims take it.
  var tagBlock: copenssl_block {
    @_noAllocation @_noLocks get { copenssl_make_block(tag.0, tag.1) }
  }
}
