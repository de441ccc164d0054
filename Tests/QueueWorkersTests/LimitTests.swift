import CLinuxShims
import CryptoDevice
import LinuxSystem
import QueueWorkers
import Testing

/// The buckets, by a clock that the test turns: no waiting, and no luck.
@Suite struct LimitTests {
  /// A tick is a nanosecond here.
  private static let second: UInt64 = 1_000_000_000

  private static func settings(
    operations: UInt64 = 0, bytes: UInt64 = 0, burst: Int = 100
  ) -> LimitSettings {
    var settings = LimitSettings()
    settings.operationsPerSecond = operations
    settings.bytesPerSecond = bytes
    settings.burstMilliseconds = burst
    return settings
  }

  /// A queue that always has requests, and sleeps as long as it is told to.
  private struct Player {
    var limiter: QueueLimiter
    var taken = 0
    var batches = 0
    var time: UInt64
    let byteCount: Int
    let depth: Int

    init(_ block: LimitBlock, queue: Int, at time: UInt64, byteCount: Int = 0, depth: Int = 64) {
      limiter = block.limiter(queue: queue)
      self.time = time
      self.byteCount = byteCount
      self.depth = depth
    }

    /// One batch, or one nap until the time that the queue may go on.
    mutating func step() {
      _ = limiter.adoptChanges()
      let count = min(depth, limiter.allowance(at: time))
      if count == 0 {
        #expect(limiter.isThrottled)
        time += 50_000
      } else {
        limiter.charge(operations: count, bytes: UInt64(count * byteCount), at: time)
        taken += count
        batches += 1
        time += 20_000
      }
    }
  }

  private static func play(_ players: inout [Player], until end: UInt64) {
    while let next = players.indices.min(by: { players[$0].time < players[$1].time }),
      players[next].time < end
    {
      players[next].step()
    }
  }

  @Test(
    "A rate holds, however it is asked for",
    arguments: [
      (10_000, 64, 1), (10_000, 1, 1), (7, 64, 1), (1_000_000, 64, 1), (10_000, 64, 3), (100, 5, 4),
    ])
  func rateHolds(rate: Int, depth: Int, queueCount: Int) {
    let block = LimitBlock(queueCount: queueCount, nanosecondsPerTick: 1)
    block.set(Self.settings(operations: UInt64(rate)))
    let start = clinux_ticks()
    var players = (0..<queueCount).map { Player(block, queue: $0, at: start, depth: depth) }
    Self.play(&players, until: start + 10 * Self.second)
    let total = players.reduce(0) { $0 + $1.taken }
    #expect(abs(total - rate * 10) <= rate / 50 + queueCount * 2, "\(total)")
  }

  @Test func bytesArePaidForAfterwards() {
    let block = LimitBlock(queueCount: 1, nanosecondsPerTick: 1)
    block.set(Self.settings(bytes: 10 << 20))
    let start = clinux_ticks()
    // Each request is a tenth of a second's worth.
    var players = [Player(block, queue: 0, at: start, byteCount: 1 << 20)]
    Self.play(&players, until: start + 10 * Self.second)
    #expect((98...102).contains(players[0].taken), "\(players[0].taken)")
    // One at a time, once the first has shown how large they are.
    #expect(players[0].batches >= players[0].taken - 8)
  }

