import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// RSA requests of the ASYM service, field by field.
extension RequestProcessor {
  private typealias Layout = AsymmetricComponents

  @_noAllocation @_noLocks
  mutating func readRSA(
    _ operation: AsymmetricOperation, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    switch operation {
    case .sign: return unsafe try readRSASignature(&chain, &memory, slot)
    case .verify: return unsafe try readRSAVerification(&chain, &memory, slot)
    case .encrypt: return unsafe try readRSAEncryption(&chain, &memory, slot)
    case .decrypt: return unsafe try readRSADecryption(&chain, &memory, slot)
    case .generateKey: return unsafe try readRSAKeyGeneration(&chain, &memory, slot)
    case .generateParameters, .computeSecret: return .notsupp
    }
  }

  /// `struct virtio_crypto_rsa_sign_para`.
  @_noAllocation @_noLocks
  private mutating func readRSASignature(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 56, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot), unsafe usePadding(header.field(4), slot)
    else { return .notsupp }
    let status = unsafe try takePrivateKey(at: 8, &chain, &memory, slot)
    guard status == .ok else { return status }
    guard unsafe try takeSource(header.field(48), &chain, &memory, slot),
      unsafe expect(setWidth(0, header.field(52), after: 0, slot), slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_rsa_verify_para`, with the signature in front of the message.
  ///
  /// `reserved` is the signature's length, 0 for that of the modulus.
  @_noAllocation @_noLocks
  private mutating func readRSAVerification(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 24, &chain, &memory) else { return .err }
    guard unsafe useDigest(header.field(0), slot), unsafe usePadding(header.field(4), slot)
    else { return .notsupp }
    guard unsafe try takePart(0, header.field(8), &chain, &memory, slot),
      unsafe try takePart(1, header.field(12), &chain, &memory, slot)
    else { return .err }
    let claimed = header.field(20)
    let signature = claimed == 0 ? unsafe firstPartByteCount(slot) : claimed
    guard unsafe try takeSource(signature, &chain, &memory, slot),
      unsafe try takeSigned(header.field(16), &chain, &memory, slot), unsafe expect(0, slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_rsa_enc_para`; `cmsg` is as long as the modulus.
  @_noAllocation @_noLocks
  private mutating func readRSAEncryption(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 16, &chain, &memory) else { return .err }
    guard unsafe usePadding(header.field(0), slot) else { return .notsupp }
    guard unsafe try takePart(0, header.field(4), &chain, &memory, slot),
      unsafe try takePart(1, header.field(8), &chain, &memory, slot),
      unsafe try takeSource(header.field(12), &chain, &memory, slot),
      unsafe expect(UInt64(firstPartByteCount(slot)), slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_rsa_dec_para`.
  @_noAllocation @_noLocks
  private mutating func readRSADecryption(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 48, &chain, &memory) else { return .err }
    guard unsafe usePadding(header.field(0), slot) else { return .notsupp }
    let status = unsafe try takePrivateKey(at: 4, &chain, &memory, slot)
    guard status == .ok else { return status }
    guard unsafe try takeSource(header.field(44), &chain, &memory, slot),
      unsafe expect(UInt64(header.field(44)), slot)
    else { return .err }
    return .ok
  }

  /// `struct virtio_crypto_rsa_priv_key`: prime number and representation, then the lengths of either representation,
  /// whose union has eight words.
  @_noAllocation @_noLocks
  private mutating func takePrivateKey(
    at offset: Int, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let primes = header.field(offset)
    unsafe setComponent(Layout.primeCountOffset, primes, slot)
    unsafe setComponent(Layout.representationOffset, header.field(offset &+ 4), slot)
    switch header.field(offset &+ 4) {
    case 0:
      guard unsafe try takePart(0, header.field(offset &+ 8), &chain, &memory, slot),
        unsafe try takePart(2, header.field(offset &+ 12), &chain, &memory, slot)
      else { return .err }
      return .ok
    case 1: break
    default: return .notsupp
    }
    // More primes than libcrypto knows, or fewer than two, are not worth reading.
    guard primes >= 2 else { return .err }
    guard primes <= 5 else { return .notsupp }
    var index = 0
    while index < 8 {
      let length = header.field(offset &+ 8 &+ index &* 4)
      // The last three are of each element of an array.
      let count = index < 5 ? UInt64(length) : UInt64(length) * UInt64(primes &- 2)
      guard count <= UInt64(layout.maximumRequestByteCount),
        unsafe try takePart(
          3 &+ index, UInt32(truncatingIfNeeded: count), &chain, &memory, slot)
      else { return .err }
      index &+= 1
    }
    return .ok
  }

  /// `struct virtio_crypto_rsa_keygen_para`; the result begins with `priv_key` and `pub_key`.
  @_noAllocation @_noLocks
  private mutating func readRSAKeyGeneration(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    guard try readFields(byteCount: 16, &chain, &memory) else { return .err }
    let modulus = header.field(0)
    let primes = header.field(4)
    let representation = header.field(8)
    let exponent = header.field(12)
    guard primes >= 2 else { return .err }
    guard primes <= 5, representation <= 1, modulus <= 2048 else { return .notsupp }
    unsafe setComponent(Layout.modulusByteCountOffset, modulus, slot)
    unsafe setComponent(Layout.primeCountOffset, primes, slot)
    unsafe setComponent(Layout.representationOffset, representation, slot)
    guard unsafe try takePart(1, exponent, &chain, &memory, slot),
      unsafe try takeSource(0, &chain, &memory, slot)
    else { return .err }
    // Factors of more than two primes need not be of the same length.
    let factor = primes == 2 ? (modulus &+ 1) / 2 : modulus / primes &+ 1
    let further = UInt64(primes &- 2)
    var sum: UInt64 = 0
    if representation == 0 {
      sum = unsafe setWidth(0, modulus, after: sum, slot)
      sum = unsafe setWidth(1, modulus, after: sum, slot)
      sum = unsafe setWidth(2, modulus, after: sum, slot)
      sum = unsafe setWidth(3, exponent, after: sum, slot)
    } else {
      var index = 0
      while index < 8 {
        sum = unsafe setWidth(index, factor, after: sum, slot)
        index &+= 1
      }
      // The last three were counted once, and are there once for each further prime.
      sum = sum &- 3 &* UInt64(factor) &+ 3 &* UInt64(factor) &* further
      sum = unsafe setWidth(8, modulus, after: sum, slot)
      sum = unsafe setWidth(9, exponent, after: sum, slot)
    }
    guard unsafe expect(sum, wordCount: 12, slot) else { return .err }
    unsafe setKeyLengths(modulus, exponent, factor, primes, representation, slot)
    return .ok
  }

  @_noAllocation @_noLocks
  private func setKeyLengths(
    _ modulus: UInt32, _ exponent: UInt32, _ factor: UInt32, _ primes: UInt32,
    _ representation: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>
  ) {
    unsafe setLength(0, primes, slot)
    unsafe setLength(1, representation, slot)
    var index = 0
    while index < 8 {
      let length =
        representation == 0 ? (index < 2 ? modulus : 0) : index < 5 || primes > 2 ? factor : 0
      unsafe setLength(2 &+ index, length, slot)
      index &+= 1
    }
    unsafe setLength(10, modulus, slot)
    unsafe setLength(11, exponent, slot)
  }

  /// `VIRTIO_CRYPTO_RSA_*_PADDING`; SSLv23's, which is no longer to be had, is 2.
  @_noAllocation @_noLocks
  private func usePadding(_ number: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>) -> Bool {
    let padding: RSAPadding
    switch number {
    case 0: padding = .raw
    case 1: padding = .pkcs1
    case 3: padding = .oaep
    case 4: padding = .x931
    case 5: padding = .pss
    default: return false
    }
    unsafe slot.pointee.transient.padding = padding
    return true
  }

  /// How many bytes the number in the first part has, without the zeros in front.
  @_noAllocation @_noLocks
  func firstPartByteCount(_ slot: UnsafeMutablePointer<RequestSlot>) -> UInt32 {
    let base = unsafe bounces.input(slot.pointee.bounce)
    // SAFETY: the header has the length of the part that was copied behind it.
    let word = unsafe UnsafeMutableRawPointer(base + Layout.partByteCountOffset(0))
      .assumingMemoryBound(to: UInt32.self)
    var count = unsafe word.pointee
    var place = unsafe base + Layout.headerByteCount
    while count > 0, unsafe place.pointee == 0 {
      unsafe place += 1
      count &-= 1
    }
    return count
  }
}
