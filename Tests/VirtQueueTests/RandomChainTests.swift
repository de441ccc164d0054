import GuestMemory
import LinuxSystem
import Testing
import VirtQueue

/// Random chains against a model, and garbage against the borders of guest memory.
///
/// A failure prints its seed.
@Suite struct RandomChainTests {
  @Test(arguments: 0..<200 as Range<UInt64>)
  func randomChainMatchesTheModel(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let driver = try DriverQueue(size: 64, startIndex: UInt16(truncatingIfNeeded: random.next()))
    let queue = try driver.makeQueue()
    let isIndirect = Bool.random(using: &random)
    // Around the seam, so that many buffers cross regions.
    let window = GuestFixture.seam - 2048
    var chain: [DriverDescriptor] = []
    var model = Model()
    let descriptorCount = Int.random(in: 1...(isIndirect ? 200 : 60), using: &random)
    let readableCount = Int.random(in: 0...descriptorCount, using: &random)
    for index in 0..<descriptorCount {
      let byteCount = Int.random(in: 0...40, using: &random)
      let address = window + UInt64.random(in: 0...4000, using: &random)
      let addresses = (0..<byteCount).map { address + UInt64($0) }
      if index < readableCount {
        chain.append(.readable(address, UInt32(byteCount)))
        model.readable += addresses
      } else {
        chain.append(.writable(address, UInt32(byteCount)))
        model.writable += addresses
      }
    }
    for offset in 0..<4096 as Range<UInt64> {
      try driver.guest.write([UInt8(truncatingIfNeeded: random.next())], at: window + offset)
    }
    if isIndirect {
      let table = GuestFixture.end - 0x1000 - UInt64(16 * chain.count)
      try driver.offerIndirect(chain, table: table, head: Int.random(in: 0..<64, using: &random))
    } else {
      let slots = Array((0..<64).shuffled(using: &random).prefix(chain.count))
      try driver.putChain(chain, slots: slots)
      try driver.offer(UInt16(slots[0]))
    }

    let readable = Int.random(in: 0...(model.readable.count + 1), using: &random)
    let writable = Int.random(in: 0...(model.writable.count + 1), using: &random)
    let reading = try driver.read(queue, readable: readable, writable: writable)
    let expectedBytes = try model.readable.prefix(readable).map {
      try driver.guest.pointer($0).pointee
    }
    let expectedAddresses = try model.writable.prefix(writable).map { try driver.host($0) }
    let addresses = reading.writableRuns.flatMap { run in
      (0..<run.byteCount).map { run.address + UInt($0) }
    }
    #expect(reading.readable == expectedBytes, "seed \(seed)")
    #expect(reading.readWasComplete == (readable <= model.readable.count), "seed \(seed)")
    #expect(addresses == expectedAddresses, "seed \(seed)")
    #expect(reading.writeWasComplete == (writable <= model.writable.count), "seed \(seed)")
    #expect(
      try reading.lastWritable == model.writable.last.map { try driver.host($0) }, "seed \(seed)")
    #expect(reading.writableByteCount == UInt64(model.writable.count), "seed \(seed)")
  }

  private struct Model {
    /// Guest addresses of the bytes, in order.
    var readable: [UInt64] = []
    var writable: [UInt64] = []
  }

  /// Whatever the tables hold, every run that comes out of them is mapped, and nothing goes on for ever.
  @Test(arguments: 0..<200 as Range<UInt64>)
  func garbageNeverEscapesGuestMemory(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let driver = try DriverQueue(size: 16)
    let bounds = try [GuestFixture.base, GuestFixture.seam].map {
      let start = try driver.host($0)
      return start..<start + UInt(GuestFixture.regionByteCount)
    }
    for index in 0..<16 { try driver.put(garbage(&random), at: index) }
    for index in 0..<64 { try driver.put(garbage(&random), at: index, table: DriverQueue.free) }
    for _ in 0..<16 { try driver.offer(UInt16.random(in: 0...17, using: &random)) }
    for _ in 0..<16 {
      let queue = try driver.makeQueueFromStart()
      guard let reading = try? driver.read(queue, readable: 5000, writable: 5000) else {
        continue
      }
      for run in reading.writableRuns {
        let end = run.address + UInt(run.byteCount)
        let inside = bounds.contains { $0.lowerBound <= run.address && end <= $0.upperBound }
        let acrossBoth =
          bounds.map(\.lowerBound).min() ?? 0 <= run.address
          && end <= bounds.map(\.upperBound).max() ?? 0
        #expect(inside || acrossBoth, "seed \(seed)")
      }
    }
  }

  /// Mostly plausible fields with a few wild ones, which get further than noise.
  private func garbage(_ random: inout SeededRandom) -> DriverDescriptor {
    let addresses: [UInt64] = [
      DriverQueue.free, GuestFixture.seam - 8, GuestFixture.end - 8, GuestFixture.end, 0, .max,
      DriverQueue.free + 0x1000, random.next(),
    ]
    let lengths: [UInt32] = [
      0, 1, 16, 32, 1024, 4096, .max, UInt32(truncatingIfNeeded: random.next()),
    ]
    return DriverDescriptor(
      address: addresses.randomElement(using: &random) ?? 0,
      byteCount: lengths.randomElement(using: &random) ?? 0,
      flags: UInt16.random(in: 0...7, using: &random),
      link: UInt16.random(in: 0...16, using: &random))
  }
}
