import Capabilities
public import CryptoTypes

/// What one engine is to one algorithm on this host.
public struct EngineReport: Codable, Equatable, Sendable {
  public var engine: String
  /// Whether it has passed its known-answer test, so that it can be used.
  public var isUsable: Bool
  /// `passed`, or why it cannot be used.
  public var selfTest: String
  /// GB/s at `Calibration.sizes`; empty where nothing was measured.
  public var gigabytesPerSecond: [Double] = []
  /// The sizes of `Calibration.sizes` that `auto` gives it, in bytes.
  public var automaticSizes: [Int] = []
}

/// What the engines are to one algorithm on this host.
public struct AlgorithmReport: Codable, Equatable, Sendable {
  public var service: String
  public var algorithm: String
  public var engines: [EngineReport]
}

extension HostEngines {
  /// Every algorithm and every engine; speeds, and what `auto` takes by them, where they were measured.
  public func reports(_ calibration: Calibration?) -> [AlgorithmReport] {
    CryptoAlgorithm.allCases.map { algorithm in
      let chosen =
        calibration?.fastest(algorithm, order: Self.descriptions.map(\.name)) ?? []
      return AlgorithmReport(
        service: "\(algorithm.service)", algorithm: algorithm.name,
        engines: Self.descriptions.map { description in
          let name = description.name
          let reason = reasonAgainst(name, algorithm)
          return EngineReport(
            engine: name, isUsable: reason == nil, selfTest: reason ?? "passed",
            gigabytesPerSecond: (calibration?.speeds[algorithm]?[name] ?? []).map { $0 / 1e9 },
            automaticSizes: zip(Calibration.sizes, chosen).filter { $0.1 == name }.map(\.0))
        })
    }
  }

  /// Why an engine cannot be used for an algorithm here; nil if it can.
  public func reasonAgainst(_ engine: String, _ algorithm: CryptoAlgorithm) -> String? {
    let description = Self.descriptions.first { $0.name == engine }
    if description?.algorithms.contains(algorithm) != true { return "does not have it" }
    if let absence = absences[engine] { return absence }
    switch selfTests[engine]?[algorithm] {
    case .passed: return nil
    case .unavailable(let text): return text
    case .failed(let text): return "failed its self-test: \(text)"
    case nil: return "does not have it"
    }
  }
}
