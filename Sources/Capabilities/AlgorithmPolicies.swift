public import CryptoTypes

/// An engine in an algorithm's list, and which requests it is for.
public struct EngineChoice: Hashable, Sendable {
  /// The engine's name.
  public var engine: String
  /// The kernel's driver, such as `cbc-aes-qat`; nil: the kernel's own choice.
  public var driver: String?
  /// The shortest source for this engine in bytes; nil: no limit.
  public var minimumByteCount: UInt64?
  /// The longest source for this engine in bytes; nil: no limit.
  public var maximumByteCount: UInt64?

  public init(
    engine: String, driver: String? = nil, minimumByteCount: UInt64? = nil,
    maximumByteCount: UInt64? = nil
  ) {
    self.engine = engine
    self.driver = driver
    self.minimumByteCount = minimumByteCount
    self.maximumByteCount = maximumByteCount
  }
}

/// What an operator wants of one algorithm.
public enum AlgorithmPolicy: Hashable, Sendable {
  /// Never offered.
  case off
  /// Offered if any of these can do it, best first.
  case engines([EngineChoice])
  /// Offered if any engine can do it.
  case auto
}

/// What an operator wants of every algorithm.
///
/// One that is not mentioned is `auto`.
public struct AlgorithmPolicies: Equatable, Sendable {
  private var policies: [CryptoAlgorithm: AlgorithmPolicy] = [:]
  private var positions: [CryptoAlgorithm: SourcePosition] = [:]

  public init() {}

  public func policy(for algorithm: CryptoAlgorithm) -> AlgorithmPolicy {
    policies[algorithm] ?? .auto
  }

  /// The drivers that the file names, by engine and algorithm.
  public var drivers: [String: [CryptoAlgorithm: String]] {
    var drivers: [String: [CryptoAlgorithm: String]] = [:]
    for (algorithm, policy) in policies {
      guard case .engines(let choices) = policy else { continue }
      for choice in choices {
        if let driver = choice.driver { drivers[choice.engine, default: [:]][algorithm] = driver }
      }
    }
    return drivers
  }

  /// Where the file says so; nil if it says nothing of the algorithm.
  public func position(of algorithm: CryptoAlgorithm) -> SourcePosition? { positions[algorithm] }

  public mutating func set(
    _ policy: AlgorithmPolicy, for algorithm: CryptoAlgorithm, at position: SourcePosition? = nil
  ) {
    policies[algorithm] = policy
    positions[algorithm] = position
  }

  /// Whether both want the same; where that is written does not count.
  public static func == (first: Self, second: Self) -> Bool {
    CryptoAlgorithm.allCases.allSatisfy { first.policy(for: $0) == second.policy(for: $0) }
  }
}
