import CRingShims
public import GuestMemory

/// A reader that walks one descriptor chain, once and forwards.
///
/// Descriptors are read and translated a window at a time, each exactly once; a chain that fits into one window, as
/// nearly all do, is read in one go. First comes the readable part, then the writable one. A plain value over the
/// queue's and the guest's memory, and one chain at a time has the window: valid until the queue's next chain is read,
/// and in a packed ring until a chain is completed, whose used descriptor may lie over this one.
@safe
public struct DescriptorChain {
  /// The head's place in the ring.
  public let head: UInt16
  /// What the used entry is written with.
  public var ticket: ChainTicket
  /// Bytes of all writable descriptors read so far; of the whole chain once `lastWritableByte` has returned.
  public internal(set) var writableByteCount: UInt64 = 0

  private var table: UnsafePointer<UInt8>
  private var tableCount: UInt32
  private var isIndirectTable = false
  /// Whether descriptors follow each other, or else are linked.
  private let isSequential: Bool
  /// The next descriptor to read, where there is one.
  private var next: UInt16
  @usableFromInline var hasNext = true
  /// Descriptors that may still be read before the chain must be running in a circle.
  private var budget: UInt32
  private var inWritablePart = false

  /// The window: buffers that were read and not used up. The queue's room, behind which it has more for an indirect
  /// table that crosses regions.
  @usableFromInline let runs: UnsafeMutablePointer<ChainRun>
  @usableFromInline var count = 0
  /// Those below are readable, the others writable.
  @usableFromInline var readableCount = 0
  /// The current buffer, and how much of it is used up.
  @usableFromInline var index = 0
  @usableFromInline var offset: UInt64 = 0
  /// The last writable one.
  @usableFromInline var lastWritable = unsafe ChainRun(pointer: nil, address: 0, byteCount: 0)

  /// A chain of linked descriptors (split rings), of any length up to the table's.
  @_noAllocation @_noLocks
  init(
    linkedAt head: UInt16, table: UnsafePointer<UInt8>, tableCount: UInt32,
    window: UnsafeMutablePointer<ChainRun>
  ) {
    unsafe self.init(
      head: head, id: head, slotCount: 1, isSequential: false, table: table,
      tableCount: tableCount, budget: tableCount, window: window)
  }

  /// A chain of `slotCount` descriptors one behind the other, around the end of the ring (packed rings).
  @_noAllocation @_noLocks
  init(
    sequentialAt head: UInt16, slotCount: UInt16, id: UInt16, ring: UnsafePointer<UInt8>,
    size: UInt16, window: UnsafeMutablePointer<ChainRun>
  ) {
    unsafe self.init(
      head: head, id: id, slotCount: slotCount, isSequential: true, table: ring,
      tableCount: UInt32(size), budget: UInt32(slotCount), window: window)
  }

  @_noAllocation @_noLocks
  private init(
    head: UInt16, id: UInt16, slotCount: UInt16, isSequential: Bool,
    table: UnsafePointer<UInt8>, tableCount: UInt32, budget: UInt32,
    window: UnsafeMutablePointer<ChainRun>
  ) {
    self.head = head
    ticket = ChainTicket(id: id, slotCount: slotCount)
    self.isSequential = isSequential
    unsafe self.table = table
    self.tableCount = tableCount
    unsafe runs = window
    next = head
    self.budget = budget
  }

  /// The longest indirect table that is accepted: what 16-bit links can name.
  public static var maximumIndirectCount: Int { @_noAllocation @_noLocks get { 32768 } }

  // MARK: - Reading descriptors

