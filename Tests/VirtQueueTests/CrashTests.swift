import CRingShims
import GuestMemory
import Testing
import VirtQueue

/// The device dies after each single store of all that it does, and another one goes on from the memory that is left:
/// the driver gets each chain back exactly once.
///
/// Of a packed ring, so would a back-end that is not ours.
@Suite(.serialized)
struct CrashTests {
  /// The four kinds of rings, in order with and without used entries that stand for several chains.
  enum Kind: CaseIterable {
    case split, packed, splitInOrder, packedInOrder, splitSkipping, packedSkipping

    var isPacked: Bool { [.packed, .packedInOrder, .packedSkipping].contains(self) }
    var isInOrder: Bool { self != .split && self != .packed }
    var skips: Bool { self == .splitSkipping || self == .packedSkipping }
  }

  @Test(arguments: Kind.allCases, 0..<3 as Range<UInt64>)
  func chainsComeBackOnceWhereverTheDeviceDies(kind: Kind, seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let size =
      kind.isPacked
      ? Int.random(in: 3...8, using: &random) : 1 << Int.random(in: 1...3, using: &random)
    let spare = kind.isPacked ? Int.random(in: 0...2, using: &random) : 0
    func run<Ring: VirtQueueRing & ~Copyable>(
      _ make: @escaping (CrashWorld) throws -> Ring
    ) throws {
      let driver = CrashDriver(
        size: size, isPacked: kind.isPacked, isInOrder: kind.isInOrder, skips: kind.skips)
      var life = try Life(driver, make, random)
      // A packed ring has little to store, as long as chains are finished in order.
      let stepCount = kind.isPacked ? 40 : 20
      for _ in 0..<stepCount { try life.step(checkedDepth: 1) }
      #expect(life.checkedCount > 5)
    }
    switch kind {
    case .split: try run { try $0.split(size: size) }
    case .packed: try run { try $0.packed(size: size, spare: spare) }
    case .splitInOrder, .splitSkipping:
      try run { InOrderQueue(try $0.split(size: size), size: size, skipsEntries: kind.skips) }
    case .packedInOrder, .packedSkipping:
      try run {
        InOrderQueue(
          try $0.packed(size: size, spare: spare), size: size, skipsEntries: kind.skips)
      }
    }
  }

  /// Chains that are finished in the order in which they were taken are never copied: each used descriptor is shown between
  /// the two steps of the place that the record has, and none before `publish`.
  @Test func packedChainsInOrderAreLeftInTheRing() throws {
    let world = try CrashWorld()
    let device = RingUnderTest(try world.packed(size: 4), memory: world.map.view)
    var driver = CrashDriver(size: 4, isPacked: true)
    var random = SeededRandom(seed: 7)
    var states: Set<[UInt8]> = []
    var taken = 0
    for _ in 0..<20 {
      for _ in 0..<4 { driver.offer(world.base, random: &random) }
      let tickets = try device.takeAll()
      taken += driver.inFlight.reduce(0) { $0 + $1.slotCount }
      #expect(cring_load64(world.base + CrashWorld.record + 24) == 1 << 62 + UInt64(taken))
      let ring = (0..<64).map { world.base[CrashWorld.table + $0] }
      for ticket in tickets { device.complete(ticket, writtenByteCount: 1) }
      #expect(ring == (0..<64).map { world.base[CrashWorld.table + $0] })
      let steps = try world.trace { _ = device.publish() }
      // What is there first, then two stores for each chain, and one in the end.
      #expect(steps.count == 2 + 2 * tickets.count)
      #expect(
        cring_load16(world.base + CrashWorld.record + 16) == UInt16(taken % 4)
          && cring_load16(world.base + CrashWorld.record + 18) == UInt16(taken % 4))
      try driver.consume(world.base)
      #expect(driver.inFlight.isEmpty)
      states.insert((32..<160).map { world.base[CrashWorld.record + $0] })
    }
    #expect(
      states.count == 1 && cring_load16(world.base + CrashWorld.record + 12) == 0
        && cring_load16(world.base + CrashWorld.record + 14) == 0)
  }
}

/// A device and its driver at work, stopped after each store to see what another device makes of it.
private struct Life<Ring: VirtQueueRing & ~Copyable> {
  private let world: CrashWorld
  private let make: (CrashWorld) throws -> Ring
  private var device: RingUnderTest<Ring>
  private var driver: CrashDriver
  private var random: SeededRandom
  /// Taken and not completed.
  private var tickets: [ChainTicket] = []
  private var taken = TakenChains()
  private(set) var checkedCount = 0

  init(
    _ driver: CrashDriver, _ make: @escaping (CrashWorld) throws -> Ring, _ random: SeededRandom
  ) throws {
    world = try CrashWorld()
    self.make = make
    self.driver = driver
    self.random = random
    device = RingUnderTest(try make(world), memory: world.map.view)
  }

  /// A device that finds what another has left; the driver may have gone on meanwhile.
  private init(
    after snapshot: [UInt8], _ driver: CrashDriver, _ make: @escaping (CrashWorld) throws -> Ring,
    _ random: inout SeededRandom
  ) throws {
    world = try CrashWorld()
    world.restore(snapshot)
    self.make = make
    self.driver = driver
    taken.isComplete = false
    if Bool.random(using: &random) {
      try self.driver.consume(world.base)
      for _ in 0..<2 { self.driver.offer(world.base, random: &random) }
    }
    self.random = random
    device = RingUnderTest(try make(world), memory: world.map.view)
  }

