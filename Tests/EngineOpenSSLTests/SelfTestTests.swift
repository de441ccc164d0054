import CryptoTypes
import EngineContract
import EngineTestSupport
import Glibc
import IOUring
import TestSupport
import Testing

@testable import EngineOpenSSL

@Suite struct SelfTestTests {
  private func checks() throws -> SelfTestChecks<OpenSSLLane> {
    SelfTestChecks(
      try OpenSSLEngine().knownAnswerTest, algorithms: OpenSSLEngine.description.algorithms)
  }

  @Test func everyAlgorithmOfDefaultAndLegacyProviderPasses() throws {
    try checks().expectTheseAlgorithmsOnly()
    #expect(OpenSSLEngine.description.algorithms.count == 11 + 12 + 11 + 3 + 5)
  }

  private static let legacy: Set<CryptoAlgorithm> = [
    .cipher(.arc4), .cipher(.desECB), .cipher(.desCBC),
  ]

  /// By name, and where the host has none: both leave everything else as it is.
  @Test func withoutTheLegacyProviderOnlyItsAlgorithmsAreMissing() throws {
    let all = try OpenSSLEngine().selfTest()
    for engine in [
      try OpenSSLEngine(providers: ["default"]),
      try OpenSSLEngine(required: ["default"], optional: ["no-such-provider"]),
    ] {
      let results = engine.selfTest()
      for (algorithm, result) in results {
        let isLegacy = Self.legacy.contains(algorithm)
        #expect(
          result == (isLegacy ? .unavailable("needs the legacy provider") : all[algorithm]),
          "\(algorithm.name)")
      }
      let harness = try OpenSSLHarness(engine: engine)
      let request = Request.cipher(.arc4, .encrypt, key: [1, 2, 3, 4, 5], iv: [], source: [0])
      #expect(harness.run(request).outcome == .unsupported)
    }
  }

  @Test func theLegacyProviderMustBeThereIfItIsNamed() throws {
    let engine = try OpenSSLEngine(providers: ["default", "legacy"])
    #expect(engine.providerNames == ["default", "legacy"])
    #expect(engine.selfTest()[.cipher(.arc4)] == .passed)
  }

  @Test func aWrongResultIsReportedForItsAlgorithmOnly() throws {
    try checks().expectWrongResultsToBeReported()
  }

  @Test func aWrongTagIsReported() throws { try checks().expectWrongTagsToBeReported() }
  @Test func aWrongPublicKeyAnswerIsReported() throws {
    try checks().expectWrongPublicKeyAnswersToBeReported()
  }

  private static var threadNanoseconds: Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  @Test func selfTestIsQuick() throws {
    let engine = try OpenSSLEngine()
    // The thread's own time: others may need the processor.
    let start = Self.threadNanoseconds
    _ = engine.selfTest()
    #expect(Self.threadNanoseconds - start < 200_000_000 * sanitizerSlack)
  }

  @Test func withoutImplementationsEverythingIsUnavailable() throws {
    for engine in [
      try OpenSSLEngine(providers: ["null"]),
      try OpenSSLEngine(providers: ["default"], propertyQuery: "provider=nobody"),
    ] {
      for (algorithm, result) in engine.selfTest() {
        guard case .unavailable = result else {
          Issue.record("\(algorithm.name): \(result)")
          continue
        }
      }
    }
  }

  @Test func anUnknownProviderIsNamed() {
    do {
      _ = try OpenSSLEngine(providers: ["default", "no-such-provider"])
      Issue.record("a provider that does not exist was loaded")
    } catch {
      #expect(error.description.contains("'no-such-provider'"))
    }
  }

  @Test func aPropertyQueryThatFitsChangesNothing() throws {
    let engine = try OpenSSLEngine(providers: ["default"], propertyQuery: "provider=default")
    #expect(engine.selfTest() == (try OpenSSLEngine(providers: ["default"])).selfTest())
  }

  @Test func aLaneOutlivesTheEngineReference() throws {
    var engine: OpenSSLEngine? = try OpenSSLEngine()
    weak let observed = engine
    let ring = try IOUring(entries: 4)
    var lane = try OpenSSLLane(
      engine: try #require(engine),
      environment: LaneEnvironment(sessionCapacity: 1, ring: ring.submissions))
    engine = nil
    #expect(observed != nil)
    let prepared = PreparedRequest(
      .hash(.sha256, source: [], resultByteCount: 32), inPlace: false)
    defer { prepared.release() }
    var batch = [prepared.operation]
    batch.withUnsafeMutableBufferPointer { lane.submit($0) }
    #expect(prepared.operation.pointee.outcome == .ok)
    _ = consume lane
    #expect(observed == nil)
  }

  @Test func aLaneOfImpossibleSizeIsRefused() throws {
    let engine = try OpenSSLEngine()
    let ring = try IOUring(entries: 4)
    for capacity in [-1, Int.max] {
      do {
        _ = try OpenSSLLane(
          engine: engine,
          environment: LaneEnvironment(sessionCapacity: capacity, ring: ring.submissions))
        Issue.record("a lane for \(capacity) sessions was made")
      } catch {
        #expect(error.description.contains("\(capacity)"))
      }
    }
  }
}
