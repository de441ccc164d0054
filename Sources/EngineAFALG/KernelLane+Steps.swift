import CKcapi
import CryptoTypes

// What an operation takes, step by step.

extension KernelLane {
  /// The outcome of an operation that needs no kernel, or that it cannot do; nil for one that is to be submitted.
  @_noAllocation @_noLocks
  func outcomeAtOnce(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome? {
    // SAFETY: the operation and its session are alive.
    let session = unsafe operation.pointee.session
    let byteCount = unsafe operation.pointee.sourceByteCount
    let wanted = unsafe operation.pointee.resultByteCount
    // Everything goes through scratch of this size, and a socket that holds the rest of a message too.
    let total = unsafe Int(byteCount) &+ Int(operation.pointee.aadByteCount)
    guard total <= scratchByteCount &- Self.messageSlack else { return .unsupported }
    switch unsafe session.pointee.service {
    case .cipher:
      guard unsafe Self.fits(session.pointee.cipher, operation, byteCount) else { return .failed }
      // The kernel gives no result for nothing.
      if byteCount == 0 { return .ok }
    case .hash:
      let most = unsafe session.pointee.hash.maximumResultByteCount
      guard wanted > 0, wanted <= UInt32(most) else { return .failed }
      return nil
    case .mac:
      let mac = unsafe session.pointee.mac
      guard wanted > 0, wanted <= UInt32(mac.maximumResultByteCount),
        unsafe Int(operation.pointee.ivByteCount) == mac.ivByteCount
      else { return .failed }
      // Only a MAC that an AEAD makes is bounded by what a socket holds.
      if mac.ivByteCount == 0 { return nil }
    case .aead:
      if let outcome = unsafe aeadOutcomeAtOnce(operation) { return outcome }
    case .chain:
      guard unsafe Self.isChainWellFormed(operation) else { return .failed }
    case .akcipher: return .unsupported
    }
    return total &+ 64 <= messageByteCount ? nil : .unsupported
  }

  @_noAllocation @_noLocks
  private static func fits(
    _ cipher: CipherAlgorithm, _ operation: UnsafeMutablePointer<CryptoOperation>,
    _ byteCount: UInt32
  ) -> Bool {
    let granule = UInt32(truncatingIfNeeded: cipher.granuleByteCount)
    return unsafe byteCount & (granule &- 1) == 0
      && Int(operation.pointee.ivByteCount) == cipher.ivByteCount
      && (byteCount == 0 || Int(byteCount) >= cipher.minimumSourceByteCount)
  }

  @_noAllocation @_noLocks
  private func aeadOutcomeAtOnce(
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> CryptoOutcome? {
    let session = unsafe operation.pointee.session
    let aead = unsafe session.pointee.aead
    let tagByteCount =
      unsafe session.pointee.direction == .encrypt
      ? operation.pointee.resultByteCount : UInt32(operation.pointee.tagByteCount)
    let ivByteCount = unsafe Int(operation.pointee.ivByteCount)
    guard aead.accepts(ivByteCount: ivByteCount),
      unsafe tagByteCount == session.pointee.resultByteCount
    else { return .failed }
    switch aead {
    case .gcm: return unsafe Self.isComposed(operation) && !canCompose ? .unsupported : nil
    case .ccm:
      // Spec: NIST SP 800-38C §A.1, n + q = 15: the text's length has q bytes.
      let lengthBits = UInt32(truncatingIfNeeded: 15 &- ivByteCount) &* 8
      let fits = unsafe lengthBits >= 32 || operation.pointee.sourceByteCount >> lengthBits == 0
      return fits ? nil : .failed
    case .chacha20Poly1305: return nil
    }
  }

  @_noAllocation @_noLocks
  private static func isChainWellFormed(
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> Bool {
    let session = unsafe operation.pointee.session
    let byteCount = unsafe operation.pointee.sourceByteCount
    let wanted = unsafe operation.pointee.resultByteCount
    let isMAC = unsafe session.pointee.hashMode == .authenticated
    let most =
      unsafe isMAC
      ? session.pointee.mac.maximumResultByteCount : session.pointee.hash.maximumResultByteCount
    guard wanted > 0, wanted <= UInt32(most),
      unsafe operation.pointee.cipherOffset <= byteCount,
      unsafe operation.pointee.cipherByteCount <= byteCount &- operation.pointee.cipherOffset,
      unsafe operation.pointee.hashOffset <= byteCount,
      unsafe operation.pointee.hashByteCount <= byteCount &- operation.pointee.hashOffset,
      unsafe fits(session.pointee.cipher, operation, operation.pointee.cipherByteCount)
    else { return false }
    guard isMAC else { return true }
    let ivByteCount = unsafe session.pointee.mac.ivByteCount
    return unsafe ivByteCount == 0 || Int(operation.pointee.aadByteCount) == ivByteCount
  }

  /// An operation's steps, one byte each, the first in the lowest.
  @_noAllocation @_noLocks
  static func steps(of operation: UnsafeMutablePointer<CryptoOperation>) -> UInt32 {
    // SAFETY: the operation and its session are alive.
    let session = unsafe operation.pointee.session
    switch unsafe session.pointee.service {
    case .cipher: return unsafe cipherSteps(session.pointee.cipher)
    case .hash: return KernelStep.digest.code
    case .mac: return unsafe macStep(session.pointee.mac)
    case .aead:
      let isEncryption = unsafe session.pointee.direction == .encrypt
      if unsafe isComposed(operation) { return unsafe composedSteps(of: operation) }
      return isEncryption ? KernelStep.seal.code : KernelStep.open.code
    case .chain:
      let cipher =
        unsafe operation.pointee.cipherByteCount > 0 ? cipherSteps(session.pointee.cipher) : 0
      let tail = unsafe tailSteps(session)
      return unsafe session.pointee.order == .cipherThenHash
        ? joined(cipher, tail) : joined(tail, cipher)
    // Refused before it has steps.
    case .akcipher: return 0
    }
  }

  @_noAllocation @_noLocks
  static func joined(_ first: UInt32, _ second: UInt32) -> UInt32 {
    let bits = UInt32(truncatingIfNeeded: 32 &- first.leadingZeroBitCount)
    return first | second << ((bits &+ 7) & ~7)
  }

  @_noAllocation @_noLocks
  private static func cipherSteps(_ cipher: CipherAlgorithm) -> UInt32 {
    cipher == .aesF8
      ? KernelStep.f8Vector.code | KernelStep.f8Stream.code << 8
      : KernelStep.cipher.code
  }

  @_noAllocation @_noLocks
  private static func macStep(_ mac: MACAlgorithm) -> UInt32 {
    mac.ivByteCount > 0 ? KernelStep.gmac.code : KernelStep.digest.code
  }

  @_noAllocation @_noLocks
  private static func tailSteps(_ session: UnsafePointer<SessionParameters>) -> UInt32 {
    switch unsafe session.pointee.hashMode {
    case .plain: KernelStep.digest.code
    case .authenticated: unsafe macStep(session.pointee.mac)
    case .nested:
      KernelStep.innerDigest.code | KernelStep.outerDigest.code << 8
    }
  }

  /// Which of a session's sockets a step is for.
  @_noAllocation @_noLocks
  static func part(of step: KernelStep) -> Int32 {
    switch step {
    case .cipher, .seal, .open, .f8Stream: KeyedEntry.cipherPart
    case .digest, .innerDigest, .outerDigest, .gmac: KeyedEntry.authPart
    case .f8Vector, .counterBlocks: KeyedEntry.blockPart
    case .counterStream, .counterStreamRest: KeyedEntry.counterPart
    case .counterTag: KeyedEntry.hashPart
    }
  }

  /// Does what comes before the first step: what a chain does not encipher goes to the destination.
  @_noAllocation @_noLocks
  func prepare(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    // SAFETY: the cipher's range is inside the source; source and destination are the same or disjoint.
    guard unsafe operation.pointee.session.pointee.service == .chain else { return }
    let source = unsafe operation.pointee.source
    let destination = unsafe operation.pointee.destination
    guard unsafe source != UnsafePointer(destination) else { return }
    let start = unsafe Int(operation.pointee.cipherOffset)
    let end = unsafe start &+ Int(operation.pointee.cipherByteCount)
    unsafe ckcapi_copy(destination, source, start)
    unsafe ckcapi_copy(
      destination + end, source + end, Int(operation.pointee.sourceByteCount) &- end)
  }

  /// Does what comes after the last step: text that is not known to be genuine is not left behind.
  @_noAllocation @_noLocks
  func conclude(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ outcome: CryptoOutcome
  ) {
    // The kernel deciphers before it compares. SAFETY: the destination has as many bytes as the source.
    let session = unsafe operation.pointee.session
    let isOpening =
      unsafe session.pointee.service == .aead && session.pointee.direction == .decrypt
    let isInPlace = unsafe operation.pointee.source == UnsafePointer(operation.pointee.destination)
    // In place, another engine goes on with what is there.
    if isOpening && outcome != .ok && (!outcome.isLeftToOthers || !isInPlace) {
      unsafe ckcapi_wipe(operation.pointee.destination, Int(operation.pointee.sourceByteCount))
    }
  }
}