  /// The driver does something; then the device does, and is killed after each store.
  ///
  /// `checkedDepth`: how many devices may die one after the other.
  mutating func step(checkedDepth: Int) throws {
    for _ in 0..<Int.random(in: 0...4, using: &random) { driver.offer(world.base, random: &random) }
    if Bool.random(using: &random) { try driver.consume(world.base) }
    try traced(checkedDepth) { life in
      switch Int.random(in: 0...2, using: &life.random) {
      case 0: try life.takeAll()
      case 1: life.completeSome()
      default: _ = life.device.publish()
      }
    }
  }

  private mutating func takeAll() throws {
    var hasMore = try device.look()
    while hasMore {
      var chain = try device.takeChain()
      _ = try chain.lastWritableByte(&device.memory)
      tickets.append(chain.ticket)
      taken.note(chain, driver)
      hasMore = device.hasMore()
    }
  }

  private mutating func completeSome() {
    let count = Int.random(in: 0...tickets.count, using: &random)
    for _ in 0..<count {
      let ticket = tickets.remove(at: Int.random(in: tickets.indices, using: &random))
      device.complete(ticket, writtenByteCount: UInt32(ticket.writableByteCount))
    }
  }

  private mutating func traced(_ depth: Int, _ body: (inout Life) throws -> Void) throws {
    var life = self
    let snapshots = try world.trace { try body(&life) }
    let driver = driver
    let checkedBefore = checkedCount
    let takenBefore = taken
    self = life
    checkedCount = checkedBefore
    for snapshot in snapshots.dropLast() {
      checkedCount += 1
      try Self.check(
        snapshot, driver, make, &random, depth: depth, taken: (takenBefore, taken))
    }
  }

  /// Another device goes on, and finishes everything.
  private static func check(
    _ snapshot: [UInt8], _ driver: CrashDriver, _ make: @escaping (CrashWorld) throws -> Ring,
    _ random: inout SeededRandom, depth: Int, taken: (TakenChains, TakenChains)
  ) throws {
    if driver.isPacked {
      let world = try CrashWorld()
      world.restore(snapshot)
      var driver = driver
      try driver.consume(world.base)
      #expect(OtherBackend(world.base, size: driver.size).chains == driver.inFlight.map(\.id))
    }
    // Of the deaths right after another death, a sample.
    if depth > 0, Int.random(in: 0..<16, using: &random) == 0 {
      let world = try CrashWorld()
      world.restore(snapshot)
      let starts = try world.trace { _ = try make(world) }
      for start in starts { try check(start, driver, make, &random, depth: 0, taken: taken) }
      var next = try Life(after: snapshot, driver, make, &random)
      for _ in 0..<3 { try next.step(checkedDepth: 0) }
    }
    var next = try Life(after: snapshot, driver, make, &random)
    try next.finish(taken.0, taken.1)
  }

  /// - `before`, `after`: what the device that died had taken before it did the last thing, and would have behind that.
  private mutating func finish(_ before: TakenChains, _ after: TakenChains) throws {
    try driver.consume(world.base)
    let expected = driver.inFlight.map(\.id)
    try takeAll()
    taken.check(before, after, driver)
    #expect(tickets.map(\.id) == expected)
    #expect(tickets.map(\.writableByteCount) == driver.inFlight.map(\.byteCount))
    completeSome()
    _ = device.publish()
    try driver.consume(world.base)
    while !tickets.isEmpty {
      completeSome()
      _ = device.publish()
    }
    try driver.consume(world.base)
    #expect(driver.inFlight.isEmpty)
    // And on as if nothing had been.
    for _ in 0..<3 {
      for _ in 0..<5 { driver.offer(world.base, random: &random) }
      try takeAll()
      #expect(tickets.map(\.id) == driver.inFlight.map(\.id))
      while !tickets.isEmpty { completeSome() }
      _ = device.publish()
      try driver.consume(world.base)
      #expect(driver.inFlight.isEmpty)
    }
  }
}

/// Chains that a device has taken, by their serial numbers.
///
/// The next device has to know that they may have been begun, and under which number something was saved of them.
private struct TakenChains {
  /// Whether there were no others.
  var isComplete = true
  private var numbers: [Int: UInt64] = [:]
  private var resubmitted: Set<Int> = []

  mutating func note(_ chain: borrowing DescriptorChain, _ driver: CrashDriver) {
    let id = chain.ticket.id
    guard let serial = driver.inFlight.first(where: { $0.id == id })?.serial else { return }
    numbers[serial] = chain.recordNumber
    if chain.isResubmitted { resubmitted.insert(serial) }
  }

  func check(_ before: TakenChains, _ after: TakenChains, _ driver: CrashDriver) {
    for chain in driver.inFlight {
      let serial = chain.serial
      if before.numbers[serial] != nil {
        #expect(resubmitted.contains(serial) && numbers[serial] == before.numbers[serial])
      } else if resubmitted.contains(serial), after.isComplete {
        #expect(numbers[serial] != nil && numbers[serial] == after.numbers[serial])
      }
    }
    #expect(Set(driver.inFlight.map { numbers[$0.serial] }).count == driver.inFlight.count)
  }
}
