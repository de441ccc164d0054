import CKcapi
import CryptoTypes

// GCM that the kernel's own cannot do, put together from AES-CTR, GHASH and single blocks of AES: from a J0 of the guest's
// own, and with short tags to compare.
//
// Spec: NIST SP 800-38D §7.1 and §7.2: C = GCTR(inc32(J0), P), T = GHASH(A, C) ⊕ E(J0).

extension KernelLane {
  /// Whether the kernel has what GCM is put together from.
  var canCompose: Bool {
    @_noAllocation @_noLocks get {
      table.transform(at: TransformTable.indexOfBlock).isPresent
        && table.transform(at: TransformTable.indexOfGHASH).isPresent
        && table.transform(at: TransformTable.index(of: CipherAlgorithm.aesCTR)).isPresent
    }
  }

  /// Whether an operation is GCM from a J0 that no 12-byte IV makes, or has a tag to compare that the kernel does not make.
  @_noAllocation @_noLocks
  static func isComposed(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    // SAFETY: the operation and its session are alive.
    let session = unsafe operation.pointee.session
    guard unsafe session.pointee.aead == .gcm else { return false }
    if unsafe operation.pointee.ivByteCount == 16, unsafe count(of: operation) != 1 { return true }
    return unsafe session.pointee.direction == .decrypt
      && !makesTag(.gcm, byteCount: Int(operation.pointee.tagByteCount))
  }

  /// The number in the last four bytes of J0.
  @_noAllocation @_noLocks
  private static func count(of operation: UnsafeMutablePointer<CryptoOperation>) -> UInt32 {
    guard unsafe operation.pointee.ivByteCount == 16 else { return 1 }
    return unsafe UInt32(bigEndian: UInt32(truncatingIfNeeded: operation.pointee.iv.1 >> 32))
  }

  /// J0 with another number in its last four bytes, as two words in memory order.
  @_noAllocation @_noLocks
  private static func block(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ count: UInt32
  ) -> (UInt64, UInt64) {
    unsafe (
      operation.pointee.iv.0,
      operation.pointee.iv.1 & 0xffff_ffff | UInt64(count.bigEndian) << 32
    )
  }

