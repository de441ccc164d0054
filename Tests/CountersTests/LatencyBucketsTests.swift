import Counters
import Testing

@Suite struct LatencyBucketsTests {
  @Test func everyValueLiesInItsBucket() {
    var values: [UInt64] = Array(0...5000) + [.max, .max - 1]
    for shift in UInt64(4)..<64 {
      for offset: UInt64 in [0, 1, 3] {
        values += [(1 << shift) &- offset, (1 << shift) &+ offset]
      }
    }
    for value in values {
      let index = LatencyBuckets.index(of: value)
      #expect((0..<LatencyBuckets.count).contains(index))
      #expect(LatencyBuckets.values(of: index).contains(value), "\(value) in bucket \(index)")
    }
  }

  @Test func bucketsAdjoinAndCoverEverything() {
    #expect(LatencyBuckets.values(of: 0).lowerBound == 0)
    for index in 1..<LatencyBuckets.count {
      let previous = LatencyBuckets.values(of: index - 1).upperBound
      #expect(LatencyBuckets.values(of: index).lowerBound == previous + 1)
    }
    #expect(LatencyBuckets.values(of: LatencyBuckets.count - 1).upperBound == .max)
  }

  @Test func bucketsAreAtMostASixteenthWide() {
    for index in 0..<LatencyBuckets.count {
      let values = LatencyBuckets.values(of: index)
      let width = Double(values.upperBound - values.lowerBound)
      #expect(width <= Double(values.lowerBound) / 16)
    }
  }

  /// A cell's first page has the buckets below 2^34 ticks; see CounterLayout.
  @Test func commonLatenciesShareAPage() {
    #expect(128 + 8 * LatencyBuckets.index(of: (1 << 34) - 1) + 8 == 4096)
    #expect(128 + 8 * LatencyBuckets.count <= 8192)
  }
}
