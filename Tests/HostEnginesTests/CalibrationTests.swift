import Capabilities
import CryptoTypes
import Testing

@testable import HostEngines

@Suite struct CalibrationTests {
  private let algorithm = CryptoAlgorithm.cipher(.aesCBC)
  private let longest = UInt64(UInt32.max)

  private func fastest(
    _ speeds: [String: [Double]], order: [String] = ["a", "b", "c"]
  ) -> [String]? {
    Calibration(speeds: [algorithm: speeds]).fastest(algorithm, order: order)
  }

  private func preferences(_ speeds: [String: [Double]]) -> [EngineChoice]? {
    Calibration(speeds: [algorithm: speeds]).preferences(order: ["a", "b", "c"])[algorithm]
  }

  private func choice(_ engine: String, _ sizes: ClosedRange<UInt64>) -> EngineChoice {
    EngineChoice(
      engine: engine, minimumByteCount: sizes.lowerBound, maximumByteCount: sizes.upperBound)
  }

  /// Asked for what the engines before it cannot do, and never by size.
  private func standIn(_ engine: String) -> EngineChoice { choice(engine, longest...longest) }

  @Test func sizesAndBoundsBelongTogether() {
    #expect(Calibration.sizes.count == Calibration.bounds.count)
    for (size, bound) in zip(Calibration.sizes, Calibration.bounds) { #expect(size <= bound) }
    #expect(Calibration.bounds == Calibration.bounds.sorted())
    #expect(Calibration.bounds.last == longest)
  }

  @Test func nothingMeasuredPrefersNothing() {
    #expect(fastest([:]) == nil)
    #expect(Calibration().fastest(algorithm, order: ["a"]) == nil)
    #expect(Calibration().preferences(order: ["a"]).isEmpty)
    #expect(preferences([:]) == nil)
  }

  @Test func oneEngineAloneNeedsNoSizes() {
    #expect(fastest(["b": [1, 2, 3]]) == ["b", "b", "b"])
    #expect(preferences(["b": [1, 2, 3]]) == [EngineChoice(engine: "b")])
  }

  @Test func theSameEngineEverywhereTakesAllSizesAndTheOthersStandIn() {
    let speeds: [String: [Double]] = ["a": [1, 1, 1], "b": [2, 2, 2], "c": [1, 1.5, 1]]
    #expect(fastest(speeds) == ["b", "b", "b"])
    #expect(preferences(speeds) == [choice("b", 0...longest), standIn("a"), standIn("c")])
  }

  @Test func twoEnginesShareTheSizes() {
    let speeds: [String: [Double]] = ["a": [3, 2, 1], "b": [1, 4, 9]]
    #expect(fastest(speeds) == ["a", "b", "b"])
    #expect(preferences(speeds) == [choice("a", 0...256), choice("b", 257...longest)])
    #expect(
      preferences(["a": [1, 1, 9], "b": [2, 2, 1]])
        == [choice("b", 0...4096), choice("a", 4097...longest)])
  }

  @Test func anEngineMayComeBack() {
    let speeds: [String: [Double]] = ["a": [9, 1, 9], "b": [1, 9, 1], "c": [1, 1, 1]]
    #expect(fastest(speeds) == ["a", "b", "a"])
    let choices = preferences(speeds)
    #expect(
      choices == [
        choice("a", 0...256), choice("b", 257...4096), choice("a", 4097...longest), standIn("c"),
      ])
    // It fits a route, in which every size has the engine that is fastest for it.
    let route = Advertisement(
      policies: AlgorithmPolicies(),
      selfTests: Dictionary(
        uniqueKeysWithValues: ["a", "b", "c"].map { ($0, [algorithm: SelfTestResult.passed]) }),
      preferences: [algorithm: choices ?? []]
    ).routes(["a": 0, "b": 1, "c": 2])[algorithm]
    #expect(
      [0, 256, 257, 4096, 4097, .max].map { route?.engine(forByteCount: $0) }
        == [0, 0, 1, 1, 0, 0])
    #expect(route?.contains(2) == true)
  }

  @Test func littleGainsAreNotWorthAChange() {
    #expect(fastest(["a": [2, 100, 100], "b": [1, 105, 105]]) == ["a", "a", "a"])
    #expect(fastest(["a": [2, 100, 100], "b": [1, 106, 105]]) == ["a", "b", "b"])
    #expect(fastest(["a": [2, 100, 104], "b": [1, 106, 100]]) == ["a", "b", "b"])
    // It is the first size's best that later ones are compared with, however little it won by.
    #expect(fastest(["a": [100, 1, 1], "b": [101, 1, 1]]) == ["b", "b", "b"])
  }

  @Test func orderDecidesBetweenEquals() {
    let speeds: [String: [Double]] = ["a": [5, 5, 5], "b": [5, 5, 5], "c": [5, 5, 5]]
    #expect(fastest(speeds) == ["a", "a", "a"])
    #expect(fastest(speeds, order: ["c", "a", "b"]) == ["c", "c", "c"])
    #expect(fastest(speeds, order: ["b", "a"]) == ["b", "b", "b"])
  }

  @Test func enginesThatAreMissingOrRefuseAreNotChosen() {
    // Measured in another build; not known here.
    #expect(fastest(["a": [1, 1, 1], "z": [9, 9, 9]]) == ["a", "a", "a"])
    #expect(fastest(["z": [9, 9, 9]]) == nil)
    // Known, and not measured.
    #expect(fastest(["c": [1, 1, 1]], order: ["a", "b", "c"]) == ["c", "c", "c"])
    // A list of another length means other sizes.
    #expect(fastest(["a": [9, 9], "b": [1, 1, 1]]) == ["b", "b", "b"])
    // 0 is an engine that refused.
    #expect(fastest(["a": [0, 0, 0], "b": [1, 1, 1]]) == ["b", "b", "b"])
    #expect(fastest(["a": [2, 0, 2], "b": [1, 1, 1]]) == ["a", "b", "a"])
  }
}
