import Capabilities
import CryptoTypes
import Testing

@Suite struct AdvertisementTests {
  private let aesCBC = CryptoAlgorithm.cipher(.aesCBC)
  private let arc4 = CryptoAlgorithm.cipher(.arc4)
  private let kasumi = CryptoAlgorithm.cipher(.kasumiF8)

  private func policies(_ text: String) throws -> AlgorithmPolicies {
    try Configuration.parse(
      text: "version: 1\nalgorithms:\n  cipher:\n    \(text)\n", fileName: "f.yaml"
    ).algorithms
  }

  @Test func autoOffersWhatAnyEngineProved() {
    let offered = Advertisement(
      policies: AlgorithmPolicies(),
      selfTests: ["openssl": [aesCBC: .passed, kasumi: .unavailable("not in OpenSSL")]])
    #expect(offered.offers == [aesCBC: [EngineChoice(engine: .openssl)]])
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
    #expect(offered.offers[aesCBC]?.map(\.engine) == [.ipsecMB, .openssl])
    #expect(offered.engineIndices(["openssl": 0, "ipsec-mb": 2]) == [aesCBC: [2, 0]])
    #expect(offered.engineIndices(["kernel": 1]).isEmpty)
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
}
