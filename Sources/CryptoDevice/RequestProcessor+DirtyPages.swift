import CryptoTypes
import GuestMemory

// What a request's answer has written, for the log of dirty pages.
extension RequestProcessor {
  /// Has the output of a request that an engine has worked on, and its status, be logged with the next `logPages`.
  ///
  /// Nearly always the slot itself says until then where they are.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func noteOutput(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    // The flag is set where there is a result, or a bounce buffer, and tells most from those by itself.
    if unsafe !slot.pointee.mayWriteOverSource
      || slot.pointee.operation.resultByteCount == 0 && !slot.pointee.isOutputBounced
    {
      unsafe unlogged.append(slot)
    } else {
      unsafe noteAll(slot, isOK: isOK)
    }
  }

  /// Logs what answers have written, before the driver sees them and before the next request is read: that may take a
  /// finished one's slot.
  @_noAllocation @_noLocks
  @inline(never)
  public mutating func logPages() {
    if !unlogged.isEmpty {
      dirty.beginMarking()
      var outputs = dirty.unmarked
      var statuses = dirty.unmarked
      var next = unsafe unlogged.start
      let end = unsafe unlogged.end
      while unsafe next != end {
        // SAFETY: finished slots of the table, which nobody has taken again.
        let slot = unsafe next.pointee
        let byteCount = unsafe slot.pointee.outputByteCount
        let output = unsafe slot.pointee.operation.destination
        // No bytes are taken for any, which `mark` does not.
        if unsafe !outputs.contains(output, byteCount: byteCount) {
          outputs = unsafe dirty.mark(output, byteCount: byteCount)
        }
        let status = unsafe slot.pointee.statusByte
        // Some drivers have it right behind the output.
        if unsafe !statuses.contains(status, byteCount: 1)
          && !outputs.contains(status, byteCount: 1)
        {
          statuses = unsafe dirty.mark(status, byteCount: 1)
        }
        unsafe next += 1
      }
      unlogged.removeAll()
    }
    dirty.flush()
  }

  /// Where the output was not bounced, the engine has worked in guest memory, and may have written there whatever came of
  /// it: a destination is wiped where a tag does not verify.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func noteAll(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    let byteCount = unsafe Int(slot.pointee.outputByteCount)
    if unsafe slot.pointee.isOutputBounced {
      if isOK { unsafe bounces.note(slot.pointee.bounce, byteCount: byteCount, in: &dirty) }
    } else {
      // Of an asymmetric request, all output is bounced.
      let result = unsafe Int(slot.pointee.operation.resultByteCount)
      unsafe dirty.note(slot.pointee.operation.destination, byteCount: byteCount &- result)
      unsafe dirty.note(slot.pointee.operation.result, byteCount: result)
    }
    unsafe dirty.noteStatus(slot.pointee.statusByte)
  }
}
