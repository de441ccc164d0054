import Capabilities
public import CryptoTypes

/// How fast engines are on this host, and which one `auto` prefers for which sizes.
public struct Calibration: Equatable, Sendable {
  /// The sizes that are measured, in bytes.
  public static let sizes = [64, 1024, 16384]
  /// The longest request that a size stands for; the last one stands for all longer ones.
  static let bounds: [UInt64] = [256, 4096, UInt64(UInt32.max)]
  /// An engine that is less than this much faster than its neighbour size's is not worth a change.
  private static let worthwhile = 1.05

  /// Bytes per second by algorithm and engine, one for each size.
  public var speeds: [CryptoAlgorithm: [String: [Double]]]

  public init(speeds: [CryptoAlgorithm: [String: [Double]]] = [:]) { self.speeds = speeds }

  /// The engine that is preferred for each size; nil where nothing was measured.
  public func fastest(_ algorithm: CryptoAlgorithm, order: [String]) -> [String]? {
    guard let engines = speeds[algorithm], !engines.isEmpty else { return nil }
    let names = order.filter { engines[$0]?.count == Self.sizes.count }
    guard !names.isEmpty else { return nil }
    var chosen: [String] = []
    for index in Self.sizes.indices {
      func speed(_ name: String) -> Double { engines[name]?[index] ?? 0 }
      // The first of equals, so that the order decides where measuring does not.
      guard let best = names.max(by: { speed($0) < speed($1) }) else { return nil }
      if let last = chosen.last, speed(last) * Self.worthwhile >= speed(best) {
        chosen.append(last)
      } else {
        chosen.append(best)
      }
    }
    return chosen
  }

  /// What `auto` stands for, for every algorithm that was measured: engines with the sizes that they are fastest for,
  /// then the others, for what those cannot do.
  func preferences(order: [String]) -> [CryptoAlgorithm: [EngineChoice]] {
    var preferences: [CryptoAlgorithm: [EngineChoice]] = [:]
    for (algorithm, engines) in speeds {
      guard let chosen = fastest(algorithm, order: order) else { continue }
      var choices: [EngineChoice] = []
      var start: UInt64 = 0
      for (index, name) in chosen.enumerated() {
        let bound = Self.bounds[index]
        if let last = choices.last, last.engine == name {
          choices[choices.count - 1].maximumByteCount = bound
        } else {
          choices.append(
            EngineChoice(engine: name, minimumByteCount: start, maximumByteCount: bound))
        }
        start = bound + 1
      }
      let others = order.filter { name in
        engines[name] != nil && !choices.contains { $0.engine == name }
      }
      // A size that no request has: they are asked only where the others cannot.
      choices += others.map {
        EngineChoice(
          engine: $0, minimumByteCount: UInt64(UInt32.max), maximumByteCount: UInt64(UInt32.max))
      }
      preferences[algorithm] =
        choices.count == 1 ? [EngineChoice(engine: choices[0].engine)] : choices
    }
    return preferences
  }
}
