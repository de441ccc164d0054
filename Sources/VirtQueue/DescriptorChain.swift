import CRingShims
public import GuestMemory

/// One descriptor, copied out of guest memory.
struct Descriptor {
  var address: UInt64
  var byteCount: UInt32
  var flags: UInt16
  var next: UInt16

  /// `VIRTQ_DESC_F_NEXT`.
  var hasNext: Bool { @_noAllocation @_noLocks get { flags & 1 != 0 } }
  /// `VIRTQ_DESC_F_WRITE`.
  var isWritable: Bool { @_noAllocation @_noLocks get { flags & 2 != 0 } }
  /// `VIRTQ_DESC_F_INDIRECT`.
  var isIndirect: Bool { @_noAllocation @_noLocks get { flags & 4 != 0 } }

  /// Reads a descriptor, each of its two words exactly once.
  @_noAllocation @_noLocks
  init(at pointer: UnsafePointer<UInt8>) {
    // SAFETY: the caller has checked that 16 bytes are there.
    unsafe address = UInt64(littleEndian: cring_load64(pointer))
    let rest = unsafe UInt64(littleEndian: cring_load64(pointer + 8))
    byteCount = UInt32(truncatingIfNeeded: rest)
    flags = UInt16(truncatingIfNeeded: rest >> 32)
    next = UInt16(truncatingIfNeeded: rest >> 48)
  }
}

/// A reader that walks one descriptor chain, once and forwards.
///
/// Descriptors are read when they are needed, so that a long chain costs no more than what is asked of it; those that
/// are skipped are not translated. First comes the readable part, then the writable one. A plain value over the queue's
/// and the guest's memory; valid until the queue stops.
@safe
public struct DescriptorChain {
  /// The head, for the used entry.
  public let head: UInt16
  /// Bytes of all writable descriptors read so far; of the whole chain once `lastWritableByte` has returned.
  public private(set) var writableByteCount: UInt64 = 0

  private var table: UnsafePointer<UInt8>
  private var tableCount: UInt32
  private var isIndirectTable = false
  /// Room for an indirect table that crosses regions; the queue's, used by one chain at a time.
  private let scratch: UnsafeMutablePointer<UInt8>
  /// The next descriptor to read, where there is one.
  private var next: UInt16
  private var hasNext = true
  /// Descriptors that may still be read before the chain must be running in a circle.
  private var budget: UInt32
  // What is left of the current descriptor.
  private var address: UInt64 = 0
  private var remaining: UInt32 = 0
  private var inWritablePart = false
  /// The last writable descriptor that is not empty.
  private var lastWritableAddress: UInt64 = 0
  private var lastWritableByteCount: UInt32 = 0

  @_noAllocation @_noLocks
  init(
    head: UInt16, table: UnsafePointer<UInt8>, tableCount: UInt32,
    scratch: UnsafeMutablePointer<UInt8>
  ) {
    self.head = head
    unsafe self.table = table
    self.tableCount = tableCount
    unsafe self.scratch = scratch
    next = head
    budget = tableCount
  }

  /// Goes on in the table of an indirect descriptor, which ends the chain of direct ones.
  ///
  /// Spec: virtio 1.3 §2.7.5.3 Indirect Descriptors.
  @_noAllocation @_noLocks
  mutating func enter(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) {
    if isIndirectTable { throw .nestedIndirect(head: head) }
    if descriptor.hasNext { throw .indirectInChain(head: head) }
    let byteCount = Int(descriptor.byteCount)
    guard byteCount > 0, byteCount & 15 == 0, byteCount / 16 <= SplitQueue.maximumIndirectCount
    else { throw .indirectLength(descriptor.byteCount) }
    guard let slice = memory.slice(at: descriptor.address, atMost: byteCount) else {
      throw .addressOutsideMemory(address: descriptor.address, byteCount: descriptor.byteCount)
    }
    if slice.byteCount == byteCount {
      unsafe table = UnsafePointer(slice.pointer)
    } else {
      try assemble(descriptor, &memory)
      unsafe table = UnsafePointer(scratch)
    }
    tableCount = descriptor.byteCount / 16
    isIndirectTable = true
    budget = tableCount
    next = 0
    hasNext = true
  }

  /// Copies an indirect table that crosses regions into the scratch.
  @_noAllocation @_noLocks
  private func assemble(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) {
    var offset = 0
    let byteCount = Int(descriptor.byteCount)
    while offset < byteCount {
      let address = descriptor.address.addingReportingOverflow(UInt64(offset))
      guard !address.overflow,
        let slice = memory.slice(at: address.partialValue, atMost: byteCount &- offset)
      else {
        throw .addressOutsideMemory(address: descriptor.address, byteCount: descriptor.byteCount)
      }
      // SAFETY: the scratch has room for the longest table that is accepted.
      unsafe cring_copy(scratch + offset, slice.pointer, slice.byteCount)
      offset &+= slice.byteCount
    }
  }

