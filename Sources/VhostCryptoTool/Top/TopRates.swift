import Foundation
import StatsEndpoint

/// What a daemon did between two snapshots, per second.
struct TopRates: Equatable, Sendable {
  struct Queue: Equatable, Sendable {
    var index: Int
    var isRunning: Bool
    var isFaulty: Bool
    var cpu: Int?
    /// Processors that its worker and its helpers kept busy, 0…1 and 0….
    var workerShare: Double
    var helperShare: Double
    var operations: Double
    var bytes: Double
    /// Requests per batch; nil: no batch.
    var batchSize: Double?
    var kicks: Double
    var calls: Double
    var inFlight: UInt64
    var errors: Double
  }

  struct Algorithm: Equatable, Sendable {
    var device: String
    var name: String
    var operation: String
    var engine: String
    var operations: Double
    var bytes: Double
    var errors: Double
    /// Of the interval alone, in nanoseconds; nil: no requests.
    var p50: UInt64?
    var p99: UInt64?
  }

  struct Device: Equatable, Sendable {
    var name: String
    var isConnected: Bool
    var isFaulty: Bool
    var openSessions: UInt64
    var operations: Double
    var bytes: Double
    var errors: Double
    var queues: [Queue]
  }

  var version: String
  var uptimeSeconds: Double
  var intervalSeconds: Double
  /// Processors that all threads kept busy.
  var processShare: Double
  var residentBytes: UInt64
  var openFiles: Int
  var devices: [Device]
  /// Those that were asked for in the interval or before, of all devices.
  var algorithms: [Algorithm]

  /// Of two snapshots with buckets, `seconds` apart.
  init(from earlier: DaemonSnapshot, to later: DaemonSnapshot, seconds: Double) {
    version = later.version
    uptimeSeconds = later.uptimeSeconds
    intervalSeconds = seconds
    residentBytes = later.process.residentBytes
    openFiles = later.process.openFiles
    processShare = Self.rate(later.process.cpuSeconds - earlier.process.cpuSeconds, seconds)
    devices = []
    algorithms = []
    let before = Dictionary(earlier.devices.map { ($0.name, $0) }) { first, _ in first }
    for device in later.devices {
      let rows = Self.rows(of: device, before: before[device.name], seconds)
      algorithms += rows
      devices.append(Self.device(device, before: before[device.name], rows, seconds))
    }
  }

  /// Whether two snapshots are of the same daemon, in this order.
  static func isContinuous(_ earlier: DaemonSnapshot, _ later: DaemonSnapshot) -> Bool {
    earlier.process.pid == later.process.pid && earlier.uptimeSeconds <= later.uptimeSeconds
  }

  private static func rate(_ amount: Double, _ seconds: Double) -> Double {
    seconds > 0 && amount > 0 ? amount / seconds : 0
  }

  private static func rate(_ later: UInt64, _ earlier: UInt64?, _ seconds: Double) -> Double {
    let earlier = earlier ?? 0
    return later > earlier ? rate(Double(later - earlier), seconds) : 0
  }

  private static func device(
    _ device: DeviceSnapshot, before: DeviceSnapshot?, _ rows: [Algorithm], _ seconds: Double
  ) -> Device {
    let queues = device.queues.map { queue in
      Self.queue(queue, before: before?.queues.first { $0.index == queue.index }, seconds)
    }
    return Device(
      name: device.name, isConnected: device.connected,
      isFaulty: device.controlFault != nil || queues.contains(where: \.isFaulty),
      openSessions: device.sessions.open, operations: queues.reduce(0) { $0 + $1.operations },
      bytes: queues.reduce(0) { $0 + $1.bytes }, errors: queues.reduce(0) { $0 + $1.errors },
      queues: queues)
  }

  private static func queue(
    _ queue: QueueStatistics, before: QueueStatistics?, _ seconds: Double
  ) -> Queue {
    let batches = queue.batches &- (before?.batches ?? 0)
    let requests = queue.requests &- (before?.requests ?? 0)
    return Queue(
      index: queue.index, isRunning: queue.running, isFaulty: queue.fault != nil, cpu: queue.cpu,
      workerShare: rate(queue.cpuSeconds - (before?.cpuSeconds ?? 0), seconds),
      helperShare: rate(queue.helperCPUSeconds - (before?.helperCPUSeconds ?? 0), seconds),
      operations: rate(queue.requests, before?.requests, seconds),
      bytes: rate(queue.bytes, before?.bytes, seconds),
      batchSize: batches == 0 ? nil : Double(requests) / Double(batches),
      kicks: rate(queue.kicks, before?.kicks, seconds),
      calls: rate(queue.callsSent, before?.callsSent, seconds), inFlight: queue.inFlight,
      errors: rate(queue.errors, before?.errors, seconds))
  }

  private static func rows(
    of device: DeviceSnapshot, before: DeviceSnapshot?, _ seconds: Double
  ) -> [Algorithm] {
    device.algorithms.map { row in
      let earlier = before?.algorithms.first {
        $0.algorithm == row.algorithm && $0.operation == row.operation && $0.engine == row.engine
          && $0.service == row.service
      }
      let latency = LatencyDifference(
        from: earlier?.latencyNanoseconds.buckets ?? [], to: row.latencyNanoseconds.buckets ?? [])
      return Algorithm(
        device: device.name, name: row.algorithm, operation: row.operation, engine: row.engine,
        operations: rate(row.requests, earlier?.requests, seconds),
        bytes: rate(row.bytes, earlier?.bytes, seconds),
        errors: rate(row.errors, earlier?.errors, seconds), p50: latency.percentile(0.5),
        p99: latency.percentile(0.99))
    }
  }
}

extension QueueStatistics {
  /// Requests that were not answered OK, whether or not their algorithm was known, and ring faults.
  fileprivate var errors: UInt64 {
    statuses.values.reduce(0, &+) &+ requestsRefused &+ requestsWithoutStatus &+ malformedRings
  }
}

/// The latencies that came between two snapshots of a histogram.
struct LatencyDifference {
  private var counts: [(nanoseconds: UInt64, count: UInt64)] = []
  private var total: UInt64 = 0

  init(from earlier: [LatencyStatistics.Bucket], to later: [LatencyStatistics.Bucket]) {
    let before = Dictionary(earlier.map { ($0.nanoseconds, $0.count) }) { first, _ in first }
    for bucket in later {
      let known = before[bucket.nanoseconds] ?? 0
      guard bucket.count > known else { continue }
      counts.append((bucket.nanoseconds, bucket.count - known))
      total += bucket.count - known
    }
    counts.sort { $0.nanoseconds < $1.nanoseconds }
  }

  /// The latency that this share of the requests stayed within; nil: there were none.
  func percentile(_ share: Double) -> UInt64? {
    guard total > 0 else { return nil }
    let wanted = max(1, UInt64((share * Double(total)).rounded(.up)))
    var seen: UInt64 = 0
    for bucket in counts {
      seen += bucket.count
      if seen >= wanted { return bucket.nanoseconds }
    }
    return counts.last?.nanoseconds
  }
}
