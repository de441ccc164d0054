internal import CRingShims

/// What a driver has to remember of its chains where the ring does not: by head, and in the order of posting.
///
/// A plain owner of memory, so that the calls of a queue neither allocate nor retain.
@safe
@usableFromInline
struct ChainBooks: @unchecked Sendable {
  /// Descriptors of a packed ring's chains as they will be posted; tests spoil them here.
  @usableFromInline let templates: UnsafeMutableRawPointer
  /// By descriptor: the next one of its chain.
  @usableFromInline let nextInChain: UnsafeMutablePointer<UInt16>
  /// By head: descriptors that the chain takes in the ring.
  @usableFromInline let slotCounts: UnsafeMutablePointer<UInt16>
  /// By head: bytes of the device-writable part.
  @usableFromInline let writableByteCounts: UnsafeMutablePointer<UInt32>
  /// Heads in the order of posting.
  @usableFromInline let posted: UnsafeMutablePointer<UInt16>
  @usableFromInline let postedMask: UInt16

  init(size: UInt16) {
    let count = Int(size)
    var capacity = 1
    while capacity < count { capacity *= 2 }
    postedMask = UInt16(capacity - 1)
    unsafe templates = .allocate(byteCount: 16 * count, alignment: 16)
    unsafe cring_zero(templates, 16 * count)
    unsafe nextInChain = .allocate(capacity: count)
    unsafe nextInChain.initialize(repeating: 0, count: count)
    unsafe slotCounts = .allocate(capacity: count)
    unsafe slotCounts.initialize(repeating: 1, count: count)
    unsafe writableByteCounts = .allocate(capacity: count)
    unsafe writableByteCounts.initialize(repeating: 0, count: count)
    unsafe posted = .allocate(capacity: capacity)
    unsafe posted.initialize(repeating: 0, count: capacity)
  }

  init(copying other: ChainBooks, size: UInt16) {
    self.init(size: size)
    let count = Int(size)
    unsafe cring_copy(templates, other.templates, 16 * count)
    unsafe nextInChain.update(from: other.nextInChain, count: count)
    unsafe slotCounts.update(from: other.slotCounts, count: count)
    unsafe writableByteCounts.update(from: other.writableByteCounts, count: count)
    unsafe posted.update(from: other.posted, count: Int(postedMask) + 1)
  }

  func deallocate() {
    unsafe templates.deallocate()
    unsafe nextInChain.deallocate()
    unsafe slotCounts.deallocate()
    unsafe writableByteCounts.deallocate()
    unsafe posted.deallocate()
  }

  /// Notes a reserved chain.
  func enter(_ descriptors: [UInt16], writableByteCount: UInt32) {
    guard let head = descriptors.first else { return }
    for (index, descriptor) in descriptors.enumerated() where index > 0 {
      // SAFETY: descriptors are numbers below the queue's size.
      unsafe nextInChain[Int(descriptors[index - 1])] = descriptor
    }
    unsafe slotCounts[Int(head)] = UInt16(truncatingIfNeeded: descriptors.count)
    unsafe writableByteCounts[Int(head)] = writableByteCount
  }

  @inlinable @_noAllocation @_noLocks
  func note(_ head: UInt16, at index: UInt16) {
    // SAFETY: masked.
    unsafe posted[Int(index & postedMask)] = head
  }

  @inlinable @_noAllocation @_noLocks
  func head(at index: UInt16) -> UInt16 { unsafe posted[Int(index & postedMask)] }
}

/// A place in a packed ring: an index, and the wrap counter that tells one round from the next.
@frozen
@usableFromInline
struct RingPosition: Hashable, Sendable {
  @usableFromInline var index: UInt16 = 0
  @usableFromInline var wrap: UInt16 = 1

  @usableFromInline init() {}

  /// Where a ring is after so many chains of one descriptor.
  init(chain count: UInt16, size: UInt16) {
    index = count % size
    wrap = (count / size) & 1 ^ 1
  }

  @inlinable var word: UInt16 { @_noAllocation @_noLocks get { index | wrap << 15 } }

  @inlinable @_noAllocation @_noLocks
  mutating func advance(by count: UInt16, size: UInt16) {
    index &+= count
    if index >= size {
      index &-= size
      wrap ^= 1
    }
  }

  /// Whether flags are those of a descriptor that was made available in this round.
  @inlinable @_noAllocation @_noLocks
  func isUsed(_ flags: UInt16) -> Bool { flags >> 7 & 1 == wrap && flags >> 15 == wrap }
}

/// `RING_EVENT_FLAGS_*`.
@usableFromInline
enum PackedEvent {
  @inlinable static var disabled: UInt32 { @_noAllocation @_noLocks get { 1 } }
  @inlinable static var atDescriptor: UInt32 { @_noAllocation @_noLocks get { 2 } }
}
