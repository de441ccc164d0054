import Glibc
import GuestMemory
import LinuxSystem
import Testing

@Suite struct MemoryMapTests {
  private let page = MemoryFixture.page

  @Test func emptyMapTranslatesNothing() {
    let map = MemoryMap()
    #expect(map.isEmpty)
    #expect(map.totalByteCount == 0)
    for address in [0, 1, 4096, UInt64.max] {
      #expect(map.translate(GuestAddress(rawValue: address), byteCount: 1)?.byteCount == nil)
      #expect(map.translate(FrontendAddress(rawValue: address), byteCount: 1)?.byteCount == nil)
    }
  }

  // MARK: - Refusals

  @Test func emptyRegionIsRefused() throws {
    #expect(try MemoryFixture.refusal(MemoryFixture.region(at: 0, 0)) == .empty)
  }

  @Test(arguments: [UInt64.max, UInt64.max - 4094])
  func guestAddressesOver2To64AreRefused(address: UInt64) throws {
    let region = MemoryFixture.region(at: address, page, frontend: 0)
    #expect(try MemoryFixture.refusal(region) == .addressOverflow(region))
  }

  @Test func frontendAddressesOver2To64AreRefused() throws {
    let region = MemoryFixture.region(at: 0, page, frontend: .max - 100)
    #expect(try MemoryFixture.refusal(region) == .addressOverflow(region))
  }

  @Test(
    arguments: [
      (UInt64.max, 4096), (UInt64.max - 4095, 4096), (4096, UInt64.max), (0, UInt64.max),
      (1 << 63, 1 << 63), (UInt64(Int64.max), 4096),
    ] as [(UInt64, UInt64)])
  func offsetAndSizeThatOverflowAreRefused(offset: UInt64, byteCount: UInt64) throws {
    let region = MemoryFixture.region(at: 0, byteCount, frontend: 0, offset: offset)
    #expect(try MemoryFixture.refusal(region) == .addressOverflow(region))
  }

