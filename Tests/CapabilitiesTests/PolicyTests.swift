import Capabilities
import CryptoTypes
import Testing

/// Which engines an algorithm gets.
@Suite struct PolicyTests {
  private func policies(_ cipher: String) throws -> AlgorithmPolicies {
    try Configuration.parse(
      text: "version: 1\nalgorithms:\n  cipher:\n\(cipher)\n", fileName: "f.yaml",
      engines: KnownEngines.all
    ).algorithms
  }

  private func engines(_ policies: AlgorithmPolicies, _ cipher: CipherAlgorithm) -> [String] {
    guard case .engines(let choices) = policies.policy(for: .cipher(cipher)) else { return [] }
    return choices.map(\.engine)
  }

  @Test func defaultIsNarrowedToWhatEnginesCanDo() throws {
    let wishes = try policies("    default: { engine: [ipsec-mb, kernel, openssl] }")
    #expect(engines(wishes, .aesCBC) == ["ipsec-mb", "kernel", "openssl"])
    #expect(engines(wishes, .aesCTR) == ["ipsec-mb", "openssl"])
    #expect(engines(wishes, .aesXTS) == ["kernel", "openssl"])
    #expect(engines(wishes, .kasumiF8) == ["ipsec-mb"])
    #expect(engines(wishes, .arc4) == ["openssl"])
  }

  @Test func algorithmThatNoEngineOfTheDefaultDoesKeepsTheListAndIsNotOffered() throws {
    let wishes = try policies("    default: { engine: [openssl] }")
    #expect(engines(wishes, .kasumiF8) == ["openssl"])
    let kasumi = CryptoAlgorithm.cipher(.kasumiF8)
    let offered = Advertisement(policies: wishes, passed: [kasumi: ["ipsec-mb"]])
    #expect(offered.offers[kasumi] == nil)
  }

  @Test func sizesOfADefaultStayWithTheirEngines() throws {
    let wishes = try policies(
      "    default: { engine: [ { kernel: { min-size: 8KiB } }, { ipsec-mb: { max-size: 1KiB } }, openssl ] }"
    )
    #expect(
      wishes.policy(for: .cipher(.aesXTS))
        == .engines([
          EngineChoice(engine: "kernel", minimumByteCount: 8192), EngineChoice(engine: "openssl"),
        ]))
  }

  @Test func driversAreListedByEngineAndAlgorithm() throws {
    let wishes = try policies(
      """
          aes-cbc: { engine: [ { kernel: { driver: cbc-aes-qat, min-size: 4096 } }, openssl ] }
          aes-xts: { engine: [ { kernel: { driver: "xts(ecb(aes-generic))" } } ] }
          aes-ctr: { engine: [openssl] }
          arc4: off
      """)
    #expect(
      wishes.drivers == [
        "kernel": [
          .cipher(.aesCBC): "cbc-aes-qat", .cipher(.aesXTS): "xts(ecb(aes-generic))",
        ]
      ])
    #expect(AlgorithmPolicies().drivers.isEmpty)
  }

  @Test func fourEnginesWithSizesAreRead() throws {
    let wishes = try policies(
      "    aes-cbc: { engine: [ { openssl: { max-size: 64 } }, { ipsec-mb: { min-size: 65, max-size: 4KiB } }, kernel ] }"
    )
    #expect(
      wishes.policy(for: .cipher(.aesCBC))
        == .engines([
          EngineChoice(engine: "openssl", maximumByteCount: 64),
          EngineChoice(engine: "ipsec-mb", minimumByteCount: 65, maximumByteCount: 4096),
          EngineChoice(engine: "kernel"),
        ]))
  }
}
