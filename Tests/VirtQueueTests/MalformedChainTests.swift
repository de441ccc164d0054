import GuestMemory
import Testing
import VirtQueue

/// Start from a good chain, spoil one field, expect one error.
@Suite struct MalformedChainTests {
  private let free = DriverQueue.free
  private let table = DriverQueue.free + 0x8000

  /// Four direct descriptors: two readable, two writable, 64 bytes each way.
  private func directChain(_ driver: DriverQueue) throws {
    try driver.putChain([
      .readable(free, 32), .readable(free + 0x100, 32), .writable(free + 0x200, 63),
      .writable(free + 0x300, 1),
    ])
    try driver.offer(0)
  }

  /// The same in an indirect table.
  private func indirectChain(_ driver: DriverQueue) throws {
    try driver.offerIndirect(
      [
        .readable(free, 32), .readable(free + 0x100, 32), .writable(free + 0x200, 63),
        .writable(free + 0x300, 1),
      ], table: table)
  }

  private func linked(
    _ descriptor: DriverDescriptor, to next: UInt16
  ) -> DriverDescriptor {
    var descriptor = descriptor
    descriptor.flags |= DriverDescriptor.next
    descriptor.link = next
    return descriptor
  }

  @Test func theUnspoiledChainsAreGood() throws {
    let direct = try DriverQueue()
    try directChain(direct)
    #expect(try direct.refusal() == nil)
    let indirect = try DriverQueue()
    try indirectChain(indirect)
    #expect(try indirect.refusal() == nil)
  }

  // MARK: - The available ring

  @Test(arguments: [17, 18, 32768, 65535] as [UInt16])
  func availableIndexJumpIsRefused(index: UInt16) throws {
    let driver = try DriverQueue(size: 16)
    try directChain(driver)
    try driver.setAvailableIndex(index)
    #expect(try driver.refusal() == .availableIndexJump(from: 0, to: index))
  }

  @Test func availableIndexAheadByTheWholeQueueIsGood() throws {
    let driver = try DriverQueue(size: 16)
    try directChain(driver)
    let queue = try driver.makeQueueFromStart()
    try driver.setAvailableIndex(16)
    #expect(try queue.availableCount() == 16)
  }

