import CryptoTypes
import GuestMemory

// What a request's answer has written, for the log of dirty pages.
extension RequestProcessor {
  /// Notes the output of a request that an engine has worked on, and its status.
  ///
  /// One run of output in pages that are noted, as is the status, costs no call.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func noteOutput(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    if unsafe !slot.pointee.isOutputBounced && slot.pointee.operation.resultByteCount == 0
      && dirty.areNoted(
        slot.pointee.operation.destination, byteCount: slot.pointee.outputByteCount,
        status: slot.pointee.statusByte)
    {
      return
    }
    unsafe noteAll(slot, isOK: isOK)
  }

  /// Where the output was not bounced, the engine has worked in guest memory, and may have written there whatever came of
  /// it: a destination is wiped where a tag does not verify.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func noteAll(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    let byteCount = unsafe Int(slot.pointee.outputByteCount)
    if unsafe slot.pointee.isOutputBounced {
      if isOK { unsafe noteBounced(slot) }
    } else {
      // Of an asymmetric request, all output is bounced.
      let result = unsafe Int(slot.pointee.operation.resultByteCount)
      unsafe dirty.note(slot.pointee.operation.destination, byteCount: byteCount &- result)
      unsafe dirty.note(slot.pointee.operation.result, byteCount: result)
    }
    unsafe dirty.noteStatus(slot.pointee.statusByte)
  }

  @_noAllocation @_noLocks
  @inline(never)
  private mutating func noteBounced(_ slot: UnsafeMutablePointer<RequestSlot>) {
    unsafe bounces.note(
      slot.pointee.bounce, byteCount: Int(slot.pointee.outputByteCount), in: &dirty)
  }
}
