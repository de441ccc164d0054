public import GuestMemory

/// What the used entry of a chain is written with, kept beside its request while that is in flight.
@frozen
public struct ChainTicket: Hashable, Sendable {
  /// Identifier, slot count, position and record, from the lowest bits on: they are stored and copied as one, which a
  /// processor has at hand where it would wait for single stores to come together.
  @usableFromInline var word: UInt64
  /// Bytes of the device-writable part, once the chain was walked to its end.
  public var writableByteCount: UInt32 = 0

  /// A chain that has not been walked yet.
  @_noAllocation @_noLocks
  @inlinable
  public init(id: UInt16, slotCount: UInt16) {
    word = UInt64(id) | UInt64(slotCount) << 16
  }

  /// What the driver knows the chain by: the head of a split ring's, the buffer identifier of a packed ring's.
  @inlinable public var id: UInt16 {
    @_noAllocation @_noLocks get { UInt16(truncatingIfNeeded: word) }
  }

  /// How far the used entry moves the ring on: one in a split ring, in a packed one as many as the chain has descriptors.
  @inlinable public var slotCount: UInt16 {
    @_noAllocation @_noLocks get { UInt16(truncatingIfNeeded: word >> 16) }
  }

  /// Its place among those taken; of queues that finish in order.
  @inlinable public var position: UInt16 {
    @_noAllocation @_noLocks get { UInt16(truncatingIfNeeded: word >> 32) }
  }

  /// Where it is found in the record of requests in flight, while a packed ring keeps one: its state, or its place in the
  /// ring, with a mark.
  public var record: UInt16 {
    @_noAllocation @_noLocks get { UInt16(truncatingIfNeeded: word >> 48) }
  }

  /// Has the used entry move the ring on by more.
  @_noAllocation @_noLocks
  @inlinable
  mutating func add(slotCount more: UInt16) {
    word = word & ~0xFFFF_0000 | UInt64(slotCount &+ more) << 16
  }

  /// Gives a ticket its place, which has none.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func put(position: UInt16) { word |= UInt64(position) << 32 }

  /// Gives a ticket its state, which has none.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func put(record: UInt16) { word |= UInt64(record) << 48 }
}

/// The device's side of a virtqueue, whatever its layout: what workers and the control queue are generic over.
///
/// Which type it is, is chosen when a queue starts, so that nothing on the way of a descriptor asks for it. Used by one
/// thread. Every index, flag and length that the driver writes is read once, then checked, then used.
public protocol VirtQueueRing: ~Copyable {
  /// Where the queue goes on, as `GET_VRING_BASE` has it.
  var base: UInt32 { get }

  /// Up to where the driver was shown finished chains: another one after each `publish` that shows some, and the same
  /// where another process takes the queue over.
  ///
  /// A process that dies in `publish` may have shown some of them, where several were finished.
  var publishedPosition: UInt32 { get }

  /// Looks how far the driver has come, once per batch; whether there is a chain to take.
  mutating func look() throws(QueueError) -> Bool

  /// Whether there is one more chain behind those taken since `look`.
  mutating func hasMore() -> Bool

  /// Starts the next chain in `chain`; `look` or `hasMore` has just said that there is one.
  mutating func takeChain(
    into chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError)

  /// Chains that were in flight when an earlier daemon ended; `takeChain` starts them first.
  var resubmissionCount: Int { get }

  /// Starts one of them without taking it.
  func startResubmission(
    _ index: Int, in chain: inout DescriptorChain, _ memory: inout MemoryView
  ) throws(QueueError)

  /// Whether the driver has been shown every chain that is finished; only `complete` changes that.
  var isSettled: Bool { get }

  /// Finishes a chain, which was walked to its end; the driver sees it when `publish` is called.
  ///
  /// Any order is fine.
  mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32)

  /// Whether `skip` has to be called; while chains are finished in their order, only `publish` changes that.
  var notesSkipped: Bool { get }

  /// Notes a chain that is finished and has no used entry of its own: the one that `complete` writes next, before
  /// `publish`, stands for it, too.
  ///
  /// - `skippedSlotCount`: slots of those that were skipped in front of it.
  mutating func skip(_ ticket: ChainTicket, behind skippedSlotCount: UInt16)

  /// Shows the driver all that was completed since the last time; whether it wants to be called.
  ///
  /// Where it shows something, a full fence stands behind everything that was written of the ring.
  mutating func publish() -> Bool

  /// Tells the driver that no kick is needed: the worker is looking anyway.
  mutating func suppressKicks()

  /// Asks for a kick with the next chain, then looks again; true if chains came meanwhile.
  mutating func armKicks() throws(QueueError) -> Bool
}

extension VirtQueueRing where Self: ~Copyable {
  /// The next chain as a value, for whoever takes few.
  public mutating func takeChain(
    _ memory: inout MemoryView
  ) throws(QueueError) -> DescriptorChain {
    var chain = DescriptorChain()
    try takeChain(into: &chain, &memory)
    return chain
  }
}
