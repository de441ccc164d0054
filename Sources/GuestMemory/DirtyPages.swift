import CRingShims

/// A worker's way to its log of dirty pages.
///
/// A page whose bit was cleared before it was written must have it again afterwards, so bits are set behind the writes:
/// `note` takes down what was written, as it is in our address space, `flush` translates that and sets the bits before the
/// driver sees a result, `markRing` those of the ring's own parts behind its index. Requests of a batch often write to the
/// same pages: what lies in pages that were noted last is known by two comparisons. A bit that is set already is only
/// looked at, which leaves the line of the log shared; the fence in front keeps that look behind the writes. The ring's
/// parts are marked whole: that is a byte or two of the log.
///
/// Where nothing is logged, `isOn` is all that is ever looked at. Used by one thread.
@safe
public struct DirtyPages: ~Copyable {
  /// The used part of a split ring; descriptors and device events of a packed one.
  public static let ringRangeCapacity = 2
  /// Runs of bytes that are noted before bits are set; more than most batches have.
  @usableFromInline static var capacity: Int { @inlinable @_noAllocation @_noLocks get { 256 } }

  /// A region by its address in our process.
  fileprivate struct Region {
    var start: UInt64
    var byteCount: UInt64
    var guestAddress: UInt64
  }

  /// Bytes of ours that were written.
  @usableFromInline
  struct NotedRun {
    @usableFromInline var start: UInt64
    @usableFromInline var byteCount: UInt64

    @_noAllocation @_noLocks
    @inlinable @inline(__always)
    init(start: UInt64, byteCount: UInt64) {
      self.start = start
      self.byteCount = byteCount
    }
  }

  /// Pages that follow each other, the last included.
  private struct PageRun {
    var first: UInt64
    var last: UInt64

    @_noAllocation @_noLocks
    @inline(__always)
    init(_ address: UInt64, _ byteCount: UInt64) {
      // A region does not run over 2^64.
      first = address >> 12
      last = (address &+ byteCount &- 1) >> 12
    }

    init(address: UInt64, byteCount: UInt64) {
      first = address >> 12
      // Wrapping: what runs over 2^64 is beyond the end of every log.
      let end = address.addingReportingOverflow(byteCount &- 1)
      last = (end.overflow ? .max : end.partialValue) >> 12
    }
  }

  /// Addresses of ours, all in one region, whose pages are noted.
  @usableFromInline
  struct Window {
    @usableFromInline var start: UInt64 = 0
    @usableFromInline var byteCount: UInt64 = 0

    init() {}

    /// Everything: nothing has to be noted.
    static var all: Window {
      var window = Window()
      window.byteCount = .max
      return window
    }

    /// The pages of bytes, where those of the guest begin where ours do; of none, something that does not matter.
    @_noAllocation @_noLocks
    @inlinable @inline(__always)
    init(pagesOf address: UInt64, _ count: UInt64) {
      start = address & ~0xFFF
      byteCount = ((address &+ count &- 1) | 0xFFF) &+ 1 &- start
    }

    /// Whether a run's first byte and its last are inside; of an empty run, something that does not matter.
    @_noAllocation @_noLocks
    @inlinable @inline(__always)
    func contains(_ address: UInt64, _ count: UInt64) -> Bool {
      // Wrapping: what lies below the start is beyond any size.
      let first = address &- start
      let last = first &+ count &- 1
      return first < byteCount && last < byteCount
    }
  }

  public let isOn: Bool
  private let bits: UnsafeMutablePointer<UInt8>
  private let pageCount: UInt64
  private let regions: UnsafeMutablePointer<Region>
  private let regionCount: Int
  private let ring: UnsafeMutablePointer<PageRun>
  private let ringCount: Int
  @usableFromInline let runs: UnsafeMutablePointer<NotedRun>
  @usableFromInline var runCount = 0
  /// Whether all pages of the guest begin where pages of ours do.
  public let isPageAligned: Bool
  /// The region that was hit last.
  private var last = 0
  /// The pages that outputs and status bytes were last written to, which lie apart as a rule.
  ///
  /// Empty behind each `flush`; where buffers are not logged, everything.
  @usableFromInline var outputs = Window()
  @usableFromInline var statuses = Window()

  /// Logs nothing.
  public init() { self.init(nil, memory: MemoryMap()) }

