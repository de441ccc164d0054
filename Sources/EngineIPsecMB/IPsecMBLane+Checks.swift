import CIPsecMB
import CryptoTypes

// What is checked of an operation before its job, and done with it after.

extension IPsecMBLane {
  /// Whether an operation's lengths fit its algorithm and each other.
  @_noAllocation @_noLocks
  static func isWellFormed(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    // SAFETY: the operation and its session are alive.
    let session = unsafe operation.pointee.session
    let byteCount = unsafe operation.pointee.sourceByteCount
    guard
      byteCount <= maximumByteCount, unsafe operation.pointee.aadByteCount <= maximumByteCount
    else { return false }
    let wanted = unsafe operation.pointee.resultByteCount
    switch unsafe session.pointee.service {
    case .cipher: return unsafe isCipherWellFormed(operation, byteCount)
    case .hash:
      return unsafe wanted > 0 && wanted <= UInt32(session.pointee.hash.maximumResultByteCount)
    case .mac:
      let mac = unsafe session.pointee.mac
      return unsafe wanted > 0 && wanted <= UInt32(mac.maximumResultByteCount)
        && Int(operation.pointee.ivByteCount) == mac.ivByteCount
    case .aead: return unsafe isAEADWellFormed(operation)
    // Refused with its key.
    case .akcipher: return true
    case .chain:
      let limit =
        unsafe session.pointee.hashMode == .authenticated
        ? session.pointee.mac.maximumResultByteCount : session.pointee.hash.maximumResultByteCount
      return unsafe wanted > 0 && wanted <= UInt32(limit)
        && operation.pointee.cipherOffset <= byteCount
        && operation.pointee.cipherByteCount <= byteCount &- operation.pointee.cipherOffset
        && operation.pointee.hashOffset <= byteCount
        && operation.pointee.hashByteCount <= byteCount &- operation.pointee.hashOffset
        && isCipherWellFormed(operation, operation.pointee.cipherByteCount)
    }
  }

  @_noAllocation @_noLocks
  private static func isCipherWellFormed(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ byteCount: UInt32
  ) -> Bool {
    let cipher = unsafe operation.pointee.session.pointee.cipher
    return unsafe byteCount % UInt32(cipher.granuleByteCount) == 0
      && Int(operation.pointee.ivByteCount) == cipher.ivByteCount
  }

  @_noAllocation @_noLocks
  private static func isAEADWellFormed(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    let aead = unsafe operation.pointee.session.pointee.aead
    let ivByteCount = unsafe Int(operation.pointee.ivByteCount)
    guard
      aead.accepts(ivByteCount: ivByteCount),
      unsafe aead.accepts(tagByteCount: Int(tagByteCount(operation)))
    else { return false }
    guard aead == .ccm else { return true }
    // Spec: NIST SP 800-38C §A.1, n + q = 15
    let lengthBits = UInt32(15 &- ivByteCount) &* 8
    return unsafe lengthBits >= 32 || operation.pointee.sourceByteCount >> lengthBits == 0
  }

  /// Length of an AEAD's tag, to be made or to be compared.
  @_noAllocation @_noLocks
  static func tagByteCount(_ operation: UnsafeMutablePointer<CryptoOperation>) -> UInt32 {
    unsafe operation.pointee.session.pointee.direction == .encrypt
      ? operation.pointee.resultByteCount : UInt32(operation.pointee.tagByteCount)
  }

  /// Whether GCM's IV is a J0 that no 12-byte IV makes (SP 800-38D §7.1: IV ‖ 1).
  @_noAllocation @_noLocks
  static func startsFromCounterBlock(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    unsafe operation.pointee.ivByteCount == 16
      && UInt32(bigEndian: UInt32(truncatingIfNeeded: operation.pointee.iv.1 >> 32)) != 1
  }

  /// Hands out what the slot's tag says: the wanted bytes, or whether a ciphertext is genuine.
  @_noAllocation @_noLocks
  static func finish(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: isWellFormed saw to the lengths; the slot has room for the longest digest.
    let session = unsafe operation.pointee.session
    switch unsafe session.pointee.service {
    case .cipher: return .ok
    case .hash, .mac, .chain: break
    case .akcipher: return .unsupported
    case .aead:
      guard unsafe session.pointee.direction == .decrypt else { break }
      unsafe cipsecmb_store_block(
        slot.authIV, operation.pointee.tag.0, operation.pointee.tag.1)
      let isGenuine = unsafe cipsecmb_equal(
        slot.tag, slot.authIV, Int(operation.pointee.tagByteCount))
      // The right tag of a wrong text would make a forgery of the next one.
      unsafe cipsecmb_wipe(slot.tag, 16)
      if isGenuine { return .ok }
      unsafe cipsecmb_wipe(operation.pointee.destination, Int(operation.pointee.sourceByteCount))
      return .tagMismatch
    }
    unsafe cipsecmb_copy(
      operation.pointee.result, slot.tag, Int(operation.pointee.resultByteCount))
    return .ok
  }
}
