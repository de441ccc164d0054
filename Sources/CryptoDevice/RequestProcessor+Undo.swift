import CRingShims
import CryptoTypes
public import GuestMemory
public import VirtQueue
import VirtioSpec

// Requests whose result goes where they themselves are, in a daemon that may be killed over them: see `UndoLog`.
extension RequestProcessor {
  /// Whether the result of a request that was read is written over what it is computed from, and so has to be saved.
  ///
  /// Of a chain that was not long. That it is written over header, key, IV or associated data is left to
  /// `cannotBeRepeated`. Where bytes are bounced, any overlap counts. Only asked where the slot's `mayWriteOverSource` is
  /// set.
  @_noAllocation @_noLocks
  @inline(never)
  func writesOverWhatItIsOf(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView
  ) -> Bool {
    // What is bounced goes to many places.
    if unsafe slot.pointee.bounce >= 0 { return chain.writesOverWhatItReads(&memory) }
    // Pointers to nothing are those of an earlier request.
    guard unsafe slot.pointee.operation.sourceByteCount > 0 else { return false }
    let source = unsafe UInt64(UInt(bitPattern: slot.pointee.operation.source))
    // Wrapping, and one comparison for both ends: the source starts at most its own length less one in front of what is
    // written, and less than that one's length behind.
    let reach = unsafe UInt64(slot.pointee.operation.sourceByteCount) &- 1
    let result = unsafe UInt64(slot.pointee.operation.resultByteCount)
    let destination = unsafe UInt64(slot.pointee.outputByteCount) &- result
    if destination > 0 {
      let toDestination =
        unsafe source &- UInt64(UInt(bitPattern: slot.pointee.operation.destination))
      if toDestination &+ reach < destination &+ reach { return true }
    }
    guard result > 0 else { return false }
    let toResult = unsafe source &- UInt64(UInt(bitPattern: slot.pointee.operation.result))
    return toResult &+ reach < result &+ reach
  }

  /// Whether a request that an earlier daemon had, too, and that is written over itself, may be half a result by now.
  ///
  /// Of one that was saved everything has been put back. Else it was never begun if it would have been saved, which its
  /// header tells, unless that is written over as well.
  @_noAllocation @_noLocks
  @inline(never)
  func cannotBeRepeated(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, isLong: Bool
  ) -> Bool {
    guard undo.isOn else { return true }
    // All of those are saved that overlap in any way.
    if isLong || undo.wasPutBack(chain.recordNumber) { return false }
    return unsafe !writesOverWhatItIsOf(slot, &chain, &memory)
      || chain.writesOverItsBeginning(
        byteCount: VirtioCryptoWire.dataHeaderByteCount &+ fixedByteCount, &memory)
  }

  /// Bytes of the fixed part behind the header that was read, where the header says so truly.
  private var fixedByteCount: Int {
    @_noAllocation @_noLocks get {
      if layout.dialect.isDraftV15 { return VirtioCryptoWire.draftV15DataFixedByteCount }
      if !layout.revision1 { return VirtioCryptoWire.dataLegacyFixedByteCount }
      switch (header.opcode >> 8, isStateless) {
      case (0, false): return VirtioCryptoWire.symmetricDataFixedByteCount
      case (0, true): return VirtioCryptoWire.symmetricStatelessFixedByteCount
      case (1, false): return VirtioCryptoWire.hashDataFixedByteCount
      case (1, true): return VirtioCryptoWire.hashStatelessFixedByteCount
      case (2, false): return VirtioCryptoWire.macDataFixedByteCount
      case (2, true): return VirtioCryptoWire.macStatelessFixedByteCount
      case (3, false): return VirtioCryptoWire.aeadDataFixedByteCount
      case (3, true): return VirtioCryptoWire.aeadStatelessFixedByteCount
      case (4, false): return VirtioCryptoWire.akcipherDataFixedByteCount
      case (4, true): return VirtioCryptoWire.akcipherStatelessFixedByteCount
      // Refused, whatever follows.
      default: return 0
      }
    }
  }

  /// Saves what a request that is ready will write over; nothing of it is written yet.
  @_noAllocation @_noLocks
  @inline(never)
  mutating func save(_ slot: UnsafeMutablePointer<RequestSlot>, _ number: UInt64) {
    let start = copies.start()
    let index = unsafe bounce(of: slot)
    let copy = unsafe undo.begin(index)
    let byteCount = unsafe Int(slot.pointee.outputByteCount)
    // SAFETY: there is room for the longest result and the status.
    if unsafe slot.pointee.isOutputBounced || slot.pointee.isASYM {
      unsafe bounces.gather(index, byteCount: byteCount, into: copy)
    } else {
      let result = unsafe Int(slot.pointee.operation.resultByteCount)
      let destination = byteCount &- result
      unsafe cring_copy(copy, slot.pointee.operation.destination, destination)
      unsafe cring_copy(copy + destination, slot.pointee.operation.result, result)
    }
    unsafe copy[byteCount] = cring_load8(slot.pointee.statusByte)
    undo.end(index, number: number, byteCount: byteCount &+ 1)
    copies.add(since: start)
  }

  /// Before the first request in flight is put back.
  @_noAllocation @_noLocks
  public mutating func beginRollBack() { undo.beginPuttingBack() }

  /// Puts back what a request in flight has written over, if it did: a request that an earlier daemon had taken and this
  /// one has not.
  ///
  /// Throws what is wrong with the chain; that comes up again when it is taken.
  @_noAllocation @_noLocks
  public mutating func rollBack(
    _ chain: inout DescriptorChain, memory: inout MemoryView
  ) throws(QueueError) {
    guard let saved = undo.saved(chain.recordNumber) else { return }
    try chain.readAhead(&memory)
    let byteCount = saved.byteCount &- 1
    outputSpans.removeAll()
    guard try chain.collectWritable(byteCount: byteCount, into: &outputSpans, &memory),
      let statusByte = unsafe try chain.lastWritableByte(&memory)
    else { return }
    // SAFETY: the spans are checked guest memory, and as long as what was saved.
    unsafe outputSpans.scatter(from: saved.pointer)
    unsafe cring_store8(statusByte, cring_load8(saved.pointer + byteCount))
    undo.notePutBack(chain.recordNumber)
    guard dirty.isOn else { return }
    for index in 0..<outputSpans.count {
      let span = outputSpans.slice(index)
      unsafe dirty.note(span.pointer, byteCount: span.byteCount)
    }
    unsafe dirty.noteStatus(statusByte)
  }

  /// Everything that was saved was put back.
  @_noAllocation @_noLocks
  public func endRollBack() { undo.clear() }

  /// The driver knows of all results: the bounce buffers of requests that had something saved are free again.
  @_noAllocation @_noLocks
  public mutating func forgetFinished() { bounces.release(all: undo.takeFinished()) }
}