  /// - `logging`: nil where nothing is logged. Its log must outlive the value.
  /// - `memory`: the map that the queue runs on, which must outlive the value.
  public init(_ logging: DirtyLogging?, memory: MemoryMap) {
    isOn = logging != nil
    // SAFETY: no page is below 0, so that a log which is not there is never looked at.
    unsafe bits = logging?.log.base ?? UnsafeMutablePointer(bitPattern: 1).unsafelyUnwrapped
    pageCount = logging?.log.pageCount ?? 0
    let sorted =
      logging == nil ? [] : memory.regions.map { Region($0) }.sorted { $0.start < $1.start }
    regionCount = sorted.count
    // One entry more than needed: an empty table has a region to look at, too, in which no address is.
    unsafe regions = .allocate(capacity: sorted.count + 1)
    for (index, region) in (sorted + [Region(start: 0, byteCount: 0, guestAddress: 0)]).enumerated()
    {
      unsafe (regions + index).initialize(to: region)
    }
    let ranges = (logging?.ring ?? []).prefix(Self.ringRangeCapacity).filter { $0.byteCount > 0 }
    ringCount = ranges.count
    unsafe ring = .allocate(capacity: Self.ringRangeCapacity)
    for (index, range) in ranges.enumerated() {
      unsafe (ring + index).initialize(
        to: PageRun(address: range.address.rawValue, byteCount: range.byteCount))
    }
    // As many as one call takes down before it looks.
    unsafe runs = .allocate(capacity: Self.capacity + 2)
    isPageAligned = sorted.allSatisfy { ($0.start ^ $0.guestAddress) & 0xFFF == 0 }
    if logging?.includesBuffers != true {
      outputs = .all
      statuses = .all
    }
  }

  deinit {
    unsafe regions.deallocate()
    unsafe ring.deallocate()
    unsafe runs.deallocate()
  }

