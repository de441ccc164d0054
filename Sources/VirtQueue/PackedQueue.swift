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
  /// Next descriptor to take, and next one to overwrite with a used one.
  private var available: PackedPosition
  private var used: PackedPosition
  /// Descriptors taken and not yet overwritten; with `unpublishedCount`, what the driver cannot offer again.
  private var outstandingCount: UInt16
  /// The second word of the next descriptor to take, as last looked at: length, identifier, flags.
  private var headWord: UInt64 = 0
  /// Where the driver was last shown used descriptors up to, and how far `used` is from there.
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
  private static var secondWordOffset: Int { 8 }

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

  public var isSettled: Bool { @_noAllocation @_noLocks get { unpublishedCount == 0 } }

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
        unsafe recorder.take(&chain, at: head, headWord, ring: layout.ring, size: layout.size)
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
    take(1, id: UInt16(truncatingIfNeeded: headWord >> 32), into: &chain)
    // Before the table is looked at: a malformed one stops the queue, here and wherever the chain is taken again.
    if recorder.isOn { recorder.takeIndirect(&chain, address, headWord) }
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
  /// All of it is hidden behind the flags of the first one since `publish`.
  @_noAllocation @_noLocks
  public mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    // SAFETY: used.index < size.
    let entry = unsafe layout.ring + Int(used.index) &* 16 + Self.secondWordOffset
    // AVAIL and USED of this round, and WRITE where there is something to read.
    let flags = (0 &- used.wrap) & 0x8080 | (writtenByteCount > 0 ? 2 : 0)
    // Length, identifier and flags in one store: the driver may be looking at this line all the time.
    let word = UInt64(writtenByteCount) | UInt64(ticket.id) << 32 | UInt64(flags) << 48
    if unpublishedCount == 0 {
      firstWord = word
      unsafe firstWordPointer = entry
    } else {
      unsafe cring_store64(entry, word.littleEndian)
    }
    unpublishedCount &+= ticket.slotCount
    outstandingCount &-= ticket.slotCount
    used.advance(by: ticket.slotCount, size: layout.size)
    recorder.complete(ticket.record, slotCount: ticket.slotCount)
  }

  @_noAllocation @_noLocks
  public mutating func skip(_ ticket: ChainTicket) {
    if recorder.isOn { recorder.completeChain(ticket.record) }
  }

  /// Shows the driver all used descriptors written since the last time; whether it wants to be called.
  ///
  /// Spec: virtio 1.3 §2.8.22.1 Driver notifications and §2.8.10 Driver and Device Event Suppression.
  @_noAllocation @_noLocks
  public mutating func publish() -> Bool {
    guard unpublishedCount > 0 else { return false }
    if recorder.isOn { recorder.prepare(used) }
    cring_driver_release()
    // Keeps used descriptors, statuses and payloads before the first one's flags; pairs with the driver's acquire of
    // them, since it looks at no used descriptor before it has seen the one in front.
    unsafe cring_store64_release(firstWordPointer, firstWord.littleEndian)
    let old = publishedUsed
    let count = Int(unpublishedCount)
    publishedUsed = used
    unpublishedCount = 0
    // Keeps the flags' store before the load of what the driver wants; pairs with the driver, which stores what it
    // wants and then loads flags.
    cring_fence_full()
    if recorder.isOn { recorder.publish(used) }
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
