import CRingShims
import Foundation
import GuestMemory
import Synchronization
import Testing
import VirtQueue

/// The record byte by byte, as other back-ends write and read it, and what is made of records that lie.
///
/// Spec: vhost-user, "Inflight I/O tracking".
@Suite struct InflightRecordTests {
  /// Of a packed ring of eight descriptors.
  private static let firstNumber: UInt64 = 1 << 62

  private func byte(_ world: CrashWorld, _ offset: Int) -> UInt8 {
    cring_load8(world.base + CrashWorld.record + offset)
  }
  private func half(_ world: CrashWorld, _ offset: Int) -> UInt16 {
    cring_load16(world.base + CrashWorld.record + offset)
  }
  private func long(_ world: CrashWorld, _ offset: Int) -> UInt64 {
    cring_load64(world.base + CrashWorld.record + offset)
  }
  private func set(_ world: CrashWorld, _ offset: Int, _ value: UInt16) {
    cring_store16(world.base + CrashWorld.record + offset, value)
  }

  @Test func splitRecordHasTheFieldsOfQueueRegionSplit() throws {
    let world = try CrashWorld()
    var random = SeededRandom(seed: 1)
    var driver = CrashDriver(size: 8, isPacked: false)
    let device = RingUnderTest(try world.split(size: 8), memory: world.map.view)
    #expect(long(world, 0) == 0 && half(world, 8) == 1 && half(world, 10) == 8)
    for _ in 0..<3 { driver.offer(world.base, random: &random) }
    let tickets = try device.takeAll()
    for (age, ticket) in tickets.enumerated() {
      let state = 16 + 16 * Int(ticket.id)
      #expect(byte(world, state) == 1 && long(world, state + 8) == UInt64(1 + age))
    }
    device.complete(tickets[2], writtenByteCount: 8)
    device.complete(tickets[0], writtenByteCount: 8)
    #expect(half(world, 14) == 0 && byte(world, 16 + 16 * Int(tickets[0].id)) == 1)
    // The list is linked, and its head stored, once for the batch.
    #expect(half(world, 12) == 0)
    _ = device.publish()
    #expect(half(world, 16 + 16 * Int(tickets[0].id) + 6) == tickets[2].id)
    #expect(half(world, 12) == tickets[0].id && half(world, 14) == 2)
    let flags = tickets.map { byte(world, 16 + 16 * Int($0.id)) }
    #expect(flags == [0, 1, 0])
  }

