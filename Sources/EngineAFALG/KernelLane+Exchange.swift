import CKcapi
import CryptoTypes

// A step as a message to an operation socket and a read of what comes of it.
//
// A read asks for exactly what the step gives: the kernel waits for more where it is asked for more, and gives a wrong
// result where an AEAD is asked for less.

extension KernelLane {
  /// Fills a job's exchange with a step; anything but `ok` is the operation's outcome.
  @_noAllocation @_noLocks
  func fill(_ job: UnsafeMutablePointer<KernelJob>, _ step: KernelStep) -> CryptoOutcome {
    // SAFETY: the job is ours and stays where it is; ranges were checked by the device and in `outcomeAtOnce`.
    let exchange = unsafe Self.exchange(of: job)
    let operation = unsafe job.pointee.operation
    unsafe ckcapi_begin(exchange)
    switch step {
    case .cipher: unsafe fillCipher(exchange, operation)
    case .digest: unsafe fillDigest(exchange, operation)
    case .innerDigest, .outerDigest: unsafe fillNestedDigest(exchange, operation, step)
    case .gmac: unsafe fillGMAC(exchange, operation, scratch(of: job))
    case .seal, .open: unsafe fillAEAD(exchange, operation, scratch(of: job), step)
    case .f8Vector: unsafe fillF8Vector(exchange, operation)
    case .f8Stream: unsafe fillF8Stream(exchange, operation, scratch(of: job))
    case .counterBlocks: unsafe fillCounterBlocks(exchange, operation)
    case .counterStream: unsafe fillCounterStream(exchange, operation, isRest: false)
    case .counterStreamRest: unsafe fillCounterStream(exchange, operation, isRest: true)
    case .counterTag: unsafe fillCounterTag(exchange, operation)
    }
    return .ok
  }

  /// How much a step's message and its result are, whichever is more.
  @_noAllocation @_noLocks
  static func byteCount(of job: UnsafeMutablePointer<KernelJob>) -> UInt64 {
    // A tag is what the one may have more than the other.
    unsafe job.pointee.exchange.expected &+ 16
  }

  /// Hands out what a step gave beside what the kernel wrote in place; anything but `ok` ends the operation.
  @_noAllocation @_noLocks
  func settleStep(_ job: UnsafeMutablePointer<KernelJob>) -> CryptoOutcome {
    // SAFETY: as for fill.
    let exchange = unsafe Self.exchange(of: job)
    let operation = unsafe job.pointee.operation
    let result = unsafe Self.result(of: exchange)
    switch unsafe KernelStep.first(of: job.pointee.steps) {
    case .gmac:
      unsafe ckcapi_copy(
        operation.pointee.result, result, Int(operation.pointee.resultByteCount))
    case .seal where unsafe !Self.makesWantedTag(operation):
      unsafe ckcapi_copy(
        operation.pointee.result, result, Int(operation.pointee.resultByteCount))
    case .counterBlocks: return unsafe openHashPart(job.pointee.entry, hashKey: result)
    case .counterTag: return unsafe settleCounterTag(operation, result)
    case .f8Stream:
      let range = unsafe Self.cipherRange(operation)
      let text = unsafe operation.pointee.source + range.lowerBound
      let stream = unsafe scratch(of: job)
      unsafe ckcapi_xor(
        operation.pointee.destination + range.lowerBound, text, stream, range.count)
      // Whoever has the key stream has the text.
      unsafe ckcapi_wipe(stream, (range.count &+ 15) & ~15)
    default: break
    }
    return .ok
  }

  // MARK: - Ciphers