  @Test(arguments: [(0, 4097), (1, 4096), (4096, 1), (1 << 40, 4096)] as [(UInt64, UInt64)])
  func fileShorterThanTheRegionIsRefused(offset: UInt64, byteCount: UInt64) throws {
    let region = MemoryFixture.region(at: 0, byteCount, offset: offset)
    #expect(
      try MemoryFixture.refusal(region)
        == .fileTooShort(needed: offset + byteCount, actual: page))
  }

  /// Every way two ranges can meet: by one byte at either end, inside, around, the same.
  @Test(
    arguments: [
      (0x10000 - 4095, 4096), (0x11fff, 4096), (0x11000, 16), (0xf000, 0x5000), (0x10000, 0x2000),
    ] as [(UInt64, UInt64)])
  func overlapInGuestAddressesIsRefused(address: UInt64, byteCount: UInt64) throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0x10000, 0x2000), descriptor: MemoryFixture.file(0x2000))
    let region = MemoryFixture.region(at: address, byteCount, frontend: 0)
    #expect(
      try MemoryFixture.refusal(region, fileByteCount: 0x10000, in: map) == .overlap(region))
  }

  /// A front-end can show one block of memory at two places in the guest.
  @Test func frontendAddressesMayBeShared() throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0x10000, 0x2000, frontend: 0x50000),
      descriptor: MemoryFixture.file(0x2000)
    ).adding(
      MemoryFixture.region(at: 0x90000, page, frontend: 0x51000),
      descriptor: MemoryFixture.file(page))
    #expect(map.regionCount == 2)
    #expect(map.translate(FrontendAddress(rawValue: 0x51000), byteCount: 16)?.byteCount == 16)
  }

  @Test func adjacentRegionsDoNotOverlap() throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0x10000), descriptor: MemoryFixture.file(page))
    for address in [0x10000 - page, 0x10000 + page] {
      #expect(try MemoryFixture.refusal(MemoryFixture.region(at: address), in: map) == nil)
    }
  }

  @Test func regionsAreLimitedTo509() throws {
    var map = MemoryMap()
    let file = try MemoryFixture.file(page)
    for index in 0..<UInt64(MemoryMap.maximumRegionCount) {
      map = try map.adding(
        MemoryFixture.region(at: index * page), descriptor: file.duplicate())
    }
    #expect(map.regionCount == 509)
    #expect(map.totalByteCount == 509 * page)
    let oneMore = MemoryFixture.region(at: 509 * page)
    #expect(try MemoryFixture.refusal(oneMore, in: map) == .tooManyRegions)
    let fewer = try map.removing(MemoryFixture.region(at: 100 * page))
    #expect(try MemoryFixture.refusal(oneMore, in: fewer) == nil)
    // All of them are found, and each by its own region.
    for index in 0..<UInt64(509) {
      let slice = fewer.translate(GuestAddress(rawValue: index * page), byteCount: Int(page))
      #expect((slice == nil) == (index == 100))
    }
  }

  @Test func descriptorThatIsNoFileIsRefused() throws {
    let event = try EventFD().release()
    var refusal: MemoryError?
    do throws(MemoryError) {
      _ = try MemoryMap().adding(MemoryFixture.region(at: 0), descriptor: event)
    } catch { refusal = error }
    #expect(refusal == .fileTooShort(needed: page, actual: 0))
  }

  @Test func readOnlyFileIsRefused() throws {
    let file = try MemoryFixture.file(page)
    let readOnly = open("/proc/self/fd/\(file.rawValue)", O_RDONLY | O_CLOEXEC)
    try #require(readOnly >= 0)
    var refusal: MemoryError?
    do throws(MemoryError) {
      _ = try MemoryMap().adding(
        MemoryFixture.region(at: 0), descriptor: FileDescriptor(owning: readOnly))
    } catch { refusal = error }
    guard case .system(let error) = refusal else {
      Issue.record("\(String(describing: refusal))")
      return
    }
    #expect(error.code == EACCES)
  }

  // MARK: - Translation

  @Test func regionShowsTheFileFromItsOffsetOn() throws {
    let file = try MemoryFixture.file(4 * page)
    // Not a multiple of the page size: mmap takes no such offset, the region has it all the same.
    let offset = page + 0x234
    let marker: [UInt8] = [1, 2, 3, 4]
    let written = pwrite(file.rawValue, marker, 4, off_t(offset))
    #expect(written == 4)
    let description = MemoryFixture.region(at: 0x5000, page, offset: offset)
    let map = try MemoryMap().adding(description, descriptor: file.duplicate())
    let slice = try #require(map.translate(GuestAddress(rawValue: 0x5000), byteCount: Int(page)))
    #expect(Array(UnsafeBufferPointer(start: slice.pointer, count: 4)) == marker)
    slice.pointer[Int(page) - 1] = 77
    var back: UInt8 = 0
    let read = pread(file.rawValue, &back, 1, off_t(offset + page - 1))
    #expect(read == 1)
    #expect(back == 77)
  }

  @Test func translationStaysInsideARegion() throws {
    let map = try MemoryMap()
      .adding(MemoryFixture.region(at: 0x10000), descriptor: MemoryFixture.file(page))
      .adding(MemoryFixture.region(at: 0x11000), descriptor: MemoryFixture.file(page))
    func guest(_ address: UInt64, _ byteCount: Int) -> Int? {
      map.translate(GuestAddress(rawValue: address), byteCount: byteCount)?.byteCount
    }
    #expect(guest(0x10000, 4096) == 4096)
    #expect(guest(0x10fff, 1) == 1)
    #expect(guest(0x10fff, 2) == nil)
    #expect(guest(0x11fff, 1) == 1)
    #expect(guest(0x12000, 1) == nil)
    #expect(guest(0xffff, 1) == nil)
    #expect(guest(0xffff, 2) == nil)
    #expect(guest(0x10000, .max) == nil)
    #expect(guest(.max, 2) == nil)
    #expect(guest(0x10000, -1) == nil)
    let frontend: UInt64 = 0x7000_0001_0000
    func ours(_ address: UInt64, _ byteCount: Int) -> Int? {
      map.translate(FrontendAddress(rawValue: address), byteCount: byteCount)?.byteCount
    }
    #expect(ours(frontend, 4096) == 4096)
    #expect(ours(frontend + 4095, 2) == nil)
    #expect(ours(frontend - 1, 1) == nil)
    #expect(ours(frontend + 8192, 1) == nil)
    #expect(ours(.max, .max) == nil)
    #expect(ours(frontend, -1) == nil)
  }

  @Test func frontendAndGuestAddressesLeadToTheSameBytes() throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0x10000, frontend: 0xABC000), descriptor: MemoryFixture.file(page))
    let guest = try #require(map.translate(GuestAddress(rawValue: 0x10123), byteCount: 1))
    let frontend = try #require(map.translate(FrontendAddress(rawValue: 0xABC123), byteCount: 1))
    #expect(guest.pointer == frontend.pointer)
  }

  // MARK: - Successive maps

  @Test func regionsThatStayKeepTheirMapping() throws {
    let first = MemoryFixture.region(at: 0x10000)
    let second = MemoryFixture.region(at: 0x20000)
    let one = try MemoryMap().adding(first, descriptor: MemoryFixture.file(page))
    let two = try one.adding(second, descriptor: MemoryFixture.file(page))
    let three = try two.removing(second)
    let addresses = [one, two, three].map {
      $0.translate(first.guestAddress, byteCount: 1)?.pointer
    }
    #expect(addresses[0] != nil)
    #expect(addresses[0] == addresses[1])
    #expect(addresses[1] == addresses[2])
    #expect(three.translate(second.guestAddress, byteCount: 1) == nil)
    // The older map still has what the newer one gave up.
    let kept = try #require(two.translate(second.guestAddress, byteCount: 1))
    kept.pointer.pointee = 1
  }

  @Test func removingNeedsTheSameAddressesAndSize() throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0x10000), descriptor: MemoryFixture.file(page))
    let others = [
      MemoryFixture.region(at: 0x11000), MemoryFixture.region(at: 0x10000, page / 2),
      MemoryFixture.region(at: 0x10000, frontend: 5),
    ]
    for other in others {
      #expect(throws: MemoryError.noSuchRegion) { try map.removing(other) }
    }
    // Its offset in the file does not count.
    let left = try map.removing(MemoryFixture.region(at: 0x10000, offset: 0x7000))
    #expect(left.isEmpty)
  }

  // MARK: - The kernel's view

  @Test func mappingEndsWithTheLastMapThatHasIt() throws {
    let name = "ends-with-the-last-map"
    let region = MemoryFixture.region(at: 0)
    var older: MemoryMap? = try MemoryMap().adding(
      region, descriptor: MemoryFixture.file(page, name: name))
    var newer: MemoryMap? = try older?.adding(
      MemoryFixture.region(at: 0x9000), descriptor: MemoryFixture.file(page))
    #expect(try mappings(of: name) == 1)
    older = nil
    #expect(try mappings(of: name) == 1)
    #expect(newer?.regionCount == 2)
    newer = nil
    #expect(try mappings(of: name) == 0)
    withExtendedLifetime((older, newer)) {}
  }

  @Test func guestMemoryIsInNoCoreDump() throws {
    let name = "in-no-core-dump"
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: 0), descriptor: MemoryFixture.file(page, name: name))
    let smaps = try kernelText("/proc/self/smaps")
    let entry = try #require(smaps.firstRange(of: "memfd:\(name)")).lowerBound
    let lines = smaps[entry...].split(separator: "\n")
    let flags = try #require(lines.first { $0.hasPrefix("VmFlags:") })
    #expect(flags.split(separator: " ").contains("dd"))
    withExtendedLifetime(map) {}
  }

  /// The first region of a PC has 640 KiB, which is no whole huge page; munmap takes whole huge pages only.
  @Test func regionInHugePagesIsUnmappedToo() throws {
    let name = "huge-region"
    // MFD_CLOEXEC | MFD_HUGETLB, 2 MiB; nothing is touched, so the host needs no huge page to spare.
    let raw = try hugeMemoryFile(name, 1 | 4)
    try #require(raw >= 0)
    let file = FileDescriptor(owning: raw)
    try file.truncate(to: 2 << 20)
    var map: MemoryMap? = try MemoryMap().adding(
      MemoryFixture.region(at: 0, 640 << 10), descriptor: file)
    #expect(try mappings(of: name) == 1)
    #expect(map?.regionCount == 1)
    map = nil
    #expect(try mappings(of: name) == 0)
    withExtendedLifetime(map) {}
  }

  /// `memfd_create` with flags of the test's own; Swift's view of the C library leaves the call out.
  private func hugeMemoryFile(_ name: String, _ flags: UInt32) throws -> Int32 {
    let symbol = try #require(dlsym(nil, "memfd_create"))
    typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
    return unsafeBitCast(symbol, to: Create.self)(name, flags)
  }

  private func mappings(of name: String) throws -> Int {
    try kernelText("/proc/self/maps").split(separator: "\n")
      .filter { $0.contains("memfd:\(name) ") }.count
  }

  /// A file of `/proc`, to its end: its size is given as 0, and a read gives a part.
  private func kernelText(_ path: String) throws -> String {
    let file = FileDescriptor(owning: open(path, O_RDONLY | O_CLOEXEC))
    try #require(file.rawValue >= 0)
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(file.rawValue, &part, part.count)
      try #require(count >= 0)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += part[..<count]
    }
  }
}
