import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// AKCIPHER requests.
//
// The draft stops before the data requests; Linux and QEMU agree on what follows its header: see docs/wire.md. Keys,
// operands and results are short next to what is done with them, so that all of them go through the request's bounce
// buffer: an encoded key or signature is then never parsed where the guest can change it.
extension RequestProcessor {
  @_noAllocation @_noLocks
  mutating func readAKCipher(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>, _ operation: AsymmetricOperation
  ) throws(QueueError) -> VirtioCryptoStatus {
    var lengths = RequestLengths()
    var keyByteCount: UInt32 = 0
    if isStateless {
      guard layout.akcipherStateless else { return .notsupp }
      guard
        try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.akcipherStatelessFixedByteCount)
      else { return .err }
      var request = SessionRequest(service: .akcipher)
      request.cipher = header.field(0)
      request.keyType = header.field(4)
      request.cipherKeyByteCount = header.field(8)
      request.firstParameter = header.field(12)
      request.secondParameter = header.field(16)
      lengths.source = header.field(20)
      lengths.destination = header.field(24)
      keyByteCount = request.cipherKeyByteCount
      let status = unsafe useParameters(of: request, slot)
      guard status == .ok else { return status }
    } else {
      guard try readFixedPart(&chain, &memory, exact: VirtioCryptoWire.akcipherDataFixedByteCount)
      else { return .err }
      let status = unsafe useSession(slot, service: .akcipher)
      guard status == .ok else { return status }
      lengths.source = header.field(0)
      lengths.destination = header.field(4)
    }
    unsafe slot.pointee.operation.asymmetric = operation
    unsafe slot.pointee.row &+= UInt16(operation.index)
    return unsafe try readOperands(lengths, keyByteCount, &chain, &memory, slot)
  }

  /// Key (of a stateless request), source, and for VERIFY the digest behind it; then where the result goes.
  @_noAllocation @_noLocks
  private mutating func readOperands(
    _ lengths: RequestLengths, _ keyByteCount: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let isVerify =
      unsafe slot.pointee.operation.asymmetric.index == AsymmetricOperation.verify.index
    let digestByteCount = isVerify ? lengths.destination : 0
    let readable = UInt64(keyByteCount) + UInt64(lengths.source) + UInt64(digestByteCount)
    guard readable <= UInt64(layout.maximumRequestByteCount), fits(lengths) else { return .err }
    let index = unsafe bounce(of: slot)
    let copy = unsafe bounces.input(index)
    unsafe slot.pointee.secretByteCount = keyByteCount
    unsafe slot.pointee.isAsymmetric = true
    // SAFETY: a bounce buffer's input holds `max_size` bytes, which bounds the sum.
    guard
      unsafe try chain.copyReadable(
        into: UnsafeMutableRawPointer(copy), byteCount: Int(readable), &memory) == Int(readable)
    else { return .err }
    let source = unsafe copy + Int(keyByteCount)
    unsafe slot.pointee.transient.cipherKey = UnsafePointer(copy)
    unsafe slot.pointee.operation.source = UnsafePointer(source)
    unsafe slot.pointee.operation.sourceByteCount = lengths.source
    unsafe slot.pointee.operation.aad = UnsafePointer(source + Int(lengths.source))
    unsafe slot.pointee.operation.aadByteCount = digestByteCount
    unsafe slot.pointee.operation.resultByteCount = isVerify ? 0 : lengths.destination
    unsafe slot.pointee.operation.result = bounces.output(index)
    guard !isVerify else { return .ok }
    outputSpans.removeAll()
    guard
      try chain.collectWritable(byteCount: Int(lengths.destination), into: &outputSpans, &memory)
    else { return .err }
    bounces.keep(outputSpans, for: index)
    unsafe slot.pointee.isOutputBounced = true
    unsafe slot.pointee.outputByteCount = lengths.destination
    return .ok
  }

  /// Makes the parameters of a stateless request in the slot; its key comes with the operands.
  @_noAllocation @_noLocks
  private mutating func useParameters(
    of request: SessionRequest, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> VirtioCryptoStatus {
    let status = unsafe resolve(request, slot)
    guard status == .ok else { return status }
    unsafe slot.pointee.transient.cipherKeyByteCount = request.cipherKeyByteCount
    unsafe slot.pointee.transient.maximumOperationMilliseconds =
      layout.maximumOperationMilliseconds
    unsafe useTransient(slot)
    return .ok
  }
}
