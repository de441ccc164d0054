import CRingShims
import CryptoTypes
public import GuestMemory
public import VirtQueue

// Requests whose result goes where they themselves are, in a daemon that may be killed over them: see `UndoLog`.
extension RequestProcessor {
  /// Whether the result of a request that was read is written over any of it, header and IV included: so that of a request
  /// for which nothing was saved nothing was changed.
  ///
  /// True also where that cannot be told. Of a chain that was not long.
  @_noAllocation @_noLocks
  func writesOverItself(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ chain: DescriptorChain, _ memory: inout MemoryView
  ) -> Bool {
    // What is bounced goes to many places.
    if unsafe slot.pointee.bounce >= 0 { return chain.writesOverWhatItReads(&memory) }
    let resultByteCount = unsafe slot.pointee.operation.resultByteCount
    return unsafe chain.reads(
      slot.pointee.operation.destination,
      byteCount: slot.pointee.outputByteCount &- resultByteCount)
      || chain.reads(slot.pointee.operation.result, byteCount: resultByteCount)
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
