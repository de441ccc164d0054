import GuestMemory
import Testing
import VirtQueue

/// The device dies after each single store of all that it does, and another one goes on from the memory that is left:
/// the driver gets each chain back exactly once.
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
      for _ in 0..<20 { try life.step(checkedDepth: 1) }
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

  /// A device that finds what another has left.
  private init(
    after snapshot: [UInt8], _ driver: CrashDriver, _ make: @escaping (CrashWorld) throws -> Ring,
    _ random: SeededRandom
  ) throws {
    world = try CrashWorld()
    world.restore(snapshot)
    self.make = make
    self.driver = driver
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
      case 0: life.tickets += try life.device.takeAll()
      case 1: life.completeSome()
      default: _ = life.device.publish()
      }
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
    self = life
    checkedCount = checkedBefore
    for snapshot in snapshots.dropLast() {
      checkedCount += 1
      try Self.check(snapshot, driver, make, &random, depth: depth)
    }
  }

  /// Another device goes on, and finishes everything.
  private static func check(
    _ snapshot: [UInt8], _ driver: CrashDriver, _ make: @escaping (CrashWorld) throws -> Ring,
    _ random: inout SeededRandom, depth: Int
  ) throws {
    // Of the deaths right after another death, a sample.
    if depth > 0, Int.random(in: 0..<16, using: &random) == 0 {
      let world = try CrashWorld()
      world.restore(snapshot)
      let starts = try world.trace { _ = try make(world) }
      for start in starts { try check(start, driver, make, &random, depth: 0) }
      var next = try Life(after: snapshot, driver, make, random)
      for _ in 0..<3 { try next.step(checkedDepth: 0) }
    }
    var next = try Life(after: snapshot, driver, make, random)
    try next.finish()
  }

  private mutating func finish() throws {
    try driver.consume(world.base)
    let expected = driver.inFlight.map(\.id)
    tickets = try device.takeAll()
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
      tickets = try device.takeAll()
      #expect(tickets.map(\.id) == driver.inFlight.map(\.id))
      while !tickets.isEmpty { completeSome() }
      _ = device.publish()
      try driver.consume(world.base)
      #expect(driver.inFlight.isEmpty)
    }
  }
}
