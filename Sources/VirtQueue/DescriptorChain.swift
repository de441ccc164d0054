import CRingShims
public import GuestMemory

/// A reader that walks one descriptor chain, once and forwards.
///
/// Descriptors are read when they are needed, so that a long chain costs no more than what is asked of it; those that
/// are skipped are not translated. First comes the readable part, then the writable one. A plain value over the queue's
/// and the guest's memory; valid until the queue stops, and in a packed ring until a chain is completed, whose used
/// descriptor may lie over this one.
@safe
public struct DescriptorChain {
  /// The head's place in the ring.
  public let head: UInt16
  /// What the used entry is written with.
  public var ticket: ChainTicket
  /// Bytes of all writable descriptors read so far; of the whole chain once `lastWritableByte` has returned.
  public private(set) var writableByteCount: UInt64 = 0

  private var table: UnsafePointer<UInt8>
  private var tableCount: UInt32
  private var isIndirectTable = false
  /// Of a descriptor's `next`: all bits where descriptors are linked, none where they follow each other.
  private let linkMask: UInt16
  private var isSequential: Bool { @_noAllocation @_noLocks get { linkMask == 0 } }
  /// Where the flags are in a descriptor's second word.
  private let flagsShift: UInt64
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

  /// A chain of linked descriptors (split rings), of any length up to the table's.
  @_noAllocation @_noLocks
  init(
    linkedAt head: UInt16, table: UnsafePointer<UInt8>, tableCount: UInt32,
    scratch: UnsafeMutablePointer<UInt8>
  ) {
    unsafe self.init(
      head: head, id: head, slotCount: 1, isSequential: false, table: table,
      tableCount: tableCount, budget: tableCount, scratch: scratch)
  }

  /// A chain of `slotCount` descriptors one behind the other, around the end of the ring (packed rings).
  @_noAllocation @_noLocks
  init(
    sequentialAt head: UInt16, slotCount: UInt16, id: UInt16, ring: UnsafePointer<UInt8>,
    size: UInt16, scratch: UnsafeMutablePointer<UInt8>
  ) {
    unsafe self.init(
      head: head, id: id, slotCount: slotCount, isSequential: true, table: ring,
      tableCount: UInt32(size), budget: UInt32(slotCount), scratch: scratch)
  }

  @_noAllocation @_noLocks
  private init(
    head: UInt16, id: UInt16, slotCount: UInt16, isSequential: Bool,
    table: UnsafePointer<UInt8>, tableCount: UInt32, budget: UInt32,
    scratch: UnsafeMutablePointer<UInt8>
  ) {
    self.head = head
    ticket = ChainTicket(id: id, slotCount: slotCount)
    linkMask = isSequential ? 0 : .max
    flagsShift = isSequential ? 48 : 32
    unsafe self.table = table
    self.tableCount = tableCount
    unsafe self.scratch = scratch
    next = head
    self.budget = budget
  }

  /// The longest indirect table that is accepted: what 16-bit links can name.
  public static var maximumIndirectCount: Int { @_noAllocation @_noLocks get { 32768 } }

  /// Goes on in the table of an indirect descriptor, which ends the chain of direct ones.
  ///
  /// Spec: virtio 1.3 §2.7.5.3 Indirect Descriptors, §2.8.7 Indirect Flag: Scatter-Gather Support.
  @_noAllocation @_noLocks
  mutating func enter(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) {
    if isIndirectTable { throw .nestedIndirect(head: head) }
    if descriptor.hasNext { throw .indirectInChain(head: head) }
    let byteCount = Int(descriptor.byteCount)
    guard byteCount > 0, byteCount & 15 == 0, byteCount / 16 <= Self.maximumIndirectCount
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

  /// What an indirect descriptor behind others means; true where it is entered, false where its flag is to be ignored.
  ///
  /// Spec: virtio 1.3 §2.8.19 Driver Requirements: Indirect Descriptors: in a packed ring none is linked by NEXT, and in
  /// its tables all flags but WRITE are reserved.
  @_noAllocation @_noLocks
  private mutating func enterInChain(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) -> Bool {
    if isSequential {
      if isIndirectTable { return false }
      throw .indirectInChain(head: head)
    }
    try enter(descriptor, &memory)
    return true
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
      if UInt32(next) >= tableCount {
        guard isSequential else { throw .nextOutOfRange(next) }
        next = 0
      }
      if budget == 0 {
        guard isSequential else { throw .descriptorLoop(head: head) }
        hasNext = false
        break
      }
      budget &-= 1
      // SAFETY: next < tableCount, and the table's bytes were translated as a whole.
      let descriptor = unsafe Descriptor(at: table + Int(next) &* 16, flagsShift: flagsShift)
      if descriptor.isIndirect, try enterInChain(descriptor, &memory) { continue }
      // Masked, not branched on: how descriptors follow each other is settled when the queue starts. Those that are not
      // linked go on until the budget is spent.
      hasNext = (descriptor.flags | ~linkMask) & 1 != 0
      next = descriptor.next & linkMask | (next &+ 1) & ~linkMask
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
  /// Afterwards `writableByteCount` and the ticket's are those of the whole chain, and nothing more can be read.
  @_noAllocation @_noLocks
  public mutating func lastWritableByte(
    _ memory: inout MemoryView
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    while try advance(&memory) {}
    ticket.writableByteCount = UInt32(clamping: writableByteCount)
    guard lastWritableByteCount > 0 else { return nil }
    let last = lastWritableAddress.addingReportingOverflow(UInt64(lastWritableByteCount) &- 1)
    guard !last.overflow, let slice = memory.slice(at: last.partialValue, atMost: 1) else {
      throw .addressOutsideMemory(
        address: lastWritableAddress, byteCount: lastWritableByteCount)
    }
    return unsafe slice.pointer
  }
}
