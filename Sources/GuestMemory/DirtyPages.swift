import CRingShims

/// A worker's way to its log of dirty pages.
///
/// A page whose bit was cleared before it was written must have it again afterwards, so bits are set behind the writes:
/// `note` takes down what was written, `flush` sets the bits before the driver sees a result, `markRing` those of the
/// ring's own parts behind its index. A bit that is set already is only looked at, which leaves the line of the log
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

  public let isOn: Bool
  private let includesBuffers: Bool
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
  public mutating func note(_ pointer: UnsafeMutablePointer<UInt8>, byteCount: Int) {
    guard includesBuffers, byteCount > 0 else { return }
    var start = UInt64(UInt(bitPattern: pointer))
    var left = UInt64(byteCount)
    // Runs are merged where they are neighbours in our address space, and may so be in several regions.
    while left > 0 {
      // SAFETY: `last` is at most `regionCount`, where the empty region is.
      if unsafe start &- regions[last].start >= regions[last].byteCount, !find(start) { return }
      let region = unsafe regions[last]
      let offset = start &- region.start
      let count = min(left, region.byteCount &- offset)
      append(PageRun(address: region.guestAddress &+ offset, byteCount: count))
      start &+= count
      left &-= count
    }
  }

  @_noAllocation @_noLocks
  private mutating func append(_ run: PageRun) {
    if runCount > 0 {
      // SAFETY: 0 < runCount ≤ capacity.
      let previous = unsafe runs[runCount &- 1]
      // A buffer often ends in the page where the next one begins.
      if run.first >= previous.first, run.first <= previous.last &+ 1 {
        unsafe runs[runCount &- 1].last = max(previous.last, run.last)
        return
      }
      if runCount == Self.capacity { flush() }
    }
    unsafe runs[runCount] = run
    runCount &+= 1
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
      if unsafe cring_load8(place) & mask != mask { unsafe cring_set_bits8(place, mask) }
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
