public import CRingShims
public import GuestMemory
public import LinuxSystem

/// Where a split ring's three parts are, checked for size and alignment when the queue starts.
///
/// Spec: virtio 1.3 §2.7 Split Virtqueues.
@safe
@frozen
public struct SplitQueueLayout {
  @usableFromInline let size: UInt16
  let descriptors: UnsafeMutablePointer<UInt8>
  let available: UnsafeMutablePointer<UInt8>
  @usableFromInline let used: UnsafeMutablePointer<UInt8>

  /// `size`: number of descriptors: a power of two, at most 32768.
  public init(
    size: Int, descriptorTable: GuestSlice, availableRing: GuestSlice, usedRing: GuestSlice
  ) throws(LayoutError) {
    guard size > 0, size <= 32768, size & (size - 1) == 0 else { throw .size(size) }
    // The event fields at the ends of both rings are always there; without EVENT_IDX nobody looks at them.
    guard descriptorTable.byteCount >= 16 * size, availableRing.byteCount >= 6 + 2 * size,
      usedRing.byteCount >= 6 + 8 * size
    else { throw .tooShort }
    guard unsafe UInt(bitPattern: descriptorTable.pointer) % 16 == 0,
      unsafe UInt(bitPattern: availableRing.pointer) % 2 == 0,
      unsafe UInt(bitPattern: usedRing.pointer) % 4 == 0
    else { throw .misaligned }
    self.size = UInt16(size)
    unsafe descriptors = descriptorTable.pointer
    unsafe available = availableRing.pointer
    unsafe used = usedRing.pointer
  }

  /// What the driver was shown last.
  var usedIndex: UInt16 {
    // SAFETY: the used ring has at least six bytes.
    unsafe UInt16(littleEndian: cring_load16_acquire(used + SplitQueue.indexOffset))
  }
}

/// The device's side of a split virtqueue.
///
/// Used by one thread. Its memory belongs to the `MemoryMap` that it was started with.
/// Spec: virtio 1.3 §2.7 Split Virtqueues.
@safe
public struct SplitQueue: ~Copyable, VirtQueueRing {
  @usableFromInline let layout: SplitQueueLayout
  private let eventIndex: Bool
  @usableFromInline let mask: UInt16
  /// Next entry of the available ring to take.
  public private(set) var nextAvailable: UInt16
  /// How far the driver had come at the last look.
  @usableFromInline internal var seenAvailable: UInt16
  /// Next entry of the used ring to write, and what the driver was last shown.
  @usableFromInline var nextUsed: UInt16
  private var publishedUsed: UInt16
  private var kicksAreSuppressed = false
  private let scratch: ChainScratch
  @usableFromInline var recorder: SplitRecorder

  // Offsets in the rings. Spec: virtio 1.3 §2.7.6 The Virtqueue Available Ring, §2.7.8 The Virtqueue Used Ring.
  private static var flagsOffset: Int { 0 }
  fileprivate static var indexOffset: Int { 2 }
  @usableFromInline static var entriesOffset: Int {
    @inlinable @_noAllocation @_noLocks get { 4 }
  }

  /// - `eventIndex`: `VIRTIO_F_EVENT_IDX` is known to be negotiated.
  /// - `nextAvailable`: where to go on in the available ring (`SET_VRING_BASE`). The used ring goes on where its own
  ///     index says.
  /// - `recorder`: of this ring. Where it has a record, that says where to go on, and which chains are taken again.
  public init(
    layout: SplitQueueLayout, eventIndex: Bool, nextAvailable: UInt16,
    recorder: consuming SplitRecorder = SplitRecorder()
  ) throws(SystemError) {
    let scratch = try ChainScratch()
    self.scratch = scratch
    self.layout = layout
    self.eventIndex = eventIndex
    mask = layout.size &- 1
    self.nextAvailable = recorder.nextAvailable ?? nextAvailable
    seenAvailable = recorder.nextAvailable ?? nextAvailable
    nextUsed = layout.usedIndex
    publishedUsed = nextUsed
    self.recorder = recorder
  }

  // MARK: - Taking

  public var base: UInt32 {
    @_noAllocation @_noLocks get { UInt32(nextAvailable) }
  }

  public var publishedPosition: UInt32 { UInt32(publishedUsed) }

  public var isSettled: Bool { @_noAllocation @_noLocks get { nextUsed == publishedUsed } }

  @_noAllocation @_noLocks
  public mutating func look() throws(QueueError) -> Bool {
    try availableCount() > 0 || recorder.hasResubmissions
  }

  @inlinable @_noAllocation @_noLocks
  public mutating func hasMore() -> Bool {
    nextAvailable != seenAvailable || recorder.hasResubmissions
  }

  /// How many chains the driver has made available, reading its index once.
  @_noAllocation @_noLocks
  public mutating func availableCount() throws(QueueError) -> Int {
    // Keeps the ring's entries and the descriptors behind the index; the driver releases in the same order.
    let index = unsafe UInt16(
      littleEndian: cring_load16_acquire(layout.available + Self.indexOffset))
    cring_driver_acquire()
    let count = index &- nextAvailable
    guard count <= layout.size else {
      throw .availableIndexJump(from: nextAvailable, to: index)
    }
    seenAvailable = index
    return Int(count)
  }

  @_noAllocation @_noLocks
  public mutating func takeChain(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    if recorder.hasResubmissions { return try takeResubmission(&chain, &memory) }
    try takeAvailable(into: &chain, &memory)
    if recorder.isOn {
      chain.recordNumber = recorder.nextNumber
      recorder.take(chain.ticket.id)
    }
  }

