// StatsEndpoint: the Unix socket that answers with a snapshot of the counters.
//
// `GET /stats` gives the types of this file as JSON, `GET /metrics` the same in OpenMetrics text; the other routes are
// `StatsRoutes`. Reading the counters costs the workers nothing, and readers are kept in bounds (`StatsLimits`): the
// connections, what they send, how long they take and what is kept for them. An example of the JSON, shortened:
//
//   {"devices":[{"name":"vm1","connected":true,
//     "queues":[{"index":0,"requests":12,"kicks":3,"batchSizes":{"4":3}}],
//     "algorithms":[{"algorithm":"aes-cbc","operation":"encrypt","engine":"openssl","requests":12,"bytes":49152,
//       "errors":0,"latencyNanoseconds":{"p50":2100,"p90":3000,"p99":3000,"p999":3000,"max":3040,"mean":2200.5}}]}]}
//
// The room leaves it to the daemon to find its devices and queues (`StatsSource`), and to Counters to count. HTTP is
// SwiftNIO's.

/// The daemon at one moment.
public struct DaemonSnapshot: Codable, Equatable, Sendable {
  /// The daemon's version.
  public var version: String
  public var build = BuildInformation()
  public var uptimeSeconds: Double
  public var process: ProcessStatistics
  public var engines: [EngineInformation]
  public var devices: [DeviceSnapshot]

  public init(
    version: String, uptimeSeconds: Double, process: ProcessStatistics,
    engines: [EngineInformation], devices: [DeviceSnapshot]
  ) {
    self.version = version
    self.uptimeSeconds = uptimeSeconds
    self.process = process
    self.engines = engines
    self.devices = devices
  }
}

/// How the program was built.
public struct BuildInformation: Codable, Equatable, Sendable {
  /// `release` or `debug`.
  public var configuration: String
  /// Such as `x86_64`.
  public var architecture: String

  public init() {
    #if DEBUG
      configuration = "debug"
    #else
      configuration = "release"
    #endif
    #if arch(x86_64)
      architecture = "x86_64"
    #elseif arch(arm64)
      architecture = "aarch64"
    #else
      architecture = "other"
    #endif
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
  /// Why the control queue has stopped, if the guest corrupted its ring.
  public var controlFault: String?
  /// The negotiated feature bits.
  public var features: UInt64
  public var sessions: SessionStatistics
  /// What the device is limited to now.
  public var limits: DeviceLimits
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
  /// How often a worker was started for it, by any front-end.
  public var starts: UInt64
  /// Why it has stopped, if the guest corrupted its ring.
  public var fault: String?
  /// The CPU that its worker is pinned to; nil: none.
  public var cpu: Int?
  /// Processor time of its workers, ended ones included.
  public var cpuSeconds: Double
  /// Processor time of its helper threads.
  public var helperCPUSeconds: Double
  public var requests: UInt64
  public var bytes: UInt64
  /// Requests by status, without OK, of those whose algorithm was known; statuses that never occurred are left out.
  public var statuses: [String: UInt64]
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
  /// Times that requests had to wait for the device's limits.
  public var throttledWaits: UInt64
  /// How long they did, by the clock.
  public var throttledSeconds: Double
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

/// Totals under the names of QEMU's `query-stats` (provider `cryptodev`): ciphers and chains, and asymmetric requests.
public struct QEMUStatistics: Codable, Equatable, Sendable {
  public var symEncryptOps: UInt64 = 0
  public var symDecryptOps: UInt64 = 0
  public var symEncryptBytes: UInt64 = 0
  public var symDecryptBytes: UInt64 = 0
  public var asymEncryptOps: UInt64 = 0
  public var asymDecryptOps: UInt64 = 0
  public var asymSignOps: UInt64 = 0
  public var asymVerifyOps: UInt64 = 0
  public var asymEncryptBytes: UInt64 = 0
  public var asymDecryptBytes: UInt64 = 0
  public var asymSignBytes: UInt64 = 0
  public var asymVerifyBytes: UInt64 = 0

  enum CodingKeys: String, CodingKey {
    case symEncryptOps = "sym-encrypt-ops"
    case symDecryptOps = "sym-decrypt-ops"
    case symEncryptBytes = "sym-encrypt-bytes"
    case symDecryptBytes = "sym-decrypt-bytes"
    case asymEncryptOps = "asym-encrypt-ops"
    case asymDecryptOps = "asym-decrypt-ops"
    case asymSignOps = "asym-sign-ops"
    case asymVerifyOps = "asym-verify-ops"
    case asymEncryptBytes = "asym-encrypt-bytes"
    case asymDecryptBytes = "asym-decrypt-bytes"
    case asymSignBytes = "asym-sign-bytes"
    case asymVerifyBytes = "asym-verify-bytes"
  }
}
