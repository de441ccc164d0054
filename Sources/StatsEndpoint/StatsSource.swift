/// Where answers come from: the daemon.
public protocol StatsSource: Sendable {
  /// Everything as it is now. Called for each request, on any thread.
  ///
  /// `percentiles`: whether latencies have percentiles and fine buckets, which take more time than all the rest; they
  /// are zeros otherwise.
  func snapshot(percentiles: Bool) -> DaemonSnapshot

  /// Names of devices whose control side does not answer in time.
  func silentDevices() async -> [String]

  /// What the daemon runs with, and what it advertises.
  func configuration(_ format: ConfigurationFormat) throws -> String

  /// The sessions number `offset`..<`offset + limit` of a device.
  ///
  /// - Throws: `StatsProblem` where there is no such device, or its control side does not answer.
  func sessions(of device: String, offset: Int, limit: Int) async throws -> SessionPage

  /// Watches for so many seconds where the workers' time goes; nil where the daemon cannot.
  var takeProfile: (@Sendable (_ seconds: Int) async throws -> ProfileSnapshot)? { get }
}

extension StatsSource {
  public var takeProfile: (@Sendable (_ seconds: Int) async throws -> ProfileSnapshot)? { nil }
}

/// How the configuration is written.
public enum ConfigurationFormat: String, CaseIterable, Sendable {
  case json, yaml
}

/// Why a request is not answered.
public enum StatsProblem: Error, Equatable {
  /// The request is wrong; what would be right.
  case badRequest(String)
  /// The daemon cannot answer now.
  case unavailable(String)
}

/// A part of a device's sessions, without their keys.
public struct SessionPage: Codable, Equatable, Sendable {
  public var device: String
  /// How many sessions exist.
  public var open: UInt64
  /// The number of the first one here.
  public var offset: Int
  public var sessions: [SessionEntry]
  /// The offset of what follows; nil: that was all.
  public var next: Int?

  public init(
    device: String, open: UInt64, offset: Int, sessions: [SessionEntry], next: Int?
  ) {
    self.device = device
    self.open = open
    self.offset = offset
    self.sessions = sessions
    self.next = next
  }
}

/// One session.
public struct SessionEntry: Codable, Equatable, Sendable {
  /// As the guest knows it, in hexadecimal: JSON's numbers are not wide enough.
  public var id: String
  public var service: String
  public var algorithm: String
  public var operation: String
  /// The engines that may serve it, best first.
  public var engines: [String]
  public var ageSeconds: UInt64

  public init(
    id: UInt64, service: String, algorithm: String, operation: String, engines: [String],
    ageSeconds: UInt64
  ) {
    self.id = "0x" + String(id, radix: 16)
    self.service = service
    self.algorithm = algorithm
    self.operation = operation
    self.engines = engines
    self.ageSeconds = ageSeconds
  }
}
