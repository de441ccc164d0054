public import CRingShims

/// One buffer of a chain, as the driver describes it.
public struct ChainBuffer: Hashable, Sendable {
  public var guestAddress: UInt64
  public var byteCount: UInt32
  /// Whether the device may write it (`VIRTQ_DESC_F_WRITE`).
  public var isWritable: Bool

  public init(guestAddress: UInt64, byteCount: UInt32, isWritable: Bool) {
    self.guestAddress = guestAddress
    self.byteCount = byteCount
    self.isWritable = isWritable
  }
}

/// One entry of the used ring: what the device says that it finished.
@frozen
public struct UsedElement: Hashable, Sendable {
  /// Head descriptor of the chain; the device's word, unchecked.
  public var head: UInt32
  /// Bytes that the device says it wrote.
  public var byteCount: UInt32

  @inlinable @_noAllocation @_noLocks
  public init(head: UInt32, byteCount: UInt32) {
    self.head = head
    self.byteCount = byteCount
  }
}

/// The driver's side of a virtqueue, split or packed.
///
/// A chain is formatted once (`reserve`), and posted as often as wanted: `post`, `publish` and
/// `popUsed` neither allocate nor lock, which lets `bench` outrun any device. Chains may finish in
/// any order, unless the device promised otherwise. One thread at a time uses a queue. Nothing
/// outside of this type and its extensions knows what a ring looks like: a chain is known by its
/// head, which in a packed ring is its buffer identifier.
///
/// Heads are posted in any order, which a driver with a split ring and IN_ORDER does not do; the
/// device has no use for that promise.
///
/// Spec: virtio 1.3 §2.7 Split Virtqueues, §2.8 Packed Virtqueues
@safe
public final class DriverQueue: @unchecked Sendable {
  /// Where the three parts are: of a packed ring the descriptors, and what driver and device say
  /// about notifications.
  public struct Layout: Hashable, Sendable {
    public let descriptorTable: UInt64
    public let available: UInt64
    public let used: UInt64
  }

  /// Entries: 1…32768; of a split ring a power of two.
  public let size: UInt16
  public let kind: RingKind
  @usableFromInline let isPacked: Bool
  @usableFromInline let isInOrder: Bool
  /// Not split rings whose chains finish in any order, which need none of what else there is.
  @usableFromInline let needsBooks: Bool
  /// Guest-physical addresses of the ring's parts.
  public let layout: Layout
  /// `VIRTIO_F_EVENT_IDX` is in force.
  public let hasEventIndex: Bool
  /// The memory that holds the ring; indirect tables come from it too.
  public let memory: GuestRAM
  public let kickEvent: EventFile
  public let callEvent: EventFile

  @usableFromInline let descriptors: UnsafeMutableRawPointer
  @usableFromInline let available: UnsafeMutableRawPointer
  @usableFromInline let used: UnsafeMutableRawPointer
  @usableFromInline let mask: UInt16
  /// A packed ring's chains, and the order of those in flight.
  @usableFromInline let books: ChainBooks

  // Behind a pointer, because the class's own variables would be checked for exclusive access at
  // every touch.
  @usableFromInline let indices: UnsafeMutablePointer<Indices>

  @frozen @usableFromInline
  struct Indices {
    // Counting what `post` wrote.
    @usableFromInline var available: UInt16
    // What the device can see.
    @usableFromInline var published: UInt16
    // The next used entry to read.
    @usableFromInline var used: UInt16
    // The device's used index, as last seen.
    @usableFromInline var seenUsed: UInt16
    // Of packed rings, which have no indices: where the next descriptors are.
    @usableFromInline var availablePosition = RingPosition()
    @usableFromInline var usedPosition = RingPosition()
    // With IN_ORDER: where the batch ends that a used entry stands for, and what that says.
    @usableFromInline var batchEnd: UInt16
    @usableFromInline var batchByteCount: UInt32 = 0

    init(_ index: UInt16, size: UInt16) {
      available = index
      published = index
      used = index
      seenUsed = index
      batchEnd = index
      availablePosition = RingPosition(chain: index, size: size)
      usedPosition = availablePosition
    }
  }

  /// The available index, counting what `post` wrote.
  public var availableIndex: UInt16 { unsafe indices.pointee.available }
  /// Counting the chains that the device can see; of a split ring the available index.
  public var publishedIndex: UInt16 { unsafe indices.pointee.published }
  /// The used index: the next used entry that `popUsed` reads.
  public var usedIndex: UInt16 { unsafe indices.pointee.used }

