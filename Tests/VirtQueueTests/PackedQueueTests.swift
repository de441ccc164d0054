import GuestMemory
import Testing
import VirtQueue

/// Packed rings: what is taken, what is written over it, and who is told.
@Suite struct PackedQueueTests {
  private typealias Place = PackedDriver.Place
  private let free = PackedDriver.free

  private func bytes(_ count: Int, from first: UInt8 = 1) -> [UInt8] {
    (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
  }

  // MARK: - Taking

  @Test func directChainIsReadAroundTheRingsEnd() throws {
    let driver = try PackedDriver(size: 7, start: Place(index: 5, wrap: true))
    let queue = try driver.makeQueue()
    #expect(try !queue.look())
    try driver.guest.write(bytes(40), at: free)
    try driver.guest.write(bytes(8, from: 100), at: free + 0x1000)
    try driver.offer(
      [
        .readable(free, 40), .readable(free + 0x1000, 8), .writable(free + 0x2000, 32),
        .writable(free + 0x3000, 1),
      ], id: 77)
    let reading = try DriverQueue.read(queue, readable: 48, writable: 32)
    #expect(reading.readable == bytes(40) + bytes(8, from: 100))
    let host = UInt(bitPattern: try driver.guest.pointer(free + 0x2000))
    #expect(reading.writableRuns == [DriverQueue.Run(address: host, byteCount: 32)])
    #expect(reading.writableByteCount == 33)
    #expect(!queue.hasMore())
    // Taken: index 2 of the next round; used: still in front of the chain.
    #expect(queue.base == 0x0002 | 0x8005 << 16)
  }

  @Test func indirectTableIsFollowedAndMayBeLongerThanTheRing() throws {
    let driver = try PackedDriver(size: 3)
    let queue = try driver.makeQueue()
    let buffers = free + 0x10_0000
    var chain: [DriverDescriptor] = []
    for index in 0..<100 {
      try driver.guest.write([UInt8(index)], at: buffers + 2 * UInt64(index))
      chain.append(.readable(buffers + 2 * UInt64(index), 1))
    }
    chain.append(.writable(buffers + 0x1000, 1))
    try driver.offerIndirect(chain, id: 0xFFFF)
    let reading = try DriverQueue.read(queue, readable: 100, writable: 0)
    #expect(reading.readable == (0..<100).map { UInt8($0) })
    #expect(reading.writableByteCount == 1)
    #expect(queue.base & 0xFFFF == 0x8001)
  }

  @Test func indirectTableAcrossRegionsIsFollowed() throws {
    let driver = try PackedDriver()
    let queue = try driver.makeQueue()
    try driver.guest.write(bytes(64), at: free)
    try driver.offerIndirect(
      [.readable(free, 32), .readable(free + 32, 32), .writable(free + 0x100, 9)], id: 1,
      table: GuestFixture.seam - 24)
    let reading = try DriverQueue.read(queue, readable: 64, writable: 8)
    #expect(reading.readable == bytes(64))
    #expect(reading.writableByteCount == 9)
  }

  /// Spec: all flags but WRITE are reserved in an indirect table, and ignored.
  @Test(arguments: [DriverDescriptor.next, DriverDescriptor.indirect, 0x8080])
  func otherFlagsInAnIndirectTableAreIgnored(flags: UInt16) throws {
    let driver = try PackedDriver()
    let queue = try driver.makeQueue()
    try driver.guest.write(bytes(32), at: free + 0x1000)
    var chain: [DriverDescriptor] = [
      .readable(free + 0x1000, 16), .readable(free + 0x1010, 16), .writable(free + 0x2000, 4),
    ]
    for index in chain.indices { chain[index].flags |= flags }
    try driver.offerIndirect(chain, id: 4)
    let reading = try DriverQueue.read(queue, readable: 32, writable: 4)
    #expect(reading.readable == bytes(32))
    #expect(reading.writableByteCount == 4 && reading.writeWasComplete)
  }

  /// Until its head has the flags of this round, a chain is not there.
  @Test(arguments: [true, false])
  func onlyTheFlagsOfThisRoundMakeAChainAvailable(wrap: Bool) throws {
    let driver = try PackedDriver(size: 4, start: Place(index: 2, wrap: wrap))
    let queue = try driver.makeQueue()
    for flags in [0, 0x80, 0x8000, 0x8080] as [UInt16] {
      var descriptor = DriverDescriptor.writable(free, 1)
      descriptor.flags |= flags
      try driver.put(descriptor, id: 1, at: PackedDriver.slot(2))
      #expect(try queue.look() == (flags == (wrap ? 0x80 : 0x8000)), "\(flags)")
    }
  }

  @Test func wholeRingIsTakenAndTheNextRoundWaits() throws {
    let driver = try PackedDriver(size: 5, start: Place(index: 3, wrap: false))
    let queue = try driver.makeQueue()
    for id in 0..<5 as Range<UInt16> { try driver.offer([.writable(free, 1)], id: id) }
    #expect(try queue.takeAll().map(\.id) == Array(0..<5))
    // Descriptors of the old round do not look available in the new one.
    #expect(try !queue.look())
  }

  // MARK: - Completing

  @Test func usedDescriptorsSkipWhatTheirChainsTook() throws {
    let driver = try PackedDriver(size: 8, start: Place(index: 6, wrap: true))
    let queue = try driver.makeQueue()
    try driver.offer([.readable(free, 1), .readable(free, 1), .writable(free, 8)], id: 30)
    try driver.offer([.writable(free, 8)], id: 10)
    try driver.offer([.readable(free, 8), .writable(free, 8)], id: 20)
    let tickets = try queue.takeAll()
    #expect(tickets.map(\.slotCount) == [3, 1, 2])
    #expect(tickets.map(\.writableByteCount) == [8, 8, 8])
    // In another order than they came.
    for index in [1, 2, 0] { queue.complete(tickets[index], writtenByteCount: UInt32(index)) }
    #expect(queue.publish())
    #expect(try driver.popUsed(slotCount: 1) == .init(id: 10, byteCount: 1, isWritten: true))
    #expect(try driver.popUsed(slotCount: 2) == .init(id: 20, byteCount: 2, isWritten: true))
    #expect(try driver.popUsed(slotCount: 3) == .init(id: 30, byteCount: 0, isWritten: false))
    #expect(driver.nextUsed == driver.next)
    #expect(queue.base == UInt32(driver.next.word) * 0x1_0001)
  }

  @Test func firstFlagsOfABatchAreWrittenLast() throws {
    let driver = try PackedDriver(size: 8)
    let queue = try driver.makeQueue()
    for id in 0..<3 as Range<UInt16> { try driver.offer([.writable(free, 1)], id: id) }
    let before = try driver.flags(at: 0)
    for ticket in try queue.takeAll() { queue.complete(ticket, writtenByteCount: 1) }
    // All but the first are there, and nobody looks at them.
    #expect(try driver.flags(at: 0) == before)
    #expect(try driver.popUsed() == nil)
    #expect(queue.publish())
    for id in 0..<3 as Range<UInt16> { #expect(try driver.popUsed()?.id == id) }
    #expect(try driver.popUsed() == nil)
    // Nothing new: nothing to be called for.
    #expect(!queue.publish())
  }

  // MARK: - Where a ring goes on

  @Test(
    arguments: [
      (0x8000_8000, 0x8000_8000), (0x0003_0003, 0x0003_0003), (0x8005, 0x8005_8005),
      (0x0000_0000, 0x0000_0000), (0x8002_8005, 0x8002_8005), (0x8007_0001, 0x8007_0001),
      (0x8005_0005, 0x8005_0005),
    ] as [(UInt32, UInt32)])
  func ringGoesOnWhereItsBaseSays(base: UInt32, word: UInt32) throws {
    let queue = try PackedDriver(size: 8).makeQueue(base: base)
    #expect(queue.base == word)
  }

  @Test(
    arguments: [
      // Beyond the ring; used in front of available; more than a round between them.
      0x8008_8008, 0x8000_8008, 0xFFFF_FFFF, 0x8005_8002, 0x8001_0007,
    ] as [UInt32])
  func baseThatIsNoPlaceIsRefused(base: UInt32) throws {
    let driver = try PackedDriver(size: 8)
    #expect(throws: LayoutError.base(base)) { _ = try driver.layout(base: base) }
  }

  @Test(arguments: [0, 32769, 65536, -1])
  func sizeIsChecked(size: Int) throws {
    let driver = try PackedDriver(size: size)
    #expect(throws: LayoutError.size(size)) { _ = try driver.layout() }
  }

  // MARK: - Kicks

  @Test func kicksAreSuppressedAndArmed() throws {
    for eventIndex in [false, true] {
      let driver = try PackedDriver(size: 8, start: Place(index: 6, wrap: true))
      let queue = try driver.makeQueue(eventIndex: eventIndex)
      queue.suppressKicks()
      #expect(try driver.deviceEvent.flags == 1)
      for _ in 0..<3 { try driver.offer([.writable(free, 1)], id: 1) }
      #expect(try queue.takeAll().count == 3)
      #expect(try !queue.armKicks())
      let event = try driver.deviceEvent
      #expect(event.flags == (eventIndex ? 2 : 0))
      // The next one, in the round that it will have.
      if eventIndex { #expect(event.place == 1) }
      queue.suppressKicks()
      #expect(try driver.deviceEvent.flags == 1)
      try driver.offer([.writable(free, 1)], id: 1)
      #expect(try queue.armKicks())
    }
  }

  // MARK: - Calls

  @Test func flagsOfTheDriverDecide() throws {
    // 3 is reserved, and 2 is not negotiated here: a call too many harms nobody.
    for (flags, isCalled) in [(0, true), (1, false), (2, true), (3, true)] as [(UInt16, Bool)] {
      let driver = try PackedDriver()
      let queue = try driver.makeQueue()
      try driver.offer([.writable(free, 1)], id: 1)
      try driver.setDriverEvent(flags: flags, place: 9)
      for ticket in try queue.takeAll() { queue.complete(ticket, writtenByteCount: 1) }
      #expect(queue.publish() == isCalled, "\(flags)")
    }
  }

  /// Every descriptor that the driver may wait for, against what was just published, in rings of any size.
  @Test(arguments: [1, 2, 3, 8], [true, false])
  func eventAnywhereInWhatWasPublishedCalls(size: Int, wrap: Bool) throws {
    for index in 0..<size {
      for count in 1...size {
        let start = Place(index: index, wrap: wrap)
        let driver = try PackedDriver(size: size, start: start)
        let queue = try driver.makeQueue(eventIndex: true)
        try driver.offer(
          Array(repeating: .writable(free, 1), count: count), id: 1)
        let ticket = try #require(try queue.takeAll().first)
        let places = Set((0..<count).map { start.advanced($0, size: size) })
        for wanted in 0..<size {
          for wantedWrap in [true, false] {
            let place = Place(index: wanted, wrap: wantedWrap)
            let again = try driver.makeQueue(
              eventIndex: true,
              base: UInt32(driver.next.word) | UInt32(start.word) << 16)
            try driver.setDriverEvent(flags: 2, place: place.word)
            // A base of which the used half is 0 means that nothing is in flight: the same place.
            guard again.base >> 16 == UInt32(start.word) else { continue }
            again.complete(ticket, writtenByteCount: 1)
            #expect(again.publish() == places.contains(place), "\(start) \(count) \(place)")
          }
        }
      }
    }
  }

  @Test(arguments: [8, 9, 0x7FFF] as [UInt16])
  func eventBeyondTheRingIsNeverReached(index: UInt16) throws {
    let driver = try PackedDriver(size: 8)
    let queue = try driver.makeQueue(eventIndex: true)
    for round in 0..<40 {
      try driver.setDriverEvent(flags: 2, place: index | (round & 1 == 0 ? 0x8000 : 0))
      try driver.offer([.writable(free, 1)], id: 1)
      for ticket in try queue.takeAll() { queue.complete(ticket, writtenByteCount: 1) }
      _ = queue.publish()
      #expect(try driver.popUsed() != nil)
    }
  }
}
