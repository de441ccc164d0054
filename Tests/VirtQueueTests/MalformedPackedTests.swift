import GuestMemory
import Testing
import VirtQueue

/// Start from a good chain in a packed ring, spoil one field, expect one error.
@Suite struct MalformedPackedTests {
  private let free = PackedDriver.free
  private let table = PackedDriver.free + 0x8000

  private var chain: [DriverDescriptor] {
    [
      .readable(free, 32), .readable(free + 0x100, 32), .writable(free + 0x200, 63),
      .writable(free + 0x300, 1),
    ]
  }

  /// The error that stops a new queue when it reads the driver's first chain; nil when it is a good one.
  private func refusal(
    _ driver: PackedDriver, readable: Int = 64, writable: Int = 64
  ) throws -> QueueError? {
    let queue = try driver.makeQueue(base: PackedQueueLayout.initialBase)
    do {
      #expect(try queue.look())
      _ = try DriverQueue.read(queue, readable: readable, writable: writable)
      return nil
    } catch let error as QueueError {
      return error
    }
  }

  private func refusal(
    size: Int = 16, extraFlags: UInt16 = 0, spoil: (inout [DriverDescriptor]) -> Void
  ) throws -> QueueError? {
    let driver = try PackedDriver(size: size)
    var chain = chain
    spoil(&chain)
    try driver.offer(chain, id: 3, extraFlags: extraFlags)
    return try refusal(driver)
  }

  private func tableRefusal(
    extraFlags: UInt16 = 0, byteCount: UInt32? = nil,
    spoil: (inout [DriverDescriptor]) -> Void = { _ in }
  ) throws -> QueueError? {
    let driver = try PackedDriver()
    var chain = chain
    spoil(&chain)
    try driver.offerIndirect(
      chain, id: 3, table: table, extraFlags: extraFlags, byteCount: byteCount)
    return try refusal(driver)
  }

  @Test func theUnspoiledChainsAreGood() throws {
    #expect(try refusal { _ in } == nil)
    #expect(try refusal(size: 4) { _ in } == nil)
    #expect(try tableRefusal() == nil)
  }

  /// Every descriptor goes on: around the ring, and no further.
  @Test(arguments: [1, 4, 16])
  func chainThatNeverEndsIsRefused(size: Int) throws {
    let driver = try PackedDriver(size: size)
    for _ in 0..<size {
      try driver.offer([.writable(free, 1)], id: 1, extraFlags: DriverDescriptor.next)
    }
    #expect(try refusal(driver, readable: 0, writable: 1) == .descriptorLoop(head: 0))
  }

  /// A chain may not reach into what the device still has.
  @Test func chainIntoDescriptorsInFlightIsRefused() throws {
    let driver = try PackedDriver(size: 4)
    let queue = try driver.makeQueue()
    try driver.offer([.writable(free, 1), .writable(free, 1), .writable(free, 1)], id: 1)
    #expect(try queue.takeAll().count == 1)
    try driver.offer([.writable(free, 1), .writable(free, 1)], id: 2)
    #expect(try queue.look())
    #expect(throws: QueueError.descriptorLoop(head: 3)) { _ = try queue.takeChain() }
  }

  /// The driver offers everything again although nothing came back.
  @Test func ringOfferedTwiceIsRefused() throws {
    let driver = try PackedDriver(size: 4)
    let queue = try driver.makeQueue()
    for _ in 0..<4 { try driver.offer([.writable(free, 1)], id: 1) }
    let tickets = try queue.takeAll()
    #expect(tickets.count == 4)
    try driver.offer([.writable(free, 1)], id: 1)
    #expect(try queue.look())
    #expect(throws: QueueError.ringOverrun(0)) { _ = try queue.takeChain() }
    // What is done but not shown is the device's, too.
    queue.complete(tickets[0], writtenByteCount: 1)
    #expect(try queue.look())
    #expect(throws: QueueError.ringOverrun(0)) { _ = try queue.takeChain() }
  }

  @Test func readableDescriptorBehindAWritableOneIsRefused() throws {
    #expect(try refusal { $0[3].flags = 0 } == .readableAfterWritable(head: 0))
    #expect(try tableRefusal { $0[3].flags = 0 } == .readableAfterWritable(head: 0))
  }

  @Test(arguments: 0..<4)
  func indirectDescriptorInAChainIsRefused(index: Int) throws {
    #expect(
      try refusal { $0[index].flags |= DriverDescriptor.indirect } == .indirectInChain(head: 0))
  }

  @Test func indirectDescriptorThatGoesOnIsRefused() throws {
    #expect(
      try tableRefusal(extraFlags: DriverDescriptor.next) == .indirectInChain(head: 0))
  }

  @Test(arguments: [0, 1, 15, 17, 63, 16 * 32769, 0xFFFF_FFF0, .max] as [UInt32])
  func indirectLengthIsChecked(byteCount: UInt32) throws {
    #expect(try tableRefusal(byteCount: byteCount) == .indirectLength(byteCount))
  }

  @Test(arguments: [0, GuestFixture.base - 16, GuestFixture.end, .max - 15] as [UInt64])
  func addressesAreChecked(address: UInt64) throws {
    for index in 0..<4 {
      for isIndirect in [false, true] {
        func spoil(_ chain: inout [DriverDescriptor]) { chain[index].address = address }
        let error =
          isIndirect ? try tableRefusal(spoil: spoil) : try refusal(spoil: spoil)
        guard case .addressOutsideMemory(address, _) = error else {
          Issue.record("descriptor \(index): \(String(describing: error))")
          continue
        }
      }
    }
    let driver = try PackedDriver()
    try driver.offer(
      [DriverDescriptor(address: address, byteCount: 64, flags: DriverDescriptor.indirect)], id: 1)
    #expect(try refusal(driver) == .addressOutsideMemory(address: address, byteCount: 64))
  }

  /// Descriptors change between the look at their flags and the reading of what they say.
  @Test func chainIsNoLongerThanItsFlagsSaidAtFirst() throws {
    let driver = try PackedDriver(size: 8)
    let queue = try driver.makeQueue()
    try driver.offer([.readable(free, 4), .writable(free, 8)], id: 5)
    #expect(try queue.look())
    var taken = try queue.takeChain()
    // Now every descriptor of the ring goes on.
    for index in 0..<8 {
      var flags = DriverDescriptor.next
      if index > 0 { flags |= DriverDescriptor.write }
      try driver.put(
        DriverDescriptor(address: free, byteCount: 8, flags: flags), id: 9,
        at: PackedDriver.slot(index))
    }
    _ = try taken.lastWritableByte(&queue.memory)
    #expect(taken.writableByteCount == 8)
    #expect(taken.ticket.id == 5 && taken.ticket.slotCount == 2)
  }
}
