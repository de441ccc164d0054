import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// DSA and EC requests of the ASYM service, field by field. Offsets are those of the RFC's structures, without padding.
extension RequestProcessor {
  private typealias Layout = AsymmetricComponents

  // MARK: - DSA

  @_noAllocation @_noLocks
  mutating func readDSA(
    _ operation: AsymmetricOperation, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    switch operation {
    case .sign: return unsafe try readDSASignature(&chain, &memory, slot)
    case .verify: return unsafe try readDSAVerification(&chain, &memory, slot)
    case .generateKey: return unsafe try readDSAKeyGeneration(&chain, &memory, slot)
    case .encrypt, .decrypt, .generateParameters, .computeSecret: return .notsupp
    }
  }

  /// `struct virtio_crypto_dsa_sign_para`; the guest's k is skipped.
  @_noAllocation @_noLocks
  private mutating func readDSASignature(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 48, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot) else { return .notsupp }
    guard unsafe try takeDSAGroup(&chain, &memory, slot),
      unsafe try skip(header.field(24), &chain, &memory, slot),
      unsafe try takePart(3, header.field(28), &chain, &memory, slot),
      unsafe try takeSource(header.field(32), &chain, &memory, slot)
    else { return .err }
    return unsafe expectPair(header.field(36), header.field(40), slot) ? .ok : .err
  }

  /// `struct virtio_crypto_dsa_verify_para`.
  @_noAllocation @_noLocks
  private mutating func readDSAVerification(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 40, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot) else { return .notsupp }
    guard unsafe try takeDSAGroup(&chain, &memory, slot),
      unsafe try takePart(4, header.field(24), &chain, &memory, slot),
      unsafe try takePair(header.field(28), header.field(32), &chain, &memory, slot),
      unsafe try takeSigned(header.field(36), &chain, &memory, slot), unsafe expect(0, slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_dsa_keygen_para`; the result begins with the lengths of its parts.
  @_noAllocation @_noLocks
  private mutating func readDSAKeyGeneration(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 8, &chain, &memory) else { return .err }
    let modulus = header.field(0)
    // q has 160 bits with p of 1024 (FIPS 186-4 §4.2), else 256.
    let order: UInt32 = modulus <= 128 ? 20 : 32
    unsafe setComponent(Layout.modulusByteCountOffset, modulus, slot)
    var sum = unsafe setWidth(0, modulus, after: 0, slot)
    sum = unsafe setWidth(1, order, after: sum, slot)
    sum = unsafe setWidth(2, modulus, after: sum, slot)
    sum = unsafe setWidth(3, order, after: sum, slot)
    sum = unsafe setWidth(4, modulus, after: sum, slot)
    guard unsafe try takeSource(0, &chain, &memory, slot), unsafe expect(sum, wordCount: 6, slot)
    else { return .err }
    unsafe setLength(0, modulus, slot)
    unsafe setLength(1, order, slot)
    unsafe setLength(2, modulus, slot)
    unsafe setLength(3, 0, slot)
    unsafe setLength(4, order, slot)
    unsafe setLength(5, modulus, slot)
    return .ok
  }

  /// `struct virtio_crypto_dsa_group`, whose lengths stand at 8.
  @_noAllocation @_noLocks
  private mutating func takeDSAGroup(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    guard unsafe try takePart(0, header.field(8), &chain, &memory, slot),
      unsafe try takePart(1, header.field(12), &chain, &memory, slot),
      unsafe try takePart(2, header.field(16), &chain, &memory, slot)
    else { return false }
    return true
  }

  // MARK: - ECDSA

  @_noAllocation @_noLocks
  mutating func readECDSA(
    _ operation: AsymmetricOperation, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    switch operation {
    case .sign: return unsafe try readECDSASignature(&chain, &memory, slot)
    case .verify: return unsafe try readECDSAVerification(&chain, &memory, slot)
    case .generateKey: return unsafe try readECKeyGeneration(&chain, &memory, slot)
    case .encrypt, .decrypt, .generateParameters, .computeSecret: return .notsupp
    }
  }

  /// `struct virtio_crypto_ecdsa_sign_para`; the guest's k is skipped.
  @_noAllocation @_noLocks
  private mutating func readECDSASignature(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 64, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot) else { return .notsupp }
    guard unsafe try takeECGroup(fieldAt: 4, &chain, &memory, slot),
      unsafe try skip(header.field(40), &chain, &memory, slot),
      unsafe try takePart(7, header.field(44), &chain, &memory, slot),
      unsafe try takeSource(header.field(48), &chain, &memory, slot)
    else { return .err }
    return unsafe expectPair(header.field(52), header.field(56), slot) ? .ok : .err
  }

  /// `struct virtio_crypto_ecdsa_verify_para`.
  @_noAllocation @_noLocks
  private mutating func readECDSAVerification(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 64, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot) else { return .notsupp }
    guard unsafe try takeECGroup(fieldAt: 4, &chain, &memory, slot),
      unsafe try takePart(8, header.field(40), &chain, &memory, slot),
      unsafe try takePart(9, header.field(44), &chain, &memory, slot),
      unsafe try takePair(header.field(48), header.field(52), &chain, &memory, slot),
      unsafe try takeSigned(header.field(56), &chain, &memory, slot), unsafe expect(0, slot)
    else { return .err }
    return .ok
  }

  // MARK: - EC keys

  /// `struct virtio_crypto_ec_keygen_para`.
  @_noAllocation @_noLocks
  mutating func readECKeyGeneration(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 52, &chain, &memory) else { return .err }
    return unsafe try readECKeyParameters(at: 0, &chain, &memory, slot)
  }

  /// The same at an offset of the fixed part.
  @_noAllocation @_noLocks
  mutating func readECKeyParameters(
    at offset: Int, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard
      unsafe try takeECGroup(fieldAt: offset, lengthsAt: offset &+ 8, &chain, &memory, slot),
      unsafe try takeSource(0, &chain, &memory, slot)
    else { return .err }
    var sum = unsafe setWidth(0, header.field(offset &+ 40), after: 0, slot)
    sum = unsafe setWidth(1, header.field(offset &+ 44), after: sum, slot)
    sum = unsafe setWidth(2, header.field(offset &+ 48), after: sum, slot)
    return unsafe expect(sum, slot) ? .ok : .err
  }

  /// `struct virtio_crypto_ec_group`: the first seven parts.
  @_noAllocation @_noLocks
  mutating func takeECGroup(
    fieldAt field: Int, lengthsAt offset: Int = 8, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe setComponent(Layout.fieldTypeOffset, header.field(field), slot)
    var index = 0
    while index < 7 {
      guard
        unsafe try takePart(index, header.field(offset &+ index &* 4), &chain, &memory, slot)
      else { return false }
      index &+= 1
    }
    return true
  }

  // MARK: - Signatures of two numbers

  /// Room for r and s.
  @_noAllocation @_noLocks
  private func expectPair(
    _ r: UInt32, _ s: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> Bool {
    let sum = unsafe setWidth(0, r, after: 0, slot)
    return unsafe expect(setWidth(1, s, after: sum, slot), slot)
  }

  /// r and s as the operation's source.
  @_noAllocation @_noLocks
  private mutating func takePair(
    _ r: UInt32, _ s: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    let sum = unsafe setWidth(1, s, after: setWidth(0, r, after: 0, slot), slot)
    guard sum <= UInt64(layout.maximumRequestByteCount) else { return false }
    return unsafe try takeSource(UInt32(truncatingIfNeeded: sum), &chain, &memory, slot)
  }
}
