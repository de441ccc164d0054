public import GuestMemory

/// A ring whose driver has negotiated `VIRTIO_F_IN_ORDER`: chains are finished in the order in which they were taken.
///
/// Engines and helpers give operations back in any order. What comes before its turn is kept in a table with a place for
/// every chain that a lawful driver can have in flight; a driver that offers more finds nothing taken until the first of
/// them is done. Nothing is allocated on the way.
/// Spec: virtio 1.3 §2.7.9 In-order use of descriptors, §2.8.11 In-order use of descriptors (packed).
@safe
public struct InOrderQueue<Ring: VirtQueueRing & ~Copyable>: ~Copyable, VirtQueueRing {
  /// A chain that was taken, until its used entry is written.
  @frozen @usableFromInline
  struct Entry {
    @usableFromInline var ticket = ChainTicket(id: 0, slotCount: 0)
    @usableFromInline var writtenByteCount: UInt32 = 0
    @usableFromInline var isDone = false
    /// Its used entry may be left out where the next chain's follows: the driver then takes the whole of the writable
    /// part as written, so it must be.
    @usableFromInline var mayBeSkipped = false
    @usableFromInline init() {}
  }

  @usableFromInline var ring: Ring
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  @usableFromInline let capacity: UInt16
  @usableFromInline let mask: UInt16
  @usableFromInline let skipsEntries: Bool
  /// Counting the chains taken, and those whose used entry is written.
  @usableFromInline var takenCount: UInt16 = 0
  @usableFromInline var usedCount: UInt16 = 0

  /// - `size`: the ring's number of descriptors.
  /// - `skipsEntries`: one used entry may stand for a batch of chains, its last one named.
  public init(_ ring: consuming Ring, size: Int, skipsEntries: Bool) {
    self.ring = ring
    var capacity = 1
    while capacity < min(max(size, 1), 32768) { capacity *= 2 }
    self.capacity = UInt16(capacity)
    mask = UInt16(capacity - 1)
    self.skipsEntries = skipsEntries
    unsafe entries = .allocate(capacity: capacity)
    unsafe entries.initialize(repeating: Entry(), count: capacity)
  }

  deinit { unsafe entries.deallocate() }

  @inlinable public var base: UInt32 { ring.base }
  public var publishedPosition: UInt32 { ring.publishedPosition }

  @inlinable public var resubmissionCount: Int { ring.resubmissionCount }

  @inlinable
  public func startResubmission(
    _ index: Int, in chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    try ring.startResubmission(index, in: &chain, &memory)
  }

  /// Looks at all chains that were taken: not for every batch.
  @inlinable public var isSettled: Bool {
    var position = usedCount
    while position != takenCount {
      if isDone(position) { return false }
      position &+= 1
    }
    return ring.isSettled
  }

  @inlinable var isFull: Bool { takenCount &- usedCount >= capacity }

  @inlinable
  public mutating func look() throws(QueueError) -> Bool {
    if isFull { return false }
    return try ring.look()
  }

  @inlinable
  public mutating func hasMore() -> Bool { !isFull && ring.hasMore() }

  @inlinable
  public mutating func takeChain(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError) {
    try ring.takeChain(into: &chain, &memory)
    chain.ticket.put(position: takenCount)
    // SAFETY: masked; `look` has seen that the place is free.
    unsafe entries[Int(takenCount & mask)].isDone = false
    takenCount &+= 1
  }

  /// Notes that a chain is done; its used entry is written in `publish`, when all before it are.
  @inlinable
  public mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    // SAFETY: masked. The position is what `takeChain` gave, and stays the chain's own until its entry is written.
    let entry = unsafe entries + Int(ticket.position & mask)
    unsafe entry.pointee.ticket = ticket
    unsafe entry.pointee.writtenByteCount = writtenByteCount
    unsafe entry.pointee.mayBeSkipped =
      skipsEntries && writtenByteCount == ticket.writableByteCount
    unsafe entry.pointee.isDone = true
  }

  @inlinable public var notesSkipped: Bool { ring.notesSkipped }

  /// The table below is the only one that leaves entries out.
  @inlinable
  public mutating func skip(_ ticket: ChainTicket, behind skippedSlotCount: UInt16) {
    ring.skip(ticket, behind: skippedSlotCount)
  }

  @inlinable
  public mutating func publish() -> Bool {
    var skippedSlotCount: UInt16 = 0
    let notesSkipped = ring.notesSkipped
    while isDone(usedCount) {
      // SAFETY: masked.
      let entry = unsafe entries[Int(usedCount & mask)]
      usedCount &+= 1
      if entry.mayBeSkipped, isDone(usedCount) {
        if notesSkipped { ring.skip(entry.ticket, behind: skippedSlotCount) }
        skippedSlotCount &+= entry.ticket.slotCount
      } else {
        var ticket = entry.ticket
        ticket.add(slotCount: skippedSlotCount)
        ring.complete(ticket, writtenByteCount: entry.writtenByteCount)
        skippedSlotCount = 0
      }
    }
    return ring.publish()
  }

  /// Whether there is a chain at a position, and it is done.
  @inlinable
  func isDone(_ position: UInt16) -> Bool {
    // SAFETY: masked.
    unsafe position != takenCount && entries[Int(position & mask)].isDone
  }

  @inlinable public mutating func suppressKicks() { ring.suppressKicks() }

  /// Asks for a kick, then looks again.
  ///
  /// A full table is no reason to stay awake: what makes room is an operation that comes back, and that wakes the worker.
  @inlinable
  public mutating func armKicks() throws(QueueError) -> Bool {
    let hasChains = try ring.armKicks()
    return hasChains && !isFull
  }
}
