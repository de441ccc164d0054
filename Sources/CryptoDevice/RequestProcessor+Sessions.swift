import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// Session mode or stateless: which parameters an operation runs with.
extension RequestProcessor {
  /// Whether a request names its parameters itself.
  ///
  /// Without `VIRTIO_CRYPTO_F_REVISION_1` the flag is ignored. Spec: draft v25 §Data Virtqueue.
  var isStateless: Bool {
    @_noAllocation @_noLocks get {
      layout.revision1 && header.flag & VirtioCryptoWire.flagSessionMode == 0
    }
  }

  /// Copies the fixed part; false if the readable part is shorter.
  ///
  /// `exact`: its size under REVISION_1; otherwise every fixed part is padded to 48 bytes.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func readFixedPart(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView, exact: Int
  ) throws(QueueError) -> Bool {
    let count = layout.revision1 ? exact : VirtioCryptoWire.dataLegacyFixedByteCount
    // SAFETY: as below.
    if count == 48, let source = unsafe chain.takeReadable(48) {
      unsafe cring_copy48(header.fixedPart, source)
      return true
    }
    return try readFixedPart(&chain, &memory, byteCount: count)
  }

  @_noAllocation @_noLocks
  @inline(never)
  mutating func readFixedPart(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView, byteCount: Int
  ) throws(QueueError) -> Bool {
    // SAFETY: `byteCount` is at most 80; the buffer has 104 bytes behind the header.
    unsafe try chain.copyReadable(
      into: UnsafeMutableRawPointer(header.fixedPart), byteCount: byteCount, &memory) == byteCount
  }

  /// Points the operation at the session that the header names.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func useSession(
    _ slot: UnsafeMutablePointer<RequestSlot>, service: CryptoService
  ) -> VirtioCryptoStatus {
    let identifier = header.sessionIdentifier
    guard let block = unsafe sessions.find(identifier),
      unsafe block.pointee.parameters.service == service
    else { return .invsess }
    // SAFETY: parameters are the block's first field; the block stays valid until this worker acknowledges a later
    // retirement, which it does only with nothing in flight.
    unsafe slot.pointee.operation.session = UnsafeRawPointer(block)
      .assumingMemoryBound(to: SessionParameters.self)
    unsafe slot.pointee.operation.sessionIndex = UInt32(truncatingIfNeeded: identifier)
    unsafe slot.pointee.operation.sessionGeneration = UInt32(truncatingIfNeeded: identifier >> 32)
    unsafe slot.pointee.row = block.pointee.row
    // Where a refused request counts; one that is ready gets the engine for its length.
    unsafe slot.pointee.operation.engineIndex = block.pointee.parameters.route.engine(at: 0)
    unsafe slot.pointee.hasRow = true
    return .ok
  }

  /// Takes the parameters from the request, or from the session that the header names.
  @_noAllocation @_noLocks
  mutating func use(
    _ request: SessionRequest, isStateless: Bool, service: CryptoService,
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    isStateless
      ? unsafe try useRequest(request, &chain, &memory, slot)
      : unsafe useSession(slot, service: service)
  }

  /// Makes the parameters of a stateless request in the slot, with the keys that come next in the chain.
  @_noAllocation @_noLocks
  mutating func useRequest(
    _ request: SessionRequest, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let status = unsafe resolve(request, slot)
    guard status == .ok else { return status }
    // Resolving has bounded both lengths by what the algorithms take, so that the key area has room.
    let cipherKeyCount = Int(request.cipherKeyByteCount)
    let authKeyCount = Int(request.authKeyByteCount)
    let keys = unsafe slots.keyArea(of: slot)
    unsafe slot.pointee.isTransient = true
    unsafe slot.pointee.transient.cipherKeyByteCount = request.cipherKeyByteCount
    unsafe slot.pointee.transient.authKeyByteCount = request.authKeyByteCount
    unsafe slot.pointee.transient.cipherKey = UnsafePointer(keys)
    unsafe slot.pointee.transient.authKey = UnsafePointer(keys + cipherKeyCount)
    let count = cipherKeyCount &+ authKeyCount
    // SAFETY: 256 + 512 bytes hold the longest keys that `resolve` lets pass.
    guard
      unsafe try chain.copyReadable(
        into: UnsafeMutableRawPointer(keys), byteCount: count, &memory) == count
    else { return .err }
    unsafe useTransient(slot)
    return .ok
  }

  /// Makes the parameters that a stateless request names, without keys, in the slot.
  @_noAllocation @_noLocks
  func resolve(
    _ request: SessionRequest, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> VirtioCryptoStatus {
    do throws(Refusal) {
      unsafe slot.pointee.transient = try request.resolve(table)
      return .ok
    } catch {
      switch error {
      case .unsupported: return .notsupp
      case .invalidSession: return .invsess
      case .error, .tableFull: return .err
      }
    }
  }

  /// Points the operation at the slot's own parameters.
  @_noAllocation @_noLocks
  func useTransient(_ slot: UnsafeMutablePointer<RequestSlot>) {
    unsafe slot.pointee.operation.session = UnsafePointer(SlotTable.transientParameters(of: slot))
    unsafe slot.pointee.operation.sessionIndex = CryptoOperation.transientSession
    unsafe slot.pointee.row = StatisticsRow(slot.pointee.transient).index
    unsafe slot.pointee.operation.engineIndex = slot.pointee.transient.route.engine(at: 0)
    unsafe slot.pointee.hasRow = true
  }
}
