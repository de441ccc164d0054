internal import Glibc

/// One region of guest memory, to be made.
public struct GuestRegionSpec: Hashable, Sendable {
  public var guestAddress: UInt64
  public var byteCount: Int
  /// Where the region starts in its file; a multiple of the page size.
  public var fileOffset: Int
  /// Bytes that the file is short of the region's end: touching them is a SIGBUS.
  ///
  /// 0 for a good region.
  public var missingByteCount: Int

  public init(
    guestAddress: UInt64, byteCount: Int, fileOffset: Int = 0, missingByteCount: Int = 0
  ) {
    self.guestAddress = guestAddress
    self.byteCount = byteCount
    self.fileOffset = fileOffset
    self.missingByteCount = missingByteCount
  }
}

/// The guest's memory: regions of shared memory at guest-physical addresses, and an allocator on
/// top.
///
/// Each region is a memfd and a mapping of its own, even where two are neighbours in guest-physical
/// space. Addresses are guest-physical throughout; `frontendAddress` gives the front-end virtual
/// address that vhost-user messages carry.
@safe
public final class GuestRAM: @unchecked Sendable {
  /// A mapped region.
  @safe
  public struct Region: @unchecked Sendable {
    public let spec: GuestRegionSpec
    public let file: OwnedFile
    let base: UnsafeMutableRawPointer

