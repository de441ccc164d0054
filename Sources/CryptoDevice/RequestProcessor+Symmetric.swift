import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// CIPHER requests: plain ciphers and algorithm chains.
// Spec: draft v25 §Symmetric algorithms Operation.
extension RequestProcessor {
  @_noAllocation @_noLocks
  @_transparent
  mutating func readSymmetric(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>, _ direction: CryptoDirection
  ) throws(QueueError) -> VirtioCryptoStatus {
    if isStateless {
      guard layout.cipherStateless else { return .notsupp }
      guard
        try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.symmetricStatelessFixedByteCount)
      else { return .err }
      return unsafe try readMixedSymmetric(
        isStateless: true, aadFirst: true, direction, &chain, &memory, slot)
    }
    guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.symmetricDataFixedByteCount)
    else { return .err }
    switch header.field(40) {
    case VirtioCryptoWire.symmetricCipher:
      let status = unsafe useSession(slot, service: .cipher)
      guard status == .ok else { return status }
      return unsafe try readCipherPayload(at: 0, direction, &chain, &memory, slot)
    case VirtioCryptoWire.symmetricChain:
      let status = unsafe useSession(slot, service: .chain)
      guard status == .ok else { return status }
      return unsafe try readChainPayload(
        at: 0, aadFirst: false, direction, &chain, &memory, slot)
    default: return .notsupp
    }
  }

  /// `struct virtio_crypto_cipher_data_flf` at an offset of the fixed part, then iv, src and dst.
  @_noAllocation @_noLocks
  @_transparent
  mutating func readCipherPayload(
    at offset: Int, _ direction: CryptoDirection, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var lengths = RequestLengths()
    lengths.iv = header.field(offset)
    lengths.source = header.field(offset &+ 4)
    lengths.destination = header.field(offset &+ 8)
    let session = unsafe slot.pointee.operation.session
    let cipher = unsafe session.pointee.cipher
    guard unsafe session.pointee.direction == direction,
      Int(lengths.iv) == cipher.ivByteCount,
      lengths.source == lengths.destination,
      Int(lengths.source) & (cipher.granuleByteCount &- 1) == 0,
      Int(lengths.source) >= cipher.minimumSourceByteCount, fits(lengths)
    else { return .err }
    unsafe slot.pointee.operation.aadByteCount = 0
    guard unsafe try readIV(lengths.iv, &chain, &memory, slot),
      unsafe try readSource(lengths.source, &chain, &memory, slot),
      unsafe try writeTo(destination: lengths.source, result: 0, &chain, &memory, slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_alg_chain_data_flf` at an offset of the fixed part, then the payload.
  ///
  /// `aadFirst`: stateless requests have the associated data before the source, sessions behind it; so has all of draft
  /// v15.
  @_noAllocation @_noLocks
  mutating func readChainPayload(
    at offset: Int, aadFirst: Bool, _ direction: CryptoDirection, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var lengths = RequestLengths()
    lengths.iv = header.field(offset)
    lengths.source = header.field(offset &+ 4)
    lengths.destination = header.field(offset &+ 8)
    lengths.aad = header.field(offset &+ 28)
    lengths.result = header.field(offset &+ 32)
    unsafe slot.pointee.operation.cipherOffset = header.field(offset &+ 12)
    unsafe slot.pointee.operation.cipherByteCount = header.field(offset &+ 16)
    unsafe slot.pointee.operation.hashOffset = header.field(offset &+ 20)
    unsafe slot.pointee.operation.hashByteCount = header.field(offset &+ 24)
    let session = unsafe slot.pointee.operation.session
    guard unsafe session.pointee.direction == direction,
      unsafe Int(lengths.iv) == session.pointee.cipher.ivByteCount,
      lengths.source == lengths.destination, lengths.result >= 1,
      unsafe lengths.result <= session.pointee.resultByteCount,
      unsafe rangesFit(slot, lengths), fits(lengths),
      unsafe try readIV(lengths.iv, &chain, &memory, slot)
    else { return .err }
    if aadFirst {
      guard
        unsafe try readAAD(lengths.aad, bounceOffset: lengths.source, &chain, &memory, slot),
        unsafe try readSource(lengths.source, &chain, &memory, slot)
      else { return .err }
    } else {
      guard unsafe try readSource(lengths.source, &chain, &memory, slot),
        unsafe try readAAD(lengths.aad, bounceOffset: lengths.source, &chain, &memory, slot)
      else { return .err }
    }
    guard
      unsafe try writeTo(
        destination: lengths.source, result: lengths.result, &chain, &memory, slot)
    else { return .err }
    return .ok
  }

  /// Whether a chain's ranges lie in its source and fit its algorithms.
  @_noAllocation @_noLocks
  private func rangesFit(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ lengths: RequestLengths
  ) -> Bool {
    let session = unsafe slot.pointee.operation.session
    let cipher = unsafe session.pointee.cipher
    let source = UInt64(lengths.source)
    let cipherCount = unsafe slot.pointee.operation.cipherByteCount
    let cipherEnd = unsafe UInt64(slot.pointee.operation.cipherOffset) + UInt64(cipherCount)
    let hashCount = unsafe slot.pointee.operation.hashByteCount
    let hashEnd = unsafe UInt64(slot.pointee.operation.hashOffset) + UInt64(hashCount)
    guard cipherEnd <= source, hashEnd <= source,
      Int(cipherCount) & (cipher.granuleByteCount &- 1) == 0,
      Int(cipherCount) >= cipher.minimumSourceByteCount
    else { return false }
    guard unsafe session.pointee.hashMode == .authenticated else { return true }
    let mac = unsafe session.pointee.mac
    // A MAC with an IV takes it from the associated data, exactly.
    if mac.ivByteCount > 0 { return Int(lengths.aad) == mac.ivByteCount }
    return (Int(hashCount) &+ Int(lengths.aad)) & (mac.granuleByteCount &- 1) == 0
  }
}
