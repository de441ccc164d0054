internal import LinuxSystem

/// One region as translation sees it.
@safe
@frozen
public struct RegionEntry {
  @usableFromInline let guestAddress: UInt64
  @usableFromInline let byteCount: UInt64
  @usableFromInline let base: UnsafeMutablePointer<UInt8>

  /// A region without bytes, in which no address is.
  init() {
    guestAddress = 0
    byteCount = 0
    // SAFETY: never dereferenced: no offset is below 0 bytes.
    unsafe base = UnsafeMutablePointer(bitPattern: 1).unsafelyUnwrapped
  }

  /// Where a run of guest memory is, if all of it is in this region.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public func pointer(at address: UInt64, byteCount: UInt64) -> UnsafeMutablePointer<UInt8>? {
    // Wrapping: an address below the region gives an offset beyond any size.
    let offset = address &- guestAddress
    guard offset < self.byteCount, byteCount <= self.byteCount &- offset else { return nil }
    // SAFETY: the run ends inside of the region.
    return unsafe base + Int(truncatingIfNeeded: offset)
  }

  /// How far an address is from the region's start; beyond any size where it is below.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public func offset(of address: UInt64) -> UInt64 { address &- guestAddress }

  /// Whether the region has all of a run that starts at an offset, and the run is not empty.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public func holds(_ offset: UInt64, byteCount: UInt32) -> Bool {
    // Wrapping: no bytes are more than any region has.
    offset < self.byteCount && UInt64(byteCount) &- 1 < self.byteCount &- offset
  }

  /// Where it is for us.
  @inlinable public var baseAddress: UInt64 {
    @_noAllocation @_noLocks get { unsafe UInt64(UInt(bitPattern: base)) }
  }

  init(_ region: MappedRegion) {
    guestAddress = region.description.guestAddress.rawValue
    byteCount = region.description.byteCount
    unsafe base = region.base
  }
}

/// The sorted table of a map's regions, in memory of its own; behind it, how to ask whether each is lost.
@safe
final class RegionTable: @unchecked Sendable {
  let entries: UnsafeMutablePointer<RegionEntry>
  let count: Int
  private let memory: UnsafeMutableRawPointer

  init(_ regions: [MappedRegion]) {
    count = regions.count
    // One entry more than needed: an empty table has a region to look at, too.
    let capacity = count + 1
    let entriesByteCount = MemoryLayout<RegionEntry>.stride * capacity
    unsafe memory = .allocate(
      byteCount: entriesByteCount + MemoryLayout<Int32>.stride * capacity,
      alignment: MemoryLayout<RegionEntry>.alignment)
    unsafe entries = memory.bindMemory(to: RegionEntry.self, capacity: capacity)
    unsafe (entries + count).initialize(to: RegionEntry())
    let numbers = unsafe MemoryView.lossNumbers(behind: entries, count: count)
    for (index, region) in regions.enumerated() {
      unsafe (entries + index).initialize(to: RegionEntry(region))
      unsafe (numbers + index).initialize(to: region.lossNumber)
    }
  }

  deinit { unsafe memory.deallocate() }
}

/// Translates guest addresses on the data path: a pointer, a count and the region that was hit last.
///
/// A plain value over the map's table; the map must outlive it.
@safe
@frozen
public struct MemoryView {
  @usableFromInline let entries: UnsafeMutablePointer<RegionEntry>
  @usableFromInline let count: Int
  @usableFromInline var last = 0

  init(entries: UnsafeMutablePointer<RegionEntry>, count: Int) {
    unsafe self.entries = entries
    self.count = count
  }

