import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// KEY_EXCHG requests of the ASYM service, whose first word says what they are: 0 a key, 1 a secret, 2 (DH) parameters.
extension RequestProcessor {
  private typealias Layout = AsymmetricComponents

  /// The requests that begin with `struct virtio_crypto_dh_keyexchg_para`.
  @_noAllocation @_noLocks
  mutating func readDHExchange(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 24, &chain, &memory) else { return .err }
    switch header.field(0) {
    case 0: unsafe slot.pointee.operation.asymmetric = .generateKey
    case 1: unsafe slot.pointee.operation.asymmetric = .computeSecret
    case 2: return unsafe try readDHParameterGeneration(&chain, &memory, slot)
    default: return .notsupp
    }
    guard unsafe try takePart(0, header.field(16), &chain, &memory, slot),
      unsafe try takePart(1, header.field(20), &chain, &memory, slot)
    else { return .err }
    if header.field(0) == 0 { return unsafe try readDHKeyGeneration(&chain, &memory, slot) }
    // `struct virtio_crypto_dh_keyexchg_compute_key_output`.
    guard try readFields(at: 24, byteCount: 16, &chain, &memory),
      unsafe try takePart(2, header.field(24), &chain, &memory, slot),
      unsafe try takePart(3, header.field(28), &chain, &memory, slot),
      unsafe try takeSource(0, &chain, &memory, slot),
      unsafe expect(setWidth(0, header.field(32), after: 0, slot), slot)
    else { return .err }
    return .ok
  }

  /// The result is a `struct virtio_crypto_dh_parameter`.
  @_noAllocation @_noLocks
  private mutating func readDHParameterGeneration(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    unsafe slot.pointee.operation.asymmetric = .generateParameters
    let modulus = header.field(8)
    unsafe setComponent(Layout.modulusByteCountOffset, modulus, slot)
    var sum = unsafe setWidth(0, modulus, after: 0, slot)
    sum = unsafe setWidth(1, 1, after: sum, slot)
    guard unsafe try takeSource(0, &chain, &memory, slot), unsafe expect(sum, wordCount: 4, slot)
    else { return .err }
    unsafe setLength(0, modulus, slot)
    unsafe setLength(1, 0, slot)
    unsafe setLength(2, modulus, slot)
    unsafe setLength(3, 1, slot)
    return .ok
  }

  /// The result begins with the lengths of x and y, both those of p.
  @_noAllocation @_noLocks
  private mutating func readDHKeyGeneration(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let modulus = unsafe firstPartByteCount(slot)
    var sum = unsafe setWidth(0, modulus, after: 0, slot)
    sum = unsafe setWidth(1, modulus, after: sum, slot)
    guard unsafe try takeSource(0, &chain, &memory, slot), unsafe expect(sum, wordCount: 2, slot)
    else { return .err }
    unsafe setLength(0, modulus, slot)
    unsafe setLength(1, modulus, slot)
    return .ok
  }

  /// `struct virtio_crypto_ecdh_keyexchg_keygen_para` or `…_compute_key_para`.
  @_noAllocation @_noLocks
  mutating func readECDHExchange(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 8, &chain, &memory) else { return .err }
    switch header.field(0) {
    case 0:
      guard try readFields(at: 8, byteCount: 52, &chain, &memory) else { return .err }
      return unsafe try readECKeyParameters(at: 8, &chain, &memory, slot)
    case 1: break
    default: return .notsupp
    }
    unsafe slot.pointee.operation.asymmetric = .computeSecret
    // The lengths in front count, not those of the parameters.
    guard try readFields(at: 8, byteCount: 68, &chain, &memory),
      unsafe try takeECGroup(fieldAt: 24, lengthsAt: 32, &chain, &memory, slot),
      unsafe try takePart(7, header.field(8), &chain, &memory, slot),
      unsafe try takePart(8, header.field(12), &chain, &memory, slot),
      unsafe try takePart(9, header.field(16), &chain, &memory, slot),
      unsafe try takeSource(0, &chain, &memory, slot),
      unsafe expect(setWidth(0, header.field(20), after: 0, slot), slot)
    else { return .err }
    return .ok
  }
}
