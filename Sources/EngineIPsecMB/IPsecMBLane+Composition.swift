import CIPsecMB
import CryptoTypes

// Operations that are no single job, put together from jobs on the direct manager and finished at once.

extension IPsecMBLane {
  /// Runs an operation step by step.
  @_noAllocation @_noLocks
  func compose(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its ranges; isWellFormed saw to lengths.
    let source = unsafe operation.pointee.source
    let byteCount = unsafe operation.pointee.sourceByteCount
    var outcome: CryptoOutcome
    switch unsafe operation.pointee.session.pointee.service {
    case .cipher:
      return unsafe composeCipher(
        operation, entry, slot, source, byteCount, operation.pointee.destination)
    case .hash:
      unsafe outcome = composeHash(operation, entry, slot, nil, source, byteCount)
    case .mac:
      unsafe outcome = composeMAC(
        operation, entry, slot, slot.iv, source, 0, source, byteCount)
    case .aead: unsafe outcome = composeAEAD(operation, entry, slot)
    case .chain: unsafe outcome = composeChain(operation, entry, slot)
    case .akcipher: return .unsupported
    }
    if outcome == .ok { unsafe outcome = Self.finish(operation, slot) }
    return outcome
  }

  /// A cipher over any length that the algorithm has.
  @_noAllocation @_noLocks
  private func composeCipher(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ source: UnsafePointer<UInt8>, _ byteCount: UInt32,
    _ destination: UnsafeMutablePointer<UInt8>
  ) -> CryptoOutcome {
    // SAFETY: the caller answers for byteCount bytes at source and destination.
    guard byteCount > 0 else { return .ok }
    let isEncryption = unsafe operation.pointee.session.pointee.direction == .encrypt
    let keyByteCount = unsafe UInt64(entry.pointee.cipherKeyByteCount)
    let isDone: Bool
    switch unsafe entry.pointee.cipherMode {
    case IMB_CIPHER_CNTR:
      unsafe isDone = cipsecmb_ctr(
        direct, entry.cipherKey, keyByteCount, slot.iv, source, UInt64(byteCount), destination)
    case IMB_CIPHER_CBC, IMB_CIPHER_ECB, IMB_CIPHER_DES, IMB_CIPHER_DES3:
      unsafe isDone = cipsecmb_blocks(
        direct, entry.pointee.cipherMode, isEncryption, entry.encryptionKey, entry.decryptionKey,
        keyByteCount, slot.iv, UInt64(operation.pointee.ivByteCount), source, UInt64(byteCount),
        destination)
    default:
      guard let job = unsafe cipsecmb_next(direct) else { return .failed }
      unsafe cipsecmb_set_text(job, source, destination)
      unsafe isDone =
        fillCipher(job, operation, entry, slot, 0, byteCount) && cipsecmb_run(direct)
    }
    return isDone ? .ok : .failed
  }

  /// A plain or (with a `key`) nested hash of the associated data and `text`, to the slot.
  @_noAllocation @_noLocks
  private func composeHash(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ key: UnsafePointer<UInt8>?,
    _ text: UnsafePointer<UInt8>, _ byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: expansion saw to an even count of bytes at the key; the caller answers for the text.
    let isChain = unsafe operation.pointee.session.pointee.service == .chain
    let aadByteCount = unsafe isChain ? UInt64(operation.pointee.aadByteCount) : 0
    let half = unsafe key == nil ? 0 : operation.pointee.session.pointee.authKeyByteCount / 2
    let hash = unsafe entry.pointee.hash
    let tag = unsafe slot.tag
    let innerByteCount = unsafe cipsecmb_digest(
      hash, key, UInt64(half), operation.pointee.aad, aadByteCount, text, UInt64(byteCount), tag)
    guard innerByteCount > 0 else { return .failed }
    guard let key = unsafe key else { return .ok }
    let outerByteCount = unsafe cipsecmb_digest(
      hash, key + Int(half), UInt64(half), nil, 0, tag, UInt64(innerByteCount), tag)
    return outerByteCount > 0 ? .ok : .failed
  }

