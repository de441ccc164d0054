import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// What the guest is told of an ASYM request: `status` and one word more at the start of the device-writable part, then
// the result; and, where a byte is left behind all that, the status as in every other service in the last one.
extension RequestProcessor {
  /// Answers a request that an engine has worked on; the used length.
  @_noAllocation @_noLocks
  mutating func finishASYM(_ slot: UnsafeMutablePointer<RequestSlot>) -> UInt32 {
    let outcome = unsafe slot.pointee.operation.outcome
    let output = unsafe bounces.output(slot.pointee.bounce)
    // Carried out, though the signature is wrong: `verify_result` says so, and the last byte, which has no such neighbour.
    let status: VirtioCryptoStatus =
      outcome == .signatureMismatch ? .badmsg : VirtioCryptoStatus(outcome)
    let first: VirtioCryptoStatus = outcome == .signatureMismatch ? .ok : status
    unsafe storeASYMWord(0, UInt32(first.rawValue), output)
    unsafe storeASYMWord(4, secondWord(status, slot), output)
    var written = Self.asymHeaderByteCount
    if outcome == .ok {
      unsafe written =
        min(
          slot.pointee.outputByteCount,
          slot.pointee.asymFrontByteCount &+ slot.pointee.operation.resultByteCount)
    }
    let start = copies.start()
    unsafe bounces.scatter(slot.pointee.bounce, byteCount: Int(written))
    copies.add(since: start)
    unsafe slot.pointee.status = status.rawValue
    if dirty.isOn {
      unsafe bounces.note(slot.pointee.bounce, byteCount: Int(written), in: &dirty)
    }
    return unsafe written &+ storeLastByte(slot)
  }

  /// Answers a request that is refused; the used length.
  @_noAllocation @_noLocks
  mutating func refuseASYM(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ status: VirtioCryptoStatus
  ) -> UInt32 {
    unsafe slot.pointee.status = status.rawValue
    // Eight bytes, two words.
    var words = (
      UInt32(status.rawValue).littleEndian, unsafe secondWord(status, slot).littleEndian
    )
    var left = Int(Self.asymHeaderByteCount)
    var position = 0
    while position < outputSpans.count, left > 0 {
      let slice = outputSpans.slice(position)
      let count = min(left, slice.byteCount)
      // SAFETY: the spans are checked guest memory; `left` counts down what is left of the eight bytes.
      unsafe copyWords(
        &words, from: Int(Self.asymHeaderByteCount) &- left, to: slice.pointer, count)
      if dirty.isOn { unsafe dirty.note(slice.pointer, byteCount: count) }
      left &-= count
      position &+= 1
    }
    return unsafe Self.asymHeaderByteCount &+ storeLastByte(slot)
  }

  @_noAllocation @_noLocks
  private func copyWords(
    _ words: UnsafeMutableRawPointer, from offset: Int, to place: UnsafeMutablePointer<UInt8>,
    _ count: Int
  ) {
    unsafe cring_copy(place, words + offset, count)
  }

  /// `verify_result`, which is never `OK` unless a signature is right; elsewhere reserved.
  @_noAllocation @_noLocks
  private func secondWord(
    _ status: VirtioCryptoStatus, _ slot: UnsafeMutablePointer<RequestSlot>
  ) -> UInt32 {
    let isVerify =
      unsafe slot.pointee.operation.asymmetric.index == AsymmetricOperation.verify.index
    return isVerify && status != .ok ? UInt32(VirtioCryptoStatus.badmsg.rawValue) : 0
  }

  /// Writes the status into the last byte, where it is not the result's; how many bytes that are.
  @_noAllocation @_noLocks
  private mutating func storeLastByte(_ slot: UnsafeMutablePointer<RequestSlot>) -> UInt32 {
    guard unsafe slot.pointee.hasLastByte else { return 0 }
    // SAFETY: the status byte was translated when the chain was read; the mapping outlives the worker.
    unsafe cring_store8(slot.pointee.statusByte, slot.pointee.status)
    if dirty.isOn { unsafe dirty.noteStatus(slot.pointee.statusByte) }
    return 1
  }
}