    public var guestRange: Range<UInt64> {
      spec.guestAddress..<spec.guestAddress + UInt64(spec.byteCount)
    }
    /// Where this process has it mapped: the front-end virtual address.
    public var frontendAddress: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }
  }

  public let regions: [Region]
  private var allocators: [RangeAllocator]

  /// Makes and maps the regions.
  ///
  /// - Throws: `guestMemory` when two overlap or one wraps; `system` when the host has no memory.
  public init(regions specs: [GuestRegionSpec]) throws(FrontendError) {
    var made: [Region] = []
    do throws(FrontendError) {
      for spec in specs { made.append(try Self.map(spec, besides: made)) }
    } catch {
      Self.unmap(made)
      throw error
    }
    regions = made
    allocators = made.map { RangeAllocator($0.guestRange) }
  }

  /// One region of `byteCount` bytes at 1 GiB.
  public convenience init(byteCount: Int) throws(FrontendError) {
    try self.init(regions: [GuestRegionSpec(guestAddress: 1 << 30, byteCount: byteCount)])
  }

  /// Three regions as awkward as allowed: the first two are neighbours in guest-physical space with
  /// mappings of their own, the third lies above a gap; all have mmap offsets.
  public static func scattered(regionByteCount: Int = 8 << 20) throws(FrontendError) -> GuestRAM {
    let page = 4096
    return try GuestRAM(regions: [
      GuestRegionSpec(guestAddress: 0x10_0000, byteCount: regionByteCount, fileOffset: page),
      GuestRegionSpec(
        guestAddress: 0x10_0000 + UInt64(regionByteCount), byteCount: regionByteCount,
        fileOffset: 16 * page),
      GuestRegionSpec(guestAddress: 1 << 32, byteCount: regionByteCount, fileOffset: 2 * page),
    ])
  }

  /// Memory of the same shape, all zeros, with the same ranges taken: where a guest moves to.
  public func emptyCopy() throws(FrontendError) -> GuestRAM {
    let copy = try GuestRAM(regions: regions.map(\.spec))
    copy.allocators = allocators
    return copy
  }

  deinit { Self.unmap(regions) }

  private static func map(
    _ spec: GuestRegionSpec, besides others: [Region]
  ) throws(FrontendError) -> Region {
    guard
      spec.byteCount > 0, spec.fileOffset >= 0, spec.missingByteCount >= 0,
      spec.missingByteCount <= spec.byteCount,
      !spec.guestAddress.addingReportingOverflow(UInt64(spec.byteCount)).overflow
    else { throw .guestMemory("a region that is empty or wraps") }
    let file = try OwnedFile.memory(
      byteCount: spec.fileOffset + spec.byteCount - spec.missingByteCount)
    // SAFETY: the kernel picks the address; the mapping is released in `unmap` alone.
    let address = unsafe mmap(
      nil, spec.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, spec.fileOffset)
    let code = errno
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .system(doing: "mapping guest memory", errno: code)
    }
    let region = unsafe Region(spec: spec, file: file, base: address)
    guard !others.contains(where: { $0.guestRange.overlaps(region.guestRange) }) else {
      unmap([region])
      throw .guestMemory("regions that overlap")
    }
    return region
  }

  private static func unmap(_ regions: [Region]) {
    // SAFETY: each region was mapped with this length in `map`, and nobody holds a pointer longer
    // than self.
    for region in regions { unsafe munmap(region.base, region.spec.byteCount) }
  }

  // MARK: Access

  /// The index of the region that holds the whole range; nil when it lies in a gap or crosses a
  /// border.
  public func regionIndex(of address: UInt64, byteCount: Int) -> Int? {
    regions.firstIndex { region in
      guard byteCount >= 0, region.guestRange.contains(address) else { return false }
      return region.guestRange.upperBound - address >= UInt64(byteCount)
    }
  }

  /// Our own pointer to a range that lies in one region.
  ///
  /// Valid as long as this object.
  public func pointer(
    at address: UInt64, byteCount: Int
  ) throws(FrontendError) -> UnsafeMutableRawPointer {
    guard let index = regionIndex(of: address, byteCount: byteCount) else {
      throw .guestMemory("\(byteCount) bytes at \(hexadecimal(address)) are not in one region")
    }
    let region = regions[index]
    return unsafe region.base + Int(address - region.spec.guestAddress)
  }

  /// The front-end virtual address of a guest-physical one.
  public func frontendAddress(of address: UInt64) throws(FrontendError) -> UInt64 {
    guard let index = regionIndex(of: address, byteCount: 1) else {
      throw .guestMemory("\(hexadecimal(address)) is in no region")
    }
    return regions[index].frontendAddress + (address - regions[index].spec.guestAddress)
  }

  /// Copies bytes out; the range may cross into a neighbouring region.
  public func read(_ address: UInt64, byteCount: Int) throws(FrontendError) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(byteCount)
    var position = address
    while result.count < byteCount {
      let count = try runLength(at: position, upTo: byteCount - result.count)
      // SAFETY: `pointer` checked the run; the device may write it meanwhile, which a test that
      // reads early accepts.
      let start = unsafe try pointer(at: position, byteCount: count)
      unsafe result.append(contentsOf: UnsafeRawBufferPointer(start: start, count: count))
      position += UInt64(count)
    }
    return result
  }

  /// Copies bytes in; the range may cross into a neighbouring region.
  public func write(_ bytes: some Collection<UInt8>, at address: UInt64) throws(FrontendError) {
    var rest = bytes[...]
    var position = address
    while !rest.isEmpty {
      let count = try runLength(at: position, upTo: rest.count)
      // SAFETY: `pointer` checked the run, and `count` bytes of the source exist.
      let start = unsafe try pointer(at: position, byteCount: count)
      unsafe UnsafeMutableRawBufferPointer(start: start, count: count)
        .copyBytes(from: rest.prefix(count))
      rest = rest.dropFirst(count)
      position += UInt64(count)
    }
  }

  /// Sets bytes to a value; the range may cross into a neighbouring region.
  public func fill(_ address: UInt64, byteCount: Int, with value: UInt8) throws(FrontendError) {
    var rest = byteCount
    var position = address
    while rest > 0 {
      let count = try runLength(at: position, upTo: rest)
      // SAFETY: `pointer` checked the run.
      let start = unsafe try pointer(at: position, byteCount: count)
      _ = unsafe memset(start, Int32(value), count)
      rest -= count
      position += UInt64(count)
    }
  }

  private func runLength(at address: UInt64, upTo limit: Int) throws(FrontendError) -> Int {
    guard let index = regionIndex(of: address, byteCount: 1) else {
      throw .guestMemory("\(hexadecimal(address)) is in no region")
    }
    return min(limit, Int(clamping: regions[index].guestRange.upperBound - address))
  }

  // MARK: Allocation

  /// Takes a range inside one region.
  ///
  /// Its content is what the last user left there.
  public func allocate(
    _ byteCount: Int, alignment: Int = 1, region: Int? = nil
  ) throws(FrontendError) -> UInt64 {
    guard byteCount >= 0, alignment.nonzeroBitCount == 1, alignment > 0 else {
      throw .guestMemory("\(byteCount) bytes on a multiple of \(alignment)")
    }
    let candidates = region.map { $0..<$0 + 1 } ?? 0..<regions.count
    for index in candidates where allocators.indices.contains(index) {
      let start = allocators[index].take(
        byteCount: UInt64(byteCount), alignment: UInt64(alignment))
      if let start { return start }
    }
    throw .guestMemory("no room for \(byteCount) bytes")
  }

  /// Takes a range of `byteCount` bytes that crosses from a region into its neighbour, half in
  /// each.
  ///
  /// It is given back with `freeCrossing`.
  public func allocateCrossing(
    _ byteCount: Int, from first: Int = 0, into second: Int = 1
  ) throws(FrontendError) -> UInt64 {
    guard
      regions.indices.contains(first), regions.indices.contains(second), byteCount >= 2,
      regions[first].guestRange.upperBound == regions[second].guestRange.lowerBound
    else { throw .guestMemory("regions \(first) and \(second) are no neighbours") }
    let border = regions[second].guestRange.lowerBound
    let start = border - UInt64(byteCount / 2)
    let end = start + UInt64(byteCount)
    guard allocators[first].take(exactly: start..<border) else {
      throw .guestMemory("the end of region \(first) is taken")
    }
    guard allocators[second].take(exactly: border..<end) else {
      _ = allocators[first].giveBack(start)
      throw .guestMemory("the start of region \(second) is taken")
    }
    return start
  }

  /// Gives back what `allocateCrossing` gave.
  public func freeCrossing(_ address: UInt64, into second: Int = 1) {
    free(address)
    if regions.indices.contains(second) { free(regions[second].guestRange.lowerBound) }
  }

  /// Gives back what `allocate` gave; another address has no effect.
  public func free(_ address: UInt64) {
    guard let index = regionIndex(of: address, byteCount: 0) else { return }
    _ = allocators[index].giveBack(address)
  }

  /// Bytes that are free, over all regions: equal before and after a test that cleans up.
  public var freeByteCount: UInt64 { allocators.reduce(0) { $0 + $1.freeByteCount } }
}

/// An address as people read it.
func hexadecimal(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }
