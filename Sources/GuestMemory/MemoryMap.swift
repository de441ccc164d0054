public import LinuxSystem

/// Why a region is refused.
public enum MemoryError: Error, Hashable, Sendable {
  /// A region without bytes.
  case empty
  /// Guest or front-end addresses run over 2^64, or the offset and size over what a file can have.
  case addressOverflow(RegionDescription)
  /// The file ends before the region does; touching the rest would raise SIGBUS.
  case fileTooShort(needed: UInt64, actual: UInt64)
  /// It shares guest addresses with a region that is mapped.
  case overlap(RegionDescription)
  /// More regions than `MemoryMap.maximumRegionCount`.
  case tooManyRegions
  /// No region of these addresses and this size is mapped.
  case noSuchRegion
  case system(SystemError)
}

/// One mapped region; unmapped when the last map that has it is gone.
@safe
final class MappedRegion: Sendable {
  let description: RegionDescription
  /// Of its file.
  let identity: FileIdentity
  private let mapping: MappedMemory
  /// Bytes between the mapping's start and the region's.
  private let lead: Int

  init(
    _ description: RegionDescription, file: borrowing FileDescriptor
  ) throws(MemoryError) {
    guard description.byteCount > 0 else { throw .empty }
    let limit = UInt64(1) << 52
    guard description.byteCount < limit, description.mmapOffset < limit,
      !description.guestAddress.rawValue.addingReportingOverflow(description.byteCount).overflow,
      !description.frontendAddress.rawValue.addingReportingOverflow(description.byteCount).overflow
    else { throw .addressOverflow(description) }
    let needed = description.mmapOffset + description.byteCount
    let actual: UInt64
    do throws(SystemError) {
      actual = try file.byteCount()
      identity = try file.identity()
    } catch { throw .system(error) }
    guard actual >= needed else { throw .fileTooShort(needed: needed, actual: actual) }
    do throws(SystemError) {
      // A file in hugetlbfs can be mapped at multiples of its page size only.
      let page = UInt64(max(4096, try file.blockByteCount()))
      let start = description.mmapOffset / page * page
      lead = Int(description.mmapOffset - start)
      // Whole pages: munmap takes nothing less of a huge one. What lies beyond the region is never handed out.
      let pageCount = (needed - start + page - 1) / page
      mapping = try MappedMemory(
        sharing: file, offset: Int(start), byteCount: Int(pageCount * page))
    } catch { throw .system(error) }
    // The guest's memory is the guest's: it is in no core dump of ours.
    mapping.excludeFromCoreDumps()
    self.description = description
  }

  /// Whether the front-end has truncated the region's file, and somebody touched what was missing.
  var isLost: Bool { mapping.isLost }

  /// For `LostMappings.isLost`.
  var lossNumber: Int32 { mapping.lossNumber }

  /// Where the region's first byte is.
  var base: UnsafeMutablePointer<UInt8> {
    unsafe (mapping.base + lead).assumingMemoryBound(to: UInt8.self)
  }
}

/// The memory of one guest: an immutable set of mapped regions, sorted by guest address.
///
/// A change makes another map, which shares the mappings that stay. Queues run on one map from start to stop.
public final class MemoryMap: Sendable {
  /// What `GET_MAX_MEM_SLOTS` answers; bounds the table that translation searches.
  public static let maximumRegionCount = 509

  let regions: [MappedRegion]
  private let table: RegionTable

  /// A map without memory.
  public convenience init() { self.init(regions: []) }

  private init(regions: [MappedRegion]) {
    self.regions = regions
    table = RegionTable(regions)
  }

  public var isEmpty: Bool { regions.isEmpty }
  public var regionCount: Int { regions.count }
  public var totalByteCount: UInt64 { regions.reduce(0) { $0 &+ $1.description.byteCount } }

  /// Whether a region's file was truncated under us: no queue may run on this map any more.
  public var isLost: Bool { regions.contains(where: \.isLost) }
  /// The file behind the lowest region, by which a guest is known again; nil for a map without memory.
  public var identity: FileIdentity? { regions.first?.identity }

  /// This map and one more region.
  ///
  /// The descriptor is closed; the mapping does not need it.
  public func adding(
    _ description: RegionDescription, descriptor: consuming FileDescriptor
  ) throws(MemoryError) -> MemoryMap {
    guard regions.count < Self.maximumRegionCount else { throw .tooManyRegions }
    for region in regions where region.description.overlaps(description) {
      throw .overlap(description)
    }
    let added = try MappedRegion(description, file: descriptor)
    let position =
      regions.firstIndex {
        $0.description.guestAddress.rawValue > description.guestAddress.rawValue
      } ?? regions.endIndex
    var all = regions
    all.insert(added, at: position)
    return MemoryMap(regions: all)
  }

  /// This map without a region: the one of these addresses and this size.
  ///
  /// Its `mmapOffset` does not count.
  public func removing(_ description: RegionDescription) throws(MemoryError) -> MemoryMap {
    let rest = regions.filter {
      $0.description.guestAddress != description.guestAddress
        || $0.description.frontendAddress != description.frontendAddress
        || $0.description.byteCount != description.byteCount
    }
    guard rest.count < regions.count else { throw .noSuchRegion }
    return MemoryMap(regions: rest)
  }

  /// A run of front-end addresses that lies in one region.
  public func translate(_ address: FrontendAddress, byteCount: Int) -> GuestSlice? {
    for region in regions {
      let description = region.description
      guard address.rawValue >= description.frontendAddress.rawValue else { continue }
      let offset = address.rawValue - description.frontendAddress.rawValue
      guard offset < description.byteCount, byteCount >= 0,
        UInt64(byteCount) <= description.byteCount - offset
      else { continue }
      // SAFETY: the run lies inside the region, checked above.
      return unsafe GuestSlice(pointer: region.base + Int(offset), byteCount: byteCount)
    }
    return nil
  }

  /// A run of guest addresses that lies in one region.
  public func translate(_ address: GuestAddress, byteCount: Int) -> GuestSlice? {
    var view = view
    guard byteCount > 0, let slice = view.slice(at: address.rawValue, atMost: byteCount),
      slice.byteCount == byteCount
    else { return nil }
    return slice
  }

  /// The map as the data path uses it; valid while the map lives.
  public var view: MemoryView { unsafe MemoryView(entries: table.entries, count: table.count) }
}

extension RegionDescription {
  /// Whether two regions share a guest address.
  ///
  /// They may share front-end addresses: a front-end can show one block at two places in the guest.
  func overlaps(_ other: RegionDescription) -> Bool {
    // Neither end runs over 2^64 once a region is mapped; the other's is checked right after.
    let otherEnd = other.guestAddress.rawValue.addingReportingOverflow(other.byteCount)
    return guestAddress.rawValue < otherEnd.partialValue
      && other.guestAddress.rawValue < guestAddress.rawValue &+ byteCount
  }
}
