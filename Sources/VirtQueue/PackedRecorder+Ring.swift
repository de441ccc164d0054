import CRingShims

// Chains that are finished in the order in which they were taken. The record's `used_idx` says where the first one in flight
// stands in the ring, and nothing there is overwritten before its turn: so a chain that is not in the record is one that a
// back-end finds there, and takes, in the protocol's eyes for the first time. Used descriptors are shown one by one, each
// between the two steps of `used_idx` and `old_used_idx`. What has been taken already is said by the number of the next
// chain: with it the next daemon knows which ones may have been begun.
extension PackedRecorder {
  /// Tells a place in the ring in `ChainTicket.record` from a state, which chains have that were copied.
  private static var placeFlag: UInt16 { @_noAllocation @_noLocks get { 0x8000 } }

  /// What no ticket has.
  static var nobody: UInt32 { @_noAllocation @_noLocks get { .max } }

  /// Whether all chains in flight stand in the ring.
  var ringSuffices: Bool { @_noAllocation @_noLocks get { turn != Self.nobody } }

  /// Has chains stand in the ring from now on, the next one at a place; nothing is in flight.
  @_noAllocation @_noLocks
  mutating func enterRing(at place: PackedPosition) {
    // With more, states would be taken for places.
    guard let region = unsafe region, capacity <= Self.placeFlag, freeHead < capacity else {
      return
    }
    // SAFETY: a state below the capacity.
    let state = unsafe region + Self.statesOffset + Int(freeHead) &* Self.stateByteCount
    unsafe cring_store64(state + Self.counterOffset, PackedNumber.standingMark.littleEndian)
    pass(to: place)
  }

  /// Makes it the turn of the chain that stands at a place.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func pass(to place: PackedPosition) { turn = UInt32(place.index | Self.placeFlag) }

