import CRingShims
public import GuestMemory

extension DescriptorChain {
  /// Whether a buffer to be written shares bytes with one to be read, as far as that can be told: true also for long chains
  /// with a buffer that no region has as a whole, and where one is not in memory.
  ///
  /// Call it right after `readAhead`, or later where the chain was not long then. Too slow for every chain.
  @_noAllocation @_noLocks
  @inline(never)
  public func writesOverWhatItReads(_ memory: inout MemoryView) -> Bool {
    if hasNext { return isLongAndWritesOverWhatItReads(&memory) }
    var read = 0
    while read < readableCount {
      var write = readableCount
      while write < count {
        // SAFETY: both are below the window's count.
        if unsafe runs[read].overlaps(runs[write], &memory) { return true }
        write &+= 1
      }
      read &+= 1
    }
    return false
  }

  /// Whether a buffer to be written shares bytes with the first `byteCount` to be read; for chains that were not long when
  /// they were read.
  @_noAllocation @_noLocks
  @inline(never)
  public func writesOverItsBeginning(byteCount: Int, _ memory: inout MemoryView) -> Bool {
    var left = UInt32(truncatingIfNeeded: byteCount)
    var read = 0
    while read < readableCount, left > 0 {
      // SAFETY: below the window's count, as below.
      let run = unsafe runs[read]
      let part = ChainRun(
        start: run.start, byteCount: min(run.byteCount, left),
        mappedByteCount: min(run.mappedByteCount, left))
      var write = readableCount
      while write < count {
        if unsafe part.overlaps(runs[write], &memory) { return true }
        write &+= 1
      }
      left &-= part.byteCount
      read &+= 1
    }
    return false
  }

  /// The same for a chain that is longer than its window, as those of Linux's driver are from 32 KiB on.
  ///
  /// All of its buffers are listed where an indirect table that crosses regions would be put together, and the readable
  /// ones sorted: a chain may have tens of thousands. The window is as it was afterwards.
  @_noAllocation @_noLocks
  private func isLongAndWritesOverWhatItReads(_ memory: inout MemoryView) -> Bool {
    let room = unsafe ChainScratch.tableRoom(behind: runs)
    if unsafe table == UnsafePointer(room) { return true }
    let window = unsafe runs
    let saved = unsafe ChainScratch.copyOfWindow(behind: runs)
    // SAFETY: the window and its copy have room for as many runs, which are plain numbers.
    unsafe cring_copy(saved, window, ChainScratch.windowByteCount)
    defer { unsafe cring_copy(window, saved, ChainScratch.windowByteCount) }
    var list = unsafe RunList(room)
    var readableTotal = 0
    var walk = self
    while true {
      guard unsafe list.append(walk.runs, count: walk.count) else { return true }
      readableTotal &+= walk.readableCount
      if !walk.hasNext { break }
      do throws(QueueError) {
        try walk.readAhead(&memory)
      } catch {
        // The ring's fault comes up when the chain is read for good.
        return true
      }
      // The table has taken the list's place.
      if unsafe walk.table == UnsafePointer(room) { return true }
    }
    list.sort(readableTotal)
    let merged = list.merge(readableTotal)
    var write = readableTotal
    while write < list.count {
      if list.overlaps(write, amongFirst: merged) { return true }
      write &+= 1
    }
    return false
  }
}

extension ChainRun {
  /// Whether two buffers share a byte; such as are not in memory may do so with any.
  @_noAllocation @_noLocks
  fileprivate func overlaps(_ other: ChainRun, _ memory: inout MemoryView) -> Bool {
    if mappedByteCount > 0, other.mappedByteCount > 0 {
      return Self.overlap(start, UInt64(byteCount), other.start, UInt64(other.byteCount))
    }
    return overlapsInPieces(other, &memory)
  }

  @_noAllocation @_noLocks
  private static func overlap(
    _ one: UInt64, _ oneCount: UInt64, _ other: UInt64, _ otherCount: UInt64
  ) -> Bool {
    // Wrapping: from either start to the other, one of the two is beyond any length.
    other &- one < oneCount || one &- other < otherCount
  }

  /// The same where one of them is in several regions.
  @_noAllocation @_noLocks
  @inline(never)
  private func overlapsInPieces(_ other: ChainRun, _ memory: inout MemoryView) -> Bool {
    var offset: UInt32 = 0
    while offset < byteCount {
      guard let piece = piece(offset, &memory) else { return true }
      var otherOffset: UInt32 = 0
      while otherOffset < other.byteCount {
        guard let otherPiece = other.piece(otherOffset, &memory) else { return true }
        if Self.overlap(
          piece.start, UInt64(piece.byteCount), otherPiece.start, UInt64(otherPiece.byteCount))
        {
          return true
        }
        otherOffset &+= otherPiece.byteCount
      }
      offset &+= piece.byteCount
    }
    return false
  }

