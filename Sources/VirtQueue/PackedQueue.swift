import CRingShims
public import GuestMemory
public import LinuxSystem

/// The device's side of a packed virtqueue.
///
/// One ring of descriptors carries both directions: the driver's available ones, and over them the device's used ones.
/// Used by one thread. Its memory belongs to the `MemoryMap` that it was started with.
/// Spec: virtio 1.3 §2.8 Packed Virtqueues.
@safe
public struct PackedQueue: ~Copyable, VirtQueueRing {
  private let layout: PackedQueueLayout
  private let eventIndex: Bool
  /// Next descriptor to take, and where the next finished chain's used descriptor goes.
  private var available: PackedPosition
  private var used: PackedPosition
  /// Descriptors taken and not in `unpublishedCount`; with that, what the driver cannot offer again.
  private var outstandingCount: UInt16
  /// The second word of the next descriptor to take, as last looked at: length, identifier, flags.
  private var headWord: UInt64 = 0
  /// Where the driver was last shown used descriptors up to, and how far `used` is from there.
  ///
  /// Finished chains that the recorder leaves in the ring are counted only when they are shown.
  private var publishedUsed: PackedPosition
  private var unpublishedCount: UInt16 = 0
  /// The second word of the first used descriptor that is not published, which is stored last, and where it goes.
  private var firstWord: UInt64 = 0
  private var firstWordPointer: UnsafeMutablePointer<UInt8>
  private var kicksAreSuppressed = false
  private let scratch: ChainScratch
  private var recorder: PackedRecorder

  /// - `eventIndex`: `VIRTIO_F_EVENT_IDX` is negotiated: either side may name a descriptor to be notified at.
  /// - `recorder`: of this ring. Where it has a record, that says where to go on, and which chains are taken again.
  public init(
    layout: PackedQueueLayout, eventIndex: Bool,
    recorder: consuming PackedRecorder = PackedRecorder()
  ) throws(SystemError) {
    let scratch = try ChainScratch()
    self.scratch = scratch
    self.layout = layout
    self.eventIndex = eventIndex
    let start =
      recorder.start
      ?? PackedStart(
        available: layout.available, used: layout.used, outstandingCount: layout.outstandingCount)
    available = start.available
    used = start.used
    publishedUsed = start.used
    outstandingCount = start.outstandingCount
    unsafe firstWordPointer = layout.ring
    self.recorder = recorder
  }

  // Offsets in a descriptor. Spec: virtio 1.3 §2.8.13 Structure Definitions: The Virtqueue Descriptor Ring.
  static var secondWordOffset: Int { @_noAllocation @_noLocks get { 8 } }

  // `VIRTQ_DESC_F_NEXT`, `_INDIRECT`, where they are in a descriptor's second word.
  private static var nextBit: UInt64 { 1 << 48 }
  private static var indirectBit: UInt64 { 4 << 48 }

  // `RING_EVENT_FLAGS_*`. Spec: virtio 1.3 §2.8.10 Driver and Device Event Suppression.
  private static var eventsDisabled: UInt32 { 1 }
  private static var eventAtDescriptor: UInt32 { 2 }

  public var base: UInt32 {
    @_noAllocation @_noLocks get { UInt32(available.word) | UInt32(used.word) << 16 }
  }

  public var publishedPosition: UInt32 { UInt32(publishedUsed.word) }

  public var isSettled: Bool {
    @_noAllocation @_noLocks get { unpublishedCount == 0 && recorder.finishedCount == 0 }
  }

  // MARK: - Taking

  @_noAllocation @_noLocks
  public mutating func look() throws(QueueError) -> Bool { hasMore() }

  @_noAllocation @_noLocks
  public mutating func hasMore() -> Bool { hasAvailable() || recorder.hasResubmissions }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func hasAvailable() -> Bool {
    // SAFETY: available.index < size, and the ring has 16 · size bytes. Keeps the rest of the chain and its buffers
    // behind these flags; the driver releases in the same order.
    headWord = unsafe UInt64(
      littleEndian: cring_load64_acquire(
        layout.ring + Int(available.index) &* 16 + Self.secondWordOffset))
    cring_driver_acquire()
    // Available is what has AVAIL (bit 7 of the flags) of this round and USED (bit 15) of the last.
    let avail = UInt16(truncatingIfNeeded: headWord >> 55) & 1
    let used = UInt16(truncatingIfNeeded: headWord >> 63)
    return avail == available.wrap && used != available.wrap
  }

