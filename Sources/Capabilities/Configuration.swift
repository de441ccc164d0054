// Capabilities: the operator's YAML capability file, read once into checked values.
//
// Every mistake is one line, `file:line:column: what; what would be right`. What the values mean for a device's masks
// is computed here from the engines' self-tests (`Advertisement`); making the engines, the devices and the sockets that
// the file asks for belongs to the daemon.

public import VirtioSpec

/// What an operator wants, complete with defaults: the effective configuration.
public struct Configuration: Equatable, Sendable {
  /// The devices that the file lists; empty when they come from the command line.
  public var devices: [DeviceConfiguration] = []
  /// What a device is like that says nothing else.
  public var device = DeviceSettings()
  public var workers = WorkerConfiguration()
  public var engines = EngineSettings()
  public var algorithms = AlgorithmPolicies()
  public var stats = StatsConfiguration()
  public var control = ControlConfiguration()
  public var log = LogConfiguration()
  /// What the file asks for and does not get; no part of the configuration's value.
  public var warnings: [ConfigurationWarning] = []

  /// The defaults: everything this host can do.
  public init() {}

  /// What the devices speak.
  public var dialects: [Dialect] {
    devices.isEmpty ? [device.dialect] : devices.map(\.settings.dialect)
  }

  /// Whether two configurations ask for the same.
  ///
  /// Warnings and places in files do not count.
  public static func == (first: Self, second: Self) -> Bool {
    first.devices == second.devices && first.device == second.device
      && first.workers == second.workers && first.engines == second.engines
      && first.algorithms == second.algorithms && first.stats == second.stats
      && first.control == second.control && first.log == second.log
  }
}

/// One device of the file's `devices:` list.
public struct DeviceConfiguration: Equatable, Sendable {
  /// Unique; in logs and statistics.
  public var name: String
  /// The absolute path of the Unix socket to listen on.
  public var socketPath: String
  /// The file's `device:` with this device's own changes.
  public var settings: DeviceSettings

  public init(name: String, socketPath: String, settings: DeviceSettings) {
    self.name = name
    self.socketPath = socketPath
    self.settings = settings
  }
}

/// The services that may have stateless requests.
public enum StatelessService: String, CaseIterable, Sendable {
  case cipher, hash, mac, aead, akcipher
}

/// What a guest sees of its device.
public struct DeviceSettings: Equatable, Sendable {
  /// Which text of virtio-crypto the device speaks.
  public var dialect = Dialect.virtio13
  /// Data queues offered (`max_dataqueues`), 1…255: the control queue makes 256, which is all that vhost-user can name.
  public var queueCount = 4
  /// The largest ring that is accepted, in descriptors: a power of two, 16…32768.
  public var queueSize = 1024
  /// The most payload of one request in bytes (`max_size`), 4 KiB…64 MiB.
  public var maximumRequestByteCount: UInt64 = 1 << 20
  /// Sessions that can exist at a time, 1…1048576.
  public var maximumSessionCount = 65536
  /// The services whose stateless feature is offered; in draft v15, which has no such feature, those that serve requests
  /// without a session.
  public var statelessServices: Set<StatelessService> = [.cipher, .hash, .mac, .aead, .akcipher]
  /// A public key with which one operation would take longer is refused, in milliseconds, 1…60000.
  public var maximumOperationMilliseconds = 2000
  /// The longest key of a cipher or an AEAD in bytes (`max_cipher_key_len`), 1…256.
  public var maximumCipherKeyByteCount = 256
  /// The longest key of a MAC in bytes (`max_auth_key_len`), 1…512.
  public var maximumAuthKeyByteCount = 512
  public var limits = RateLimits()

  public init() {}
}

/// How much a device may do.
public struct RateLimits: Equatable, Sendable {
  /// 0: unlimited.
  public var operationsPerSecond: UInt64 = 0
  /// 0: unlimited.
  public var bytesPerSecond: UInt64 = 0
  /// How long a device may exceed its rates after a pause, in milliseconds, 1…60000.
  public var burstMilliseconds = 100

  public init() {}
}

/// How a worker waits for work.
public enum PollChoice: String, CaseIterable, Sendable {
  case adaptive, event, always
}

/// Where and how workers run.
public struct WorkerConfiguration: Equatable, Sendable {
  /// The CPUs to pin to, one per data queue in turn; empty: not pinned.
  public var cpus: [Int] = []
  public var pollMode = PollChoice.adaptive
  /// How long an adaptive worker spins after the last work, in microseconds, 0…1000000.
  public var spinMicroseconds = 50
  /// Threads that run the long operations of one data queue, 0…64; 0: its worker does.
  public var helperCount = 2
  /// The CPUs to pin helpers to, in turn; empty: not pinned; nil: those of the workers.
  public var helperCPUs: [Int]?
  /// From how many bytes a symmetric operation is a long one, 1 KiB…64 MiB; nil: none is.
  public var helperMinimumByteCount: UInt64? = 256 << 10

  public init() {}

  /// The CPU for the worker number `index`, counted over all devices; nil: not pinned.
  public func cpu(ofWorker index: Int) -> Int? {
    cpus.isEmpty ? nil : cpus[abs(index % cpus.count)]
  }

  /// The CPU for a helper of the worker number `worker`; nil: not pinned.
  public func cpu(ofHelper helper: Int, worker: Int) -> Int? {
    if let helperCPUs {
      return helperCPUs.isEmpty
        ? nil : helperCPUs[abs((worker &* helperCount &+ helper) % helperCPUs.count)]
    }
    // Those of other workers first: a guest that uses one queue leaves them idle.
    return cpu(ofWorker: worker &+ 1 &+ helper)
  }
}

/// What engines are told when they start.
public struct EngineSettings: Equatable, Sendable {
  /// OpenSSL's providers, loaded in this order, all of which must be there; nil: `default`, and `legacy` where the host
  /// has it.
  public var opensslProviders: [String]?
  /// OpenSSL's property query for every fetch, such as `?provider=qatprovider`.
  public var opensslPropertyQuery: String?
  /// Operations that the kernel engine keeps in flight per worker, 1…4096.
  public var kernelInFlightCount = 64

  public init() {}
}

/// Where the statistics are served.
public struct StatsConfiguration: Equatable, Sendable {
  /// The absolute path of the Unix socket; nil: nowhere.
  public var socketPath: String?

  public init() {}
}

/// Where limits are changed while the daemon runs.
public struct ControlConfiguration: Equatable, Sendable {
  /// The absolute path of the Unix socket; nil: nowhere.
  public var socketPath: String?

  public init() {}
}

/// How the daemon writes its log.
public struct LogConfiguration: Equatable, Sendable {
  /// The levels of swift-log.
  public enum Level: String, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
  }
  public enum Format: String, CaseIterable, Sendable {
    /// `journal` where standard error is the journal's, else `text`.
    case auto
    case text, json
    /// For journald: priorities in front, and no times.
    case journal
  }

  public var level = Level.info
  public var format = Format.auto

  public init() {}
}