  /// Where a table of `count` regions, and an empty one, has the numbers of their mappings.
  ///
  /// There, so that what workers carry around does not grow for what they hardly ever look at.
  @_noAllocation @_noLocks
  static func lossNumbers(
    behind entries: UnsafeMutablePointer<RegionEntry>, count: Int
  ) -> UnsafeMutablePointer<Int32> {
    // SAFETY: `RegionTable` puts `count` numbers, bound to their type by nobody else, behind `count` + 1 entries.
    unsafe UnsafeMutableRawPointer(entries + count + 1).assumingMemoryBound(to: Int32.self)
  }

  /// Whether a region's file was truncated under us; to be asked when `LostMappings.count` has changed.
  public var isLost: Bool {
    @_noAllocation @_noLocks get {
      let numbers = unsafe Self.lossNumbers(behind: entries, count: count)
      var index = 0
      while index < count {
        // SAFETY: index < count; the map keeps its mappings watched.
        if unsafe LostMappings.isLost(numbers[index]) { return true }
        index &+= 1
      }
      return false
    }
  }

  /// The longest run that starts at an address, is in one region, and has at most `byteCount` bytes (at least one).
  ///
  /// Nil where the address lies in no region, or `byteCount` is 0 or negative. The next run, if the region ends early,
  /// may be in the next region.
  @inlinable
  public mutating func slice(at address: UInt64, atMost byteCount: Int) -> GuestSlice? {
    guard byteCount > 0 else { return nil }
    // SAFETY: `last` is at most `count`, where the empty region is: it starts at 0 and is set by `find` alone.
    let entry = unsafe entries[last]
    // Wrapping: an address below the region gives an offset beyond any size.
    let offset = address &- entry.guestAddress
    if offset < entry.byteCount {
      return unsafe GuestSlice(
        pointer: entry.base + Int(truncatingIfNeeded: offset),
        byteCount: Swift.min(byteCount, Int(truncatingIfNeeded: entry.byteCount &- offset)))
    }
    guard find(address) else { return nil }
    let found = unsafe entries[last]
    let foundOffset = address &- found.guestAddress
    return unsafe GuestSlice(
      pointer: found.base + Int(truncatingIfNeeded: foundOffset),
      byteCount: Swift.min(byteCount, Int(truncatingIfNeeded: found.byteCount &- foundOffset)))
  }

  /// The region that was hit last, to look into without this value.
  @inlinable public var lastRegion: RegionEntry {
    // SAFETY: as in `slice`.
    @_noAllocation @_noLocks get { unsafe entries[last] }
  }

  /// Where a run of guest memory is, if one region has all of it.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  public mutating func pointer(
    at address: UInt64, byteCount: UInt64
  ) -> UnsafeMutablePointer<UInt8>? {
    if let pointer = unsafe lastRegion.pointer(at: address, byteCount: byteCount) {
      return unsafe pointer
    }
    return unsafe pointerElsewhere(at: address, byteCount: byteCount)
  }

  @_noAllocation @_noLocks
  @inline(never)
  @usableFromInline
  mutating func pointerElsewhere(
    at address: UInt64, byteCount: UInt64
  ) -> UnsafeMutablePointer<UInt8>? {
    guard find(address) else { return nil }
    // SAFETY: as above.
    let entry = unsafe entries[last]
    let offset = address &- entry.guestAddress
    guard byteCount <= entry.byteCount &- offset else { return nil }
    return unsafe entry.base + Int(truncatingIfNeeded: offset)
  }

  /// Makes `last` the region of an address; false if there is none.
  @_noAllocation @_noLocks
  @usableFromInline
  mutating func find(_ address: UInt64) -> Bool {
    var low = 0
    var high = count
    // The last region that starts at or below the address.
    while low < high {
      let middle = (low &+ high) >> 1
      // SAFETY: low ≤ middle < high ≤ count.
      if unsafe entries[middle].guestAddress <= address { low = middle &+ 1 } else { high = middle }
    }
    guard low > 0 else { return false }
    let candidate = unsafe entries[low &- 1]
    guard address &- candidate.guestAddress < candidate.byteCount else { return false }
    last = low &- 1
    return true
  }
}