  /// The next available chain, whose head `look` or `hasMore` has just read.
  ///
  /// How many descriptors it has is settled here, with one look at each one's flags. What they say is read later, each
  /// once, and their NEXT flags are not believed again.
  @_noAllocation @_noLocks
  public mutating func takeChain(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    if recorder.hasResubmissions { return try takeResubmission(&chain, &memory) }
    let head = available.index
    let room = layout.size &- outstandingCount &- unpublishedCount
    guard room > 0 else { throw .ringOverrun(head) }
    if headWord & Self.indirectBit != 0 {
      try takeIndirect(into: &chain, &memory)
    } else {
      try takeDirect(into: &chain, room: room)
      if recorder.isOn {
        if recorder.ringSuffices {
          recorder.leaveStanding(&chain, at: head)
        } else {
          unsafe recorder.take(&chain, at: head, headWord, ring: layout.ring, size: layout.size)
        }
      }
    }
  }

  /// Takes a chain that was in flight before: the record has it.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func takeResubmission(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    unsafe try recorder.takeResubmission(into: &chain, window: scratch.window, &memory)
  }

  public var resubmissionCount: Int {
    @_noAllocation @_noLocks get { recorder.resubmissionCount }
  }

  @_noAllocation @_noLocks
  public func startResubmission(
    _ index: Int, in chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    unsafe try recorder.startResubmission(index, in: &chain, window: scratch.window, &memory)
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func takeDirect(
    into chain: inout DescriptorChain, room: UInt16
  ) throws(QueueError) {
    let head = available.index
    var word = headWord
    var count: UInt16 = 1
    var index = head
    while word & Self.nextBit != 0 {
      guard count < room else { throw .descriptorLoop(head: head) }
      count &+= 1
      index = index &+ 1 == layout.size ? 0 : index &+ 1
      // SAFETY: index < size.
      word = unsafe UInt64(
        littleEndian: cring_load64(layout.ring + Int(index) &* 16 + Self.secondWordOffset))
    }
    // The last descriptor has the identifier.
    take(count, id: UInt16(truncatingIfNeeded: word >> 32), into: &chain)
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func takeIndirect(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    // SAFETY: available.index < size.
    let address = unsafe UInt64(
      littleEndian: cring_load64(layout.ring + Int(available.index) &* 16))
    let table = Descriptor(address: address, packedWord: headWord)
    let head = available.index
    take(1, id: UInt16(truncatingIfNeeded: headWord >> 32), into: &chain)
    // Before the table is looked at: a malformed one stops the queue, here and wherever the chain is taken again.
    if recorder.isOn {
      if recorder.ringSuffices {
        recorder.leaveStanding(&chain, at: head)
      } else {
        recorder.takeIndirect(&chain, address, headWord)
      }
    }
    try chain.enter(table, &memory)
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func take(_ count: UInt16, id: UInt16, into chain: inout DescriptorChain) {
    unsafe chain.start(
      sequentialAt: available.index, slotCount: count, id: id, ring: layout.ring,
      size: layout.size, window: scratch.window)
    available.advance(by: count, size: layout.size)
    outstandingCount &+= count
  }

  // MARK: - Completing

  /// Overwrites the next descriptor with a used one, and skips as many as the chain had.
  ///
  /// All of it is hidden behind the flags of the first one since `publish`, or comes only then.
  @_noAllocation @_noLocks
  public mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    if recorder.isOn {
      guard recorder.finish(ticket, writtenByteCount: writtenByteCount) else {
        completeOutOfTurn(ticket, writtenByteCount)
        return
      }
      used.advance(by: ticket.slotCount, size: layout.size)
      recorder.pass(to: used)
    } else {
      write(ticket, writtenByteCount)
    }
  }

  /// Completes a chain that was copied, or is now.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func completeOutOfTurn(_ ticket: ChainTicket, _ writtenByteCount: UInt32) {
    if recorder.finishBehindSkipped(
      ticket, writtenByteCount: writtenByteCount, size: layout.size)
    {
      used.advance(by: ticket.slotCount, size: layout.size)
      recorder.pass(to: used)
      return
    }
    if recorder.ringSuffices { leaveRing() }
    write(ticket, writtenByteCount)
    recorder.complete(ticket)
  }

  /// Has the record hold all chains in flight from now on, and writes the used descriptors that it kept.
  @_noAllocation @_noLocks
  private mutating func leaveRing() {
    let count = recorder.finishedCount
    let slotCount = outstandingCount
    countFinished()
    recorder.copyStanding(
      slotCount: slotCount, finishedSlotCount: unpublishedCount, in: layout)
    var place = publishedUsed
    for index in 0..<count {
      // SAFETY: below their count.
      let chain = unsafe recorder.finished[index]
      write(chain.usedWord(at: place), at: place, isFirst: index == 0)
      place.advance(by: chain.slotCount, size: layout.size)
    }
  }

  /// Counts the chains that stand in the ring and are finished, which nobody needs until they are shown.
  @_noAllocation @_noLocks
  private mutating func countFinished() {
    unpublishedCount = publishedUsed.distance(to: used, size: layout.size)
    outstandingCount &-= unpublishedCount
  }

  /// Writes a finished chain's used descriptor, and goes on behind its place.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func write(_ ticket: ChainTicket, _ writtenByteCount: UInt32) {
    let chain = FinishedChain(ticket, writtenByteCount: writtenByteCount)
    write(chain.usedWord(at: used), at: used, isFirst: unpublishedCount == 0)
    unpublishedCount &+= ticket.slotCount
    outstandingCount &-= ticket.slotCount
    used.advance(by: ticket.slotCount, size: layout.size)
  }

  /// Writes a used descriptor; the first of a batch is kept until `publish`.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func write(_ word: UInt64, at place: PackedPosition, isFirst: Bool) {
    // SAFETY: place.index < size.
    let entry = unsafe layout.ring + Int(place.index) &* 16 + Self.secondWordOffset
    // In one store: the driver may be looking at this line all the time.
    if isFirst {
      firstWord = word
      unsafe firstWordPointer = entry
    } else {
      unsafe cring_store64(entry, word.littleEndian)
    }
  }

  /// Those that stand in the ring are passed over by the one that stands for them.
  public var notesSkipped: Bool {
    @_noAllocation @_noLocks get { recorder.isOn && !recorder.ringSuffices }
  }

  @_noAllocation @_noLocks
  @inline(never)
  public mutating func skip(_ ticket: ChainTicket, behind skippedSlotCount: UInt16) {
    guard recorder.isOn else { return }
    if recorder.ringSuffices { leaveRing() }
    recorder.completeChain(recorder.state(of: ticket))
  }

  /// Shows the driver all used descriptors written since the last time; whether it wants to be called.
  ///
  /// Spec: virtio 1.3 §2.8.22.1 Driver notifications and §2.8.10 Driver and Device Event Suppression.
  @_noAllocation @_noLocks
  public mutating func publish() -> Bool {
    guard !isSettled else { return false }
    if recorder.ringSuffices {
      countFinished()
      cring_driver_release()
      recorder.show(in: layout)
    } else {
      if recorder.isOn { recorder.prepare(used) }
      cring_driver_release()
      // Keeps used descriptors, statuses and payloads before the first one's flags; pairs with the driver's acquire of
      // them, since it looks at no used descriptor before it has seen the one in front.
      unsafe cring_store64_release(firstWordPointer, firstWord.littleEndian)
    }
    let old = publishedUsed
    let count = Int(unpublishedCount)
    publishedUsed = used
    unpublishedCount = 0
    // Keeps the flags' store before the load of what the driver wants; pairs with the driver, which stores what it
    // wants and then loads flags.
    cring_fence_full()
    if recorder.isOn && !recorder.ringSuffices {
      recorder.publish(used, outstandingCount: outstandingCount)
    }
    let event = unsafe UInt32(littleEndian: cring_load32(layout.driverEvent))
    let wish = event >> 16 & 3
    if eventIndex, wish == Self.eventAtDescriptor {
      let wanted = PackedPosition(UInt16(truncatingIfNeeded: event))
      // Whether the wanted descriptor is one of those published now, or was skipped by one of them.
      let distance =
        Int(wanted.index) &- Int(old.index)
        &+ (wanted.wrap == old.wrap ? 0 : Int(layout.size))
      return distance >= 0 && distance < count
    }
    return wish != Self.eventsDisabled
  }

  // MARK: - Kicks

  @_noAllocation @_noLocks
  public mutating func suppressKicks() {
    guard !kicksAreSuppressed else { return }
    kicksAreSuppressed = true
    unsafe cring_store32(layout.deviceEvent, (Self.eventsDisabled << 16).littleEndian)
  }

  /// Asks for a kick with the next chain (with EVENT_IDX) or any (without), then looks again.
  @_noAllocation @_noLocks
  public mutating func armKicks() throws(QueueError) -> Bool {
    kicksAreSuppressed = false
    let wish = eventIndex ? UInt32(available.word) | Self.eventAtDescriptor << 16 : 0
    // One store: the driver must never see the new flags beside the old position.
    unsafe cring_store32(layout.deviceEvent, wish.littleEndian)
    // Keeps the request for a kick before the look at the flags; pairs with the driver, which stores flags and then
    // looks whether a kick is wanted.
    cring_fence_full()
    return hasMore()
  }
}