  /// Takes down that bytes of guest memory were written.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func note(_ pointer: UnsafeMutablePointer<UInt8>, byteCount: Int) {
    let address = UInt64(UInt(bitPattern: pointer))
    guard byteCount > 0 else { return }
    let byteCount = UInt64(byteCount)
    guard !outputs.contains(address, byteCount) else { return }
    append(address, byteCount)
    outputs = isPageAligned ? Window(pagesOf: address, byteCount) : window(address, byteCount)
  }

  /// The same for a request's status.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func noteStatus(_ pointer: UnsafeMutablePointer<UInt8>) {
    let address = UInt64(UInt(bitPattern: pointer))
    // Some drivers have it right behind the output.
    guard !statuses.contains(address, 1), !outputs.contains(address, 1) else { return }
    append(address, 1)
    statuses = isPageAligned ? Window(pagesOf: address, 1) : window(address, 1)
  }

  /// The output of a request, which is one run, and its status, where pages are aligned: makes no call as a rule.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func noteAligned(
    _ output: UnsafeMutablePointer<UInt8>, byteCount: UInt32, status: UnsafeMutablePointer<UInt8>
  ) {
    let address = UInt64(UInt(bitPattern: output))
    let count = UInt64(byteCount)
    if count > 0, !outputs.contains(address, count) {
      put(address, count)
      outputs = Window(pagesOf: address, count)
    }
    let statusAddress = UInt64(UInt(bitPattern: status))
    if !statuses.contains(statusAddress, 1), !outputs.contains(statusAddress, 1) {
      put(statusAddress, 1)
      statuses = Window(pagesOf: statusAddress, 1)
    }
    if runCount >= Self.capacity { flush() }
  }

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func append(_ address: UInt64, _ byteCount: UInt64) {
    if runCount >= Self.capacity { flush() }
    put(address, byteCount)
  }

  /// Where there is room.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func put(_ address: UInt64, _ byteCount: UInt64) {
    // SAFETY: runCount < capacity + 2: it is at most the capacity between calls, each of which takes down one, or two and
    // looks then.
    unsafe runs[runCount] = NotedRun(start: address, byteCount: byteCount)
    runCount &+= 1
  }

  /// The pages of bytes, the first ones in one region, that lie in that region; empty where none has them.
  @_noAllocation @_noLocks
  @inline(never)
  @usableFromInline
  mutating func window(_ address: UInt64, _ byteCount: UInt64) -> Window {
    var window = Window()
    guard find(address) else { return window }
    let region = unsafe regions[last]
    let offset = address &- region.start
    guard byteCount <= region.byteCount &- offset else { return window }
    // A region does not run over 2^64. The pages may begin and end in other regions.
    let guestAddress = region.guestAddress &+ offset
    let lead = min(guestAddress & 0xFFF, offset)
    let tail = min(
      ~(guestAddress &+ byteCount &- 1) & 0xFFF, region.byteCount &- offset &- byteCount)
    window.start = address &- lead
    window.byteCount = lead &+ byteCount &+ tail
    return window
  }

  /// Makes `last` the region of an address of ours; false if there is none.
  @_noAllocation @_noLocks
  private mutating func find(_ address: UInt64) -> Bool {
    var low = 0
    var high = regionCount
    // The last region that starts at or below the address.
    while low < high {
      let middle = (low &+ high) >> 1
      // SAFETY: low ≤ middle < high ≤ regionCount.
      if unsafe regions[middle].start <= address { low = middle &+ 1 } else { high = middle }
    }
    guard low > 0, unsafe address &- regions[low &- 1].start < regions[low &- 1].byteCount else {
      return false
    }
    last = low &- 1
    return true
  }

  /// Sets the bits of everything noted.
  @_noAllocation @_noLocks
  @inline(never)
  public mutating func flush() {
    guard runCount > 0 else { return }
    // Keeps the writes that were noted before the looks at the log: a bit that is found set will be cleared later, and who
    // clears it sees the writes then.
    cring_fence_full()
    // SAFETY: `last` is at most `regionCount`, where the empty region is.
    var region = unsafe regions[last]
    var index = 0
    while index < runCount {
      // SAFETY: index < runCount.
      let run = unsafe runs[index]
      let offset = run.start &- region.start
      // Nearly always it is in the region of the one before.
      if offset < region.byteCount, run.byteCount <= region.byteCount &- offset {
        let pages = PageRun(region.guestAddress &+ offset, run.byteCount)
        // Most outputs are in one page, whose bit is set already.
        if pages.first != pages.last || !isMarked(pages.first) {
          unsafe Self.mark(pages, bits, pageCount)
        }
      } else {
        markElsewhere(run)
        region = unsafe regions[last]
      }
      index &+= 1
    }
    runCount = 0
    outputs.byteCount = 0
    statuses.byteCount = 0
  }

  /// Sets the bits of bytes in other regions; runs are merged where they are neighbours in our address space, and may so be
  /// in several.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func markElsewhere(_ run: NotedRun) {
    var start = run.start
    var left = run.byteCount
    while left > 0, find(start) {
      let region = unsafe regions[last]
      let offset = start &- region.start
      let count = min(left, region.byteCount &- offset)
      unsafe Self.mark(PageRun(region.guestAddress &+ offset, count), bits, pageCount)
      start &+= count
      left &-= count
    }
  }

  /// Sets the bits of the ring's own parts, which were written.
  ///
  /// - `isFenced`: a full fence stands behind the last of those writes.
  @_noAllocation @_noLocks
  public func markRing(isFenced: Bool = false) {
    guard ringCount > 0 else { return }
    // Keeps the ring's writes before the looks at the log, as in `flush`.
    if !isFenced { cring_fence_full() }
    var index = 0
    while index < ringCount {
      // SAFETY: index < ringCount.
      unsafe Self.mark(ring[index], bits, pageCount)
      index &+= 1
    }
  }

  /// Whether a page's bit is set, or the log has none for it.
  @_noAllocation @_noLocks
  @inline(__always)
  private func isMarked(_ page: UInt64) -> Bool {
    guard page < pageCount else { return true }
    // SAFETY: the log has the page's bit.
    let byte = unsafe cring_load8_relaxed(bits + Int(truncatingIfNeeded: page >> 3))
    return byte &>> UInt8(truncatingIfNeeded: page & 7) & 1 != 0
  }

  /// With all it needs in its arguments, so that the value stays where it is.
  @_noAllocation @_noLocks
  @inline(never)
  private static func mark(
    _ run: PageRun, _ bits: UnsafeMutablePointer<UInt8>, _ pageCount: UInt64
  ) {
    // What the log has no bit for is not logged: it is the front-end's to give one that is long enough.
    guard run.first < pageCount else { return }
    let lastPage = min(run.last, pageCount &- 1)
    var byte = run.first >> 3
    let lastByte = lastPage >> 3
    var mask = UInt8(0xFF) &<< UInt8(truncatingIfNeeded: run.first & 7)
    while byte <= lastByte {
      if byte == lastByte {
        mask &= UInt8(0xFF) &>> UInt8(truncatingIfNeeded: 7 &- (lastPage & 7))
      }
      // SAFETY: byte ≤ lastByte < the log's size; the log outlives the value. Others set and clear bits meanwhile.
      let place = unsafe bits + Int(truncatingIfNeeded: byte)
      if unsafe cring_load8_relaxed(place) & mask != mask { unsafe cring_set_bits8(place, mask) }
      byte &+= 1
      mask = 0xFF
    }
  }
}

extension DirtyPages.Region {
  fileprivate init(_ region: MappedRegion) {
    start = unsafe UInt64(UInt(bitPattern: region.base))
    byteCount = region.description.byteCount
    guestAddress = region.description.guestAddress.rawValue
  }
}
