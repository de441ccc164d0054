public import Capabilities
public import CryptoTypes
public import EngineContract

/// The engines of this host, started once, with what their known-answer tests proved.
public final class HostEngines: Sendable {
  private let engines: HostLanes.Engines
  /// What each engine that has started can do, by its name.
  public let selfTests: [String: [CryptoAlgorithm: SelfTestResult]]
  /// Why the others have not, by their names.
  public let absences: [String: String]
  /// Names and versions of those that have, for logs and statistics.
  public let versions: [(name: String, version: String)]

  /// What an operator should know about an engine on this host.
  public let notes: [(name: String, text: String)]
  /// How long the self-tests took.
  public let selfTestDuration: Duration

  /// What a capability file can name.
  public static let descriptions = HostLanes.Engines.descriptions.reversed() + enginesOfOtherBuilds

  /// The engines' names by the numbers that sessions and statistics know them by.
  public static let names = HostLanes.Engines.descriptions.map(\.name)

  /// The engines whose operations keep the calling thread busy, one bit each, by their numbers.
  public static let synchronousEngines = HostLanes.Engines.descriptions.enumerated()
    .reduce(UInt32(0)) { $1.element.isAsynchronous ? $0 : $0 | 1 << UInt32($1.offset) }

  private static let indices = Dictionary(
    uniqueKeysWithValues: names.enumerated().map { ($1, UInt8(truncatingIfNeeded: $0)) })

  /// Starts them and runs their self-tests.
  ///
  /// - Throws: `EngineError` where something that the configuration names is not to be had.
  public init(_ configuration: Configuration) throws(EngineError) {
    var options = EngineOptions()
    options.providers = configuration.engines.opensslProviders
    options.propertyQuery = configuration.engines.opensslPropertyQuery
    options.inFlightCount = configuration.engines.kernelInFlightCount
    options.drivers = configuration.algorithms.drivers
    options.maximumByteCount = Int(
      clamping: ([configuration.device] + configuration.devices.map(\.settings))
        .map(\.maximumRequestByteCount).max() ?? 0)
    engines = try HostLanes.Engines(options)
    var versions: [(name: String, version: String)] = []
    var absences: [String: String] = [:]
    for (name, state) in zip(Self.names, engines.states) {
      switch state {
      case .started(let version): versions.append((name, version))
      case .absent(let reason): absences[name] = reason
      }
    }
    for description in Self.enginesOfOtherBuilds {
      absences[description.name] = description.absence
    }
    self.versions = versions
    self.absences = absences
    var tester = SelfTester()
    let engines = engines
    selfTestDuration = ContinuousClock().measure { engines.visit(&tester) }
    selfTests = tester.results
    notes = tester.notes
  }

  private struct SelfTester: EngineVisitor {
    var results: [String: [CryptoAlgorithm: SelfTestResult]] = [:]
    var notes: [(name: String, text: String)] = []

    mutating func visit<Lane: EngineLane & ~Copyable>(
      _ engine: Lane.Engine, index: UInt8, lanes: Lane.Type
    ) {
      var result = engine.selfTest()
      for algorithm in CryptoAlgorithm.allCases where result[algorithm] == nil {
        result[algorithm] = .unavailable("the engine does not have it")
      }
      results[engine.name] = result
      notes += engine.notes.map { (engine.name, $0) }
    }
  }

  /// What a configuration advertises with these engines.
  ///
  /// - Parameters:
  ///   - configuration: the one that the engines were started with.
  ///   - calibration: how fast the engines are, for algorithms whose engine is `auto`.
  ///   - fileName: the capability file, for warnings.
  /// - Returns: what a device offers, and why it does not offer the rest.
  public func advertisement(
    _ configuration: Configuration, calibration: Calibration, fileName: String
  ) -> Advertisement {
    Advertisement(
      policies: configuration.algorithms, selfTests: selfTests, absences: absences,
      preferences: calibration.preferences(order: Self.descriptions.map(\.name)),
      engines: Self.descriptions.map(\.name), fileName: fileName)
  }

  /// The routes of what is advertised, in the engines' numbers.
  public static func routes(_ advertisement: Advertisement) -> [CryptoAlgorithm: EngineRoute] {
    advertisement.routes(indices)
  }

  /// A worker's own lane of every engine.
  public func makeLane(_ environment: LaneEnvironment) throws(EngineError) -> HostLane {
    try HostLane(engines: engines, environment: environment)
  }

  /// Shows a visitor each engine that has started.
  func visit<Visitor: EngineVisitor>(_ visitor: inout Visitor) { engines.visit(&visitor) }

  /// The algorithms that an engine can do here.
  public func algorithms(of engine: String) -> [CryptoAlgorithm] {
    CryptoAlgorithm.allCases.filter { selfTests[engine]?[$0] == .passed }
  }
}
