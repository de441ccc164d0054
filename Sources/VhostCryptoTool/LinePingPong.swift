import LinuxSystem
import Synchronization

/// How far apart two processors are: what it takes a cache line to get from one to the other.
///
/// A virtual machine's processors may be moved while it runs, to other cores of a package or to another one. What a
/// request costs depends on this time, so samples are comparable only while it stays the same.
struct LinePingPong {
  let first: Int
  let second: Int

  private static let blockCount = 31
  private static let roundTripsPerBlock: UInt64 = 100
  private static let limitNanoseconds: UInt64 = 200_000_000

  /// A counter that is alone on its cache line: the first player makes it odd, the second one even.
  private final class Line: Sendable {
    private let before: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    let counter = Atomic<UInt64>(0)
    private let after: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    let isOver = Atomic<Bool>(false)
    let blocks = Mutex<[Double]>([])

    init() {
      before = (0, 0, 0, 0, 0, 0, 0, 0)
      after = (0, 0, 0, 0, 0, 0, 0, 0)
    }
  }

  /// Nanoseconds per transfer, the median of many; nil when the processors were too busy to tell.
  func nanoseconds() throws -> Double? {
    let line = Line()
    let players = [
      try PinnedThread(name: "line-first", cpu: first) { Self.serve(line) },
      try PinnedThread(name: "line-second", cpu: second) { Self.answer(line) },
    ]
    for player in players { player.join() }
    for failure in players.compactMap(\.pinningFailure) { throw BenchFailure.usage(failure) }
    let blocks = line.blocks.withLock { $0 }
    return blocks.isEmpty ? nil : Spread(blocks).median
  }

  private static func serve(_ line: Line) {
    var blocks: [Double] = []
    var value: UInt64 = 0
    let deadline = TickClock.monotonicNanoseconds() &+ limitNanoseconds
    // The first block waits for the other player, and does not count.
    game: for block in 0...blockCount {
      let start = TickClock.monotonicNanoseconds()
      for _ in 0..<roundTripsPerBlock {
        value &+= 2
        line.counter.store(value &- 1, ordering: .releasing)
        var looks: UInt64 = 0
        while line.counter.load(ordering: .acquiring) != value {
          looks &+= 1
          if looks & 0xFFF == 0, TickClock.monotonicNanoseconds() > deadline { break game }
        }
      }
      let elapsed = Double(TickClock.monotonicNanoseconds() &- start)
      if block > 0 { blocks.append(elapsed / Double(2 * roundTripsPerBlock)) }
    }
    line.isOver.store(true, ordering: .releasing)
    line.blocks.withLock { $0 = blocks }
  }

  private static func answer(_ line: Line) {
    var expected: UInt64 = 1
    var looks: UInt64 = 0
    while true {
      if line.counter.load(ordering: .acquiring) == expected {
        line.counter.store(expected &+ 1, ordering: .releasing)
        expected &+= 2
        looks = 0
      } else {
        looks &+= 1
        if looks & 0xFF == 0, line.isOver.load(ordering: .acquiring) { return }
      }
    }
  }
}