  /// What one region has of it from an offset on, at an address of ours; nil where that is not in memory.
  @_noAllocation @_noLocks
  private func piece(_ offset: UInt32, _ memory: inout MemoryView) -> ChainRun? {
    if mappedByteCount > 0 { return self }
    let address = start.addingReportingOverflow(UInt64(offset))
    guard !address.overflow,
      let slice = memory.slice(at: address.partialValue, atMost: Int(byteCount &- offset)),
      slice.byteCount > 0
    else { return nil }
    let count = UInt32(truncatingIfNeeded: slice.byteCount)
    return ChainRun(
      start: unsafe UInt64(UInt(bitPattern: slice.pointer)), byteCount: count,
      mappedByteCount: count)
  }

  fileprivate var end: UInt64 {
    @_noAllocation @_noLocks get { start &+ UInt64(byteCount) }
  }
}

/// The buffers of a long chain, all of them in mapped memory, whose addresses do not wrap.
@safe
private struct RunList {
  private let runs: UnsafeMutablePointer<ChainRun>
  private(set) var count = 0

  /// `room`: for as many as an indirect table has descriptors.
  @_noAllocation @_noLocks
  init(_ room: UnsafeMutablePointer<UInt8>) {
    // SAFETY: the room is aligned to pages, has 16 bytes for each descriptor, and holds nothing else now.
    unsafe runs = UnsafeMutableRawPointer(room).assumingMemoryBound(to: ChainRun.self)
  }

  /// False where there is no room, or where a buffer is in no region as a whole.
  @_noAllocation @_noLocks
  mutating func append(_ more: UnsafeMutablePointer<ChainRun>, count moreCount: Int) -> Bool {
    guard count &+ moreCount <= DescriptorChain.maximumIndirectCount else { return false }
    var index = 0
    while index < moreCount {
      // SAFETY: within the window, and within the room, as checked above.
      let run = unsafe more[index]
      if run.mappedByteCount == 0 { return false }
      unsafe runs[count] = run
      count &+= 1
      index &+= 1
    }
    return true
  }

  /// Sorts the first ones by where they start: heapsort, which takes no memory.
  @_noAllocation @_noLocks
  mutating func sort(_ number: Int) {
    var root = number / 2
    while root > 0 {
      root &-= 1
      sift(root, number)
    }
    var last = number &- 1
    while last > 0 {
      swap(0, last)
      sift(0, last)
      last &-= 1
    }
  }

  @_noAllocation @_noLocks
  private mutating func sift(_ start: Int, _ end: Int) {
    var root = start
    while true {
      var child = root &* 2 &+ 1
      guard child < end else { return }
      // SAFETY: root < child < end, which is at most the list's count.
      if child &+ 1 < end, unsafe runs[child].start < runs[child &+ 1].start { child &+= 1 }
      guard unsafe runs[root].start < runs[child].start else { return }
      swap(root, child)
      root = child
    }
  }

  @_noAllocation @_noLocks
  private mutating func swap(_ one: Int, _ other: Int) {
    // SAFETY: both are below the count.
    let run = unsafe runs[one]
    unsafe runs[one] = runs[other]
    unsafe runs[other] = run
  }

  /// Makes the first ones, which are sorted, such as each ends behind the one before; how many these are.
  @_noAllocation @_noLocks
  mutating func merge(_ number: Int) -> Int {
    guard number > 0 else { return 0 }
    var kept = 0
    var index = 1
    while index < number {
      // SAFETY: kept < index < count.
      if unsafe runs[index].end > runs[kept].end {
        kept &+= 1
        unsafe runs[kept] = runs[index]
      }
      index &+= 1
    }
    return kept &+ 1
  }

  /// Whether one shares a byte with any of the first ones, each of which starts and ends behind the one before.
  @_noAllocation @_noLocks
  func overlaps(_ place: Int, amongFirst number: Int) -> Bool {
    // SAFETY: the place and all that is below `number` are below the count.
    let run = unsafe runs[place]
    // The last one that starts before this one's end; those before it end earlier.
    var low = 0
    var high = number
    while low < high {
      let middle = (low &+ high) / 2
      if unsafe runs[middle].start < run.end { low = middle &+ 1 } else { high = middle }
    }
    return unsafe low > 0 && runs[low &- 1].end > run.start
  }
}