  /// The MAC of `prefix` ‖ `text`, to the slot; `iv` has 16 readable bytes.
  @_noAllocation @_noLocks
  private func composeMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ iv: UnsafeMutablePointer<UInt8>,
    _ prefix: UnsafePointer<UInt8>, _ prefixByteCount: UInt32, _ text: UnsafePointer<UInt8>,
    _ byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: the caller answers for prefix and text; the slot has room for the longest MAC.
    let room = unsafe entry.authKey
    switch unsafe operation.pointee.session.pointee.mac {
    case .cmacAES, .xcbcAES:
      let isDone = unsafe cipsecmb_cbc_mac(
        direct, room, UInt64(entry.pointee.authKeyByteCount), prefix, UInt64(prefixByteCount), text,
        UInt64(byteCount), slot.tag)
      return isDone ? .ok : .failed
    case .kasumiF9, .cbcmacKasumiF9:
      // One piece of text is all that F9 takes, so two are joined in memory.
      let total = UInt64(prefixByteCount) &+ UInt64(byteCount)
      guard total > 8, total <= 2500 else { return .failed }
      unsafe cipsecmb_copy(joined, prefix, Int(prefixByteCount))
      unsafe cipsecmb_copy(joined + Int(prefixByteCount), text, Int(byteCount))
      return unsafe runMAC(operation, entry, slot, iv, UnsafePointer(joined), UInt32(total))
    case .gmacAES, .snow3gUIA2, .zucEIA3:
      guard prefixByteCount == 0 else { return .failed }
      return unsafe runMAC(operation, entry, slot, iv, text, byteCount)
    default:
      let written = unsafe cipsecmb_hmac(
        entry.pointee.hash, room, prefix, UInt64(prefixByteCount), text, UInt64(byteCount), slot.tag
      )
      return written > 0 ? .ok : .failed
    }
  }

  /// A MAC that is one job.
  @_noAllocation @_noLocks
  private func runMAC(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ iv: UnsafeMutablePointer<UInt8>,
    _ text: UnsafePointer<UInt8>, _ byteCount: UInt32
  ) -> CryptoOutcome {
    // SAFETY: the caller answers for the text; nothing is written to the destination.
    guard let job = unsafe cipsecmb_next(direct) else { return .failed }
    unsafe cipsecmb_set_text(job, text, operation.pointee.destination)
    guard
      unsafe fillMAC(job, operation, entry, slot, iv, 0, byteCount), unsafe cipsecmb_run(direct)
    else { return .failed }
    return .ok
  }

  @_noAllocation @_noLocks
  private func composeAEAD(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: the operation's owner answers for its ranges.
    let isEncryption = unsafe operation.pointee.session.pointee.direction == .encrypt
    let keyByteCount = unsafe UInt64(entry.pointee.cipherKeyByteCount)
    let source = unsafe operation.pointee.source
    let byteCount = unsafe UInt64(operation.pointee.sourceByteCount)
    let destination = unsafe operation.pointee.destination
    let aad = unsafe operation.pointee.aad
    let aadByteCount = unsafe UInt64(operation.pointee.aadByteCount)
    let isDone: Bool
    switch unsafe operation.pointee.session.pointee.aead {
    case .chacha20Poly1305: return .failed
    case .gcm:
      unsafe isDone = cipsecmb_gcm_from_counter(
        direct, isEncryption, entry.cipherKey, keyByteCount, slot.iv, aad, aadByteCount, source,
        byteCount, destination, slot.tag)
    case .ccm:
      unsafe isDone = cipsecmb_ccm(
        direct, isEncryption, entry.cipherKey, keyByteCount, slot.iv,
        UInt32(operation.pointee.ivByteCount), aad, aadByteCount, source, byteCount, destination,
        slot.tag, Self.tagByteCount(operation))
    }
    if !isDone { unsafe cipsecmb_wipe(destination, Int(byteCount)) }
    return isDone ? .ok : .failed
  }

  /// A cipher over one range of the source and a hash or MAC over another, one after the other.
  @_noAllocation @_noLocks
  private func composeChain(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: isWellFormed found the ranges inside the source.
    let destination = unsafe operation.pointee.destination
    let isHashFirst = unsafe operation.pointee.session.pointee.order == .hashThenCipher
    if isHashFirst {
      let outcome = unsafe composeTail(operation, entry, slot, operation.pointee.source)
      guard outcome == .ok else { return outcome }
    }
    unsafe copyAround(operation)
    let start = unsafe Int(operation.pointee.cipherOffset)
    let outcome = unsafe composeCipher(
      operation, entry, slot, operation.pointee.source + start, operation.pointee.cipherByteCount,
      destination + start)
    guard outcome == .ok, !isHashFirst else { return outcome }
    return unsafe composeTail(operation, entry, slot, UnsafePointer(destination))
  }

  /// Hashes the hash range of the source or the output, behind the associated data.
  @_noAllocation @_noLocks
  private func composeTail(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>, _ text: UnsafePointer<UInt8>
  ) -> CryptoOutcome {
    // SAFETY: as for composeChain; the owner answers for aad.
    let session = unsafe operation.pointee.session
    let start = unsafe text + Int(operation.pointee.hashOffset)
    let count = unsafe operation.pointee.hashByteCount
    let aad = unsafe operation.pointee.aad
    let aadByteCount = unsafe operation.pointee.aadByteCount
    switch unsafe session.pointee.hashMode {
    case .plain: return unsafe composeHash(operation, entry, slot, nil, start, count)
    case .nested:
      // Without prefixes, any address is as good.
      return unsafe composeHash(
        operation, entry, slot, session.pointee.authKey ?? UnsafePointer(slot.tag), start, count)
    case .authenticated:
      let ivByteCount = unsafe session.pointee.mac.ivByteCount
      guard ivByteCount > 0 else {
        return unsafe composeMAC(
          operation, entry, slot, slot.authIV, aad, aadByteCount, start, count)
      }
      guard Int(aadByteCount) == ivByteCount else { return .failed }
      unsafe cipsecmb_copy(slot.authIV, aad, ivByteCount)
      return unsafe composeMAC(operation, entry, slot, slot.authIV, aad, 0, start, count)
    }
  }
}
