import CryptoTypes
import GuestMemory

// What a request's answer has written, for the log of dirty pages.
extension RequestProcessor {
  /// Notes the output of a request that an engine has worked on, and its status.
  ///
  /// Out of line, for the sake of those that are not logged.
  @_noAllocation @_noLocks
  @inline(never)
  mutating func noteOutput(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    if unsafe slot.pointee.operation.resultByteCount == 0 && !slot.pointee.isOutputBounced,
      dirty.isPageAligned
    {
      unsafe dirty.noteAligned(
        slot.pointee.operation.destination, byteCount: slot.pointee.outputByteCount,
        status: slot.pointee.statusByte)
    } else {
      unsafe noteAll(slot, isOK: isOK)
    }
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