  // The driver's own books; a test may spoil descriptors in guest memory without confusing them.
  var nextFree: [UInt16]
  var firstFree: UInt16?
  public internal(set) var freeCount: Int
  var chains: [UInt16: Chain] = [:]

  struct Chain {
    var descriptors: [UInt16]
    var indirectTable: UInt64?
  }

  /// A ring in freshly taken guest memory, empty, with both indices at `startIndex`.
  ///
  /// - `region`: the memory region to take the ring from; nil: the first with room.
  /// - `alignment`: of each of the ring's parts, at least; of a page, to have them on pages of their own.
  public init(
    size: UInt16, memory: GuestRAM, hasEventIndex: Bool, kind: RingKind = .split,
    startIndex: UInt16 = 0, region: Int? = nil, alignment: Int = 4
  ) throws(FrontendError) {
    guard (1...32768).contains(size), kind.isPacked || size.nonzeroBitCount == 1 else {
      throw .ring("a \(kind) ring of \(size) entries: up to 32768, split ones a power of two")
    }
    self.size = size
    self.kind = kind
    isPacked = kind.isPacked
    isInOrder = kind.isInOrder
    needsBooks = kind != .split
    self.memory = memory
    self.hasEventIndex = hasEventIndex
    mask = size - 1
    books = ChainBooks(size: size)
    let count = Int(size)
    let availableCount = isPacked ? 4 : 6 + 2 * count
    let usedCount = isPacked ? 4 : 6 + 8 * count
    layout = Layout(
      descriptorTable: try memory.allocate(
        16 * count, alignment: max(16, alignment), region: region),
      available: try memory.allocate(availableCount, alignment: alignment, region: region),
      used: try memory.allocate(usedCount, alignment: alignment, region: region))
    // SAFETY: each range was just allocated inside one region, whose mapping `memory` keeps alive;
    // the device is the only other writer.
    unsafe descriptors = try memory.pointer(at: layout.descriptorTable, byteCount: 16 * count)
    unsafe available = try memory.pointer(at: layout.available, byteCount: availableCount)
    unsafe used = try memory.pointer(at: layout.used, byteCount: usedCount)
    kickEvent = try EventFile()
    callEvent = try EventFile()
    unsafe indices = .allocate(capacity: 1)
    unsafe indices.initialize(to: Indices(startIndex, size: size))
    nextFree = (0..<size).map { $0 &+ 1 }
    firstFree = 0
    freeCount = count
    unsafe cring_zero(descriptors, 16 * count)
    unsafe cring_zero(available, availableCount)
    unsafe cring_zero(used, usedCount)
    if isPacked {
      markAllUsed()
      return
    }
    unsafe cring_store16(available + 2, startIndex)
    unsafe cring_store16(used + 2, startIndex)
  }

  /// A driver that has moved with its guest: the same queue in a copy of its memory, with eventfds of its own.
  ///
  /// Nobody uses `other` any more. `memory`: an `emptyCopy` of the other's.
  public init(moving other: DriverQueue, to memory: GuestRAM) throws(FrontendError) {
    size = other.size
    kind = other.kind
    isPacked = other.isPacked
    isInOrder = other.isInOrder
    needsBooks = other.needsBooks
    self.memory = memory
    hasEventIndex = other.hasEventIndex
    mask = other.mask
    layout = other.layout
    let count = Int(size)
    // SAFETY: the copy has the ranges that the other was made with.
    unsafe descriptors = try memory.pointer(at: layout.descriptorTable, byteCount: 16 * count)
    unsafe available = try memory.pointer(
      at: layout.available, byteCount: isPacked ? 4 : 6 + 2 * count)
    unsafe used = try memory.pointer(at: layout.used, byteCount: isPacked ? 4 : 6 + 8 * count)
    kickEvent = try EventFile()
    callEvent = try EventFile()
    books = ChainBooks(copying: other.books, size: size)
    unsafe indices = .allocate(capacity: 1)
    unsafe indices.initialize(to: other.indices.pointee)
    nextFree = other.nextFree
    firstFree = other.firstFree
    freeCount = other.freeCount
    chains = other.chains
  }

