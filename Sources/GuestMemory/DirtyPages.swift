import CRingShims

/// A worker's way to its log of dirty pages.
///
/// A page whose bit was cleared before it was written must have it again afterwards, so bits are set behind the writes:
/// `note` takes down what was written, `flush` sets the bits before the driver sees a result, `markRing` those of the
/// ring's own parts behind its index. Requests of a batch often write to the same pages: of what lies in pages that were
/// noted last, two comparisons are all. A bit that is set already is only looked at, which leaves the line of the log
/// shared; the fence in front keeps that look behind the writes. The ring's parts are marked whole: that is a byte or two
/// of the log.
///
/// Where nothing is logged, `isOn` is all that is ever looked at. Used by one thread.
@safe
public struct DirtyPages: ~Copyable {
  /// The used part of a split ring; descriptors and device events of a packed one.
  public static let ringRangeCapacity = 2
  /// Runs of pages that are noted before bits are set; more than most batches have.
  private static var capacity: Int { @_noAllocation @_noLocks get { 256 } }

  /// A region by its address in our process.
  fileprivate struct Region {
    var start: UInt64
    var byteCount: UInt64
    var guestAddress: UInt64
  }

  /// Pages that follow each other, the last included.
  private struct PageRun {
    var first: UInt64
    var last: UInt64

    @_noAllocation @_noLocks
    init(address: UInt64, byteCount: UInt64) {
      first = address >> 12
      // Wrapping: what runs over 2^64 is beyond the end of every log.
      let end = address.addingReportingOverflow(byteCount &- 1)
      last = (end.overflow ? .max : end.partialValue) >> 12
    }
  }

  /// Addresses of ours, all in one region, whose pages are those of a run that is noted.
  @usableFromInline
  struct Window {
    @usableFromInline var start: UInt64 = 0
    @usableFromInline var byteCount: UInt64 = 0
    /// The run's index; of no meaning where the window is empty.
    var run = 0

    init() {}

    @_noAllocation @_noLocks
    @inlinable
    func contains(_ address: UInt64, _ count: UInt64) -> Bool {
      let offset = address &- start
      return offset < byteCount && count <= byteCount &- offset
    }
  }

  public let isOn: Bool
  @usableFromInline let includesBuffers: Bool
  private let bits: UnsafeMutablePointer<UInt8>
  private let pageCount: UInt64
  private let regions: UnsafeMutablePointer<Region>
  private let regionCount: Int
  private let ring: UnsafeMutablePointer<PageRun>
  private let ringCount: Int
  private let runs: UnsafeMutablePointer<PageRun>
  private var runCount = 0
  /// The region that was hit last.
  private var last = 0
  /// The pages that outputs and status bytes were last written to, which lie apart as a rule.
  @usableFromInline var outputs = Window()
  @usableFromInline var statuses = Window()

  /// Logs nothing.
  public init() { self.init(nil, memory: MemoryMap()) }

  /// - `logging`: nil where nothing is logged. Its log must outlive the value.
  /// - `memory`: the map that the queue runs on, which must outlive the value.
  public init(_ logging: DirtyLogging?, memory: MemoryMap) {
    isOn = logging != nil
    includesBuffers = logging?.includesBuffers ?? false
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
    unsafe runs = .allocate(capacity: Self.capacity)
  }

  deinit {
    unsafe regions.deallocate()
    unsafe ring.deallocate()
    unsafe runs.deallocate()
  }

  /// Takes down that bytes of guest memory were written.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func note(_ pointer: UnsafeMutablePointer<UInt8>, byteCount: Int) {
    let address = UInt64(UInt(bitPattern: pointer))
    guard includesBuffers, byteCount > 0, !outputs.contains(address, UInt64(byteCount)) else {
      return
    }
    outputs = noted(address, UInt64(byteCount), outputs)
  }

  /// The same for a request's status.
  @_noAllocation @_noLocks
  @inlinable
  public mutating func noteStatus(_ pointer: UnsafeMutablePointer<UInt8>) {
    let address = UInt64(UInt(bitPattern: pointer))
    guard includesBuffers, !statuses.contains(address, 1) else { return }
    statuses = noted(address, 1, statuses)
  }

  /// Notes the pages of a run of addresses that is not in `window`; the window to look at next.
  @_noAllocation @_noLocks
  @inline(never)
  @usableFromInline
  mutating func noted(_ address: UInt64, _ byteCount: UInt64, _ window: Window) -> Window {
    var start = address
    var left = byteCount
    var window = window
    // Runs are merged where they are neighbours in our address space, and may so be in several regions.
    while left > 0 {
      // SAFETY: `last` is at most `regionCount`, where the empty region is.
      if unsafe start &- regions[last].start >= regions[last].byteCount, !find(start) { break }
      let region = unsafe regions[last]
      let offset = start &- region.start
      let count = min(left, region.byteCount &- offset)
      window = appended(
        PageRun(address: region.guestAddress &+ offset, byteCount: count), region, window)
      start &+= count
      left &-= count
    }
    return window
  }

  /// Makes `window`'s run longer, if the new one overlaps it or follows it, or begins another; the run's window.
  @_noAllocation @_noLocks
  private mutating func appended(_ run: PageRun, _ region: Region, _ window: Window) -> Window {
    var window = window
    // SAFETY: a window that is not empty has a run, and its index is below runCount ≤ capacity.
    if window.byteCount > 0, case let previous = unsafe runs[window.run],
      run.first >= previous.first, run.first <= previous.last &+ 1
    {
      unsafe runs[window.run].last = max(previous.last, run.last)
    } else {
      if runCount == Self.capacity { flush() }
      unsafe runs[runCount] = run
      window.run = runCount
      runCount &+= 1
    }
    let pages = unsafe runs[window.run]
    // The run may begin and end in other regions.
    let first = max(pages.first << 12, region.guestAddress) &- region.guestAddress
    let end = min(region.byteCount, ((pages.last << 12) | 0xFFF) &- region.guestAddress &+ 1)
    window.start = region.start &+ first
    window.byteCount = end &- first
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
  public mutating func flush() {
    guard runCount > 0 else { return }
    // Keeps the writes that were noted before the looks at the log: a bit that is found set will be cleared later, and who
    // clears it sees the writes then.
    cring_fence_full()
    var index = 0
    while index < runCount {
      // SAFETY: index < runCount.
      mark(unsafe runs[index])
      index &+= 1
    }
    runCount = 0
    outputs.byteCount = 0
    statuses.byteCount = 0
  }

  /// Sets the bits of the ring's own parts, which were written.
  @_noAllocation @_noLocks
  public func markRing() {
    guard ringCount > 0 else { return }
    // Keeps the ring's writes before the looks at the log, as in `flush`.
    cring_fence_full()
    var index = 0
    while index < ringCount {
      // SAFETY: index < ringCount.
      mark(unsafe ring[index])
      index &+= 1
    }
  }

  @_noAllocation @_noLocks
  private func mark(_ run: PageRun) {
    // What the log has no bit for is not logged: it is the front-end's to give one that is long enough.
    guard run.first < pageCount else { return }
    let lastPage = min(run.last, pageCount &- 1)
    var byte = run.first >> 3
    let lastByte = lastPage >> 3
    var mask = UInt8(0xFF) &<< UInt8(truncatingIfNeeded: run.first & 7)
    while byte <= lastByte {
      if byte == lastByte { mask &= UInt8(0xFF) &>> UInt8(truncatingIfNeeded: 7 &- (lastPage & 7)) }
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