  @Test func availableIndexThatGoesBackIsRefused() throws {
    let driver = try DriverQueue(size: 16, startIndex: 100)
    let queue = try driver.makeQueue()
    try driver.setAvailableIndex(99)
    #expect(throws: QueueError.availableIndexJump(from: 100, to: 99)) {
      _ = try queue.availableCount()
    }
  }

  @Test(arguments: [16, 17, 65535] as [UInt16])
  func headOutsideTheTableIsRefused(head: UInt16) throws {
    let driver = try DriverQueue(size: 16)
    try directChain(driver)
    try driver.setAvailableIndex(0)
    try driver.offer(head)
    #expect(try driver.refusal() == .headOutOfRange(head))
  }

  /// Nothing tells it from a driver that is quick to reuse a head: two chains come, and nothing breaks.
  @Test func sameHeadTwiceGivesTwoChains() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.offer(0)
    let queue = try driver.makeQueueFromStart()
    #expect(try queue.availableCount() == 2)
    let first = try driver.read(queue, readable: 64, writable: 63)
    let second = try driver.read(queue, readable: 64, writable: 63)
    #expect(first == second)
    queue.complete(head: 0, writtenByteCount: 1)
    queue.complete(head: 0, writtenByteCount: 1)
    #expect(queue.publish())
    #expect(try driver.usedIndex == 2)
  }

  // MARK: - Links

  @Test(arguments: [16, 65535] as [UInt16])
  func nextOutsideTheTableIsRefused(next: UInt16) throws {
    let driver = try DriverQueue(size: 16)
    try directChain(driver)
    try driver.put(linked(.readable(free + 0x100, 32), to: next), at: 1)
    #expect(try driver.refusal() == .nextOutOfRange(next))
  }

  @Test func nextOutsideTheIndirectTableIsRefused() throws {
    // The ring has a descriptor 4; the table of four has not.
    let driver = try DriverQueue(size: 16)
    try indirectChain(driver)
    try driver.put(linked(.readable(free + 0x100, 32), to: 4), at: 1, table: table)
    #expect(try driver.refusal() == .nextOutOfRange(4))
  }

  @Test(arguments: [0, 2, 3] as [UInt16])
  func chainWithCycleIsRefused(target: UInt16) throws {
    let driver = try DriverQueue(size: 16)
    try driver.putChain([
      .writable(free, 16), .writable(free + 0x100, 16), .writable(free + 0x200, 16),
      .writable(free + 0x300, 1),
    ])
    try driver.offer(0)
    try driver.put(linked(.writable(free + 0x300, 1), to: target), at: 3)
    #expect(try driver.refusal() == .descriptorLoop(head: 0))
  }

  @Test func cycleOfEmptyDescriptorsIsRefused() throws {
    let driver = try DriverQueue(size: 16)
    try driver.put(linked(.readable(free, 0), to: 1), at: 0)
    try driver.put(linked(.readable(free, 0), to: 0), at: 1)
    try driver.offer(0)
    #expect(try driver.refusal() == .descriptorLoop(head: 0))
  }

  @Test func cycleInAnIndirectTableIsRefused() throws {
    let driver = try DriverQueue(size: 16)
    try indirectChain(driver)
    try driver.put(linked(.writable(free + 0x300, 1), to: 2), at: 3, table: table)
    #expect(try driver.refusal() == .descriptorLoop(head: 0))
  }

  @Test func readableDescriptorBehindAWritableOneIsRefused() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(.readable(free + 0x300, 1), at: 3)
    #expect(try driver.refusal() == .readableAfterWritable(head: 0))
    let indirect = try DriverQueue()
    try indirectChain(indirect)
    try indirect.put(.readable(free + 0x300, 1), at: 3, table: table)
    #expect(try indirect.refusal() == .readableAfterWritable(head: 0))
  }

  // MARK: - Indirect tables

  @Test(
    arguments: [0, 1, 8, 15, 17, 24, 63, 72, 32768 * 16 + 16, 0xFFFF_FFF0, 0xFFFF_FFFF] as [UInt32])
  func indirectLengthIsChecked(byteCount: UInt32) throws {
    let driver = try DriverQueue()
    try indirectChain(driver)
    try driver.put(
      DriverDescriptor(
        address: table, byteCount: byteCount, flags: DriverDescriptor.indirect), at: 0)
    #expect(try driver.refusal() == .indirectLength(byteCount))
  }

  @Test func indirectDescriptorWithNextIsRefused() throws {
    let driver = try DriverQueue()
    try indirectChain(driver)
    try driver.put(
      DriverDescriptor(
        address: table, byteCount: 64, flags: DriverDescriptor.indirect | DriverDescriptor.next,
        link: 1), at: 0)
    #expect(try driver.refusal() == .indirectInChain(head: 0))
  }

  @Test(arguments: [0, 1, 3])
  func indirectInsideIndirectIsRefused(position: Int) throws {
    let driver = try DriverQueue()
    try indirectChain(driver)
    try driver.put(
      DriverDescriptor(address: table, byteCount: 64, flags: DriverDescriptor.indirect),
      at: position, table: table)
    #expect(try driver.refusal() == .nestedIndirect(head: 0))
  }

  // Spec: virtio 1.3 §2.7.5.3.2 Device Requirements: Indirect Descriptors. Direct descriptors followed by one indirect
  // descriptor are unusual, and valid.
  @Test func directDescriptorsBeforeAnIndirectOneAreGood() throws {
    let driver = try DriverQueue()
    try driver.putChain([.readable(free, 32), .writable(free + 0x200, 64)], table: table)
    try driver.put(linked(.readable(free + 0x100, 32), to: 5), at: 0)
    try driver.put(
      DriverDescriptor(address: table, byteCount: 32, flags: DriverDescriptor.indirect), at: 5)
    try driver.offer(0)
    #expect(try driver.refusal() == nil)
  }

  /// Each mistake of an indirect table is one behind direct descriptors, too.
  @Test func spoiledIndirectTableBehindDirectDescriptorsIsRefused() throws {
    func refusal(
      byteCount: UInt32 = 32, more: UInt16 = 0, address: UInt64? = nil,
      first: DriverDescriptor, link: UInt16 = 1
    ) throws -> QueueError? {
      let driver = try DriverQueue()
      try driver.put(linked(first, to: link), at: 0, table: table)
      try driver.put(.writable(free + 0x200, 64), at: 1, table: table)
      try driver.put(linked(.readable(free + 0x100, 32), to: 5), at: 0)
      try driver.put(
        DriverDescriptor(
          address: address ?? table, byteCount: byteCount,
          flags: DriverDescriptor.indirect | more), at: 5)
      try driver.offer(0)
      return try driver.refusal()
    }
    let good = DriverDescriptor.readable(free, 32)
    #expect(try refusal(first: good) == nil)
    #expect(try refusal(byteCount: 24, first: good) == .indirectLength(24))
    #expect(
      try refusal(more: DriverDescriptor.next, first: good) == .indirectInChain(head: 0))
    #expect(
      try refusal(address: 0, first: good) == .addressOutsideMemory(address: 0, byteCount: 32))
    #expect(try refusal(first: good, link: 2) == .nextOutOfRange(2))
    #expect(try refusal(first: good, link: 0) == .descriptorLoop(head: 0))
    let nested = DriverDescriptor(
      address: table, byteCount: 32, flags: DriverDescriptor.indirect)
    #expect(try refusal(first: nested) == .nestedIndirect(head: 0))
  }

  @Test(arguments: [0, GuestFixture.end, GuestFixture.end - 32, UInt64.max - 15])
  func indirectTableOutsideMemoryIsRefused(address: UInt64) throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(
      DriverDescriptor(address: address, byteCount: 64, flags: DriverDescriptor.indirect), at: 0)
    #expect(try driver.refusal() == .addressOutsideMemory(address: address, byteCount: 64))
  }

  // MARK: - Addresses

  @Test(arguments: [0, GuestFixture.base - 1, GuestFixture.end, UInt64.max, UInt64.max - 15])
  func readableBufferInAGapIsRefused(address: UInt64) throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(linked(.readable(address, 32), to: 1), at: 0)
    #expect(try driver.refusal() == .addressOutsideMemory(address: address, byteCount: 32))
  }

  @Test func readableBufferOverTheEndOfMemoryIsRefused() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(linked(.readable(GuestFixture.end - 8, 32), to: 1), at: 0)
    // The eight bytes are there; the error names where they end, and what is missing.
    #expect(
      try driver.refusal() == .addressOutsideMemory(address: GuestFixture.end, byteCount: 24))
  }

  @Test func writableBufferInAGapIsRefused() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(linked(.writable(GuestFixture.end, 63), to: 3), at: 2)
    #expect(
      try driver.refusal() == .addressOutsideMemory(address: GuestFixture.end, byteCount: 63))
  }

  @Test func statusByteInAGapIsRefused() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    try driver.put(.writable(GuestFixture.end, 1), at: 3)
    #expect(
      try driver.refusal(writable: 63)
        == .addressOutsideMemory(address: GuestFixture.end, byteCount: 1))
  }

  /// The last byte of a buffer that wraps is a mapped address: it must be refused all the same.
  @Test func statusBufferThatWraps2To64IsRefused() throws {
    let driver = try DriverQueue()
    try directChain(driver)
    let address = UInt64.max - 15
    let byteCount = UInt32(GuestFixture.base + 32)
    try driver.put(.writable(address, byteCount), at: 3)
    #expect(
      try driver.refusal(writable: 63)
        == .addressOutsideMemory(address: address, byteCount: byteCount))
  }

}
