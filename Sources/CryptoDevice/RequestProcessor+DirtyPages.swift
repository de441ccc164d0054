import CryptoTypes
import GuestMemory

// What a request's answer has written, for the log of dirty pages.
extension RequestProcessor {
  /// Notes the output of a request that an engine has worked on, and its status.
  ///
  /// Where the output was not bounced, the engine has worked in guest memory, and may have written there whatever came of
  /// it: a destination is wiped where a tag does not verify.
  @_noAllocation @_noLocks
  @inline(never)
  mutating func noteOutput(_ slot: UnsafeMutablePointer<RequestSlot>, isOK: Bool) {
    unsafe dirty.noteStatus(slot.pointee.statusByte)
    let byteCount = unsafe Int(slot.pointee.outputByteCount)
    if unsafe slot.pointee.isOutputBounced {
      if isOK { unsafe bounces.note(slot.pointee.bounce, byteCount: byteCount, in: &dirty) }
      return
    }
    // Of an asymmetric request, all output is bounced.
    guard byteCount > 0 else { return }
    let result = unsafe Int(slot.pointee.operation.resultByteCount)
    unsafe dirty.note(slot.pointee.operation.destination, byteCount: byteCount &- result)
    unsafe dirty.note(slot.pointee.operation.result, byteCount: result)
  }
}
