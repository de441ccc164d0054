import Testing
import VirtQueue

/// Chains that come back in any order, and used entries in the order of taking.
@Suite struct InOrderTests {
  private let free = PackedDriver.free

  private func split(
    _ driver: DriverQueue, skips: Bool = false
  ) throws -> RingUnderTest<InOrderQueue<SplitQueue>> {
    let inner = try driver.makeQueue()
    return RingUnderTest(
      InOrderQueue(
        try SplitQueue(layout: driver.layout(), eventIndex: false, nextAvailable: 0),
        size: driver.size, skipsEntries: skips), memory: inner.memory)
  }

  private func packed(
    _ driver: PackedDriver, skips: Bool = false
  ) throws -> RingUnderTest<InOrderQueue<PackedQueue>> {
    RingUnderTest(
      InOrderQueue(
        try PackedQueue(layout: driver.layout(), eventIndex: false), size: driver.size,
        skipsEntries: skips), memory: driver.guest.map.view)
  }

  @Test func laterChainsWaitForEarlierOnes() throws {
    let driver = try DriverQueue(size: 8)
    let queue = try split(driver)
    for head in 0..<3 as Range<UInt16> {
      try driver.put(.writable(DriverQueue.free, 8), at: Int(head))
      try driver.offer(head)
    }
    let tickets = try queue.takeAll()
    queue.complete(tickets[2], writtenByteCount: 2)
    #expect(!queue.publish())
    queue.complete(tickets[0], writtenByteCount: 8)
    #expect(queue.publish())
    #expect(try driver.usedIndex == 1)
    queue.complete(tickets[1], writtenByteCount: 8)
    #expect(queue.publish())
    #expect(try driver.usedIndex == 3)
    for (head, count) in [8, 8, 2].enumerated() {
      let entry = try driver.usedEntry(UInt16(head))
      #expect(entry.head == UInt32(head) && entry.byteCount == UInt32(count))
    }
  }

  /// One entry for three chains, in the first one's place, names the last one; one that was not written completely ends
  /// a batch, because only its own entry can say so.
  @Test func oneEntryStandsForABatchOfCompleteChains() throws {
    let driver = try DriverQueue(size: 8)
    let queue = try split(driver, skips: true)
    for head in 0..<6 as Range<UInt16> {
      try driver.put(.writable(DriverQueue.free, 8), at: Int(head))
      try driver.offer(head)
    }
    let tickets = try queue.takeAll()
    for (index, count) in [8, 8, 3, 8, 8, 8].enumerated().reversed() {
      queue.complete(tickets[index], writtenByteCount: UInt32(count))
      #expect(queue.publish() == (index == 0))
    }
    #expect(try driver.usedIndex == 6)
    let first = try driver.usedEntry(0)
    #expect(first.head == 2 && first.byteCount == 3)
    let second = try driver.usedEntry(3)
    #expect(second.head == 5 && second.byteCount == 8)
    // What was skipped is left alone.
    for index in [1, 2, 4, 5] as [UInt16] { #expect(try driver.usedEntry(index).byteCount == 0) }
  }

  @Test func batchInAPackedRingSkipsAllDescriptorsOfItsChains() throws {
    let driver = try PackedDriver(size: 7, start: .init(index: 4, wrap: true))
    let queue = try packed(driver, skips: true)
    try driver.offer([.readable(free, 1), .writable(free, 8)], id: 40)
    try driver.offer([.writable(free, 8)], id: 50)
    try driver.offer([.readable(free, 1), .readable(free, 1), .writable(free, 8)], id: 60)
    let tickets = try queue.takeAll()
    for ticket in tickets.reversed() {
      queue.complete(ticket, writtenByteCount: ticket.id == 60 ? 1 : 8)
    }
    #expect(queue.publish())
    #expect(
      try driver.popUsed(slotCount: 6) == .init(id: 60, byteCount: 1, isWritten: true))
    #expect(driver.nextUsed == driver.next)
    #expect(queue.base == UInt32(driver.next.word) * 0x1_0001)
  }

  /// Where the driver offers more than the ring has, nothing is taken until the first is done, and nobody stays awake.
  @Test func tableIsBoundedByTheRing() throws {
    let driver = try DriverQueue(size: 4)
    let queue = try split(driver)
    for head in 0..<4 as Range<UInt16> {
      try driver.put(.writable(DriverQueue.free, 8), at: Int(head))
      try driver.offer(head)
    }
    let tickets = try queue.takeAll()
    try driver.offer(0)
    #expect(try !queue.look())
    #expect(!queue.hasMore())
    #expect(try !queue.armKicks())
    for ticket in tickets.dropFirst() { queue.complete(ticket, writtenByteCount: 8) }
    _ = queue.publish()
    #expect(try !queue.look())
    queue.complete(tickets[0], writtenByteCount: 8)
    _ = queue.publish()
    #expect(try queue.look())
    #expect(try driver.usedIndex == 4)
  }

  /// Random chains, completed in random order, in rings of any size, over many rounds.
  @Test(arguments: 0..<60 as Range<UInt64>)
  func randomTrafficComesBackInOrder(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let size = Int.random(in: 1...20, using: &random)
    let start = PackedDriver.Place(
      index: Int.random(in: 0..<size, using: &random), wrap: .random(using: &random))
    let driver = try PackedDriver(size: size, start: start)
    let skips = Bool.random(using: &random)
    let queue = try packed(driver, skips: skips)
    var model: [Traffic] = []
    var nextID: UInt16 = 0
    for _ in 0..<300 {
      var room = size - model.reduce(0) { $0 + $1.slotCount }
      while room > 0, Bool.random(using: &random) {
        let count = Int.random(in: 1...room, using: &random)
        try driver.offer(Array(repeating: .writable(free, 2), count: count), id: nextID)
        model.append(Traffic(id: nextID, slotCount: count))
        nextID &+= 1
        room -= count
      }
      for ticket in try queue.takeAll() {
        let index = try #require(model.firstIndex { $0.id == ticket.id })
        model[index].ticket = ticket
      }
      for index in model.indices.shuffled(using: &random) where Bool.random(using: &random) {
        guard let ticket = model[index].ticket, model[index].written == nil else { continue }
        let all = UInt32(2 * model[index].slotCount)
        model[index].written = Bool.random(using: &random) ? all : 1
        queue.complete(ticket, writtenByteCount: model[index].written ?? 0)
      }
      _ = queue.publish()
      try expectDone(&model, driver, skips, "seed \(seed)")
    }
  }

  private struct Traffic {
    var id: UInt16
    var slotCount: Int
    var ticket: ChainTicket?
    var written: UInt32?
  }

  /// Takes used descriptors as a driver does, and compares them with what is done at the model's front.
  private func expectDone(
    _ model: inout [Traffic], _ driver: PackedDriver, _ skips: Bool, _ comment: Comment
  ) throws {
    while let used = try driver.used(at: driver.nextUsed) {
      let end = try #require(model.firstIndex { $0.id == used.id }, comment)
      #expect(skips || end == 0, comment)
      #expect(model[end].written == used.byteCount, comment)
      for skipped in model[..<end] {
        #expect(skipped.written == UInt32(2 * skipped.slotCount), comment)
      }
      _ = try driver.popUsed(slotCount: model[...end].reduce(0) { $0 + $1.slotCount })
      model.removeFirst(end + 1)
    }
    #expect(model.first?.written == nil, comment)
  }
}