  /// Makes the next descriptor that is not empty the current one; false at the end of the chain.
  @_noAllocation @_noLocks
  private mutating func advance(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    while hasNext {
      guard UInt32(next) < tableCount else { throw .nextOutOfRange(next) }
      guard budget > 0 else { throw .descriptorLoop(head: head) }
      budget &-= 1
      // SAFETY: next < tableCount, and the table's bytes were translated as a whole.
      let descriptor = unsafe Descriptor(at: table + Int(next) &* 16)
      if descriptor.isIndirect {
        try enter(descriptor, &memory)
        continue
      }
      hasNext = descriptor.hasNext
      next = descriptor.next
      // Real drivers leave empty descriptors anywhere.
      if descriptor.byteCount == 0 { continue }
      let isWritable = descriptor.isWritable
      if inWritablePart, !isWritable { throw .readableAfterWritable(head: head) }
      address = descriptor.address
      remaining = descriptor.byteCount
      if isWritable {
        inWritablePart = true
        writableByteCount &+= UInt64(descriptor.byteCount)
        lastWritableAddress = descriptor.address
        lastWritableByteCount = descriptor.byteCount
      }
      return true
    }
    remaining = 0
    return false
  }

  /// Makes sure that there is a current readable byte; false where the readable part has ended.
  @_noAllocation @_noLocks
  private mutating func hasReadable(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    if remaining == 0, !inWritablePart, try !advance(&memory) { return false }
    return !inWritablePart
  }

  /// Makes sure that there is a current writable byte, skipping what is left of the readable part.
  @_noAllocation @_noLocks
  private mutating func hasWritable(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    while remaining == 0 || !inWritablePart {
      if try !advance(&memory) { return false }
    }
    return true
  }

  /// The longest run at the current byte, at most `byteCount` long, and moves behind it.
  @_noAllocation @_noLocks
  private mutating func takeRun(
    _ byteCount: Int, _ memory: inout MemoryView
  ) throws(QueueError) -> GuestSlice {
    let wanted = Swift.min(byteCount, Int(remaining))
    guard let slice = memory.slice(at: address, atMost: wanted) else {
      throw .addressOutsideMemory(address: address, byteCount: remaining)
    }
    // Wrapping: an address beyond 2^64 is in no region, which the next run finds.
    address = address &+ UInt64(slice.byteCount)
    remaining &-= UInt32(truncatingIfNeeded: slice.byteCount)
    return slice
  }

  /// Copies the next readable bytes to memory of ours; how many there were, at most `byteCount`.
  @_noAllocation @_noLocks
  public mutating func copyReadable(
    into destination: UnsafeMutableRawPointer, byteCount: Int, _ memory: inout MemoryView
  ) throws(QueueError) -> Int {
    var copied = 0
    while copied < byteCount, try hasReadable(&memory) {
      let run = try takeRun(byteCount &- copied, &memory)
      // SAFETY: the run is checked guest memory; the destination has room for byteCount bytes.
      unsafe cring_copy(destination + copied, run.pointer, run.byteCount)
      copied &+= run.byteCount
    }
    return copied
  }

  /// Adds the next readable bytes to a list; false where the readable part is shorter.
  @_noAllocation @_noLocks
  public mutating func collectReadable(
    byteCount: Int, into list: inout SpanList, _ memory: inout MemoryView
  ) throws(QueueError) -> Bool {
    var missing = byteCount
    while missing > 0, try hasReadable(&memory) {
      let run = try takeRun(missing, &memory)
      guard list.append(run) else { return false }
      missing &-= run.byteCount
    }
    return missing == 0
  }

  /// Adds the next writable bytes to a list; false where the writable part is shorter.
  @_noAllocation @_noLocks
  public mutating func collectWritable(
    byteCount: Int, into list: inout SpanList, _ memory: inout MemoryView
  ) throws(QueueError) -> Bool {
    var missing = byteCount
    while missing > 0, try hasWritable(&memory) {
      let run = try takeRun(missing, &memory)
      guard list.append(run) else { return false }
      missing &-= run.byteCount
    }
    return missing == 0
  }

  /// Walks to the end of the chain; the last byte that may be written, or nil if there is none.
  ///
  /// Afterwards `writableByteCount` is that of the whole chain, and nothing more can be read.
  @_noAllocation @_noLocks
  public mutating func lastWritableByte(
    _ memory: inout MemoryView
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    while try advance(&memory) {}
    guard lastWritableByteCount > 0 else { return nil }
    let last = lastWritableAddress.addingReportingOverflow(UInt64(lastWritableByteCount) &- 1)
    guard !last.overflow, let slice = memory.slice(at: last.partialValue, atMost: 1) else {
      throw .addressOutsideMemory(
        address: lastWritableAddress, byteCount: lastWritableByteCount)
    }
    return unsafe slice.pointer
  }
}
