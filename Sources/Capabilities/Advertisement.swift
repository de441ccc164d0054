public import CryptoTypes

/// What a device offers: the operator's wishes held against what the engines proved that they can do.
///
/// An algorithm is offered exactly if it is not off and an engine of its list passed its self-test.
public struct Advertisement: Sendable {
  /// Why an algorithm is not offered.
  public enum Reason: Equatable, Sendable {
    /// The capability file says `off`.
    case switchedOff
    /// No engine of the list can do it; one text per engine, such as `kernel: not in this build`.
    case noEngine([String])
  }

  /// The algorithms that are offered, each with its usable engines, best first.
  public private(set) var offers: [CryptoAlgorithm: [EngineChoice]] = [:]
  /// Every other algorithm.
  public private(set) var omissions: [CryptoAlgorithm: Reason] = [:]
  /// What an operator should know: something asked for is missing, or an engine gives wrong answers.
  public private(set) var warnings: [ConfigurationWarning] = []
  private let absences: [String: String]

  /// Decides by the engines' self-tests.
  /// - Parameters:
  ///   - policies: the operator's wishes.
  ///   - selfTests: what each engine that has started can do, by its name.
  ///   - absences: why other engines have not started, by their names.
  ///   - preferences: how `auto` prefers engines, measured; an algorithm that is missing takes engines in the order of
  ///     `engines`.
  ///   - engines: the names of all engines.
  ///   - fileName: for warnings.
  public init(
    policies: AlgorithmPolicies, selfTests: [String: [CryptoAlgorithm: SelfTestResult]],
    absences: [String: String] = [:], preferences: [CryptoAlgorithm: [EngineChoice]] = [:],
    engines: [String]? = nil, fileName: String = "(defaults)"
  ) {
    self.absences = absences
    let engines = engines ?? selfTests.keys.sorted()
    for algorithm in CryptoAlgorithm.allCases {
      let policy = policies.policy(for: algorithm)
      let position = policies.position(of: algorithm) ?? SourcePosition(fileName: fileName)
      reportFailures(of: algorithm, selfTests, at: position)
      let wanted: [EngineChoice]
      switch policy {
      case .off:
        omissions[algorithm] = .switchedOff
        continue
      case .auto:
        // Nobody asked for the engines that are not here, so they are no reason either.
        wanted =
          preferences[algorithm]
          ?? engines.filter { selfTests[$0] != nil }.map { EngineChoice(engine: $0) }
      case .engines(let list): wanted = list
      }
      let usable = wanted.filter { selfTests[$0.engine]?[algorithm] == .passed }
      if !usable.isEmpty {
        offers[algorithm] = usable
        continue
      }
      let texts = wanted.map { explain($0.engine, algorithm, selfTests) }
      omissions[algorithm] = .noEngine(texts)
      if case .engines = policy {
        warnings.append(
          ConfigurationWarning(
            position: position,
            text: "\(algorithm.name) is not advertised: no engine of its list can do it here ("
              + texts.joined(separator: "; ") + ")"))
      }
    }
  }

  /// Decides by a plain list of who can do what, keyed by algorithm.
  public init(
    policies: AlgorithmPolicies, passed: [CryptoAlgorithm: Set<String>],
    fileName: String = "(defaults)"
  ) {
    var selfTests: [String: [CryptoAlgorithm: SelfTestResult]] = [:]
    for (algorithm, engines) in passed {
      for engine in engines { selfTests[engine, default: [:]][algorithm] = .passed }
    }
    self.init(policies: policies, selfTests: selfTests, fileName: fileName)
  }

  /// The offered algorithms with the routes that their requests take.
  ///
  /// Where a size is left to no engine that is usable here, the first one takes it.
  /// - Parameter engineIndices: the wiring's numbers for its engines; engines without one are left out.
  /// - Returns: only algorithms that at least one numbered engine serves.
  public func routes(_ engineIndices: [String: UInt8]) -> [CryptoAlgorithm: EngineRoute] {
    offers.compactMapValues { choices in
      let route = EngineRoute(
        choices.compactMap { choice in
          engineIndices[choice.engine].map {
            EngineRoute.Stop(
              engine: $0,
              byteCounts: UInt32(
                clamping: choice.minimumByteCount ?? 0)...UInt32(
                  clamping: choice.maximumByteCount ?? UInt64(UInt32.max)))
          }
        })
      return route.isEmpty ? nil : route
    }
  }

  /// An engine that gives wrong answers is worth a warning whether or not another one steps in.
  private mutating func reportFailures(
    of algorithm: CryptoAlgorithm, _ selfTests: [String: [CryptoAlgorithm: SelfTestResult]],
    at position: SourcePosition
  ) {
    for (engine, results) in selfTests.sorted(by: { $0.key < $1.key }) {
      guard case .failed(let text)? = results[algorithm] else { continue }
      warnings.append(
        ConfigurationWarning(
          position: position,
          text: "\(engine) failed its self-test of \(algorithm.name) and is not used for it: "
            + text))
    }
  }

  private func explain(
    _ engine: String, _ algorithm: CryptoAlgorithm,
    _ selfTests: [String: [CryptoAlgorithm: SelfTestResult]]
  ) -> String {
    guard let results = selfTests[engine] else {
      return "\(engine): \(absences[engine] ?? "not in this build")"
    }
    return switch results[algorithm] {
    case nil: "\(engine): does not have it"
    case .passed: "\(engine): usable"
    case .unavailable(let text): "\(engine): \(text)"
    case .failed(let text): "\(engine): failed its self-test, \(text)"
    }
  }
}
