/// What a device is limited to.
public struct DeviceLimits: Codable, Equatable, Sendable {
  /// 0: unlimited.
  public var operationsPerSecond: UInt64 = 0
  /// Source bytes; 0: unlimited.
  public var bytesPerSecond: UInt64 = 0
  /// How much of a rate may be saved up.
  public var burstMilliseconds: UInt64 = 100
  /// Sessions at a time.
  public var sessions: UInt64 = 65536
  /// Payload of one request.
  public var requestBytes: UInt64 = 1 << 20
  public var cipherKeyBytes: UInt64 = 256
  public var authKeyBytes: UInt64 = 512

  public init() {}
}

/// Limits to set; nil leaves one as it is.
public struct LimitChange: Equatable, Sendable {
  public var operationsPerSecond: UInt64?
  public var bytesPerSecond: UInt64?
  public var burstMilliseconds: UInt64?
  public var sessions: UInt64?
  public var requestBytes: UInt64?
  public var cipherKeyBytes: UInt64?
  public var authKeyBytes: UInt64?

  public init() {}

  /// The names of the control socket's `PATCH /limits`, which are the capability file's, and the values that they take.
  private static var fields: [(String, WritableKeyPath<Self, UInt64?>, ClosedRange<Int>)] {
    [
      ("operations-per-second", \.operationsPerSecond, 0...1_000_000_000_000_000),
      ("bytes-per-second", \.bytesPerSecond, 0...1_000_000_000_000_000),
      ("burst-ms", \.burstMilliseconds, 1...60000),
      ("max-sessions", \.sessions, 1...(1 << 20)),
      ("max-request", \.requestBytes, 4096...(64 << 20)),
      ("max-cipher-key", \.cipherKeyBytes, 1...256),
      ("max-auth-key", \.authKeyBytes, 1...512),
    ]
  }

  static var names: [String] { fields.map(\.0) }

  init(_ query: StatsQuery) throws(StatsProblem) {
    for (name, field, range) in Self.fields where query[name] != nil {
      self[keyPath: field] = UInt64(try query.number(name, in: range, or: 0))
    }
  }

  /// For a request's target: `operations-per-second=10000&…`.
  public var query: String {
    Self.fields.compactMap { name, field, _ in self[keyPath: field].map { "\(name)=\($0)" } }
      .joined(separator: "&")
  }
}

/// A device's limits, with its name.
public struct NamedLimits: Codable, Equatable, Sendable {
  public var device: String
  public var limits: DeviceLimits

  public init(device: String, limits: DeviceLimits) {
    self.device = device
    self.limits = limits
  }
}

/// What can be set at the control socket.
public protocol ControlSource: Sendable {
  /// Of all devices.
  func limits() async -> [NamedLimits]

  /// Sets limits of one device, or of all; how they are then.
  ///
  /// - Throws: `StatsProblem` where there is no such device, a value needs a restart, or the device does not answer.
  func setLimits(_ change: LimitChange, device: String?) async throws(StatsProblem) -> [NamedLimits]
}
