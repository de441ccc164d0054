import CRingShims
import CryptoTypes
public import GuestMemory
public import VirtQueue

// Requests whose result goes where they themselves are, in a daemon that may be killed over them: see `UndoLog`.
extension RequestProcessor {
  /// Whether the result of a request that was read is written over its source or associated data.
  ///
  /// True also where that cannot be told. What lies over the header or the IV alone is not found where nothing is bounced:
  /// no driver has that.
  @_noAllocation @_noLocks
  @inline(__always)
  func writesOverItself(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ chain: DescriptorChain, _ memory: inout MemoryView
  ) -> Bool {
    let others = unsafe slot.pointee.operation.resultByteCount | slot.pointee.operation.aadByteCount
    guard others == 0, unsafe slot.pointee.bounce < 0 else {
      return unsafe anyWritesOverItself(slot, chain, &memory)
    }
    return unsafe Self.overlap(
      slot.pointee.operation.source, slot.pointee.operation.sourceByteCount,
      slot.pointee.operation.destination, slot.pointee.outputByteCount)
  }

  @_noAllocation @_noLocks
  @inline(never)
  private func anyWritesOverItself(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ chain: DescriptorChain, _ memory: inout MemoryView
  ) -> Bool {
    // What is bounced has no address in guest memory any more.
    if unsafe slot.pointee.bounce >= 0 { return chain.writesOverWhatItReads(&memory) }
    let operation = unsafe slot.pointee.operation
    let result = unsafe operation.result
    let resultByteCount = operation.resultByteCount
    let destinationByteCount = unsafe slot.pointee.outputByteCount &- resultByteCount
    return unsafe Self.overlap(
      operation.source, operation.sourceByteCount, operation.destination, destinationByteCount)
      || Self.overlap(operation.source, operation.sourceByteCount, result, resultByteCount)
      || Self.overlap(
        operation.aad, operation.aadByteCount, operation.destination, destinationByteCount)
      || Self.overlap(operation.aad, operation.aadByteCount, result, resultByteCount)
  }

  /// Whether two runs share a byte; empty ones share none.
  @_noAllocation @_noLocks
  @inline(__always)
  private static func overlap(
    _ one: UnsafePointer<UInt8>, _ oneCount: UInt32, _ other: UnsafeMutablePointer<UInt8>,
    _ otherCount: UInt32
  ) -> Bool {
    let distance = UInt(bitPattern: other) &- UInt(bitPattern: one)
    guard oneCount > 0, otherCount > 0 else { return false }
    // Wrapping: from either start to the other, one of the two is beyond any length.
    return distance < UInt(oneCount) || 0 &- distance < UInt(otherCount)
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
