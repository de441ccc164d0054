// StatsEndpoint: the Unix socket that answers with a snapshot of the counters.
//
// `GET /stats` gives the types of this file as JSON, `GET /metrics` the same in OpenMetrics text. Reading the counters
// costs the workers nothing. An example of the JSON, shortened:
//
//   {"devices":[{"name":"vm1","connected":true,
//     "queues":[{"index":0,"requests":12,"kicks":3,"batchSizes":{"4":3}}],
//     "algorithms":[{"algorithm":"aes-cbc","operation":"encrypt","engine":"openssl","requests":12,"bytes":49152,
//       "errors":0,"latencyNanoseconds":{"p50":2100,"p90":3000,"p99":3000,"p999":3000,"max":3040,"mean":2200.5}}]}]}
//
// The room leaves it to the daemon to find its devices and queues (`StatsSource`), and to Counters to count.

/// Where a snapshot comes from: the daemon.
public protocol StatsSource: Sendable {
  /// Everything as it is now. Called for each request, on any thread.
  func snapshot() -> DaemonSnapshot
}

/// The daemon at one moment.
public struct DaemonSnapshot: Codable, Equatable, Sendable {
  /// The daemon's version.
  public var version: String
  public var uptimeSeconds: Double
  public var engines: [EngineInformation]
  public var devices: [DeviceSnapshot]

  public init(
    version: String, uptimeSeconds: Double, engines: [EngineInformation], devices: [DeviceSnapshot]
  ) {
    self.version = version
    self.uptimeSeconds = uptimeSeconds
    self.engines = engines
    self.devices = devices
  }
}

/// An engine of the daemon.
public struct EngineInformation: Codable, Equatable, Sendable {
  public var name: String
  /// The library's own name and version.
  public var version: String

  public init(name: String, version: String) {
    self.name = name
    self.version = version
  }
}

/// One device, merged over its queues.
public struct DeviceSnapshot: Codable, Equatable, Sendable {
  public var name: String
  /// The path of the vhost-user socket.
  public var socket: String
  /// Whether a front-end is connected.
  public var connected: Bool
  /// The negotiated feature bits.
  public var features: UInt64
  public var sessions: SessionStatistics
  public var queues: [QueueStatistics]
  /// The operations that were asked for at least once.
  public var algorithms: [AlgorithmStatistics]
  /// The same under the names of QEMU's `query-stats`.
  public var qemu: QEMUStatistics
}

/// A device's sessions.
public struct SessionStatistics: Codable, Equatable, Sendable {
  public var open: UInt64
  public var created: UInt64
  public var destroyed: UInt64
  public var refused: UInt64
}

/// One data queue.
public struct QueueStatistics: Codable, Equatable, Sendable {
  public var index: Int
  /// Whether a worker serves it now.
  public var running: Bool
  /// The CPU that its worker is pinned to; nil: none.
  public var cpu: Int?
  public var requests: UInt64
  public var bytes: UInt64
  public var inFlight: UInt64
  /// The most that `inFlight` has been since the queue was started.
  public var inFlightMaximum: UInt64
  public var batches: UInt64
  /// How many batches had so many requests; 64 stands for more, too.
  ///
  /// Sizes that never occurred are left out.
  public var batchSizes: [Int: UInt64]
  public var kicks: UInt64
  public var callsSent: UInt64
  public var callsSuppressed: UInt64
  public var spins: UInt64
  public var sleeps: UInt64
  public var bounced: UInt64
  /// Operations that helper threads did.
  public var helped: UInt64
  public var requestsWithoutStatus: UInt64
  public var requestsRefused: UInt64
  public var malformedRings: UInt64
}

/// One operation with one engine.
public struct AlgorithmStatistics: Codable, Equatable, Sendable {
  /// Such as `aes-cbc` or `aes-cbc+hmac-sha1`.
  public var algorithm: String
  /// `cipher`, `hash`, `mac`, `aead` or `chain`.
  public var service: String
  /// `encrypt`, `decrypt`, `hash` or `mac`.
  public var operation: String
  public var engine: String
  public var requests: UInt64
  /// Source bytes.
  public var bytes: UInt64
  /// Requests with any status but OK.
  public var errors: UInt64
  /// The errors by status, such as `BADMSG`.
  public var statuses: [String: UInt64]
  public var latencyNanoseconds: LatencyStatistics
}

/// Totals under the names of QEMU's cryptodev statistics; of ciphers and chains.
public struct QEMUStatistics: Codable, Equatable, Sendable {
  public var symEncryptOps: UInt64 = 0
  public var symDecryptOps: UInt64 = 0
  public var symEncryptBytes: UInt64 = 0
  public var symDecryptBytes: UInt64 = 0

  enum CodingKeys: String, CodingKey {
    case symEncryptOps = "sym-encrypt-ops"
    case symDecryptOps = "sym-decrypt-ops"
    case symEncryptBytes = "sym-encrypt-bytes"
    case symDecryptBytes = "sym-decrypt-bytes"
  }
}