  /// Notes a chain that was taken and stands in the ring from `index` on, while the ring suffices.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func leaveStanding(_ chain: inout DescriptorChain, at index: UInt16) {
    // SAFETY: the ring suffices, so there is a region; index < size.
    unsafe number(&chain, region.unsafelyUnwrapped)
    unsafe standing[Int(index)] = chain.ticket.slotCount
    chain.ticket.put(record: index | Self.placeFlag)
  }

  /// Keeps what a finished chain's used descriptor is to say, if the chain stands in the ring and it is its turn.
  ///
  /// False where it is not; else the turn has to be passed to where the used descriptors go on.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func finish(_ ticket: ChainTicket, writtenByteCount: UInt32) -> Bool {
    guard UInt32(ticket.record) == turn else { return false }
    keep(ticket, writtenByteCount)
    return true
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func keep(_ ticket: ChainTicket, _ writtenByteCount: UInt32) {
    // SAFETY: there are as many places as descriptors, and each chain has one at least.
    unsafe finished[finishedCount] = FinishedChain(ticket, writtenByteCount: writtenByteCount)
    finishedCount &+= 1
  }

  /// The same of a chain whose used descriptor stands for others that were skipped, whose turn it was: its ticket moves the
  /// ring on from there to its end.
  @_noAllocation @_noLocks
  mutating func finishBehindSkipped(
    _ ticket: ChainTicket, writtenByteCount: UInt32, size: UInt16
  ) -> Bool {
    guard ringSuffices, ticket.record >= Self.placeFlag else { return false }
    let index = Int(ticket.record & ~Self.placeFlag)
    // SAFETY: the index is the one that `leaveStanding` was given.
    let end = unsafe index &+ Int(standing[index])
    let start = Int(turn) & ~Int(Self.placeFlag)
    guard (end &- start &- Int(ticket.slotCount)) % Int(size) == 0 else { return false }
    keep(ticket, writtenByteCount)
    return true
  }

  /// Shows the used descriptors of the chains that are finished; none of them is in flight then.
  @_noAllocation @_noLocks
  mutating func show(in layout: PackedQueueLayout) {
    guard let region = unsafe region else { return }
    let places = unsafe region + Self.usedOffset
    let secondWords = unsafe layout.ring + PackedQueue.secondWordOffset
    let size = UInt64(layout.size)
    var chain = unsafe finished
    let end = unsafe finished + finishedCount
    var place = published
    while unsafe chain != end {
      let wraps = UInt64(place.wrap) &* 0x0101_0000_0000
      let flags = FinishedChain.flags(writtenAt: place)
      var index = UInt64(place.index)
      while unsafe chain != end {
        let ready = unsafe chain.pointee
        let next = index &+ ready.wideSlotCount
        guard next < size, ready.wasWritten else { break }
        // As `places` has them; both are in one round.
        unsafe cring_store64(places, (next | index << 16 | wraps).littleEndian)
        // Keeps payload and status before the used descriptor; pairs with the driver's acquire of its flags.
        // SAFETY: index < size.
        unsafe cring_store64_release(
          secondWords + Int(truncatingIfNeeded: index &* 16),
          ready.usedWord(flags: flags).littleEndian)
        // The next places say that it is shown.
        cring_step()
        index = next
        unsafe chain += 1
      }
      place.index = UInt16(truncatingIfNeeded: index)
      guard unsafe chain != end else { break }
      // One that ends the round, or says that nothing was written.
      var next = place
      next.advance(by: unsafe chain.pointee.slotCount, size: layout.size)
      unsafe cring_store64(places, Self.places(next, old: place))
      unsafe cring_store64_release(
        secondWords + Int(place.index) &* 16, chain.pointee.usedWord(at: place).littleEndian)
      cring_step()
      place = next
      unsafe chain += 1
    }
    finishedCount = 0
    unsafe cring_store64(places, Self.places(place, old: place))
    published = place
  }

  /// A chain's state, of one that was copied.
  @_noAllocation @_noLocks
  func state(of ticket: ChainTicket) -> UInt16 {
    guard ticket.record >= Self.placeFlag, capacity <= Self.placeFlag else {
      return ticket.record
    }
    // SAFETY: the index is the one that `leaveStanding` was given.
    return unsafe standing[Int(ticket.record & ~Self.placeFlag)]
  }

  /// Copies all chains that stand in the ring, as one is finished whose turn it is not.
  ///
  /// In the order in which they stand there: wherever this ends, what is not copied stands right behind what is.
  ///
  /// - `slotCount`: descriptors that they have, behind what is published.
  /// - `finishedSlotCount`: those of them that are finished, and are completed.
  @_noAllocation @_noLocks
  mutating func copyStanding(
    slotCount: UInt16, finishedSlotCount: UInt16, in layout: PackedQueueLayout
  ) {
    beginCopying()
    var place = published
    var done: UInt16 = 0
    while done < slotCount {
      let index = Int(place.index)
      // SAFETY: index < size. One at least, whatever else goes wrong.
      let count = max(unsafe standing[index], 1)
      let headWord = unsafe UInt64(
        littleEndian: cring_load64(layout.ring + index &* 16 + PackedQueue.secondWordOffset))
      let state = unsafe copyChain(
        count, at: place.index, headWord, number: number &- UInt64(slotCount &- done),
        ring: layout.ring, size: layout.size)
      unsafe standing[index] = state
      if done < finishedSlotCount { completeChain(state) }
      place.advance(by: count, size: layout.size)
      done &+= count
    }
    endCopying()
    turn = Self.nobody
    finishedCount = 0
  }

  /// Has the number hold while chains are copied over the mark.
  @_noAllocation @_noLocks
  func beginCopying() { store(number: number | PackedNumber.copyingFlag) }

  /// All that is taken is copied, and the number says nothing any more.
  @_noAllocation @_noLocks
  func endCopying() { store(number: number) }

  @_noAllocation @_noLocks
  private func store(number: UInt64) {
    guard let region = unsafe region else { return }
    cring_step()
    // SAFETY: the region has a head.
    unsafe cring_store64(region + Self.numberOffset, number.littleEndian)
    cring_step()
  }
}
