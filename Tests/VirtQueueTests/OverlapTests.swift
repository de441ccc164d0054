import GuestMemory
import LinuxSystem
import Testing
import VirtQueue

/// Whether a chain writes over what it reads, against a look at every byte.
@Suite struct OverlapTests {
  /// Whether the next chain does, and whether it can be read as usual afterwards.
  private func look(_ driver: DriverQueue, readableByteCount: Int) throws -> (Bool, [UInt8]) {
    let queue = try driver.makeQueueFromStart()
    var list = try SpanList()
    _ = try queue.look()
    var chain = try queue.takeChain()
    try chain.readAhead(&queue.memory)
    let overlaps = chain.writesOverWhatItReads(&queue.memory)
    #expect(
      try chain.collectReadable(byteCount: readableByteCount, into: &list, &queue.memory))
    let bytes = (0..<list.count).flatMap { index in
      let run = list.slice(index)
      return Array(UnsafeBufferPointer(start: run.pointer, count: run.byteCount))
    }
    return (overlaps, bytes)
  }

  @Test(arguments: 0..<300 as Range<UInt64>)
  func everyLengthOfChainIsSeenThrough(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let driver = try DriverQueue(size: 16)
    // So many bytes that about every other chain overlaps.
    let buffers = DriverQueue.free + 0x4_0000
    let count = Int.random(in: 2...400, using: &random)
    let readableCount = Int.random(in: 0...count, using: &random)
    let spread = UInt64(count * count) * 4
    var chain: [DriverDescriptor] = []
    var read = Set<UInt64>()
    var written = Set<UInt64>()
    var expected: [UInt8] = []
    for index in 0..<count {
      let byteCount = UInt64.random(in: 1...8, using: &random)
      let address = buffers + UInt64.random(in: 0..<spread, using: &random)
      let addresses = address..<address + byteCount
      if index < readableCount {
        chain.append(.readable(address, UInt32(byteCount)))
        read.formUnion(addresses)
        expected += try driver.guest.read(address, Int(byteCount))
      } else {
        chain.append(.writable(address, UInt32(byteCount)))
        written.formUnion(addresses)
      }
    }
    try driver.offerIndirect(chain, head: 3)
    let (overlaps, bytes) = try look(driver, readableByteCount: expected.count)
    #expect(overlaps == !read.isDisjoint(with: written), "seed \(seed)")
    #expect(bytes == expected, "seed \(seed)")
  }

  /// Of a short chain it can be told, also where buffers cross regions; and which bytes of what is read it is.
  @Test(arguments: 0..<200 as Range<UInt64>)
  func buffersOfShortChainsMayCrossRegions(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let driver = try DriverQueue(size: 16)
    let readableCount = Int.random(in: 1...5, using: &random)
    var chain: [DriverDescriptor] = []
    var read: [UInt64] = []
    var written = Set<UInt64>()
    for index in 0..<8 {
      let byteCount = UInt64.random(in: 1...40, using: &random)
      let address = GuestFixture.seam - 200 + UInt64.random(in: 0..<400, using: &random)
      let isReadable = index < readableCount
      chain.append(
        isReadable
          ? .readable(address, UInt32(byteCount)) : .writable(address, UInt32(byteCount)))
      if isReadable {
        read += address..<address + byteCount
      } else {
        written.formUnion(address..<address + byteCount)
      }
    }
    try driver.offerIndirect(chain, head: 3)
    let queue = try driver.makeQueueFromStart()
    _ = try queue.look()
    var taken = try queue.takeChain()
    try taken.readAhead(&queue.memory)
    #expect(
      taken.writesOverWhatItReads(&queue.memory) == !written.isDisjoint(with: read),
      "seed \(seed)")
    for byteCount in [0, 1, 24, 72, 1000] {
      #expect(
        taken.writesOverItsBeginning(byteCount: byteCount, &queue.memory)
          == !written.isDisjoint(with: read.prefix(byteCount)), "seed \(seed), \(byteCount)")
    }
  }

  /// The scatter lists of Linux's driver: each entry together with all that follow.
  @Test(arguments: [false, true])
  func linuxScatterListsAreSeenThrough(isInPlace: Bool) throws {
    let driver = try DriverQueue(size: 16)
    let source = DriverQueue.free + 0x10_0000
    let destination = isInPlace ? source : source + 0x8_0000
    var chain: [DriverDescriptor] = [.readable(source - 0x1000, 72), .readable(source - 0x800, 16)]
    for (start, isWritable) in [(source, false), (destination, true)] {
      for first in 0..<32 {
        for page in first..<32 {
          let address = start + UInt64(page) * 4096
          chain.append(isWritable ? .writable(address, 4096) : .readable(address, 4096))
        }
      }
    }
    chain.append(.writable(source - 0x400, 1))
    try driver.offerIndirect(chain, head: 3)
    #expect(try look(driver, readableByteCount: 88).0 == isInPlace)
  }

  /// What cannot be told of a long chain counts as overlapping: a buffer that crosses regions, and a table that does.
  @Test func whatCannotBeToldOverlaps() throws {
    for isTable in [false, true] {
      let driver = try DriverQueue(size: 16)
      var chain: [DriverDescriptor] = []
      for index in 0..<100 as Range<UInt64> {
        chain.append(.readable(DriverQueue.free + index * 16, 16))
      }
      chain.append(.writable(isTable ? DriverQueue.free + 0x1000 : GuestFixture.seam - 8, 16))
      let table = isTable ? GuestFixture.seam - 800 : DriverQueue.free + 0x10_0000
      try driver.offerIndirect(chain, table: table, head: 3)
      #expect(try look(driver, readableByteCount: 1600).0)
    }
  }

  /// Tens of thousands take no time to speak of: the worst that a guest can ask for.
  @Test func theLongestChainIsBounded() throws {
    let driver = try DriverQueue(size: 16)
    var chain: [DriverDescriptor] = []
    for index in 0..<DescriptorChain.maximumIndirectCount {
      let address = DriverQueue.free + 0x10_0000 + UInt64((index * 7919) % 32768) * 16
      chain.append(index < 16384 ? .readable(address, 16) : .writable(address, 16))
    }
    try driver.offerIndirect(chain, table: DriverQueue.free, head: 3)
    let start = ContinuousClock.now
    #expect(try !look(driver, readableByteCount: 16).0)
    #expect(start.duration(to: .now) < .seconds(1))
  }
}