  @Test func packedRecordHasTheFieldsOfQueueRegionPacked() throws {
    let world = try CrashWorld()
    let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
    #expect(long(world, 0) == 0 && half(world, 8) == 1 && half(world, 10) == 8)
    #expect(half(world, 12) == 0 && half(world, 14) == 0)
    #expect(half(world, 16) == 0 && half(world, 18) == 0)
    #expect(byte(world, 20) == 1 && byte(world, 21) == 1)
    for index in 0..<8 { #expect(half(world, 32 + 32 * index + 2) == UInt16(index + 1)) }
    // Two descriptors with identifier 5, then one with 6.
    let entries: [(UInt32, UInt16, UInt16)] = [(11, 0xEEEE, 1), (12, 5, 2), (13, 6, 2)]
    for (index, (length, id, flags)) in entries.enumerated() {
      let entry = world.base + CrashWorld.table + 16 * index
      cring_store64(entry, CrashWorld.buffers + UInt64(index))
      cring_store64(
        entry + 8, UInt64(length) | UInt64(id) << 32 | UInt64(flags | PackedDriver.avail) << 48)
    }
    let tickets = try device.takeAll()
    #expect(tickets.map(\.id) == [5, 6])
    // As long as they may be finished in their order, they stand in the ring, and the record says nothing of them but how
    // many descriptors were taken.
    #expect((0..<8).allSatisfy { byte(world, 32 + 32 * $0) == 0 } && half(world, 12) == 0)
    #expect(long(world, 24) == Self.firstNumber + 3)
    // One that is out of turn has both copied: inflight, next, last, num, counter; id, flags, len, addr.
    device.complete(tickets[1], writtenByteCount: 1)
    #expect(byte(world, 32) == 1 && half(world, 34) == 1 && half(world, 36) == 1)
    #expect(half(world, 38) == 2 && long(world, 40) == Self.firstNumber)
    for (index, (length, id, flags)) in entries.enumerated() {
      let state = 32 + 32 * index
      #expect(half(world, state + 16) == id)
      #expect(half(world, state + 18) == flags | PackedDriver.avail)
      #expect(cring_load32(world.base + CrashWorld.record + state + 20) == length)
      #expect(long(world, state + 24) == CrashWorld.buffers + UInt64(index))
    }
    let second = 32 + 32 * 2
    #expect(byte(world, second) == 1 && half(world, second + 4) == 2)
    #expect(half(world, second + 6) == 1 && long(world, second + 8) == Self.firstNumber + 2)
    #expect(half(world, 12) == 3 && half(world, 14) == 3)
    _ = device.publish()
    #expect(byte(world, 32) == 1 && byte(world, second) == 0)
    #expect(half(world, 12) == 2 && half(world, 14) == 2 && half(world, second + 2) == 3)
    #expect(half(world, 16) == 1 && half(world, 18) == 1)
    device.complete(tickets[0], writtenByteCount: 1)
    _ = device.publish()
    #expect(byte(world, 32) == 0)
    #expect(half(world, 12) == 0 && half(world, 14) == 0 && half(world, 32 + 32 + 2) == 2)
    #expect(half(world, 16) == 3 && half(world, 18) == 3)
    #expect(byte(world, 20) == 1 && byte(world, 21) == 1)
  }

  /// Chains that stood in the ring when the daemon ended are in flight for the next one, which copies them.
  @Test func packedChainsInTheRingAreTakenUp() throws {
    let world = try CrashWorld()
    var driver = CrashDriver(size: 8, isPacked: true)
    var random = SeededRandom(seed: 3)
    for _ in 0..<3 { driver.offer(world.base, random: &random) }
    let expected = driver.inFlight.map(\.id)
    do {
      let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
      #expect(try device.takeAll().map(\.id) == expected)
    }
    // Not taken when the first one ended.
    driver.offer(world.base, random: &random)
    let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
    #expect(device.ring.resubmissionCount == 3)
    #expect((0..<8).filter { byte(world, 32 + 32 * $0) == 1 }.count == 3)
    var resubmitted: [Bool] = []
    var numbers: [UInt64] = []
    while device.hasMore() {
      let chain = try device.takeChain()
      resubmitted.append(chain.isResubmitted)
      numbers.append(chain.recordNumber)
    }
    #expect(resubmitted == [true, true, true, false])
    var number = Self.firstNumber
    for (chain, given) in zip(driver.inFlight, numbers) {
      #expect(given == number)
      number += UInt64(chain.slotCount)
    }
    #expect(long(world, 24) == number)
  }

  /// Whatever a front-end has written there for a number: each chain comes once, and goes on from the place that the ring has
  /// got to.
  @Test(
    arguments: [0, 17, 1 << 40, .max]
      + [0, 1, 2, 3, 8, 15, 17].flatMap { [firstNumber + $0, firstNumber + $0 | 1 << 63] })
  func anyNumberIsHarmless(number: UInt64) throws {
    let world = try CrashWorld()
    _ = try world.packed(size: 8)
    var driver = CrashDriver(size: 8, isPacked: true)
    var random = SeededRandom(seed: number)
    for isLie in [true, false] {
      for _ in 0..<3 { driver.offer(world.base, random: &random) }
      if isLie { cring_store64(world.base + CrashWorld.record + 24, number) }
      let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
      #expect(device.ring.resubmissionCount <= (isLie ? 3 : 0))
      let tickets = try device.takeAll()
      #expect(tickets.map(\.id) == driver.inFlight.map(\.id))
      for ticket in tickets.reversed() { device.complete(ticket, writtenByteCount: 1) }
      _ = device.publish()
      try driver.consume(world.base)
      #expect(driver.inFlight.isEmpty)
      // Of the place that the ring has got to, and nobody's before.
      #expect(long(world, 24) % 16 == UInt64(half(world, 16)) + (byte(world, 20) == 1 ? 0 : 8))
      #expect(long(world, 24) >= Self.firstNumber && long(world, 24) < Self.firstNumber + 64)
    }
  }

  /// A number of ours that is old, since another back-end has served the ring meanwhile: what is available was taken by nobody.
  @Test(arguments: 1...20)
  func numberThatAnotherBackendLeftIsForgotten(count: Int) throws {
    let world = try CrashWorld()
    var driver = CrashDriver(size: 8, isPacked: true)
    var random = SeededRandom(seed: UInt64(count))
    do {
      let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
      for _ in 0..<3 { driver.offer(world.base, random: &random) }
      for ticket in try device.takeAll() { device.complete(ticket, writtenByteCount: 1) }
      _ = device.publish()
      // One that is not finished, which the other back-end has to find.
      try driver.consume(world.base)
      driver.offer(world.base, random: &random)
      #expect(try device.takeAll().count == 1)
    }
    let other = OtherBackend(world.base, size: 8)
    for counter in 1...count {
      try driver.consume(world.base)
      if driver.inFlight.isEmpty { driver.offer(world.base, random: &random) }
      other.serveOne(counter: UInt64(counter))
    }
    try driver.consume(world.base)
    for _ in 0..<3 { driver.offer(world.base, random: &random) }
    let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
    #expect(device.ring.resubmissionCount == 0)
    #expect(try device.takeAll().map(\.id) == driver.inFlight.map(\.id))
  }

  /// What another back-end has left of a packed ring: one chain of three is finished, two are in its record, and one more is
  /// available.
  @Test func foreignPackedRecordIsTakenUp() throws {
    let world = try CrashWorld()
    _ = try world.packed(size: 8)
    // As it begins a record, in which the padding is nobody's.
    cring_store64(world.base + CrashWorld.record + 24, 0)
    for index in 0..<4 {
      let entry = world.base + CrashWorld.table + 16 * index
      cring_store64(entry, CrashWorld.buffers)
      cring_store64(entry + 8, 8 | UInt64(index) << 32 | UInt64(2 | PackedDriver.avail) << 48)
    }
    let other = OtherBackend(world.base, size: 8)
    var place = other.used
    let taken = (0..<3).map { index in
      defer { place.advance(1, size: 8) }
      return other.take(at: place, counter: UInt64(40 + index))
    }
    other.finish(taken[1])
    let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
    #expect(device.ring.resubmissionCount == 2)
    var chains: [DescriptorChain] = []
    while device.hasMore() { chains.append(try device.takeChain()) }
    #expect(chains.map(\.ticket.id) == [0, 2, 3])
    #expect(chains.map(\.isResubmitted) == [true, true, false])
    #expect(chains[0].recordNumber == 40 && chains[1].recordNumber == 42)
    #expect(chains[2].recordNumber > 42)
  }

  /// Chains that are finished in another order than they were taken in are linked in that of their finishing, and given
  /// back all at once.
  @Test func packedBatchIsGivenBackAsOneList() throws {
    let world = try CrashWorld()
    let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
    for index in 0..<4 {
      let entry = world.base + CrashWorld.table + 16 * index
      cring_store64(entry, CrashWorld.buffers)
      cring_store64(entry + 8, 1 | UInt64(index) << 32 | UInt64(2 | PackedDriver.avail) << 48)
    }
    let tickets = try device.takeAll()
    func state(_ index: Int) -> Int { 32 + 32 * index }
    for index in [2, 0, 3] { device.complete(tickets[index], writtenByteCount: 1) }
    // Nothing is free that the driver has not seen.
    #expect(half(world, 12) == 4 && half(world, 14) == 4)
    #expect((0..<4).map { byte(world, state($0)) } == [1, 1, 1, 1])
    _ = device.publish()
    #expect(half(world, 12) == 2 && half(world, 14) == 2)
    #expect([2, 0, 3].map { half(world, state($0) + 2) } == [0, 3, 4])
    #expect((0..<4).map { byte(world, state($0)) } == [0, 1, 0, 0])
  }

  /// An indirect chain with a table that no driver may have: it stops the queue, and the next one that takes it up.
  @Test func malformedIndirectChainIsRecordedAndRefusedAgain() throws {
    let world = try CrashWorld()
    let entry = world.base + CrashWorld.table
    cring_store64(entry, CrashWorld.tables)
    let flags = UInt64(DriverDescriptor.indirect | PackedDriver.avail)
    cring_store64(entry + 8, 17 | 5 << 32 | flags << 48)
    for isCopied in [false, true] {
      let device = RingUnderTest(try world.packed(size: 8), memory: world.map.view)
      #expect(throws: QueueError.indirectLength(17)) { try device.takeAll() }
      #expect(long(world, 24) == Self.firstNumber + 1)
      #expect(byte(world, 32) == (isCopied ? 1 : 0))
      #expect(long(world, 32 + 24) == (isCopied ? CrashWorld.tables : 0))
    }
  }

  /// What another back-end has left, in the order of its counter.
  @Test func foreignSplitRecordIsTakenUpInTheOrderOfItsCounters() throws {
    let world = try CrashWorld()
    set(world, 8, 1)
    set(world, 10, 8)
    set(world, 14, 100)
    cring_store16(world.base + CrashWorld.used + 2, 100)
    cring_store16(world.base + CrashWorld.available + 2, 104)
    cring_store16(world.base + CrashWorld.available + 4 + 2 * (103 % 8), 1)
    for (head, counter) in [(2, 900), (7, 12), (4, 40)] as [(Int, UInt64)] {
      cring_store8(world.base + CrashWorld.record + 16 + 16 * head, 1)
      cring_store64(world.base + CrashWorld.record + 16 + 16 * head + 8, counter)
    }
    // The front-end's base is not asked.
    let device = RingUnderTest(try world.split(size: 8, base: 17), memory: world.map.view)
    #expect(device.nextAvailable == 103)
    #expect(try device.takeAll().map(\.id) == [7, 4, 2, 1])
    #expect(long(world, 16 + 16 + 8) == 901)
  }

  /// A record of another life of the ring, whose used index is far from this one's, is begun anew.
  @Test func recordOfAnotherRingIsForgotten() throws {
    let world = try CrashWorld()
    set(world, 8, 1)
    set(world, 10, 8)
    set(world, 14, 100)
    cring_store8(world.base + CrashWorld.record + 16, 1)
    let device = RingUnderTest(try world.split(size: 8, base: 0), memory: world.map.view)
    #expect(device.nextAvailable == 0)
    #expect(try !device.look())
    #expect(half(world, 14) == 0 && byte(world, 16) == 0)
  }

  /// A front-end that writes a chain of eight descriptors into a record while it is begun, which a ring of eight that has
  /// none in flight would take for its own.
  @Test func recordThatIsBegunIsNotReadBack() throws {
    let world = try CrashWorld()
    final class Writer: @unchecked Sendable {
      let record: UnsafeMutablePointer<UInt8>
      let isOver = Atomic(false)
      let hasEnded = DispatchSemaphore(value: 0)

      init(_ record: UnsafeMutablePointer<UInt8>) { self.record = record }

      func run() {
        while !isOver.load(ordering: .relaxed) {
          // No state is free, and eight from the first one on are in flight.
          cring_store32(record + 12, 8 | 8 << 16)
          cring_store64(record + 32, 1 | 1 << 16 | 7 << 32 | 8 << 48)
        }
        hasEnded.signal()
      }
    }
    let writer = Writer(world.base + CrashWorld.record)
    Thread { writer.run() }.start()
    defer {
      writer.isOver.store(true, ordering: .relaxed)
      writer.hasEnded.wait()
    }
    for _ in 0..<5000 {
      set(world, 8, 0)
      let count = try world.packed(size: 8).resubmissionCount
      #expect(count == 0)
      if count > 0 { break }
    }
  }

  @Test(arguments: [false, true])
  func recordsThatDisagreeAreRefused(isPacked: Bool) throws {
    func start(_ spoil: (CrashWorld) -> Void) throws {
      let world = try CrashWorld()
      if isPacked { _ = try world.packed(size: 8) } else { _ = try world.split(size: 8) }
      spoil(world)
      if isPacked { _ = try world.packed(size: 8) } else { _ = try world.split(size: 8) }
    }
    #expect(throws: InflightError.version(2)) { try start { set($0, 8, 2) } }
    #expect(throws: InflightError.stateCount(9)) { try start { set($0, 10, 9) } }
    #expect(throws: InflightError.stateCount(0)) { try start { set($0, 10, 0) } }
    if isPacked {
      #expect(throws: InflightError.indexOutOfRange(8)) { try start { set($0, 18, 8) } }
      #expect(throws: InflightError.indexOutOfRange(0)) { try start { set($0, 20, 2) } }
      // The free states in a circle.
      #expect(throws: InflightError.sharedState(0)) { try start { set($0, 32 + 2, 0) } }
      // States that are neither free nor in flight.
      #expect(throws: InflightError.counts) { try start { set($0, 14, 3) } }
    } else {
      #expect(throws: InflightError.indexOutOfRange(8)) {
        try start { world in
          set(world, 12, 8)
          cring_store16(world.base + CrashWorld.used + 2, 3)
        }
      }
    }
    let world = try CrashWorld()
    let short = InflightRecord(slice: world.slice(CrashWorld.record, 16), capacity: 8)
    let small = InflightRecord(slice: world.slice(CrashWorld.record, 512), capacity: 4)
    for record in [short, small] {
      #expect(throws: InflightError.tooShort) {
        if isPacked {
          _ = try PackedRecorder(record, layout: world.packedLayout(size: 8, base: 0))
        } else {
          _ = try SplitRecorder(record, layout: world.splitLayout(size: 8))
        }
      }
    }
  }

  /// Whatever a front-end writes there, before or while it is used: nothing traps, and nothing outside is touched.
  @Test(arguments: 0..<200 as Range<UInt64>)
  func anyRecordIsRefusedOrHarmless(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let isPacked = Bool.random(using: &random)
    let world = try CrashWorld()
    func spoil(_ most: Int) {
      for _ in 0..<Int.random(in: 0...most, using: &random) {
        let offset = Int.random(in: 11..<(isPacked ? 288 : 144), using: &random)
        let small = UInt8.random(in: 0...9, using: &random)
        world.base[CrashWorld.record + offset] =
          Bool.random(using: &random) ? small : .random(in: 0...255, using: &random)
      }
    }
    func use<Ring: VirtQueueRing & ~Copyable>(_ make: () throws -> Ring) throws {
      var driver = CrashDriver(size: 8, isPacked: isPacked)
      for _ in 0..<3 {
        let device: RingUnderTest<Ring>
        do {
          device = RingUnderTest(try make(), memory: world.map.view)
        } catch { return }
        for _ in 0..<6 { driver.offer(world.base, random: &random) }
        guard var tickets = try? device.takeAll() else { return }
        spoil(4)
        tickets.shuffle(using: &random)
        for ticket in tickets.dropLast(2) { device.complete(ticket, writtenByteCount: 1) }
        _ = device.publish()
        try? driver.consume(world.base)
        spoil(4)
      }
    }
    if isPacked {
      try use { try world.packed(size: 8) }
    } else {
      try use { try world.split(size: 8) }
    }
    #expect(world.base[(CrashWorld.record + 288)...].prefix(64).allSatisfy { $0 == 0 })
  }
}

extension UnsafeMutablePointer<UInt8> {
  fileprivate subscript(_ range: PartialRangeFrom<Int>) -> [UInt8] {
    (range.lowerBound..<CrashWorld.byteCount).map { self[$0] }
  }
}
