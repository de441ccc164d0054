/// A queue's counters at one moment.
public struct QueueSnapshot: Equatable, Sendable {
  private var counters: [UInt64]
  private var gauges: [UInt64]
  /// How many batches had 1, 2, … 64 requests; 64 stands for more, too.
  public var batchSizes: [UInt64]
  /// The rows in use, by row, then engine.
  public var rows: [RowSnapshot]

  init(counters: [UInt64], gauges: [UInt64], batchSizes: [UInt64], rows: [RowSnapshot]) {
    self.counters = counters
    self.gauges = gauges
    self.batchSizes = batchSizes
    self.rows = rows
  }

  public subscript(counter: QueueCounter) -> UInt64 { counters[counter.word] }
  public subscript(gauge: QueueGauge) -> UInt64 { gauges[gauge.word] }
}

/// What one queue did of one operation with one engine.
public struct RowSnapshot: Equatable, Sendable {
  public var row: UInt16
  public var engine: UInt8
  /// Source bytes.
  public var bytes: UInt64
  /// Requests by virtio-crypto status, 0…7.
  public var statuses: [UInt64]
  public var latency: LatencySnapshot

  public init(
    row: UInt16, engine: UInt8, bytes: UInt64, statuses: [UInt64], latency: LatencySnapshot
  ) {
    self.row = row
    self.engine = engine
    self.bytes = bytes
    self.statuses = statuses
    self.latency = latency
  }

  /// All requests.
  public var requests: UInt64 { statuses.reduce(0, &+) }
  /// Requests with any status but OK.
  public var errors: UInt64 { statuses.dropFirst().reduce(0, &+) }

  /// Adds what another queue did of the same operation.
  public mutating func merge(_ other: RowSnapshot) {
    bytes &+= other.bytes
    statuses = sum(statuses, other.statuses)
    latency.merge(other.latency)
  }
}

/// How long requests took.
public struct LatencySnapshot: Equatable, Sendable {
  /// What a tick is worth.
  public var nanosecondsPerTick: Double
  /// Requests per bucket of `LatencyBuckets`, up to the last bucket in use.
  public var buckets: [UInt64]
  public var totalTicks: UInt64
  public var maximumTicks: UInt64

  public init(
    nanosecondsPerTick: Double, buckets: [UInt64], totalTicks: UInt64, maximumTicks: UInt64
  ) {
    self.nanosecondsPerTick = nanosecondsPerTick
    self.buckets = buckets
    self.totalTicks = totalTicks
    self.maximumTicks = maximumTicks
  }

  /// Adds latencies that were measured with the same clock.
  public mutating func merge(_ other: LatencySnapshot) {
    buckets = sum(buckets, other.buckets)
    totalTicks &+= other.totalTicks
    maximumTicks = max(maximumTicks, other.maximumTicks)
  }
}

/// Adds two lists element by element; the shorter one counts as padded with zeros.
private func sum(_ first: [UInt64], _ second: [UInt64]) -> [UInt64] {
  let (long, short) = first.count >= second.count ? (first, second) : (second, first)
  return zip(long, short).map(&+) + long.dropFirst(short.count)
}
