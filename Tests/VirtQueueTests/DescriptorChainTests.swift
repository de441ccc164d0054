import GuestMemory
import LinuxSystem
import Testing
import VirtQueue

/// Good chains: what is read and written, and where.
@Suite struct DescriptorChainTests {
  private func bytes(_ count: Int, from first: UInt8 = 1) -> [UInt8] {
    (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
  }

  @Test func directChainIsReadAndWrittenInOrder() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.guest.write(bytes(40), at: free)
    try driver.guest.write(bytes(8, from: 100), at: free + 0x1000)
    // Out of order in the table, so that links count and not positions.
    try driver.putChain(
      [
        .readable(free, 40), .readable(free + 0x1000, 8), .writable(free + 0x2000, 32),
        .writable(free + 0x3000, 1),
      ], slots: [5, 2, 9, 0])
    try driver.offer(5)

    let reading = try driver.read(queue, readable: 48, writable: 32)
    #expect(reading.readable == bytes(40) + bytes(8, from: 100))
    #expect(reading.readWasComplete && reading.writeWasComplete)
    #expect(
      reading.writableRuns
        == [DriverQueue.Run(address: try driver.host(free + 0x2000), byteCount: 32)])
    #expect(try reading.lastWritable == driver.host(free + 0x3000))
    #expect(reading.writableByteCount == 33)
    #expect(queue.nextAvailable == 1)
  }

  @Test func indirectTableIsFollowedAndMayBeLongerThanTheRing() throws {
    let driver = try DriverQueue(size: 4)
    let queue = try driver.makeQueue()
    let buffers = DriverQueue.free + 0x10_0000
    var chain: [DriverDescriptor] = []
    for index in 0..<100 {
      try driver.guest.write([UInt8(index)], at: buffers + 2 * UInt64(index))
      chain.append(.readable(buffers + 2 * UInt64(index), 1))
    }
    chain.append(.writable(buffers + 0x1000, 1))
    try driver.offerIndirect(chain, head: 3)

    let reading = try driver.read(queue, readable: 100, writable: 0)
    #expect(reading.readable == (0..<100).map { UInt8($0) })
    #expect(try reading.lastWritable == driver.host(buffers + 0x1000))
  }

  @Test func indirectTableAtAnOddAddressIsFollowed() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let buffer = DriverQueue.free + 0x1000
    try driver.guest.write(bytes(4), at: buffer)
    try driver.offerIndirect([.readable(buffer, 4)], table: DriverQueue.free + 3)
    #expect(try driver.read(queue, readable: 4, writable: 0).readable == bytes(4))
  }

  @Test func writeFlagOfTheIndirectDescriptorIsIgnored() throws {
    let driver = try DriverQueue()
    let buffer = DriverQueue.free + 0x1000
    try driver.putChain([.readable(buffer, 4)], table: DriverQueue.free)
    try driver.put(
      DriverDescriptor(
        address: DriverQueue.free, byteCount: 16,
        flags: DriverDescriptor.indirect | DriverDescriptor.write), at: 0)
    try driver.offer(0)
    #expect(try driver.refusal(readable: 4, writable: 0) == nil)
  }

  @Test func indirectTableAcrossRegionsIsFollowed() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let buffer = DriverQueue.free
    var chain: [DriverDescriptor] = []
    for index in 0..<6 {
      try driver.guest.write([UInt8(40 + index)], at: buffer + 16 * UInt64(index))
      chain.append(.readable(buffer + 16 * UInt64(index), 1))
    }
    // The seam is in the middle of the fourth descriptor.
    try driver.offerIndirect(chain, table: GuestFixture.seam - 56)
    #expect(
      try driver.read(queue, readable: 6, writable: 0).readable == (40..<46).map { UInt8($0) })
  }

  @Test(arguments: [DriverQueue.free + 0x8000, GuestFixture.seam - 24])
  func directDescriptorsGoOnInAnIndirectTable(table: UInt64) throws {
    let driver = try DriverQueue(size: 4)
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.guest.write(bytes(12), at: free)
    // More descriptors than the ring has: the table's are counted on their own.
    var rest: [DriverDescriptor] = (4..<12).map { .readable(free + $0, 1) }
    rest += [.writable(free + 0x100, 3), .writable(free + 0x200, 1)]
    try driver.putChain(rest, table: table)
    try driver.putChain(
      [
        .readable(free, 4),
        DriverDescriptor(
          address: table, byteCount: UInt32(16 * rest.count), flags: DriverDescriptor.indirect),
      ], slots: [2, 3])
    try driver.offer(2)
    let reading = try driver.read(queue, readable: 12, writable: 3)
    #expect(reading.readable == bytes(12))
    #expect(reading.writeWasComplete)
    #expect(try reading.lastWritable == driver.host(free + 0x200))
    #expect(reading.writableByteCount == 4)
  }

  @Test func indirectTableOf32768DescriptorsIsAccepted() throws {
    let driver = try DriverQueue()
    let buffer = GuestFixture.seam
    var chain = [DriverDescriptor](repeating: .readable(buffer, 0), count: 32767)
    chain.append(.writable(buffer, 1))
    try driver.offerIndirect(chain)
    let queue = try driver.makeQueueFromStart()
    let reading = try driver.read(queue, readable: 0, writable: 1)
    #expect(try reading.lastWritable == driver.host(buffer))
  }

  @Test func zeroLengthDescriptorsAreSkipped() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.guest.write(bytes(4), at: free)
    // Their addresses are nobody's, which must not matter.
    try driver.putChain([
      .readable(0, 0), .readable(free, 2), .readable(.max, 0), .readable(free + 2, 2),
      .writable(0, 0), .writable(free + 64, 3), .writable(.max, 0),
    ])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 4, writable: 2)
    #expect(reading.readable == bytes(4))
    #expect(reading.writeWasComplete)
    // The last byte that can be written is in the last descriptor that has any.
    #expect(try reading.lastWritable == driver.host(free + 66))
    #expect(reading.writableByteCount == 3)
  }

  @Test func bufferAcrossAdjacentRegionsIsReadAndWritten() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let seam = GuestFixture.seam
    try driver.guest.write(bytes(20), at: seam - 10)
    try driver.putChain([.readable(seam - 10, 20), .writable(seam - 5, 8)])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 20, writable: 8)
    #expect(reading.readable == bytes(20))
    var expected = [
      DriverQueue.Run(address: try driver.host(seam - 5), byteCount: 5),
      DriverQueue.Run(address: try driver.host(seam), byteCount: 3),
    ]
    if expected[0].address + 5 == expected[1].address {
      expected = [DriverQueue.Run(address: expected[0].address, byteCount: 8)]
    }
    #expect(reading.writableRuns == expected)
    #expect(try reading.lastWritable == driver.host(seam + 2))
  }

  @Test func adjacentSegmentsBecomeOneRun() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.putChain([
      .readable(free, 1), .writable(free + 0x100, 16), .writable(free + 0x110, 16),
      .writable(free + 0x200, 16),
    ])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 1, writable: 48)
    #expect(
      reading.writableRuns == [
        DriverQueue.Run(address: try driver.host(free + 0x100), byteCount: 32),
        DriverQueue.Run(address: try driver.host(free + 0x200), byteCount: 16),
      ])
  }

  @Test func skippedReadableBytesAreNotTranslated() throws {
    let driver = try DriverQueue()
    let free = DriverQueue.free
    try driver.putChain([
      .readable(free, 4), .readable(GuestFixture.end + 64, 4096), .writable(free + 64, 4),
    ])
    try driver.offer(0)
    #expect(try driver.refusal(readable: 4, writable: 4) == nil)
  }

  @Test func copyReadableCrossesDescriptorsAndStopsWhereTheReadablePartEnds() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.guest.write(bytes(10), at: free)
    try driver.putChain([.readable(free, 3), .readable(free + 3, 7), .writable(free + 64, 5)])
    try driver.offer(0)
    _ = try queue.availableCount()
    var chain = try queue.takeChain()
    var copy = [UInt8](repeating: 0xEE, count: 16)
    let first = try copy.withUnsafeMutableBytes {
      try chain.copyReadable(into: try #require($0.baseAddress), byteCount: 5, &queue.memory)
    }
    #expect(first == 5)
    #expect(copy[..<6] == [1, 2, 3, 4, 5, 0xEE])
    let second = try copy.withUnsafeMutableBytes {
      try chain.copyReadable(into: try #require($0.baseAddress), byteCount: 16, &queue.memory)
    }
    #expect(second == 5)
    #expect(copy[..<6] == [6, 7, 8, 9, 10, 0xEE])
    let third = try copy.withUnsafeMutableBytes {
      try chain.copyReadable(into: try #require($0.baseAddress), byteCount: 1, &queue.memory)
    }
    #expect(third == 0)
  }

  @Test func shortPartsAreReported() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.putChain([.readable(free, 7), .writable(free + 64, 5)])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 8, writable: 6)
    #expect(!reading.readWasComplete)
    #expect(!reading.writeWasComplete)
    #expect(reading.readable.count == 7)
    #expect(reading.writableByteCount == 5)
  }

  @Test func chainWithoutWritableBytesHasNoLastOne() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    try driver.putChain([.readable(DriverQueue.free, 7), .writable(DriverQueue.free, 0)])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 7, writable: 0)
    #expect(reading.lastWritable == nil)
    #expect(reading.writableByteCount == 0)
  }

  @Test func lastWritableByteMayLieInADescriptorThatIsPartlyUsed() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.putChain([.readable(free, 4), .writable(free + 64, 17)])
    try driver.offer(0)
    let reading = try driver.read(queue, readable: 4, writable: 16)
    #expect(reading.writableRuns.map(\.byteCount) == [16])
    #expect(try reading.lastWritable == driver.host(free + 80))
    #expect(reading.writableByteCount == 17)
  }

  /// What Linux sends for 192 KiB that do not start at a page: each entry of a scatter list comes with all that follow.
  @Test func overlappingScatterListsOf2404DescriptorsAreRead() throws {
    let driver = try DriverQueue(size: 256)
    let page = 4096
    let payload = 48 * page
    let source = GuestFixture.seam
    let destination = GuestFixture.seam + 0x10_0000
    let header = DriverQueue.free + 0x10_0000
    var random = SeededRandom(seed: 192)
    let data = (0..<payload).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    // Source: 49 segments, because it starts 100 bytes into a page; destination: 48. Two pages apart each, so that no
    // two segments are adjacent.
    var sources: [DriverDescriptor] = []
    var offset = 0
    while offset < payload {
      let count = sources.isEmpty ? page - 100 : min(page, payload - offset)
      let address = source + UInt64(2 * page * sources.count + (sources.isEmpty ? 100 : 0))
      try driver.guest.write(Array(data[offset..<offset + count]), at: address)
      sources.append(.readable(address, UInt32(count)))
      offset += count
    }
    let destinations = (0..<48).map {
      DriverDescriptor.writable(destination + UInt64(2 * page * $0), UInt32(page))
    }
    var chain: [DriverDescriptor] = [.readable(header, 72), .readable(header + 128, 16)]
    for first in sources.indices { chain += sources[first...] }
    for first in destinations.indices { chain += destinations[first...] }
    chain.append(.writable(header + 256, 1))
    #expect(chain.count == 2404)
    try driver.offerIndirect(chain)

    let queue = try driver.makeQueueFromStart()
    let reading = try driver.read(queue, readable: 88 + payload, writable: payload)
    #expect(reading.readWasComplete && reading.writeWasComplete)
    #expect(Array(reading.readable.dropFirst(88)) == data)
    let expected = try destinations.map {
      DriverQueue.Run(address: try driver.host($0.address), byteCount: page)
    }
    #expect(reading.writableRuns == expected)
    #expect(try reading.lastWritable == driver.host(header + 256))
    #expect(reading.writableByteCount == UInt64(48 * 49 / 2 * page + 1))
  }

  /// The guest rewrites a descriptor between two reads of the buffer that it describes.
  @Test func descriptorIsReadOnce() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let free = DriverQueue.free
    try driver.guest.write(bytes(8), at: free)
    try driver.putChain([.readable(free, 8)])
    try driver.offer(0)
    _ = try queue.availableCount()
    var chain = try queue.takeChain()
    var copy = [UInt8](repeating: 0, count: 8)
    let first = try copy.withUnsafeMutableBufferPointer {
      try chain.copyReadable(into: try #require($0.baseAddress), byteCount: 4, &queue.memory)
    }
    try driver.put(
      DriverDescriptor(address: GuestFixture.end, byteCount: .max, flags: 7, link: 999), at: 0)
    let second = try copy.withUnsafeMutableBufferPointer {
      try chain.copyReadable(into: try #require($0.baseAddress) + 4, byteCount: 100, &queue.memory)
    }
    #expect(first == 4)
    #expect(second == 4)
    #expect(copy == bytes(8))
  }
}