  /// Goes on in the table of an indirect descriptor, which ends the chain of direct ones.
  ///
  /// Spec: virtio 1.3 §2.7.5.3 Indirect Descriptors, §2.8.7 Indirect Flag: Scatter-Gather Support.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func enter(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) {
    if isIndirectTable { throw .nestedIndirect(head: head) }
    if descriptor.hasNext { throw .indirectInChain(head: head) }
    let byteCount = Int(descriptor.byteCount)
    guard byteCount > 0, byteCount & 15 == 0, byteCount / 16 <= Self.maximumIndirectCount
    else { throw .indirectLength(descriptor.byteCount) }
    if let pointer = unsafe memory.pointer(at: descriptor.address, byteCount: UInt64(byteCount)) {
      unsafe table = UnsafePointer(pointer)
    } else {
      unsafe table = UnsafePointer(try assemble(descriptor, &memory))
    }
    tableCount = descriptor.byteCount / 16
    isIndirectTable = true
    budget = tableCount
    next = 0
    hasNext = true
  }

  /// What an indirect descriptor means; true where it is entered, false where its flag is to be ignored.
  ///
  /// Spec: virtio 1.3 §2.8.19 Driver Requirements: Indirect Descriptors: in a packed ring none is linked by NEXT, and in
  /// its tables all flags but WRITE are reserved.
  @_noAllocation @_noLocks
  @inline(__always)
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

  /// Copies an indirect table that crosses regions to the room for it.
  @_noAllocation @_noLocks
  @inline(never)
  private func assemble(
    _ descriptor: Descriptor, _ memory: inout MemoryView
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8> {
    let room = unsafe ChainScratch.tableRoom(behind: runs)
    var offset = 0
    let byteCount = Int(descriptor.byteCount)
    while offset < byteCount {
      let address = descriptor.address.addingReportingOverflow(UInt64(offset))
      guard !address.overflow,
        let slice = memory.slice(at: address.partialValue, atMost: byteCount &- offset)
      else {
        throw .addressOutsideMemory(address: descriptor.address, byteCount: descriptor.byteCount)
      }
      // SAFETY: there is room for the longest table that is accepted.
      unsafe cring_copy(room + offset, slice.pointer, slice.byteCount)
      offset &+= slice.byteCount
    }
    return unsafe room
  }

  /// Reads the next descriptors into the window, all of whose buffers are used up.
  ///
  /// Call it once before the first use of a chain, to have the ways below find their buffers; they call it themselves
  /// where a chain is longer than the window.
  @_noAllocation @_noLocks
  public mutating func readAhead(_ memory: inout MemoryView) throws(QueueError) {
    // How descriptors follow each other is settled when the queue starts: two loops, neither of which asks.
    if isSequential {
      try readWindow(isSequential: true, &memory)
    } else {
      try readWindow(isSequential: false, &memory)
    }
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func readWindow(
    isSequential: Bool, _ memory: inout MemoryView
  ) throws(QueueError) {
    // In locals: the stores into the window could otherwise be stores into this value.
    let runs = unsafe runs
    var (next, hasNext, budget) = (next, hasNext, budget)
    var table = unsafe self.table
    var tableCount = tableCount
    var region = memory.lastRegion
    var written: UInt64 = 0
    var count = 0
    // Where the writable part begins.
    var firstWritable = inWritablePart ? 0 : Int.max
    while hasNext, count < ChainScratch.windowCount {
      if UInt32(next) >= tableCount {
        guard isSequential else { throw .nextOutOfRange(next) }
        next = 0
      }
      if budget == 0 {
        guard isSequential else { throw .descriptorLoop(head: head) }
        // Those that are not linked go on until the budget is spent.
        hasNext = false
        break
      }
      budget &-= 1
      // SAFETY: next < tableCount, and the table's bytes were translated as a whole.
      let descriptor = unsafe Descriptor(
        at: table + Int(next) &* 16, flagsShift: isSequential ? 48 : 32)
      if descriptor.isIndirect, try enterInChain(descriptor, &memory) {
        (next, hasNext, budget) = (self.next, self.hasNext, self.budget)
        unsafe table = self.table
        tableCount = self.tableCount
        region = memory.lastRegion
        continue
      }
      if isSequential {
        next &+= 1
      } else {
        hasNext = descriptor.hasNext
        next = descriptor.next
      }
      // Real drivers leave empty descriptors anywhere.
      if descriptor.byteCount == 0 { continue }
      let byteCount = UInt64(descriptor.byteCount)
      if descriptor.isWritable {
        if firstWritable > count { firstWritable = count }
        written &+= byteCount
      } else if firstWritable <= count {
        throw .readableAfterWritable(head: head)
      }
      var pointer = unsafe region.pointer(at: descriptor.address, byteCount: byteCount)
      if unsafe pointer == nil {
        // What is in no region as a whole is looked at again when it is used, and what is skipped may be anywhere.
        unsafe pointer = memory.pointer(at: descriptor.address, byteCount: byteCount)
        region = memory.lastRegion
      }
      // SAFETY: count < windowCount.
      unsafe runs[count] = ChainRun(
        pointer: pointer, address: descriptor.address, byteCount: byteCount)
      count &+= 1
    }
    (self.next, self.hasNext, self.budget) = (next, hasNext, budget)
    writableByteCount &+= written
    self.count = count
    index = 0
    offset = 0
    readableCount = Swift.min(firstWritable, count)
    if readableCount < count {
      inWritablePart = true
      // SAFETY: count > 0.
      lastWritable = unsafe runs[count &- 1]
    }
  }

  // MARK: - One buffer that has it all

  /// The next readable bytes, where one buffer in one region has them all, and moves behind them; nil where it takes one
  /// of the ways below.
  ///
  /// `byteCount` is not negative.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func takeReadable(_ byteCount: Int) -> UnsafeMutablePointer<UInt8>? {
    guard index < readableCount else { return nil }
    return unsafe takeCurrent(byteCount)
  }

  /// The next writable bytes, likewise; what is left of the readable part is skipped.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func takeWritable(_ byteCount: Int) -> UnsafeMutablePointer<UInt8>? {
    if index < readableCount {
      index = readableCount
      offset = 0
    }
    guard index < count else { return nil }
    return unsafe takeCurrent(byteCount)
  }

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func takeCurrent(_ byteCount: Int) -> UnsafeMutablePointer<UInt8>? {
    // SAFETY: index < count; the run was translated as a whole, and its end is not passed.
    let run = unsafe runs[index]
    let start = offset
    let end = start &+ UInt64(bitPattern: Int64(byteCount))
    guard end <= run.byteCount, let pointer = unsafe run.pointer else { return nil }
    moveTo(end, of: run.byteCount)
    return unsafe pointer + Int(start)
  }

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func moveTo(_ end: UInt64, of byteCount: UInt64) {
    let isUsedUp = end == byteCount
    offset = isUsedUp ? 0 : end
    index = isUsedUp ? index &+ 1 : index
  }

  // MARK: - Any number of buffers

  /// Makes sure that there is a current buffer; false at the end of the chain.
  @_noAllocation @_noLocks
  private mutating func hasRun(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    while index == count {
      guard hasNext else { return false }
      try readAhead(&memory)
    }
    return true
  }

  /// Makes sure that there is a current readable byte; false where the readable part has ended.
  @_noAllocation @_noLocks
  private mutating func hasReadable(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    try hasRun(&memory) && index < readableCount
  }

  /// Makes sure that there is a current writable byte, skipping what is left of the readable part.
  @_noAllocation @_noLocks
  private mutating func hasWritable(_ memory: inout MemoryView) throws(QueueError) -> Bool {
    while try hasRun(&memory) {
      if index >= readableCount { return true }
      index = readableCount
      offset = 0
    }
    return false
  }

  /// The longest run at the current byte, at most `byteCount` long, and moves behind it.
  @_noAllocation @_noLocks
  private mutating func takeRun(
    _ byteCount: Int, _ memory: inout MemoryView
  ) throws(QueueError) -> GuestSlice {
    // SAFETY: there is a current run.
    let run = unsafe runs[index]
    let left = run.byteCount &- offset
    let wanted = Swift.min(byteCount, Int(left))
    // Wrapping: an address beyond 2^64 is in no region.
    guard let slice = memory.slice(at: run.address &+ offset, atMost: wanted) else {
      throw .addressOutsideMemory(
        address: run.address &+ offset, byteCount: UInt32(truncatingIfNeeded: left))
    }
    moveTo(offset &+ UInt64(slice.byteCount), of: run.byteCount)
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

  // MARK: - The end

  /// Walks to the end of the chain; the last byte that may be written, or nil if there is none.
  ///
  /// Afterwards `writableByteCount` and the ticket's are those of the whole chain, and nothing more can be read.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func lastWritableByte(
    _ memory: inout MemoryView
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    if !hasNext, let pointer = unsafe lastWritable.pointer {
      index = count
      ticket.writableByteCount = UInt32(clamping: writableByteCount)
      // SAFETY: the run was translated as a whole, and is not empty.
      return unsafe pointer + Int(lastWritable.byteCount &- 1)
    }
    return unsafe try findLastWritableByte(&memory)
  }

  @_noAllocation @_noLocks
  @inline(never)
  @usableFromInline
  mutating func findLastWritableByte(
    _ memory: inout MemoryView
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    while hasNext { try readAhead(&memory) }
    index = count
    ticket.writableByteCount = UInt32(clamping: writableByteCount)
    let run = lastWritable
    guard run.byteCount > 0 else { return nil }
    // SAFETY: the run was translated as a whole.
    if let pointer = unsafe run.pointer { return unsafe pointer + Int(run.byteCount &- 1) }
    let last = run.address.addingReportingOverflow(run.byteCount &- 1)
    guard !last.overflow, let slice = memory.slice(at: last.partialValue, atMost: 1) else {
      throw .addressOutsideMemory(
        address: run.address, byteCount: UInt32(truncatingIfNeeded: run.byteCount))
    }
    return unsafe slice.pointer
  }
}
