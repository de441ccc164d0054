public import Counters
import CryptoTypes

/// A data queue with its counters, as the daemon hands it over.
public struct MeasuredQueue: Sendable {
  public var index: Int
  /// Whether a worker serves the queue now.
  public var isRunning: Bool
  /// The CPU that the worker is pinned to.
  public var cpu: Int?
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
  /// `engineNames` are the engines by their index in the counters.
  public init(
    name: String, socket: String, connected: Bool, features: UInt64, sessions: SessionSnapshot,
    queues measured: [MeasuredQueue], engineNames: [String]
  ) {
    self.name = name
    self.socket = socket
    self.connected = connected
    self.features = features
    self.sessions = SessionStatistics(
      open: sessions.open, created: sessions.created, destroyed: sessions.destroyed,
      refused: sessions.refused)
    queues = measured.map(QueueStatistics.init)
    algorithms = Self.mergedRows(measured.map(\.counters)).map { row in
      AlgorithmStatistics(row, engineNames: engineNames)
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
    cpu = queue.cpu
    requests = counters[.requests]
    bytes = counters[.bytes]
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
    bounced = counters[.bounced]
    helped = counters[.helped]
    requestsWithoutStatus = counters[.requestsWithoutStatus]
    requestsRefused = counters[.requestsRefused]
    malformedRings = counters[.malformedRings]
  }
}

extension AlgorithmStatistics {
  /// Names of `VIRTIO_CRYPTO_*` statuses by their number.
  private static let statusNames = [
    "OK", "ERR", "BADMSG", "NOTSUPP", "INVSESS", "NOSPC", "KEY_REJECTED", "OTHER",
  ]

  init(_ snapshot: RowSnapshot, engineNames: [String]) {
    let row = StatisticsRow(index: snapshot.row)
    let index = Int(snapshot.engine)
    algorithm = row.algorithmName
    service = row.serviceName
    operation = row.operationName
    engine = index < engineNames.count ? engineNames[index] : "engine\(index)"
    requests = snapshot.requests
    bytes = snapshot.bytes
    errors = snapshot.errors
    statuses = [:]
    for (name, count) in zip(Self.statusNames, snapshot.statuses).dropFirst() where count > 0 {
      statuses[name] = count
    }
    latencyNanoseconds = LatencyStatistics(snapshot.latency)
  }
}

extension QEMUStatistics {
  init(_ algorithms: [AlgorithmStatistics]) {
    for algorithm in algorithms where ["cipher", "chain"].contains(algorithm.service) {
      if algorithm.operation == "encrypt" {
        symEncryptOps &+= algorithm.requests
        symEncryptBytes &+= algorithm.bytes
      } else {
        symDecryptOps &+= algorithm.requests
        symDecryptBytes &+= algorithm.bytes
      }
    }
  }
}