  /// What is enciphered: all of the source, or a chain's range.
  @_noAllocation @_noLocks
  private static func cipherRange(
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> Range<Int> {
    guard unsafe operation.pointee.session.pointee.service == .chain else {
      return unsafe 0..<Int(operation.pointee.sourceByteCount)
    }
    let start = unsafe Int(operation.pointee.cipherOffset)
    return unsafe start..<(start &+ Int(operation.pointee.cipherByteCount))
  }

  @_noAllocation @_noLocks
  private func fillCipher(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) {
    let range = unsafe Self.cipherRange(operation)
    unsafe ckcapi_add_input(exchange, operation.pointee.source + range.lowerBound, range.count)
    unsafe ckcapi_add_output(
      exchange, operation.pointee.destination + range.lowerBound, range.count)
    unsafe Self.setIV(exchange, operation.pointee.iv)
    unsafe ckcapi_set_control(
      exchange, operation.pointee.session.pointee.direction == .encrypt,
      Int(operation.pointee.ivByteCount), -1)
  }

  /// The IV enciphered under the masked key, IV' = E(k_e ⊕ m, IV), to the exchange's result.
  ///
  /// Spec: RFC 3711 §4.1.2.
  @_noAllocation @_noLocks
  private func fillF8Vector(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) {
    let result = unsafe Self.result(of: exchange)
    unsafe ckcapi_store_block(result, operation.pointee.iv.0, operation.pointee.iv.1)
    unsafe ckcapi_add_input(exchange, result, 16)
    unsafe ckcapi_add_output(exchange, result, 16)
    unsafe ckcapi_set_control(exchange, true, 0, -1)
  }

  /// The key stream S(j) = E(k_e, IV' ⊕ j ⊕ S(j-1)), which is CBC over the blocks IV' ⊕ j, in scratch.
  @_noAllocation @_noLocks
  private func fillF8Stream(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ room: UnsafeMutablePointer<UInt8>
  ) {
    let blockCount = unsafe (Self.cipherRange(operation).count &+ 15) / 16
    unsafe ckcapi_make_counted_blocks(room, Self.result(of: exchange), blockCount)
    unsafe ckcapi_add_input(exchange, room, blockCount &* 16)
    unsafe ckcapi_add_output(exchange, room, blockCount &* 16)
    unsafe Self.setIV(exchange, (0, 0))
    unsafe ckcapi_set_control(exchange, true, 16, -1)
  }

  // MARK: - Hashes and MACs

  /// What is hashed: all of the source; in a chain a range of what goes in or comes out, behind the associated data.
  @_noAllocation @_noLocks
  private func addHashed(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, withAAD: Bool
  ) {
    guard unsafe operation.pointee.session.pointee.service == .chain else {
      unsafe ckcapi_add_input(
        exchange, operation.pointee.source, Int(operation.pointee.sourceByteCount))
      return
    }
    if withAAD {
      unsafe ckcapi_add_input(
        exchange, operation.pointee.aad, Int(operation.pointee.aadByteCount))
    }
    let isOutput = unsafe operation.pointee.session.pointee.order == .cipherThenHash
    let text =
      unsafe isOutput ? UnsafePointer(operation.pointee.destination) : operation.pointee.source
    unsafe ckcapi_add_input(
      exchange, text + Int(operation.pointee.hashOffset), Int(operation.pointee.hashByteCount))
  }

  @_noAllocation @_noLocks
  private func fillDigest(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) {
    unsafe addHashed(exchange, operation, withAAD: true)
    unsafe ckcapi_add_output(
      exchange, operation.pointee.result, Int(operation.pointee.resultByteCount))
  }

  /// H(inner ‖ aad ‖ range) to the exchange's result, or H(outer ‖ that) to the operation's.
  @_noAllocation @_noLocks
  private func fillNestedDigest(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ step: KernelStep
  ) {
    let session = unsafe operation.pointee.session
    let half = unsafe Int(session.pointee.authKeyByteCount / 2)
    let whole = unsafe session.pointee.hash.maximumResultByteCount
    let result = unsafe Self.result(of: exchange)
    if case .innerDigest = step {
      if let prefix = unsafe session.pointee.authKey {
        unsafe ckcapi_add_input(exchange, prefix, half)
      }
      unsafe addHashed(exchange, operation, withAAD: true)
      unsafe ckcapi_add_output(exchange, result, whole)
    } else {
      if let prefix = unsafe session.pointee.authKey {
        unsafe ckcapi_add_input(exchange, prefix + half, half)
      }
      unsafe ckcapi_add_input(exchange, result, whole)
      unsafe ckcapi_add_output(
        exchange, operation.pointee.result, Int(operation.pointee.resultByteCount))
    }
  }

  /// GMAC is GCM of associated data alone; the kernel gives those back, too.
  @_noAllocation @_noLocks
  private func fillGMAC(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ room: UnsafeMutablePointer<UInt8>
  ) {
    let isChain = unsafe operation.pointee.session.pointee.service == .chain
    unsafe addHashed(exchange, operation, withAAD: false)
    let byteCount =
      unsafe isChain ? operation.pointee.hashByteCount : operation.pointee.sourceByteCount
    unsafe ckcapi_add_output(exchange, room, Int(byteCount))
    unsafe ckcapi_add_output(exchange, Self.result(of: exchange), 16)
    if isChain {
      unsafe ckcapi_copy(Self.iv(of: exchange), operation.pointee.aad, 12)
    } else {
      unsafe Self.setIV(exchange, operation.pointee.iv)
    }
    unsafe ckcapi_set_control(exchange, true, 12, Int64(byteCount))
  }

  // MARK: - AEADs

  /// Whether the kernel makes exactly the tag that an encryption wants.
  @_noAllocation @_noLocks
  private static func makesWantedTag(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    unsafe makesTag(
      operation.pointee.session.pointee.aead, byteCount: Int(operation.pointee.resultByteCount))
  }

  /// AAD ‖ text ‖ tag in, or without the tag; the same out, where the AAD is of no interest.
  @_noAllocation @_noLocks
  private func fillAEAD(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ room: UnsafeMutablePointer<UInt8>,
    _ step: KernelStep
  ) {
    let byteCount = unsafe Int(operation.pointee.sourceByteCount)
    let aadByteCount = unsafe Int(operation.pointee.aadByteCount)
    unsafe ckcapi_add_input(exchange, operation.pointee.aad, aadByteCount)
    unsafe ckcapi_add_input(exchange, operation.pointee.source, byteCount)
    unsafe ckcapi_add_output(exchange, room, aadByteCount)
    unsafe ckcapi_add_output(exchange, operation.pointee.destination, byteCount)
    let result = unsafe Self.result(of: exchange)
    if case .seal = step {
      if unsafe Self.makesWantedTag(operation) {
        unsafe ckcapi_add_output(
          exchange, operation.pointee.result, Int(operation.pointee.resultByteCount))
      } else {
        unsafe ckcapi_add_output(exchange, result, 16)
      }
    } else {
      unsafe ckcapi_store_block(result, operation.pointee.tag.0, operation.pointee.tag.1)
      unsafe ckcapi_add_input(exchange, result, Int(operation.pointee.tagByteCount))
      // Nothing but a tag to check: a read of no bytes would not come to that.
      if byteCount &+ aadByteCount == 0 { unsafe ckcapi_add_slack(exchange, room, 1) }
    }
    let ivByteCount = unsafe Self.setAEADIV(exchange, operation)
    unsafe ckcapi_set_control(
      exchange, step.code == KernelStep.seal.code, ivByteCount, Int64(aadByteCount))
  }

  /// The IV as the kernel wants it, and its length.
  @_noAllocation @_noLocks
  private static func setAEADIV(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> Int {
    let count = unsafe Int(operation.pointee.ivByteCount)
    guard unsafe operation.pointee.session.pointee.aead == .ccm else {
      unsafe setIV(exchange, operation.pointee.iv)
      return 12
    }
    // Spec: NIST SP 800-38C §A.2.1: flags with q - 1, then the nonce; the kernel counts in the rest.
    let iv = unsafe iv(of: exchange)
    let result = unsafe result(of: exchange)
    // The nonce by way of another block, since it starts a byte later.
    let spare = unsafe result + 16
    unsafe ckcapi_store_block(spare, operation.pointee.iv.0, operation.pointee.iv.1)
    unsafe ckcapi_wipe(iv, 16)
    unsafe iv[0] = UInt8(truncatingIfNeeded: 14 &- count)
    unsafe ckcapi_copy(iv + 1, spare, count)
    return 16
  }

  // MARK: - Fields of an exchange

  @_noAllocation @_noLocks
  static func exchange(
    of job: UnsafeMutablePointer<KernelJob>
  ) -> UnsafeMutablePointer<ckcapi_exchange> {
    // SAFETY: the address of a stored field, in memory that stays where it is.
    unsafe withUnsafeMutablePointer(to: &job.pointee.exchange) { unsafe $0 }
  }

  /// 64 bytes.
  @_noAllocation @_noLocks
  static func result(
    of exchange: UnsafeMutablePointer<ckcapi_exchange>
  ) -> UnsafeMutablePointer<UInt8> {
    unsafe withUnsafeMutablePointer(to: &exchange.pointee.result) {
      unsafe UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
  }

  /// 16 bytes.
  @_noAllocation @_noLocks
  private static func iv(
    of exchange: UnsafeMutablePointer<ckcapi_exchange>
  ) -> UnsafeMutablePointer<UInt8> {
    unsafe withUnsafeMutablePointer(to: &exchange.pointee.iv) {
      unsafe UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
  }

  @_noAllocation @_noLocks
  static func setIV(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>, _ words: (UInt64, UInt64)
  ) {
    unsafe ckcapi_store_block(iv(of: exchange), words.0, words.1)
  }
}
