import GuestMemory
import LinuxSystem
import Testing

@Suite struct MemoryViewTests {
  private let page = MemoryFixture.page

  /// Three regions: two that touch, a gap, one more.
  private func map() throws -> MemoryMap {
    try MemoryMap()
      .adding(MemoryFixture.region(at: 0x40000), descriptor: MemoryFixture.file(page))
      .adding(MemoryFixture.region(at: 0x11000), descriptor: MemoryFixture.file(page))
      .adding(MemoryFixture.region(at: 0x10000), descriptor: MemoryFixture.file(page))
  }

  @Test func emptyViewHasNoSlices() {
    let map = MemoryMap()
    var view = map.view
    for address in [0, 4096, UInt64.max] {
      let slice = view.slice(at: address, atMost: 1)
      #expect(slice == nil)
    }
    withExtendedLifetime(map) {}
  }

  @Test func sliceEndsWithItsRegion() throws {
    let map = try map()
    var view = map.view
    let cases: [(address: UInt64, atMost: Int, count: Int?)] = [
      (0x10000, 1, 1), (0x10000, 4096, 4096), (0x10000, 4097, 4096), (0x10ff0, 100, 16),
      (0x11000, 100, 100), (0x11fff, .max, 1), (0x12000, 1, nil), (0x3ffff, 4096, nil),
      (0x40fff, 2, 1), (0x41000, 1, nil), (0xffff, 4096, nil), (0, 1, nil), (.max, 1, nil),
      (.max, .max, nil), (0x10000, 0, nil), (0x10000, -1, nil), (0x10000, .min, nil),
    ]
    for (address, atMost, count) in cases {
      let slice = view.slice(at: address, atMost: atMost)
      #expect(slice?.byteCount == count, "\(address), at most \(atMost)")
    }
    withExtendedLifetime(map) {}
  }

  @Test func regionAtTheTopOfTheAddressSpaceDoesNotWrap() throws {
    let map = try MemoryMap().adding(
      MemoryFixture.region(at: .max - page, page, frontend: 0),
      descriptor: MemoryFixture.file(page))
    var view = map.view
    let cases: [(address: UInt64, count: Int?)] = [
      (.max - page, 4096), (.max - 1, 1), (.max, nil), (0, nil), (.max - page - 1, nil),
    ]
    for (address, count) in cases {
      let slice = view.slice(at: address, atMost: .max)
      #expect(slice?.byteCount == count, "\(address)")
    }
    withExtendedLifetime(map) {}
  }

  /// A miss in between must not leave a wrong region behind.
  @Test func lastRegionIsRememberedAndNeverWrong() throws {
    let map = try map()
    var view = map.view
    let steps: [(address: UInt64, isMapped: Bool)] = [
      (0x40000, true), (0x40800, true), (0x20000, false), (0x40000, true), (0x10000, true),
      (0x11000, true), (0x12000, false), (0x11000, true), (0x10000, true),
    ]
    for (address, isMapped) in steps {
      let slice = view.slice(at: address, atMost: 8)
      let expected = map.translate(GuestAddress(rawValue: address), byteCount: 8)
      #expect((slice != nil) == isMapped, "\(address)")
      #expect(slice?.pointer == expected?.pointer, "\(address)")
    }
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func randomLookupsMatchALinearSearch(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var map = MemoryMap()
    var regions: [(start: UInt64, byteCount: UInt64, host: UInt)] = []
    let file = try MemoryFixture.file(8 * page)
    for slot in (0..<40 as Range<UInt64>).shuffled(using: &random).prefix(25) {
      // In slots of eight pages, some of them full, so that some regions touch.
      let byteCount =
        Bool.random(using: &random)
        ? 8 * page
        : UInt64.random(
          in: 1...8 * page, using: &random)
      let region = MemoryFixture.region(at: slot * 8 * page, byteCount)
      map = try map.adding(region, descriptor: file.duplicate())
      let start = try #require(map.translate(region.guestAddress, byteCount: 1))
      regions.append((slot * 8 * page, byteCount, UInt(bitPattern: start.pointer)))
    }
    var view = map.view
    for _ in 0..<2000 {
      let address = UInt64.random(in: 0...42 * 8 * page, using: &random)
      let atMost = Int.random(in: 1...20000, using: &random)
      let slice = view.slice(at: address, atMost: atMost)
      let region = regions.first { $0.start <= address && address < $0.start + $0.byteCount }
      let expected = region.map { min(UInt64(atMost), $0.start + $0.byteCount - address) }
      #expect(slice.map { UInt64($0.byteCount) } == expected, "seed \(seed), address \(address)")
      #expect(
        slice.map { UInt(bitPattern: $0.pointer) }
          == region.map { $0.host + UInt(address - $0.start) },
        "seed \(seed), address \(address)")
    }
    withExtendedLifetime(map) {}
  }
}
