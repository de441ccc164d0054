import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// The ASYM service of the asymmetric RFC: keys in parts, everything in one request.
//
// Structures follow each other without padding: lengths, then bytes. Each length is compared with the room that is left
// when its bytes are read, so that no sum can overflow; keys, texts and results go through the request's bounce buffer,
// where the guest cannot change them. What the RFC leaves open is decided in docs/wire.md.
extension RequestProcessor {
  /// `status` and what follows it at the start of every result.
  static var asymHeaderByteCount: UInt32 { @_noAllocation @_noLocks get { 8 } }

  /// Reads a request, then the place for its result.
  @_noAllocation @_noLocks
  mutating func readASYM(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let status = unsafe try readASYMRequest(&chain, &memory, slot)
    outputSpans.removeAll()
    // Where there is no room for it, a refusal goes into the last byte alone.
    let header = Int(Self.asymHeaderByteCount)
    guard try chain.collectWritable(byteCount: header, into: &outputSpans, &memory) else {
      return status == .ok ? .err : status
    }
    unsafe slot.pointee.hasASYMHeader = true
    guard status == .ok else { return status }
    let rest = unsafe Int(slot.pointee.outputByteCount) &- header
    guard try chain.collectWritable(byteCount: rest, into: &outputSpans, &memory) else {
      return .err
    }
    bounces.keep(outputSpans, for: unsafe slot.pointee.bounce)
    return .ok
  }

  @_noAllocation @_noLocks
  private mutating func readASYMRequest(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    unsafe slot.pointee.operation.asymmetric = .generateKey
    let operation: AsymmetricOperation
    switch header.opcode {
    case 0x400: operation = .sign
    case 0x401: operation = .verify
    case 0x402: operation = .encrypt
    case 0x403: operation = .decrypt
    // KEY_EXCHG has operations of its own.
    case 0x404, 0x405: operation = .generateKey
    default: return .notsupp
    }
    unsafe slot.pointee.operation.asymmetric = operation
    guard let algorithm = table.asymmetric(header.algorithm) else { return .notsupp }
    unsafe beginComponents(of: algorithm, slot)
    let status: VirtioCryptoStatus
    if header.opcode == 0x405 {
      switch algorithm {
      case .dh: unsafe status = try readDHExchange(&chain, &memory, slot)
      case .ecdh: unsafe status = try readECDHExchange(&chain, &memory, slot)
      case .rsa, .dsa, .ecdsa: return .notsupp
      }
    } else {
      switch algorithm {
      case .rsa: unsafe status = try readRSA(operation, &chain, &memory, slot)
      case .dsa: unsafe status = try readDSA(operation, &chain, &memory, slot)
      case .ecdsa: unsafe status = try readECDSA(operation, &chain, &memory, slot)
      case .ecdh:
        guard header.opcode == 0x404 else { return .notsupp }
        unsafe status = try readECKeyGeneration(&chain, &memory, slot)
      case .dh: return .notsupp
      }
    }
    // Which of a key exchange's operations it is, is known only now.
    unsafe slot.pointee.row &+= UInt16(slot.pointee.operation.asymmetric.index)
    return status
  }

  /// Points the operation at parameters in the slot, with an empty key in parts.
  @_noAllocation @_noLocks
  private mutating func beginComponents(
    of algorithm: AsymmetricAlgorithm, _ slot: UnsafeMutablePointer<RequestSlot>
  ) {
    let base = unsafe bounces.input(bounce(of: slot))
    // SAFETY: the buffer is larger than the header.
    unsafe cring_wipe(base, AsymmetricComponents.headerByteCount)
    unsafe slot.pointee.transient = SessionParameters()
    unsafe slot.pointee.transient.service = .akcipher
    unsafe slot.pointee.transient.asymmetric = algorithm
    unsafe slot.pointee.transient.keyForm = .components
    unsafe slot.pointee.transient.route = table.route(for: slot.pointee.transient)
    unsafe slot.pointee.transient.maximumOperationMilliseconds =
      layout.maximumOperationMilliseconds
    unsafe slot.pointee.transient.cipherKey = UnsafePointer(base)
    unsafe useTransient(slot)
    unsafe slot.pointee.isAsymmetric = true
    unsafe slot.pointee.secretByteCount = UInt32(AsymmetricComponents.headerByteCount)
    unsafe slot.pointee.operation.sourceByteCount = 0
    unsafe slot.pointee.operation.aadByteCount = 0
    unsafe slot.pointee.operation.resultByteCount = 0
  }

  // MARK: - Pieces of a request

  /// Copies words of the request to an offset of the fixed part; false if the readable part is shorter.
  @_noAllocation @_noLocks
  mutating func readFields(
    at offset: Int = 0, byteCount: Int, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView
  ) throws(QueueError) -> Bool {
    // SAFETY: offset and count are constants of the layouts, 76 together at the most; the buffer has 104 bytes there.
    unsafe try chain.copyReadable(
      into: UnsafeMutableRawPointer(header.fixedPart + offset), byteCount: byteCount, &memory)
      == byteCount
  }

