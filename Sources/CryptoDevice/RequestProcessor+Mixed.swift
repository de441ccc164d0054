import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// Fixed parts that begin with the parameters of a session (`sess_para`): stateless requests, and all requests of draft
// v15, where those with a session leave the parameters unset.
//
// Both drafts have the same offsets; the caller has copied the fixed part, in its own size, and seen that the mode is
// allowed.
extension RequestProcessor {
  /// `aadFirst`: see `readChainPayload`.
  @_noAllocation @_noLocks
  mutating func readMixedSymmetric(
    isStateless: Bool, aadFirst: Bool, _ direction: CryptoDirection,
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var request = SessionRequest(service: .cipher)
    request.symmetricType = header.field(72)
    switch request.symmetricType {
    case VirtioCryptoWire.symmetricCipher:
      request.cipher = header.field(0)
      request.cipherKeyByteCount = header.field(4)
      request.operation = header.field(8)
      let status = unsafe try use(
        request, isStateless: isStateless, service: .cipher, &chain, &memory, slot)
      guard status == .ok else { return status }
      return unsafe try readCipherPayload(at: 12, direction, &chain, &memory, slot)
    case VirtioCryptoWire.symmetricChain:
      request.chainOrder = header.field(0)
      request.cipher = header.field(8)
      request.cipherKeyByteCount = header.field(12)
      request.operation = header.field(16)
      request.hash = header.field(20)
      request.hashMode = header.field(28)
      // A plain hash has no key, whatever the field says.
      request.authKeyByteCount =
        request.hashMode == VirtioCryptoWire.hashModePlain ? 0 : header.field(24)
      request.resultByteCount = header.field(64)
      let status = unsafe try use(
        request, isStateless: isStateless, service: .chain, &chain, &memory, slot)
      guard status == .ok else { return status }
      return unsafe try readChainPayload(
        at: 32, aadFirst: aadFirst, direction, &chain, &memory, slot)
    default: return .notsupp
    }
  }

  @_noAllocation @_noLocks
  mutating func readMixedHash(
    isStateless: Bool, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var request = SessionRequest(service: .hash)
    var lengths = RequestLengths()
    request.hash = header.field(0)
    lengths.source = header.field(4)
    lengths.result = header.field(8)
    request.resultByteCount = lengths.result
    let status = unsafe try use(
      request, isStateless: isStateless, service: .hash, &chain, &memory, slot)
    guard status == .ok else { return status }
    return unsafe try readDigestPayload(lengths, ivByteCount: 0, &chain, &memory, slot)
  }

  @_noAllocation @_noLocks
  mutating func readMixedMAC(
    isStateless: Bool, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var request = SessionRequest(service: .mac)
    var lengths = RequestLengths()
    request.hash = header.field(0)
    request.authKeyByteCount = header.field(4)
    lengths.source = header.field(8)
    lengths.result = header.field(12)
    request.resultByteCount = lengths.result
    let status = unsafe try use(
      request, isStateless: isStateless, service: .mac, &chain, &memory, slot)
    guard status == .ok else { return status }
    return unsafe try readMACPayload(lengths, &chain, &memory, slot)
  }

  @_noAllocation @_noLocks
  mutating func readMixedAEAD(
    isStateless: Bool, _ direction: CryptoDirection, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    var request = SessionRequest(service: .aead)
    var lengths = RequestLengths()
    request.cipher = header.field(0)
    request.cipherKeyByteCount = header.field(4)
    request.operation = header.field(8)
    lengths.iv = header.field(12)
    lengths.result = header.field(16)
    lengths.aad = header.field(20)
    lengths.source = header.field(24)
    lengths.destination = header.field(28)
    request.resultByteCount = lengths.result
    let status = unsafe try use(
      request, isStateless: isStateless, service: .aead, &chain, &memory, slot)
    guard status == .ok else { return status }
    return unsafe try readAEADPayload(lengths, direction, &chain, &memory, slot)
  }
}