  /// Takes a chain that was in flight before: the record has it.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func takeResubmission(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    guard let request = recorder.takeResubmission() else { return }
    try start(request, &chain, &memory)
  }

  public var resubmissionCount: Int {
    @_noAllocation @_noLocks get { recorder.resubmissionCount }
  }

  @_noAllocation @_noLocks
  public func startResubmission(
    _ index: Int, in chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    guard let request = recorder.resubmission(index) else { return }
    try start(request, &chain, &memory)
  }

  @_noAllocation @_noLocks
  private func start(
    _ request: RecordedRequest, _ chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    try start(request.state, &chain, &memory)
    chain.isResubmitted = true
    chain.recordNumber = request.counter
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func takeAvailable(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    let slot = Int(nextAvailable & mask)
    // SAFETY: slot < size, and the ring has 2 · size bytes of entries.
    let head = unsafe UInt16(
      littleEndian: cring_load16(layout.available + Self.entriesOffset + slot &* 2))
    guard head < layout.size else { throw .headOutOfRange(head) }
    nextAvailable &+= 1
    try start(head, &chain, &memory)
  }

  /// `head` is below the ring's size.
  @_noAllocation @_noLocks
  @inline(__always)
  private func start(
    _ head: UInt16, _ chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    unsafe chain.start(
      linkedAt: head, table: layout.descriptors, tableCount: UInt32(layout.size),
      window: scratch.window)
    // SAFETY: head < size, and the table has 16 · size bytes. Nearly all drivers' chains are in an indirect table.
    let first = unsafe Descriptor(at: layout.descriptors + Int(head) &* 16, flagsShift: 32)
    if first.isIndirect { try chain.enter(first, &memory) }
  }

  // MARK: - Completing

  /// Writes a used entry; the driver sees it when `publish` is called.
  ///
  /// Any order is fine. Entries that the ticket skips are left as they are.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    let slot = Int(nextUsed & mask)
    // SAFETY: slot < size, and the ring has 8 · size bytes of entries.
    let entry = unsafe layout.used + Self.entriesOffset + slot &* 8
    unsafe cring_store64(
      entry, (UInt64(ticket.id) | UInt64(writtenByteCount) << 32).littleEndian)
    nextUsed &+= ticket.slotCount
    // Those that it skips have the places in front.
    recorder.complete(ticket.id, at: Int((nextUsed &- 1) & mask))
  }

  public var notesSkipped: Bool { @_noAllocation @_noLocks get { recorder.isOn } }

  @_noAllocation @_noLocks
  public mutating func skip(_ ticket: ChainTicket, behind skippedSlotCount: UInt16) {
    recorder.complete(ticket.id, at: Int((nextUsed &+ skippedSlotCount) & mask))
  }

  /// Shows the driver all entries written since the last time; whether it wants to be called.
  ///
  /// Spec: virtio 1.3 §2.7.7.2 Device Requirements: Used Buffer Notification Suppression.
  @_noAllocation @_noLocks
  public mutating func publish() -> Bool {
    let old = publishedUsed
    guard nextUsed != old else { return false }
    if recorder.isOn { recorder.prepare(old, nextUsed) }
    cring_driver_release()
    // Keeps entries, statuses and payloads before the index; pairs with the driver's acquire of the used index.
    unsafe cring_store16_release(layout.used + Self.indexOffset, nextUsed.littleEndian)
    publishedUsed = nextUsed
    // Keeps the index's store before the load of what the driver wants; pairs with the driver, which stores what it
    // wants and then loads the used index.
    cring_fence_full()
    if recorder.isOn { recorder.publish(old, nextUsed) }
    if eventIndex {
      let event = unsafe UInt16(littleEndian: cring_load16(layout.available + usedEventOffset))
      // Whether the event lies in what was published now; wrapping, for the whole batch.
      return nextUsed &- event &- 1 < nextUsed &- old
    }
    let flags = unsafe UInt16(littleEndian: cring_load16(layout.available + Self.flagsOffset))
    return flags & 1 == 0
  }

  // MARK: - Kicks

  /// Tells the driver that no kick is needed: the worker is looking anyway.
  ///
  /// Both ways are used at once, the flag and (by leaving it behind) the event index, because a front-end may hide
  /// which of them the guest has negotiated.
  @_noAllocation @_noLocks
  public mutating func suppressKicks() {
    guard !kicksAreSuppressed else { return }
    kicksAreSuppressed = true
    unsafe cring_store16(layout.used + Self.flagsOffset, UInt16(1).littleEndian)
  }

  /// Asks for a kick with the next chain, then looks again; true if chains came meanwhile.
  @_noAllocation @_noLocks
  public mutating func armKicks() throws(QueueError) -> Bool {
    kicksAreSuppressed = false
    unsafe cring_store16(layout.used + availableEventOffset, nextAvailable.littleEndian)
    unsafe cring_store16(layout.used + Self.flagsOffset, 0)
    // Keeps the request for a kick before the look at the index; pairs with the driver, which stores the index and
    // then looks whether a kick is wanted.
    cring_fence_full()
    return try look()
  }

  private var usedEventOffset: Int {
    @_noAllocation @_noLocks get { Self.entriesOffset &+ Int(layout.size) &* 2 }
  }

  private var availableEventOffset: Int {
    @_noAllocation @_noLocks get { Self.entriesOffset &+ Int(layout.size) &* 8 }
  }
}
