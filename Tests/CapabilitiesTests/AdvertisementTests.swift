import Capabilities
import CryptoTypes
import Testing

@Suite struct AdvertisementTests {
  private let aesCBC = CryptoAlgorithm.cipher(.aesCBC)
  private let arc4 = CryptoAlgorithm.cipher(.arc4)
  private let kasumi = CryptoAlgorithm.cipher(.kasumiF8)

  private func policies(_ text: String) throws -> AlgorithmPolicies {
    try Configuration.parse(
      text: "version: 1\nalgorithms:\n  cipher:\n    \(text)\n", fileName: "f.yaml",
      engines: KnownEngines.all
    ).algorithms
  }

  @Test func autoOffersWhatAnyEngineProved() {
    let offered = Advertisement(
      policies: AlgorithmPolicies(),
      selfTests: ["openssl": [aesCBC: .passed, kasumi: .unavailable("not in OpenSSL")]])
    #expect(offered.offers == [aesCBC: [EngineChoice(engine: "openssl")]])
    #expect(
      offered.omissions[kasumi]
        == .noEngine(["openssl: not in OpenSSL"]))
    #expect(
      offered.offers.count + offered.omissions.count == CryptoAlgorithm.allCases.count)
    #expect(offered.warnings.isEmpty)
  }

  @Test func offIsNeverOffered() throws {
    let offered = Advertisement(
      policies: try policies("arc4: off"), passed: [arc4: ["openssl"], aesCBC: ["openssl"]])
    #expect(offered.offers.keys.sorted { $0.name < $1.name } == [aesCBC])
    #expect(offered.omissions[arc4] == .switchedOff)
  }

  @Test func listKeepsItsOrderAndLosesWhatFailed() throws {
    let wishes = try policies("aes-cbc: { engine: [ipsec-mb, kernel, openssl] }")
    let offered = Advertisement(
      policies: wishes, passed: [aesCBC: ["openssl", "ipsec-mb"]])
    #expect(offered.offers[aesCBC]?.map(\.engine) == ["ipsec-mb", "openssl"])
    let stops = [EngineRoute.Stop(engine: 2), EngineRoute.Stop(engine: 0)]
    #expect(offered.routes(["openssl": 0, "ipsec-mb": 2]) == [aesCBC: EngineRoute(stops)])
    #expect(offered.routes(["kernel": 1]).isEmpty)
  }

  @Test func listWithoutAUsableEngineIsAWarningWithItsPlace() throws {
    let offered = Advertisement(
      policies: try policies("aes-cbc: { engine: [ipsec-mb] }"), passed: [aesCBC: ["openssl"]])
    #expect(offered.offers.isEmpty)
    #expect(
      offered.warnings.map(\.description) == [
        "f.yaml:4:14: warning: aes-cbc is not advertised: no engine of its list can do it here "
          + "(ipsec-mb: not in this build)"
      ])
  }

  @Test func wrongAnswersAreAWarning() {
    let offered = Advertisement(
      policies: AlgorithmPolicies(), selfTests: ["openssl": [aesCBC: .failed("bad byte 3")]],
      fileName: "f.yaml")
    #expect(offered.offers.isEmpty)
    #expect(
      offered.warnings.map(\.description) == [
        "f.yaml: warning: openssl failed its self-test of aes-cbc and is not used for it: "
          + "bad byte 3"
      ])
  }

  @Test func sizesBecomeTheStopsOfARoute() throws {
    let wishes = try policies(
      "aes-cbc: { engine: [ { kernel: { min-size: 64KiB } }, { ipsec-mb: { max-size: 1KiB } }, openssl ] }"
    )
    let offered = Advertisement(
      policies: wishes, passed: [aesCBC: ["openssl", "ipsec-mb", "kernel"]])
    let route = offered.routes(["openssl": 0, "ipsec-mb": 1, "kernel": 2])[aesCBC]
    #expect(
      route?.stops == [
        EngineRoute.Stop(engine: 2, byteCounts: 65536...UInt32.max),
        EngineRoute.Stop(engine: 1, byteCounts: 0...1024),
        EngineRoute.Stop(engine: 0),
      ])
    // What one engine cannot do here leaves its sizes to the others.
    let less = Advertisement(policies: wishes, passed: [aesCBC: ["ipsec-mb", "kernel"]])
    #expect(
      less.routes(["ipsec-mb": 1, "kernel": 2])[aesCBC]?.engine(forByteCount: 2048) == 2)
  }

  @Test func autoTakesEnginesAsMeasuredAndElseInTheirOrder() {
    let sha256 = CryptoAlgorithm.hash(.sha256)
    let passed: [CryptoAlgorithm: SelfTestResult] = [aesCBC: .passed, sha256: .passed]
    let preferred = [
      EngineChoice(engine: "openssl", maximumByteCount: 256),
      EngineChoice(engine: "ipsec-mb", minimumByteCount: 257),
    ]
    let offered = Advertisement(
      policies: AlgorithmPolicies(), selfTests: ["openssl": passed, "ipsec-mb": passed],
      absences: ["kernel": "no AF_ALG here"], preferences: [aesCBC: preferred],
      engines: ["kernel", "ipsec-mb", "openssl"])
    #expect(offered.offers[aesCBC] == preferred)
    #expect(offered.offers[sha256]?.map(\.engine) == ["ipsec-mb", "openssl"])
    // Nobody asked for the kernel, so it is no reason for anything.
    #expect(
      offered.omissions[arc4]
        == .noEngine(["ipsec-mb: does not have it", "openssl: does not have it"]))
    #expect(offered.warnings.isEmpty)
  }

  @Test func anEngineOfAListThatIsNotHereSaysWhy() throws {
    let offered = Advertisement(
      policies: try policies("aes-cbc: { engine: [kernel] }"), selfTests: ["openssl": [:]],
      absences: ["kernel": "no AF_ALG here"])
    #expect(offered.omissions[aesCBC] == .noEngine(["kernel: no AF_ALG here"]))
    #expect(offered.warnings.count == 1)
  }
}
