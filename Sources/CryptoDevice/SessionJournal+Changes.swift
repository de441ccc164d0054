import CRingShims
import LinuxSystem

// Every change is one store that counts, and what has to be there before it.
extension SessionJournal {
  /// Whether there is any.
  public var hasSessions: Bool { (0..<usedCount).contains { identifier(at: $0) != 0 } }

  /// Slots that were ever used: all others are as they were made.
  var usedSlotCount: Int { usedCount }

  /// Takes slots into use up to a number, before anything is written to them.
  func use(slots count: Int) {
    guard count > usedCount else { return }
    precondition(count <= slotCount, "no slot \(count - 1)")
    lock(upTo: count)
    markUsed(UInt32(count))
    usedCount = count
  }

  func markUsed(_ count: UInt32) {
    let word = UInt64(count) | UInt64(~count) << 32
    unsafe cring_store64_release(memory.base + JournalLayout.usedOffset, word.littleEndian)
    // The slot's own words come after this one.
    cring_fence_release()
  }

  /// Writes a session into a free slot in use, all but its identifier; its keys are to be used from there.
  func write(
    _ request: SessionRequest, connection: UInt32, at index: Int, cipherKey: UnsafeRawBufferPointer,
    authKey: UnsafeRawBufferPointer
  ) -> UnsafeMutablePointer<UInt8> {
    var request = request
    request.cipherKeyByteCount = UInt32(cipherKey.count)
    request.authKeyByteCount = UInt32(authKey.count)
    let byteCount = cipherKey.count + authKey.count
    precondition(byteCount <= JournalLayout.longKeysByteCount, "keys of \(byteCount) bytes")
    if byteCount > JournalLayout.shortKeysByteCount { lockLongKeys(index) }
    let slot = unsafe slot(index)
    // SAFETY: the slot has room for the words; the keys' place was chosen for their length.
    unsafe slot.storeBytes(
      of: connection.littleEndian, toByteOffset: JournalLayout.connectionOffset, as: UInt32.self)
    unsafe request.store(to: slot + JournalLayout.wordsOffset)
    // The words say where keys are to be wiped, so they come first.
    cring_fence_release()
    let keys = unsafe keys(index, byteCount: byteCount)
    if let base = cipherKey.baseAddress { unsafe cring_copy(keys, base, cipherKey.count) }
    if let base = authKey.baseAddress {
      unsafe cring_copy(keys + cipherKey.count, base, authKey.count)
    }
    return unsafe keys.assumingMemoryBound(to: UInt8.self)
  }

  /// Makes a session that was written one that is there.
  func commit(_ identifier: UInt64, at index: Int) {
    let slot = unsafe slot(index)
    // First the generation: however this ends, the identifier is nobody else's.
    unsafe memory.base.storeBytes(
      of: UInt32(truncatingIfNeeded: identifier >> 32).littleEndian,
      toByteOffset: layout.generationOffset(index), as: UInt32.self)
    let check = computedCheck(
      of: index, identifier, keyByteCount: request(at: index).keyByteCount ?? 0)
    unsafe slot.storeBytes(
      of: check.littleEndian, toByteOffset: JournalLayout.checkOffset, as: UInt64.self)
    // Keeps all stores above before the one that counts.
    unsafe cring_store64_release(slot, identifier.littleEndian)
  }

  /// Makes a session one that is gone; its keys may be in use still.
  func end(_ index: Int) {
    unsafe cring_store64_release(slot(index), 0)
    // Wiping comes after this.
    cring_fence_release()
  }

  /// Wipes what a slot holds, once nobody uses it.
  func erase(_ index: Int) {
    end(index)
    let byteCount = request(at: index).keyByteCount ?? JournalLayout.longKeysByteCount
    if byteCount > JournalLayout.shortKeysByteCount {
      let offset = layout.longKeysOffset(index)
      // SAFETY: the long keys' place lies inside the mapping.
      unsafe cring_wipe(memory.base + offset, min(byteCount, JournalLayout.longKeysByteCount))
      // Wiped they are in any case.
      try? file.discard(offset: offset, byteCount: JournalLayout.longKeysByteCount)
    }
    unsafe cring_wipe(slot(index), JournalLayout.slotByteCount)
  }

  /// Gives back the memory of slots, none of which holds a session or is in use; generations stay.
  func giveBack() {
    try? file.discard(offset: layout.slotsOffset, byteCount: layout.slotsByteCount)
  }

  /// Says whose the sessions of connections are, in one store; nil: nobody's who could come back.
  func setOwner(_ record: OwnerRecord?) {
    guard record != owner else { return }
    let selector = unsafe UInt32(
      littleEndian: memory.base.load(
        fromByteOffset: JournalLayout.ownerSelectorOffset, as: UInt32.self))
    let next = 1 - min(selector, 1)
    unsafe OwnerRecord.store(
      record, to: memory.base + JournalLayout.ownerOffset + Int(next) * OwnerRecord.byteCount)
    unsafe cring_store32_release(
      memory.base + JournalLayout.ownerSelectorOffset, next.littleEndian)
    owner = record
  }
}