  deinit {
    for chain in chains.values {
      if let table = chain.indirectTable { memory.free(table) }
    }
    for address in [layout.descriptorTable, layout.available, layout.used] { memory.free(address) }
    unsafe indices.deallocate()
    books.deallocate()
  }

  /// Chains published and not yet popped.
  public var inFlightCount: Int { Int(publishedIndex &- usedIndex) }

  // MARK: Posting

  /// Puts a reserved chain into the available ring; the device sees it with the next `publish`.
  ///
  /// The caller keeps at most `size` chains in the ring.
  @inlinable @_noAllocation @_noLocks
  public func post(_ head: UInt16) {
    if needsBooks { unsafe books.note(head, at: indices.pointee.available) }
    // SAFETY: the masked index is below `size`; the ring lives as long as `memory`, which self
    // holds.
    if !isPacked {
      unsafe cring_store16(available + 4 + 2 * Int(indices.pointee.available & mask), head)
    }
    unsafe indices.pointee.available &+= 1
  }

  /// Shows everything posted to the device, and says whether the device wants a kick for it.
  @inlinable @_noAllocation @_noLocks
  public func publish() -> Bool {
    if isPacked { return publishPacked() }
    let before = unsafe indices.pointee.published
    let now = unsafe indices.pointee.available
    // Release: the device that sees the index also sees the entries and descriptors before it.
    unsafe cring_store16_release(available + 2, now)
    unsafe indices.pointee.published = now
    // Full fence between our store of the available index and our load of the device's wish; the
    // device stores the wish, fences, and loads the available index. One of the two sees the
    // other's store.
    cring_fence_full()
    if hasEventIndex {
      let event = unsafe cring_load16(used + 4 + 8 * Int(size))
      return now &- event &- 1 < now &- before
    }
    return unsafe cring_load16(used) & 1 == 0
  }

  // MARK: Taking results

  /// The next chain that the device finished; nil when there is none now.
  @inlinable @_noAllocation @_noLocks
  public func popUsed() -> UsedElement? {
    if needsBooks { return popUsedInBatch() }
    let index = unsafe indices.pointee.used
    if unsafe index == indices.pointee.seenUsed {
      // Acquire: entries and buffers behind the index are read after it.
      unsafe indices.pointee.seenUsed = cring_load16_acquire(used + 2)
      if unsafe index == indices.pointee.seenUsed { return nil }
    }
    // SAFETY: the masked index is below `size`; the ring lives as long as `memory`.
    let entry = unsafe used + 4 + 8 * Int(index & mask)
    let element = unsafe UsedElement(
      head: cring_load32(entry), byteCount: cring_load32(entry + 4))
    unsafe indices.pointee.used = index &+ 1
    return element
  }

  /// Whether the device finished something that `popUsed` has not given yet.
  @inlinable
  public var hasUsed: Bool {
    @_noAllocation @_noLocks get {
      if isPacked { return finishedCount > 0 }
      return unsafe cring_load16_acquire(used + 2) != indices.pointee.used
    }
  }

  // MARK: Calls

  /// Tells the device that no call is wanted (a hint: it may call anyway).
  @inlinable @_noAllocation @_noLocks
  public func disableCalls() {
    if isPacked { return unsafe cring_store32(available, PackedEvent.disabled << 16) }
    if hasEventIndex {
      // An index that was passed just now is a whole round of 65536 away.
      unsafe cring_store16(available + 4 + 2 * Int(size), indices.pointee.used &- 1)
    } else {
      unsafe cring_store16(available, 1)
    }
  }

  /// Asks for a call at the next used entry.
  ///
  /// True when one came before the wish was seen: pop first, then sleep.
  @inlinable @_noAllocation @_noLocks
  public func enableCalls() -> Bool { enableCalls(afterAnother: 0) }

  /// Asks for a call when `count` more entries than the next one are used (with EVENT_IDX;
  /// otherwise at the next).
  @inlinable @_noAllocation @_noLocks
  public func enableCalls(afterAnother count: UInt16) -> Bool {
    if isPacked { return enablePackedCalls(afterAnother: count) }
    unsafe cring_store16(available, 0)
    if hasEventIndex {
      unsafe cring_store16(available + 4 + 2 * Int(size), indices.pointee.used &+ count)
    }
    // Full fence between our wish and our look at the used index; the device stores the used index,
    // fences, and loads the wish.
    cring_fence_full()
    let ready = unsafe cring_load16_acquire(used + 2) &- indices.pointee.used
    return ready > count
  }
}