  /// Copies the next readable bytes behind what was copied before; nil if they are not there, or too many.
  @_noAllocation @_noLocks
  private mutating func takeBytes(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    let used = unsafe UInt64(slot.pointee.secretByteCount)
    let most =
      UInt64(layout.maximumRequestByteCount) + UInt64(AsymmetricComponents.headerByteCount)
    guard used + UInt64(byteCount) <= most else { return nil }
    // SAFETY: a bounce buffer's input has room for `max_size` bytes and the header.
    let place = unsafe bounces.input(slot.pointee.bounce) + Int(used)
    // Counted first, so that also what ends early is wiped.
    unsafe slot.pointee.secretByteCount &+= byteCount
    let copied = unsafe try chain.copyReadable(
      into: UnsafeMutableRawPointer(place), byteCount: Int(byteCount), &memory)
    return copied == Int(byteCount) ? unsafe place : nil
  }

  /// The next readable bytes as a part of the key; parts come in the order of their indices.
  @_noAllocation @_noLocks
  mutating func takePart(
    _ index: Int, _ byteCount: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    guard unsafe try takeBytes(byteCount, &chain, &memory, slot) != nil else { return false }
    unsafe setComponent(AsymmetricComponents.partByteCountOffset(index), byteCount, slot)
    return true
  }

  /// Skips readable bytes.
  @_noAllocation @_noLocks
  mutating func skip(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    guard let place = unsafe try takeBytes(byteCount, &chain, &memory, slot) else { return false }
    // SAFETY: they were copied there.
    unsafe cring_wipe(place, Int(byteCount))
    unsafe slot.pointee.secretByteCount &-= byteCount
    return true
  }

  /// Ends the key, and takes the next readable bytes as the operation's source.
  @_noAllocation @_noLocks
  mutating func takeSource(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.transient.cipherKeyByteCount = slot.pointee.secretByteCount
    guard let place = unsafe try takeBytes(byteCount, &chain, &memory, slot) else { return false }
    unsafe slot.pointee.operation.source = UnsafePointer(place)
    unsafe slot.pointee.operation.sourceByteCount = byteCount
    return true
  }

  /// Takes the next readable bytes as what a signature is of.
  @_noAllocation @_noLocks
  mutating func takeSigned(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    guard let place = unsafe try takeBytes(byteCount, &chain, &memory, slot) else { return false }
    unsafe slot.pointee.operation.aad = UnsafePointer(place)
    unsafe slot.pointee.operation.aadByteCount = byteCount
    return true
  }

  /// Sets a word of the key's header.
  @_noAllocation @_noLocks
  func setComponent(_ offset: Int, _ value: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>) {
    // SAFETY: offsets are constants below the header's size, multiples of 4 in a buffer that starts a page.
    unsafe UnsafeMutableRawPointer(bounces.input(slot.pointee.bounce) + offset)
      .assumingMemoryBound(to: UInt32.self).pointee = value
  }

  /// Sets the width of a part of the result; the running sum of widths.
  @_noAllocation @_noLocks
  func setWidth(
    _ index: Int, _ byteCount: UInt32, after sum: UInt64, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> UInt64 {
    unsafe setComponent(AsymmetricComponents.resultByteCountOffset(index), byteCount, slot)
    return sum + UInt64(byteCount)
  }

  /// Makes room for a result of `byteCount` bytes behind `wordCount` words of lengths.
  @_noAllocation @_noLocks
  func expect(
    _ byteCount: UInt64, wordCount: Int = 0, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> Bool {
    let front = Self.asymHeaderByteCount &+ UInt32(truncatingIfNeeded: wordCount &* 4)
    let most = UInt64(layout.maximumRequestByteCount) + UInt64(Self.destinationSlack)
    // A sum of a few 32-bit lengths; a bounce buffer's output has room for 65536 bytes more.
    guard byteCount <= most else { return false }
    let output = unsafe bounces.output(slot.pointee.bounce)
    unsafe slot.pointee.asymFrontByteCount = front
    unsafe slot.pointee.outputByteCount = front &+ UInt32(truncatingIfNeeded: byteCount)
    unsafe slot.pointee.operation.result = output + Int(front)
    unsafe slot.pointee.operation.resultByteCount = UInt32(truncatingIfNeeded: byteCount)
    return true
  }

  /// Sets one of the words of lengths in front of the result.
  @_noAllocation @_noLocks
  func setLength(_ index: Int, _ value: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>) {
    unsafe storeASYMWord(
      Int(Self.asymHeaderByteCount) &+ index &* 4, value, bounces.output(slot.pointee.bounce))
  }

  /// A le32.
  @_noAllocation @_noLocks
  func storeASYMWord(_ offset: Int, _ value: UInt32, _ output: UnsafeMutablePointer<UInt8>) {
    // SAFETY: `expect` has made room; offsets are multiples of 4 in a buffer that starts a page.
    unsafe UnsafeMutableRawPointer(output + offset)
      .assumingMemoryBound(to: UInt32.self).pointee = value.littleEndian
  }

  /// `VIRTIO_CRYPTO_HASH_*` of a message; false for what no signature is made of.
  @_noAllocation @_noLocks
  func useDigest(_ number: UInt32, _ slot: UnsafeMutablePointer<RequestSlot>) -> Bool {
    let digest: SignatureDigest
    switch number {
    case 0: digest = .none
    case 1: digest = .md5
    case 2: digest = .sha1
    case 3: digest = .sha224
    case 4: digest = .sha256
    case 5: digest = .sha384
    case 6: digest = .sha512
    case 7: digest = .sha3_224
    case 8: digest = .sha3_256
    case 9: digest = .sha3_384
    case 10: digest = .sha3_512
    default: return false
    }
    unsafe slot.pointee.transient.digest = digest
    return true
  }
}
