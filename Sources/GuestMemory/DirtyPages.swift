import CRingShims
import LinuxSystem

/// A worker's way to its log of dirty pages.
///
/// A page whose bit was cleared before it was written must have it again afterwards, so bits are set behind the writes and
/// before the driver sees a result: by `mark`, or by `flush` for what `note` has taken down. `markRing` sets those of the
/// ring's own parts behind its index. Requests of a batch often write to the same pages: what lies in pages that were
/// marked last is known by two comparisons. A bit that is set already is only looked at, which leaves the line of the log
/// shared; a fence in front keeps that look behind the writes. The ring's parts are marked whole: that is a byte or two of
/// the log.
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

  /// Addresses of ours, all in one region, whose pages are marked or noted.
  public struct Window {
    @usableFromInline var start: UInt64 = 0
    @usableFromInline var byteCount: UInt64 = 0

    /// None.
    @_noAllocation @_noLocks
    @inlinable @inline(__always)
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

    /// Whether bytes from the first to the last are inside; of none, something that does not matter.
    @_noAllocation @_noLocks
    @inlinable @inline(__always)
    public func contains(_ pointer: UnsafeMutablePointer<UInt8>, byteCount: UInt32) -> Bool {
      contains(UInt64(UInt(bitPattern: pointer)), UInt64(byteCount))
    }

    /// The same of a run; of an empty one, something that does not matter.
    @_noAllocation @_noLocks
    @inlinable @inline(__always)
    func contains(_ address: UInt64, _ count: UInt64) -> Bool {
      // Wrapping: what lies below the start is beyond any size.
      let first = address &- start
      let last = first &+ (count &- 1)
      return first < byteCount && last < byteCount
    }
  }

  public let isOn: Bool
  private let logLossNumber: Int32
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
  /// Where no page is marked yet: nothing; where buffers are not logged, everything.
  public let unmarked: Window
  /// The pages that outputs and status bytes were last noted in, which lie apart as a rule; `unmarked` behind each `flush`.
  @usableFromInline var outputs = Window()
  @usableFromInline var statuses = Window()

  /// Logs nothing.
  public init() { self.init(nil, memory: MemoryMap()) }

  /// - `logging`: nil where nothing is logged. Its log must outlive the value.
  /// - `memory`: the map that the queue runs on, which must outlive the value.
  public init(_ logging: DirtyLogging?, memory: MemoryMap) {
    isOn = logging != nil
    logLossNumber = logging?.log.lossNumber ?? -1
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
    isPageAligned = sorted.allSatisfy { ($0.start ^ $0.guestAddress) & 0xFFF == 0 }
    unmarked = logging?.includesBuffers == true ? Window() : .all
    outputs = unmarked
    statuses = unmarked
  }

  deinit {
    unsafe regions.deallocate()
    unsafe ring.deallocate()
    unsafe runs.deallocate()
  }

  /// Whether the log's file was truncated under us; to be asked when `LostMappings.count` has changed.
  public var isLogLost: Bool { @_noAllocation @_noLocks get { LostMappings.isLost(logLossNumber) } }

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

  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func append(_ address: UInt64, _ byteCount: UInt64) {
    if runCount >= Self.capacity { flush() }
    // SAFETY: runCount < capacity.
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

  /// Keeps writes that are about to be marked before the looks at the log: a bit that is found set will be cleared later,
  /// and who clears it sees the writes then.
  @_noAllocation @_noLocks
  public func beginMarking() { cring_fence_full() }

  /// Sets the bits of guest memory that was written before `beginMarking`; pages that are marked now, the first one's among
  /// them where it has bytes.
  ///
  /// Where all eight pages of a byte of the log are marked, it is all of them: their bits were looked at behind the fence, as
  /// good as set now for whatever was written in front of it.
  @_noAllocation @_noLocks
  @inline(never)
  public mutating func mark(
    _ pointer: UnsafeMutablePointer<UInt8>, byteCount: UInt32
  ) -> Window {
    guard byteCount > 0 else { return unmarked }
    let run = NotedRun(start: UInt64(UInt(bitPattern: pointer)), byteCount: UInt64(byteCount))
    if mark(run) == 0xFF {
      let region = unsafe regions[last]
      let offset = run.start &- region.start
      let inByte = (region.guestAddress &+ offset) & Self.byteMask
      let lead = min(inByte, offset)
      var window = Window()
      window.start = run.start &- lead
      window.byteCount =
        lead &+ 1 &+ min(Self.byteMask &- inByte, region.byteCount &- offset &- 1)
      return window
    }
    return isPageAligned
      ? Window(pagesOf: run.start, run.byteCount) : window(run.start, run.byteCount)
  }

  /// Offsets in what a byte of the log is for.
  private static var byteMask: UInt64 { @_noAllocation @_noLocks get { 0x7FFF } }

  /// Sets the bits of everything noted.
  @_noAllocation @_noLocks
  @inline(never)
  public mutating func flush() {
    guard runCount > 0 else { return }
    beginMarking()
    var index = 0
    while index < runCount {
      // SAFETY: index < runCount.
      mark(unsafe runs[index])
      index &+= 1
    }
    runCount = 0
    outputs = unmarked
    statuses = unmarked
  }

  /// Sets the bits of bytes; the byte of the log that has them, or 0 where that is not one byte.
  @_noAllocation @_noLocks
  @inline(__always)
  @discardableResult
  private mutating func mark(_ run: NotedRun) -> UInt8 {
    // SAFETY: `last` is at most `regionCount`, where the empty region is.
    let region = unsafe regions[last]
    let offset = run.start &- region.start
    // Nearly always it is in the region of the one before.
    guard offset < region.byteCount, run.byteCount <= region.byteCount &- offset else {
      markElsewhere(run)
      return 0
    }
    let pages = PageRun(region.guestAddress &+ offset, run.byteCount)
    // Most outputs are in a page or two, whose bits are in one byte.
    if pages.first >> 3 == pages.last >> 3, pages.last < pageCount {
      return unsafe Self.set(
        UInt8(0xFF) &<< UInt8(truncatingIfNeeded: pages.first & 7)
          & UInt8(0xFF) &>> UInt8(truncatingIfNeeded: 7 &- (pages.last & 7)),
        bits + Int(truncatingIfNeeded: pages.first >> 3))
    } else {
      unsafe Self.mark(pages, bits, pageCount)
      return 0
    }
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

  /// Sets those bits of a byte of the log that are not set, and says which were or are; others set and clear bits meanwhile.
  @_noAllocation @_noLocks
  @inline(__always)
  @discardableResult
  private static func set(_ mask: UInt8, _ byte: UnsafeMutablePointer<UInt8>) -> UInt8 {
    // SAFETY: the caller's byte is within the log's size, and the log outlives the value.
    let seen = unsafe cring_load8_relaxed(byte)
    if seen & mask != mask { unsafe cring_set_bits8(byte, mask) }
    return seen | mask
  }

  /// Sets the bits of pages, which may be in many bytes.
  ///
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
      // SAFETY: byte ≤ lastByte < the log's size.
      unsafe set(mask, bits + Int(truncatingIfNeeded: byte))
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
