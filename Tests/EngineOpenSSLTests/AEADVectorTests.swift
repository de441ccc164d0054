import CryptoTypes
import EngineOpenSSL
import Testing

@Suite struct AEADVectorTests {
  private func check(_ path: String, _ aead: AEADAlgorithm) throws -> (valid: Int, invalid: Int) {
    let harness = try LaneHarness()
    var counts = (valid: 0, invalid: 0)
    for vector in try VectorFile.read(path).testGroups.flatMap(\.tests) {
      let key = vector.keyBytes
      var iv = vector.ivBytes
      if aead == .gcm && iv.count != 12 && !iv.isEmpty {
        iv = Reference.preCounterBlock(key: key, iv: iv)
      }
      let opening = Request.open(
        aead, key: key, iv: iv, aad: vector.aadBytes, source: vector.ciphertext,
        tag: vector.tagBytes)
      guard aead.accepts(ivByteCount: iv.count) else {
        #expect(!vector.isValid)
        #expect(harness.run(opening).outcome == .failed, "\(path) \(vector.tcId)")
        counts.invalid += 1
        continue
      }
      let opened = harness.runAllWays(opening)
      guard vector.isValid else {
        counts.invalid += 1
        let zeros = [UInt8](repeating: 0, count: vector.ciphertext.count)
        #expect(
          opened == Response(outcome: .tagMismatch, destination: zeros, result: []),
          "\(path) \(vector.tcId)")
        continue
      }
      counts.valid += 1
      #expect(
        opened == Response(outcome: .ok, destination: vector.message, result: []),
        "\(path) \(vector.tcId)")
      let sealed = harness.runAllWays(
        .seal(
          aead, key: key, iv: iv, aad: vector.aadBytes, source: vector.message,
          tagByteCount: vector.tagBytes.count))
      #expect(
        sealed
          == Response(outcome: .ok, destination: vector.ciphertext, result: vector.tagBytes),
        "\(path) \(vector.tcId)")
    }
    return counts
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
