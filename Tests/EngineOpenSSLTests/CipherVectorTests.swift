import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing

@Suite struct CipherVectorTests {
  private func check(_ path: String, _ cipher: CipherAlgorithm) throws -> Int {
    try VectorChecks(OpenSSLHarness()).ciphers(path, cipher) { vector in
      let iv = try vector.ivBytes
      return switch cipher {
      // RFC 3686: with a block counter of one behind them.
      case .aesCTR where iv.count == 12: iv + [0, 0, 0, 1]
      // A data unit number in little-endian order, of which high zeros are left out.
      case .aesXTS: iv + [UInt8](repeating: 0, count: 16 - iv.count)
      default: iv
      }
    }
  }

  @Test func aesECBGivesKnownAnswers() throws {
    #expect(try check("kat/ecb_test.json", .aesECB) == 7)
  }
  @Test func aesCBCGivesKnownAnswers() throws {
    #expect(try check("kat/cbc_test.json", .aesCBC) == 7)
  }
  @Test func aesCTRGivesKnownAnswers() throws {
    #expect(try check("kat/ctr_test.json", .aesCTR) == 15)
  }
  @Test func tripleDESCBCGivesKnownAnswers() throws {
    #expect(try check("kat/des3_test.json", .tripleDESCBC) == 4)
  }
  @Test func desCBCGivesKnownAnswers() throws {
    #expect(try check("kat/des_test.json", .desCBC) == 2)
  }
  @Test func aesXTSGivesKnownAnswers() throws {
    #expect(try check("wycheproof/aes_xts_test.json", .aesXTS) > 50)
  }

  @Test func counterModeCarriesAcrossAllSixteenBytes() throws {
    let harness = try OpenSSLHarness()
    let key = [UInt8](0..<16)
    let source = [UInt8](repeating: 0, count: 48)
    let last = [UInt8](repeating: 0xff, count: 16)
    let wrapped = harness.runAllWays(.cipher(.aesCTR, .encrypt, key: key, iv: last, source: source))
    let zero = [UInt8](repeating: 0, count: 16)
    let fromZero = harness.run(
      .cipher(.aesCTR, .encrypt, key: key, iv: zero, source: Array(source.prefix(32))))
    #expect(wrapped.outcome == .ok)
    #expect(Array(wrapped.destination.dropFirst(16)) == fromZero.destination)
  }
}
