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

  /// Decides by the engines' self-tests, keyed by the engines' names.
  ///
  /// An engine that is missing is not in this build.
  public init(
    policies: AlgorithmPolicies, selfTests: [String: [CryptoAlgorithm: SelfTestResult]],
    fileName: String = "(defaults)"
  ) {
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
        // Nobody asked for the engines that this build lacks, so they are no reason either.
        wanted = EngineName.automaticOrder.filter { selfTests[$0.rawValue] != nil }
          .map { EngineChoice(engine: $0) }
      case .engines(let list): wanted = list
      }
      let usable = wanted.filter { selfTests[$0.engine.rawValue]?[algorithm] == .passed }
      if !usable.isEmpty {
        offers[algorithm] = usable
        continue
      }
      let texts = wanted.map { Self.explain($0.engine, algorithm, selfTests) }
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

  /// The offered algorithms with the indices of their engines, for a device's tables: best first, each index once.
  /// - Parameter engineIndices: the wiring's numbers for its engines; engines without one are left out.
  /// - Returns: only algorithms that at least one numbered engine serves.
  public func engineIndices(_ engineIndices: [String: UInt8]) -> [CryptoAlgorithm: [UInt8]] {
    offers.compactMapValues { choices in
      let indices = choices.compactMap { engineIndices[$0.engine.rawValue] }
      var seen = Set<UInt8>()
      let unique = indices.filter { seen.insert($0).inserted }
      return unique.isEmpty ? nil : unique
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

  private static func explain(
    _ engine: EngineName, _ algorithm: CryptoAlgorithm,
    _ selfTests: [String: [CryptoAlgorithm: SelfTestResult]]
  ) -> String {
    guard let results = selfTests[engine.rawValue] else {
      return "\(engine.rawValue): not in this build"
    }
    return switch results[algorithm] {
    case nil: "\(engine.rawValue): does not have it"
    case .passed: "\(engine.rawValue): usable"
    case .unavailable(let text): "\(engine.rawValue): \(text)"
    case .failed(let text): "\(engine.rawValue): failed its self-test, \(text)"
    }
  }
}
