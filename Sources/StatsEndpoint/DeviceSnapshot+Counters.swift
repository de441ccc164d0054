public import Counters
import CryptoTypes

/// A data queue with its counters, as the daemon hands it over.
public struct MeasuredQueue: Sendable {
  public var index: Int
  /// Whether a worker serves the queue now.
  public var isRunning: Bool
  /// How often a worker was started.
  public var starts: UInt64 = 0
  /// Why the ring has stopped, if the guest corrupted it.
  public var fault: String?
  /// The CPU that the worker is pinned to.
  public var cpu: Int?
  /// Processor time of all its workers so far.
  public var cpuSeconds: Double = 0
  /// Processor time of their helpers.
  public var helperCPUSeconds: Double = 0
  /// Times that the device's limits held requests back, and how long.
  public var throttledWaits: UInt64 = 0
  public var throttledSeconds: Double = 0
  public var counters: QueueSnapshot

  public init(index: Int, isRunning: Bool, cpu: Int?, counters: QueueSnapshot) {
    self.index = index
    self.isRunning = isRunning
    self.cpu = cpu
    self.counters = counters
  }
}

extension DeviceSnapshot {
  /// Gives the counters their names and merges the queues.
  ///
  /// `engineNames` are the engines by their index in the counters. `percentiles`: whether latencies have them.
  public init(
    name: String, socket: String, connected: Bool, features: UInt64, sessions: SessionSnapshot,
    queues measured: [MeasuredQueue], engineNames: [String], limits: DeviceLimits = DeviceLimits(),
    controlFault: String? = nil, percentiles: Bool = true
  ) {
    self.name = name
    self.socket = socket
    self.connected = connected
    self.controlFault = controlFault
    self.features = features
    self.limits = limits
    self.sessions = SessionStatistics(
      open: sessions.open, created: sessions.created, destroyed: sessions.destroyed,
      refused: sessions.refused)
    queues = measured.map(QueueStatistics.init)
    algorithms = Self.mergedRows(measured.map(\.counters)).map { row in
      AlgorithmStatistics(row, engineNames: engineNames, percentiles: percentiles)
    }
    qemu = QEMUStatistics(algorithms)
  }

  /// The rows of all queues, each row and engine once, in the order of their numbers.
  private static func mergedRows(_ queues: [QueueSnapshot]) -> [RowSnapshot] {
    var merged: [UInt32: RowSnapshot] = [:]
    for row in queues.flatMap(\.rows) where Int(row.row) < StatisticsRow.count {
      let key = UInt32(row.row) << 8 | UInt32(row.engine)
      if merged[key]?.merge(row) == nil { merged[key] = row }
    }
    return merged.sorted { $0.key < $1.key }.map(\.value)
  }
}

extension QueueStatistics {
  init(_ queue: MeasuredQueue) {
    let counters = queue.counters
    index = queue.index
    running = queue.isRunning
    starts = queue.starts
    fault = queue.fault
    cpu = queue.cpu
    cpuSeconds = queue.cpuSeconds
    helperCPUSeconds = queue.helperCPUSeconds
    requests = counters[.requests]
    bytes = counters[.bytes]
    statuses = StatusNames.counts(counters.rows.reduce([]) { StatusNames.sum($0, $1.statuses) })
    inFlight = counters[.inFlight]
    inFlightMaximum = counters[.inFlightMaximum]
    batches = counters[.batches]
    batchSizes = [:]
    for (index, count) in counters.batchSizes.enumerated() where count > 0 {
      batchSizes[index + 1] = count
    }
    kicks = counters[.kicks]
    callsSent = counters[.callsSent]
    callsSuppressed = counters[.callsSuppressed]
    spins = counters[.spins]
    sleeps = counters[.sleeps]
    throttledWaits = queue.throttledWaits
    throttledSeconds = queue.throttledSeconds
    bounced = counters[.bounced]
    helped = counters[.helped]
    requestsWithoutStatus = counters[.requestsWithoutStatus]
    requestsRefused = counters[.requestsRefused]
    malformedRings = counters[.malformedRings]
  }
}

/// `VIRTIO_CRYPTO_*` statuses by name.
private enum StatusNames {
  static let all = [
    "OK", "ERR", "BADMSG", "NOTSUPP", "INVSESS", "NOSPC", "KEY_REJECTED", "OTHER",
  ]

  /// The errors among counts by status.
  static func counts(_ statuses: [UInt64]) -> [String: UInt64] {
    var counts: [String: UInt64] = [:]
    for (name, count) in zip(all, statuses).dropFirst() where count > 0 { counts[name] = count }
    return counts
  }

  static func sum(_ first: [UInt64], _ second: [UInt64]) -> [UInt64] {
    first.isEmpty ? second : zip(first, second).map(&+)
  }
}

extension AlgorithmStatistics {
  init(_ snapshot: RowSnapshot, engineNames: [String], percentiles: Bool) {
    let row = StatisticsRow(index: snapshot.row)
    let index = Int(snapshot.engine)
    algorithm = row.algorithmName
    service = row.serviceName
    operation = row.operationName
    engine = index < engineNames.count ? engineNames[index] : "engine\(index)"
    requests = snapshot.requests
    bytes = snapshot.bytes
    errors = snapshot.errors
    statuses = StatusNames.counts(snapshot.statuses)
    latencyNanoseconds = LatencyStatistics(snapshot.latency, percentiles: percentiles)
  }
}

extension QEMUStatistics {
  init(_ algorithms: [AlgorithmStatistics]) {
    for algorithm in algorithms {
      switch (algorithm.service, algorithm.operation) {
      case ("cipher", "encrypt"), ("chain", "encrypt"):
        add(algorithm, \.symEncryptOps, \.symEncryptBytes)
      case ("cipher", "decrypt"), ("chain", "decrypt"):
        add(algorithm, \.symDecryptOps, \.symDecryptBytes)
      case ("akcipher", "encrypt"): add(algorithm, \.asymEncryptOps, \.asymEncryptBytes)
      case ("akcipher", "decrypt"): add(algorithm, \.asymDecryptOps, \.asymDecryptBytes)
      case ("akcipher", "sign"): add(algorithm, \.asymSignOps, \.asymSignBytes)
      case ("akcipher", "verify"): add(algorithm, \.asymVerifyOps, \.asymVerifyBytes)
      default: break
      }
    }
  }

  private mutating func add(
    _ algorithm: AlgorithmStatistics, _ operations: WritableKeyPath<Self, UInt64>,
    _ bytes: WritableKeyPath<Self, UInt64>
  ) {
    self[keyPath: operations] &+= algorithm.requests
    self[keyPath: bytes] &+= algorithm.bytes
  }
}
