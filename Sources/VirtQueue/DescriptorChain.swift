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
  public internal(set) var head: UInt16 = 0
  /// What the used entry is written with.
  public var ticket = ChainTicket(id: 0, slotCount: 0)
  /// Bytes of all writable descriptors read so far; of the whole chain once `lastWritableByte` has returned.
  public internal(set) var writableByteCount: UInt64 = 0

  /// Whether it was in flight when an earlier daemon ended, which may have written some of its result.
  public internal(set) var isResubmitted = false

  /// What it is known by in the record of requests in flight, and no other chain ever was; where one is kept.
  public internal(set) var recordNumber: UInt64 = 0

  private(set) var table: UnsafePointer<UInt8>
  private var tableCount: UInt32 = 0
  private var isIndirectTable = false
  /// Whether descriptors follow each other, or else are linked.
  private var isSequential = false
  /// The next descriptor to read, where there is one.
  private var next: UInt16 = 0
  @usableFromInline var hasNext = false
  /// Whether there are descriptors behind those read so far.
  public var isLong: Bool { @_noAllocation @_noLocks get { hasNext } }
  /// Descriptors that may still be read before the chain must be running in a circle.
  private var budget: UInt32 = 0
  private var inWritablePart = false

  // The window: buffers that were read and not used up. The queue's room, behind which it has more for an indirect table
  // that crosses regions.
  @usableFromInline var runs: UnsafeMutablePointer<ChainRun>
  @usableFromInline var count = 0
  /// Those below are readable, the others writable.
  @usableFromInline var readableCount = 0
  /// The current buffer, and how much of it is used up.
  @usableFromInline var index = 0
  @usableFromInline var offset: UInt64 = 0
  /// The last writable one of the windows before.
  @usableFromInline var lastWritable = ChainRun(start: 0, byteCount: 0, mappedByteCount: 0)

  /// No chain; rings start one in it (`takeChain`).
  ///
  /// Started in place and not returned: it is too large to be copied for every request.
  @_noAllocation @_noLocks
  public init() {
    // SAFETY: never dereferenced: there is nothing to read.
    unsafe table = UnsafePointer(bitPattern: 16).unsafelyUnwrapped
    unsafe runs = UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
  }

  /// Starts a chain of linked descriptors (split rings), of any length up to the table's.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func start(
    linkedAt head: UInt16, table: UnsafePointer<UInt8>, tableCount: UInt32,
    window: UnsafeMutablePointer<ChainRun>
  ) {
    unsafe start(
      head: head, id: head, slotCount: 1, isSequential: false, table: table,
      tableCount: tableCount, budget: tableCount, window: window)
  }

  /// Starts a chain of `slotCount` descriptors one behind the other, around the end of the ring (packed rings).
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func start(
    sequentialAt head: UInt16, slotCount: UInt16, id: UInt16, ring: UnsafePointer<UInt8>,
    size: UInt16, window: UnsafeMutablePointer<ChainRun>
  ) {
    unsafe start(
      head: head, id: id, slotCount: slotCount, isSequential: true, table: ring,
      tableCount: UInt32(size), budget: UInt32(slotCount), window: window)
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func start(
    head: UInt16, id: UInt16, slotCount: UInt16, isSequential: Bool,
    table: UnsafePointer<UInt8>, tableCount: UInt32, budget: UInt32,
    window: UnsafeMutablePointer<ChainRun>
  ) {
    self.head = head
    ticket = ChainTicket(id: id, slotCount: slotCount)
    self.isSequential = isSequential
    unsafe self.table = table
    self.tableCount = tableCount
    isIndirectTable = false
    unsafe runs = window
    next = head
    hasNext = true
    self.budget = budget
    inWritablePart = false
    isResubmitted = false
    writableByteCount = 0
    count = 0
    index = 0
    offset = 0
    readableCount = 0
    lastWritable = ChainRun(start: 0, byteCount: 0, mappedByteCount: 0)
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
    if readableCount < count {
      // SAFETY: count > 0.
      lastWritable = unsafe runs[count &- 1]
    }
    count = 0
    index = 0
    offset = 0
    readableCount = 0
    while hasNext, count < ChainScratch.windowCount {
      let region = memory.lastRegion
      isSequential
        ? readUsual(isSequential: true, region) : readUsual(isSequential: false, region)
      if hasNext, count < ChainScratch.windowCount { try readAny(&memory) }
    }
  }

  /// Reads descriptors while they are the usual ones: readable, then writable, not empty, not indirect, in one region.
  ///
  /// How they follow each other is settled when the queue starts: the loop is compiled for either order, and makes no
  /// call, so that all it works on stays in registers.
  @_noAllocation @_noLocks
  @_transparent
  private mutating func readUsual(isSequential: Bool, _ region: RegionEntry) {
    // SAFETY: next < tableCount in every turn, and the table's bytes were translated as a whole; the window has as many
    // places as turns are left.
    let table = unsafe self.table
    let limit = tableCount
    var position = UInt32(next)
    guard position < limit else { return }
    var run = unsafe runs + count
    let most = Swift.min(budget, UInt32(truncatingIfNeeded: ChainScratch.windowCount &- count))
    var turns = most
    // Of the part that is read: what its descriptors' flags are, and whether their bytes count as writable.
    var flags: UInt16 = inWritablePart ? Descriptor.writableFlag : 0
    var mask: UInt64 = inWritablePart ? .max : 0
    var turnsAtWritable = most
    var written: UInt64 = 0
    var goesOn = true
    while turns > 0 {
      let descriptor = unsafe Descriptor(
        at: table + Int(position) &* 16, flagsShift: isSequential ? 48 : 32)
      let mapped = region.offset(of: descriptor.address)
      if descriptor.directionFlags != flags {
        // The writable part begins, once.
        guard descriptor.directionFlags == Descriptor.writableFlag else { break }
        flags = Descriptor.writableFlag
        mask = .max
        turnsAtWritable = turns
      }
      guard region.holds(mapped, byteCount: descriptor.byteCount) else { break }
      unsafe run.pointee = ChainRun(mappedAt: region, mapped, byteCount: descriptor.byteCount)
      unsafe run += 1
      turns &-= 1
      written &+= UInt64(descriptor.byteCount) & mask
      if isSequential {
        position &+= 1
        if position == limit { position = 0 }
      } else {
        position = UInt32(descriptor.next)
        goesOn = descriptor.hasNext
        guard goesOn, position < limit else { break }
      }
    }
    let taken = most &- turns
    budget &-= taken
    next = UInt16(truncatingIfNeeded: position)
    hasNext = isSequential ? budget > 0 : goesOn
    if !inWritablePart {
      readableCount = count &+ Int(flags == 0 ? taken : most &- turnsAtWritable)
      // A writable descriptor that was seen and not taken is looked at again.
      inWritablePart = flags != 0 && turnsAtWritable != turns
    }
    count &+= Int(taken)
    writableByteCount &+= written
  }

  /// Reads one descriptor of any kind; the window has room for it.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func readAny(_ memory: inout MemoryView) throws(QueueError) {
    if UInt32(next) >= tableCount {
      guard isSequential else { throw .nextOutOfRange(next) }
      next = 0
    }
    if budget == 0 {
      guard isSequential else { throw .descriptorLoop(head: head) }
      hasNext = false
      return
    }
    budget &-= 1
    // SAFETY: next < tableCount, and the table's bytes were translated as a whole.
    let descriptor = unsafe Descriptor(
      at: table + Int(next) &* 16, flagsShift: isSequential ? 48 : 32)
    if descriptor.isIndirect, try enterInChain(descriptor, &memory) { return }
    if isSequential {
      next &+= 1
      hasNext = budget > 0
    } else {
      hasNext = descriptor.hasNext
      next = descriptor.next
    }
    // Real drivers leave empty descriptors anywhere.
    if descriptor.byteCount == 0 { return }
    if descriptor.isWritable {
      if !inWritablePart { readableCount = count }
      inWritablePart = true
      writableByteCount &+= UInt64(descriptor.byteCount)
    } else {
      if inWritablePart { throw .readableAfterWritable(head: head) }
      readableCount = count &+ 1
    }
    // What is in no region as a whole is looked at again when it is used; what is skipped may be anywhere.
    // SAFETY: count < windowCount.
    unsafe runs[count] = ChainRun(at: descriptor.address, byteCount: descriptor.byteCount, &memory)
    count &+= 1
  }

  // MARK: - One buffer that has it all

  /// The next readable bytes, where one buffer in one region has them all, and moves behind them; nil where it takes one
  /// of the ways below.
  ///
  /// `byteCount` is above 0.
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
    guard end <= UInt64(run.mappedByteCount) else { return nil }
    moveTo(end, of: UInt64(run.mappedByteCount))
    return unsafe run.pointer(start)
  }

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func moveTo(_ end: UInt64, of byteCount: UInt64) {
    let isUsedUp = end == byteCount
    offset = isUsedUp ? 0 : end
    index = isUsedUp ? index &+ 1 : index
  }

  /// Where a chain is in its window.
  @frozen
  public struct Place {
    @usableFromInline var index: Int
    @usableFromInline var offset: UInt64
    @_noAllocation @_noLocks
    @inlinable init(index: Int, offset: UInt64) {
      self.index = index
      self.offset = offset
    }
  }

  /// To go back to what the ways above have taken since.
  @inlinable public var place: Place {
    @_noAllocation @_noLocks get { Place(index: index, offset: offset) }
  }

  /// Back to a place; only the ways above were used since.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func goBack(to place: Place) {
    index = place.index
    offset = place.offset
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
    let left = UInt64(run.byteCount) &- offset
    let wanted = Swift.min(byteCount, Int(left))
    if run.mappedByteCount > 0 {
      let slice = unsafe GuestSlice(pointer: run.pointer(offset), byteCount: wanted)
      moveTo(offset &+ UInt64(wanted), of: UInt64(run.byteCount))
      return slice
    }
    // Wrapping: an address beyond 2^64 is in no region.
    guard let slice = memory.slice(at: run.start &+ offset, atMost: wanted) else {
      throw .addressOutsideMemory(
        address: run.start &+ offset, byteCount: UInt32(truncatingIfNeeded: left))
    }
    moveTo(offset &+ UInt64(slice.byteCount), of: UInt64(run.byteCount))
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
    if !hasNext, readableCount < count {
      // SAFETY: count > 0; the run was translated as a whole, and is not empty.
      let run = unsafe runs + (count &- 1)
      let mappedByteCount = unsafe run.pointee.mappedByteCount
      if mappedByteCount > 0 {
        index = count
        ticket.writableByteCount = UInt32(clamping: writableByteCount)
        return unsafe run.pointee.pointer(UInt64(mappedByteCount) &- 1)
      }
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
    // SAFETY: count > 0 where there is one in the window.
    let run = readableCount < count ? unsafe runs[count &- 1] : lastWritable
    guard run.byteCount > 0 else { return nil }
    // SAFETY: the run was translated as a whole.
    if run.mappedByteCount > 0 { return unsafe run.pointer(UInt64(run.mappedByteCount) &- 1) }
    let last = run.start.addingReportingOverflow(UInt64(run.byteCount) &- 1)
    guard !last.overflow, let slice = memory.slice(at: last.partialValue, atMost: 1) else {
      throw .addressOutsideMemory(address: run.start, byteCount: run.byteCount)
    }
    return unsafe slice.pointer
  }
}
