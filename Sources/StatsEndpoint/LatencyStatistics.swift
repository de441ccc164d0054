import Counters
import Histogram

/// How long requests took, in nanoseconds, from taking a chain to its completion.
///
/// Percentiles are within 6.25 % of the exact ones: a worker's buckets are that wide.
public struct LatencyStatistics: Codable, Equatable, Sendable {
  public var p50: UInt64 = 0
  public var p90: UInt64 = 0
  public var p99: UInt64 = 0
  public var p999: UInt64 = 0
  public var max: UInt64
  public var mean: Double
  /// Requests that took at most so many nanoseconds, for powers of two from 1024; cumulative.
  public var atMost: [Bound]
  /// Requests in the histogram.
  public var count: UInt64
  /// All of them together, in nanoseconds.
  public var total: Double
  /// The worker's own buckets that were used, from short to long: for differences between two snapshots.
  ///
  /// Left out where they were not asked for.
  public var buckets: [Bucket]?

  /// Requests that took about so long: the middle of a bucket.
  public struct Bucket: Codable, Equatable, Sendable {
    public var nanoseconds: UInt64
    public var count: UInt64

    public init(nanoseconds: UInt64, count: UInt64) {
      self.nanoseconds = nanoseconds
      self.count = count
    }
  }

  /// A step of the cumulative histogram.
  public struct Bound: Codable, Equatable, Sendable {
    public var nanoseconds: UInt64
    public var count: UInt64
  }

  /// 1 µs … 17 s in steps of two.
  private static let bounds: [UInt64] = (10...34).map { 1 << $0 }

  /// Sums up what a worker has measured.
  ///
  /// `percentiles`: whether they and the buckets are wanted; they are zeros and nil otherwise. They take most of the time.
  init(_ latency: LatencySnapshot, percentiles: Bool) {
    let factor = latency.nanosecondsPerTick
    max = Self.nanoseconds(Double(latency.maximumTicks) * factor)
    let sum = Double(latency.totalTicks) * factor
    total = sum.isFinite ? sum : 0
    var used: [Bucket] = []
    var steps = Self.bounds.map { Bound(nanoseconds: $0, count: 0) }
    var step = 0
    var soFar: UInt64 = 0
    for (index, count) in latency.buckets.enumerated() where count > 0 {
      let values = LatencyBuckets.values(of: index)
      let longest = Self.nanoseconds(Double(values.upperBound) * factor)
      while step < steps.count, steps[step].nanoseconds < longest {
        steps[step].count = soFar
        step += 1
      }
      soFar &+= count
      let middle = (Double(values.lowerBound) + Double(values.upperBound)) / 2 * factor
      used.append(Bucket(nanoseconds: Self.nanoseconds(middle), count: count))
    }
    for rest in step..<steps.count { steps[rest].count = soFar }
    atMost = steps
    count = soFar
    mean = count == 0 ? 0 : total / Double(count)
    guard percentiles else { return }
    buckets = used
    // The library's own resolution of 1 % comes on top of half a bucket.
    var histogram = Histogram<UInt64>(
      highestTrackableValue: Swift.max(2, max), numberOfSignificantValueDigits: .two)
    histogram.autoResize = true
    for bucket in used {
      histogram.record(Swift.min(bucket.nanoseconds, max), count: bucket.count)
    }
    p50 = histogram.valueAtPercentile(50)
    p90 = histogram.valueAtPercentile(90)
    p99 = histogram.valueAtPercentile(99)
    p999 = histogram.valueAtPercentile(99.9)
  }

  /// Rounds to a whole number that JSON readers hold exactly; a broken clock factor gives 0, not a trap.
  private static func nanoseconds(_ value: Double) -> UInt64 {
    value > 0 ? UInt64(Swift.min(value, 0x1p53).rounded()) : 0
  }
}
