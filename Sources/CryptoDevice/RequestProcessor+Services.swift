import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// HASH, MAC and AEAD requests.
// Spec: draft v25 §HASH Service Operation, §MAC Service Operation, §AEAD Service Operation.
extension RequestProcessor {
  @_noAllocation @_noLocks
  mutating func readHash(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    if isStateless {
      guard layout.hashStateless else { return .notsupp }
      guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.hashStatelessFixedByteCount)
      else { return .err }
      return unsafe try readMixedHash(isStateless: true, &chain, &memory, slot)
    }
    guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.hashDataFixedByteCount)
    else { return .err }
    let status = unsafe useSession(slot, service: .hash)
    guard status == .ok else { return status }
    var lengths = RequestLengths()
    lengths.source = header.field(0)
    lengths.result = header.field(4)
    return unsafe try readDigestPayload(lengths, ivByteCount: 0, &chain, &memory, slot)
  }

  @_noAllocation @_noLocks
  mutating func readMAC(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    if isStateless {
      guard layout.macStateless else { return .notsupp }
      guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.macStatelessFixedByteCount)
      else { return .err }
      return unsafe try readMixedMAC(isStateless: true, &chain, &memory, slot)
    }
    guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.macDataFixedByteCount)
    else { return .err }
    let status = unsafe useSession(slot, service: .mac)
    guard status == .ok else { return status }
    var lengths = RequestLengths()
    lengths.source = header.field(0)
    lengths.result = header.field(4)
    return unsafe try readMACPayload(lengths, &chain, &memory, slot)
  }

  /// Source and result of a MAC.
  @_noAllocation @_noLocks
  mutating func readMACPayload(
    _ lengths: RequestLengths, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let mac = unsafe slot.pointee.operation.session.pointee.mac
    let iv = UInt32(mac.ivByteCount)
    guard lengths.source >= iv,
      Int(lengths.source &- iv) & (mac.granuleByteCount &- 1) == 0
    else { return .err }
    return unsafe try readDigestPayload(lengths, ivByteCount: iv, &chain, &memory, slot)
  }

  /// Source and result of a hash or MAC; an IV, where the algorithm takes one, is the source's head.
  @_noAllocation @_noLocks
  mutating func readDigestPayload(
    _ lengths: RequestLengths, ivByteCount: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let most = unsafe slot.pointee.operation.session.pointee.resultByteCount
    guard lengths.result >= 1, lengths.result <= most, fits(lengths) else { return .err }
    unsafe slot.pointee.operation.aadByteCount = 0
    guard unsafe try readIV(ivByteCount, &chain, &memory, slot),
      unsafe try readSource(lengths.source &- ivByteCount, &chain, &memory, slot),
      unsafe try writeTo(destination: 0, result: lengths.result, &chain, &memory, slot)
    else { return .err }
    return .ok
  }

  @_noAllocation @_noLocks
  mutating func readAEAD(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>, _ direction: CryptoDirection
  ) throws(QueueError) -> VirtioCryptoStatus {
    if isStateless {
      guard layout.aeadStateless else { return .notsupp }
      guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.aeadStatelessFixedByteCount)
      else { return .err }
      return unsafe try readMixedAEAD(isStateless: true, direction, &chain, &memory, slot)
    }
    guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.aeadDataFixedByteCount)
    else { return .err }
    let status = unsafe useSession(slot, service: .aead)
    guard status == .ok else { return status }
    var lengths = RequestLengths()
    lengths.iv = header.field(0)
    lengths.aad = header.field(4)
    lengths.source = header.field(8)
    lengths.destination = header.field(12)
    lengths.result = header.field(16)
    return unsafe try readAEADPayload(lengths, direction, &chain, &memory, slot)
  }

  /// IV, source, associated data; the tag is the last part of the source or of the destination.
  @_noAllocation @_noLocks
  mutating func readAEADPayload(
    _ lengths: RequestLengths, _ direction: CryptoDirection, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let session = unsafe slot.pointee.operation.session
    guard unsafe session.pointee.direction == direction,
      unsafe lengths.result == session.pointee.resultByteCount,
      unsafe session.pointee.aead.accepts(ivByteCount: Int(lengths.iv)), fits(lengths)
    else { return .err }
    let tag = lengths.result
    let isEncryption = direction == .encrypt
    guard isEncryption || lengths.source >= tag else { return .err }
    let text = isEncryption ? lengths.source : lengths.source &- tag
    let needed = isEncryption ? UInt64(text) + UInt64(tag) : UInt64(text)
    guard UInt64(lengths.destination) >= needed,
      unsafe try readIV(lengths.iv, &chain, &memory, slot),
      unsafe try readSource(text, &chain, &memory, slot),
      unsafe try readTag(isEncryption ? 0 : tag, &chain, &memory, slot),
      unsafe try readAAD(lengths.aad, bounceOffset: text, &chain, &memory, slot),
      unsafe try writeTo(
        destination: text, result: isEncryption ? tag : 0, &chain, &memory, slot)
    else { return .err }
    return .ok
  }
}
