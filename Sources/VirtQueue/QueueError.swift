// VirtQueue: split and packed rings. Taking chains, completing chains, notification suppression.
//
// The driver is hostile: every index and address it writes is read once, checked, then used. What is wrong with the
// ring itself is a `QueueError`, which stops the queue; what requests say is none of this room's business. The two rings
// are two types behind `VirtQueueRing`; `DescriptorChain` serves both.

/// What is wrong with a ring, with the offending numbers.
public enum QueueError: Error, Hashable, Sendable {
  /// The available index is further ahead than the queue is long.
  case availableIndexJump(from: UInt16, to: UInt16)
  /// The available ring names a descriptor that does not exist.
  case headOutOfRange(UInt16)
  /// A chain goes on at a descriptor that its table does not have.
  case nextOutOfRange(UInt16)
  /// A chain has more descriptors than its table, or than a packed ring has left: it runs in a circle.
  case descriptorLoop(head: UInt16)
  /// A packed ring offers a descriptor that the device still has.
  case ringOverrun(UInt16)
  /// An indirect table's length is zero, no multiple of 16, or beyond 32768 descriptors.
  case indirectLength(UInt32)
  /// An indirect descriptor goes on, though it must be the last one.
  case indirectInChain(head: UInt16)
  /// An indirect descriptor inside an indirect table.
  case nestedIndirect(head: UInt16)
  /// A readable descriptor behind a writable one.
  case readableAfterWritable(head: UInt16)
  /// A buffer or table that is not in guest memory.
  case addressOutsideMemory(address: UInt64, byteCount: UInt32)
  /// The front-end truncated a file of guest memory, or the log of dirty pages, that is in use.
  case memoryLost
}

/// Why a ring cannot be started.
public enum LayoutError: Error, Hashable, Sendable {
  /// No power of two (split), none, or beyond 32768.
  case size(Int)
  /// A part is shorter than the size asks for.
  case tooShort
  /// A part is not aligned to 16, 2 and 4 bytes (packed: 16, 4 and 4).
  case misaligned
  /// The word of `SET_VRING_BASE` names no place in a packed ring, or used descriptors in front of available ones.
  case base(UInt32)
}