  /// How much of the text comes before the counter's 32 bits are zero again; the kernel counts in all 128.
  @_noAllocation @_noLocks
  private static func byteCountBeforeWrap(
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> Int {
    let first = unsafe count(of: operation) &+ 1
    // Starting with zero, more than any text has.
    let blockCount = first == 0 ? UInt64(1) << 32 : (UInt64(1) << 32) &- UInt64(first)
    let most = Int(truncatingIfNeeded: blockCount) &* 16
    let whole = unsafe Int(operation.pointee.sourceByteCount)
    return whole < most ? whole : most
  }

  @_noAllocation @_noLocks
  static func composedSteps(of operation: UnsafeMutablePointer<CryptoOperation>) -> UInt32 {
    let byteCount = unsafe Int(operation.pointee.sourceByteCount)
    var stream: UInt32 = 0
    if byteCount > 0 {
      stream = KernelStep.counterStream.code
      if unsafe byteCountBeforeWrap(operation) < byteCount {
        stream |= KernelStep.counterStreamRest.code << 8
      }
    }
    let blocks = KernelStep.counterBlocks.code
    let tag = KernelStep.counterTag.code
    // The tag covers the ciphertext, and a forgery is not even deciphered.
    return unsafe operation.pointee.session.pointee.direction == .encrypt
      ? joined(blocks, joined(stream, tag)) : joined(blocks, joined(tag, stream))
  }

  // MARK: - Sockets

  /// Opens the sockets of a session's that only an operation like this one needs, unless they are open.
  @_noAllocation @_noLocks
  func openFurtherParts(_ job: UnsafeMutablePointer<KernelJob>) -> CryptoOutcome {
    // SAFETY: the entry is open; the session and its key are alive, and the key was found to fit.
    guard unsafe job.pointee.steps & 0xff == KernelStep.counterBlocks.code else { return .ok }
    let session = unsafe job.pointee.operation.pointee.session
    let entry = unsafe job.pointee.entry
    guard let key = unsafe session.pointee.cipherKey else { return .failed }
    let keyByteCount = unsafe Int(session.pointee.cipherKeyByteCount)
    if !isOpen(KeyedEntry.blockPart, of: entry) {
      let outcome = unsafe openPart(
        KeyedEntry.blockPart, of: entry, transform: TransformTable.indexOfBlock, key: key,
        keyByteCount: keyByteCount)
      if outcome != .ok { return outcome }
    }
    if isOpen(KeyedEntry.counterPart, of: entry) { return .ok }
    return unsafe openPart(
      KeyedEntry.counterPart, of: entry,
      transform: TransformTable.index(of: CipherAlgorithm.aesCTR), key: key,
      keyByteCount: keyByteCount)
  }

  @_noAllocation @_noLocks
  private func isOpen(_ part: Int32, of entry: Int32) -> Bool {
    unsafe parts[Int(entry &* KeyedEntry.partCount &+ part)].socketPlusOne > 0
  }

  /// Gives GHASH its key, H = E(0), the first 16 bytes of `hashKey`, which are wiped.
  @_noAllocation @_noLocks
  func openHashPart(_ entry: Int32, hashKey: UnsafeMutablePointer<UInt8>) -> CryptoOutcome {
    var outcome = CryptoOutcome.ok
    if !isOpen(KeyedEntry.hashPart, of: entry) {
      unsafe outcome = openPart(
        KeyedEntry.hashPart, of: entry, transform: TransformTable.indexOfGHASH, key: hashKey,
        keyByteCount: 16)
    }
    unsafe ckcapi_wipe(hashKey, 16)
    return outcome
  }

  // MARK: - Messages

  // An exchange's result holds H, then E(J0), then GHASH, 16 bytes each.
  private static var maskOffset: Int { @_noAllocation @_noLocks get { 16 } }
  private static var hashOffset: Int { @_noAllocation @_noLocks get { 32 } }

  @_noAllocation @_noLocks
  func fillCounterBlocks(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) {
    let result = unsafe Self.result(of: exchange)
    let start = unsafe Self.block(operation, Self.count(of: operation))
    unsafe ckcapi_store_block(result, 0, 0)
    unsafe ckcapi_store_block(result + Self.maskOffset, start.0, start.1)
    unsafe ckcapi_add_input(exchange, result, 32)
    unsafe ckcapi_add_output(exchange, result, 32)
    unsafe ckcapi_set_control(exchange, true, 0, -1)
  }

  @_noAllocation @_noLocks
  func fillCounterStream(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>, isRest: Bool
  ) {
    let whole = unsafe Int(operation.pointee.sourceByteCount)
    let first = unsafe Self.byteCountBeforeWrap(operation)
    let start = isRest ? first : 0
    let byteCount = isRest ? whole &- first : first
    unsafe ckcapi_add_input(exchange, operation.pointee.source + start, byteCount)
    unsafe ckcapi_add_output(exchange, operation.pointee.destination + start, byteCount)
    unsafe Self.setIV(
      exchange, Self.block(operation, isRest ? 0 : Self.count(of: operation) &+ 1))
    unsafe ckcapi_set_control(exchange, true, 16, -1)
  }

  @_noAllocation @_noLocks
  func fillCounterTag(
    _ exchange: UnsafeMutablePointer<ckcapi_exchange>,
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) {
    let isEncryption = unsafe operation.pointee.session.pointee.direction == .encrypt
    let text =
      unsafe isEncryption ? UnsafePointer(operation.pointee.destination) : operation.pointee.source
    let aadByteCount = unsafe Int(operation.pointee.aadByteCount)
    let byteCount = unsafe Int(operation.pointee.sourceByteCount)
    unsafe ckcapi_add_input(exchange, operation.pointee.aad, aadByteCount)
    unsafe ckcapi_add_padding(exchange, aadByteCount)
    unsafe ckcapi_add_input(exchange, text, byteCount)
    unsafe ckcapi_add_padding(exchange, byteCount)
    unsafe ckcapi_add_lengths(exchange, UInt64(aadByteCount), UInt64(byteCount))
    unsafe ckcapi_add_output(exchange, Self.result(of: exchange) + Self.hashOffset, 16)
  }

  /// T = GHASH ⊕ E(J0), to be handed out or compared.
  @_noAllocation @_noLocks
  func settleCounterTag(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ result: UnsafeMutablePointer<UInt8>
  ) -> CryptoOutcome {
    unsafe ckcapi_xor(result, result + Self.maskOffset, result + Self.hashOffset, 16)
    if unsafe operation.pointee.session.pointee.direction == .encrypt {
      unsafe ckcapi_copy(
        operation.pointee.result, result, Int(operation.pointee.resultByteCount))
      return .ok
    }
    let given = unsafe result + Self.hashOffset
    unsafe ckcapi_store_block(given, operation.pointee.tag.0, operation.pointee.tag.1)
    return unsafe ckcapi_equal(result, given, Int(operation.pointee.tagByteCount))
      ? .ok : .tagMismatch
  }
}