  @Test func queuesThatAreHeldBackTakeEqualShares() {
    let block = LimitBlock(queueCount: 3, nanosecondsPerTick: 1)
    block.set(Self.settings(operations: 30_000))
    let start = clinux_ticks()
    var players = (0..<3).map { Player(block, queue: $0, at: start) }
    Self.play(&players, until: start + 5 * Self.second)
    for player in players { #expect(abs(player.taken - 50_000) < 1500, "\(player.taken)") }
  }

  @Test func aQueueThatAsksForLittleLeavesTheRestToOthers() {
    let block = LimitBlock(queueCount: 2, nanosecondsPerTick: 1)
    block.set(Self.settings(operations: 10_000))
    let start = clinux_ticks()
    var players = [
      Player(block, queue: 0, at: start), Player(block, queue: 1, at: start, depth: 1),
    ]
    Self.play(&players, until: start + 5 * Self.second)
    let total = players[0].taken + players[1].taken
    #expect(abs(total - 50_000) < 1000, "\(total)")
    #expect(players[1].taken > 1000 && players[0].taken > players[1].taken)
  }

  @Test func aPauseSavesUpABurstAndNoMore() {
    let block = LimitBlock(queueCount: 1, nanosecondsPerTick: 1)
    block.set(Self.settings(operations: 10_000, burst: 50))
    let start = clinux_ticks()
    var players = [Player(block, queue: 0, at: start + 100 * Self.second)]
    // 50 ms are 500 requests; what is due meanwhile comes on top.
    Self.play(&players, until: start + 100 * Self.second + 2_000_000)
    #expect((500...640).contains(players[0].taken), "\(players[0].taken)")
  }

  @Test func restartingAQueueGivesNothingAway() {
    let block = LimitBlock(queueCount: 1, nanosecondsPerTick: 1)
    block.set(Self.settings(operations: 1000))
    let start = clinux_ticks()
    var total = 0
    for index in 0..<1000 {
      var players = [Player(block, queue: 0, at: start + UInt64(index) * 1_000_000)]
      Self.play(&players, until: start + UInt64(index + 1) * 1_000_000)
      block.leave(queue: 0)
      total += players[0].taken
    }
    #expect(abs(total - 1000) <= 20, "\(total)")
  }

  @Test func changesAreTakenInBetweenTwoBatches() {
    let block = LimitBlock(queueCount: 1, nanosecondsPerTick: 1)
    let limiter = block.limiter(queue: 0)
    var player = Player(block, queue: 0, at: clinux_ticks())
    #expect(!limiter.isFree)
    player.step()
    #expect(player.limiter.isFree && !player.limiter.isLimited && player.taken == 64)
    block.set(Self.settings(operations: 1))
    #expect(!player.limiter.isFree)
    for _ in 0..<10 { player.step() }
    #expect(player.taken == 65 && player.limiter.isThrottled && player.limiter.isLimited)
    block.set(Self.settings())
    player.step()
    #expect(player.taken == 129 && player.limiter.isFree && !player.limiter.isThrottled)
    // What is the same is no change.
    block.set(Self.settings())
    #expect(player.limiter.isFree)
  }

  @Test func ordersStayUntilTheLastWorkerHasOthers() {
    let block = LimitBlock(queueCount: 2, nanosecondsPerTick: 1)
    var first = block.limiter(queue: 0)
    var second = block.limiter(queue: 1)
    func size(_ limiter: borrowing QueueLimiter) -> UInt32? {
      limiter.orders?.pointee.maximumRequestByteCount
    }
    let table = AlgorithmTable(offered: [:])
    #expect(size(first) == nil)
    for count in 1...UInt32(100) {
      let held = second.orders
      block.set(DeviceOrders(algorithms: table, maximumRequestByteCount: count))
      let isNews = first.adoptChanges()
      #expect(isNews && size(first) == count)
      first.acknowledge()
      // The other worker copies what it had found before the change.
      if count > 1 { #expect(held?.pointee.maximumRequestByteCount == count - 1) }
      if count % 10 == 0 {
        _ = second.adoptChanges()
        #expect(size(second) == count)
        second.acknowledge()
      }
    }
  }

  @Test func waitingIsCounted() {
    let block = LimitBlock(queueCount: 1, nanosecondsPerTick: TickClock.nanosecondsPerTick)
    block.set(Self.settings(operations: 10))
    var limiter = block.limiter(queue: 0)
    _ = limiter.adoptChanges()
    let now = clinux_ticks()
    let first = limiter.allowance(at: now)
    #expect(first == 1)
    limiter.charge(operations: 1, bytes: 0, at: now)
    let second = limiter.allowance(at: now)
    #expect(second == 0)
    let nanoseconds = limiter.beginWait()
    #expect((90_000_000...101_000_000).contains(nanoseconds), "\(nanoseconds)")
    let before = block.throttling(queue: 0)
    #expect(before.waits == 1)
    let later = clinux_ticks() + UInt64(5_000_000 / TickClock.nanosecondsPerTick)
    while clinux_ticks() < later {}
    #expect(block.throttling(queue: 0).nanoseconds >= before.nanoseconds + 4_000_000)
    limiter.endWait()
    let after = block.throttling(queue: 0)
    #expect(after.waits == 1 && after.nanoseconds >= 5_000_000)
    #expect(block.throttling(queue: 0) == after)
  }
}
