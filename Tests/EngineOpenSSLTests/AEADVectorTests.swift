import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing

@Suite struct AEADVectorTests {
  private func check(
    _ path: String, _ aead: AEADAlgorithm
  ) throws -> VectorChecks<OpenSSLLane>.Counts {
    try VectorChecks(OpenSSLHarness()).aeads(path, aead)
  }

  @Test func gcmGivesKnownAnswers() throws {
    #expect(try check("kat/gcm_test.json", .gcm).valid == 26)
  }

  @Test func gcmAgreesWithWycheproof() throws {
    let counts = try check("wycheproof/aes_gcm_test.json", .gcm)
    #expect(counts.valid > 100 && counts.invalid > 30)
  }

  @Test func ccmGivesKnownAnswers() throws {
    #expect(try check("kat/ccm_128_test.json", .ccm).valid == 39)
    #expect(try check("kat/ccm_256_test.json", .ccm).valid == 12)
  }

  @Test func chacha20Poly1305GivesKnownAnswers() throws {
    #expect(try check("kat/chacha20_poly1305_test.json", .chacha20Poly1305).valid == 3)
  }

  @Test func chacha20Poly1305AgreesWithWycheproof() throws {
    let counts = try check("wycheproof/chacha20_poly1305_test.json", .chacha20Poly1305)
    #expect(counts.valid > 100 && counts.invalid > 30)
  }
}
