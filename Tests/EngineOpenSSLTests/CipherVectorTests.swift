import CryptoTypes
import EngineOpenSSL
import Testing

@Suite struct CipherVectorTests {
  /// How a file's IVs become ours: as they are, or (RFC 3686) with a block counter of one behind them.
  private func check(_ path: String, _ cipher: CipherAlgorithm) throws -> Int {
    let harness = try LaneHarness()
    var count = 0
    for vector in try VectorFile.read(path).testGroups.flatMap(\.tests) {
      guard cipher.accepts(keyByteCount: vector.keyBytes.count) else {
        // Wycheproof has AES-192 in XTS, which virtio-crypto and IEEE 1619 have not.
        let request = Request.cipher(cipher, .encrypt, key: vector.keyBytes, iv: [], source: [])
        #expect(harness.validate(request) == .failed)
        continue
      }
      var iv = vector.ivBytes
      if cipher == .aesCTR && iv.count == 12 { iv += [0, 0, 0, 1] }
      // A data unit number in little-endian order, of which high zeros are left out.
      if cipher == .aesXTS { iv += [UInt8](repeating: 0, count: 16 - iv.count) }
      #expect(vector.isValid)
      count += 1
      let sealed = harness.runAllWays(
        .cipher(cipher, .encrypt, key: vector.keyBytes, iv: iv, source: vector.message))
      #expect(
        sealed == Response(outcome: .ok, destination: vector.ciphertext, result: []),
        "\(path) \(vector.tcId)")
      let opened = harness.runAllWays(
        .cipher(cipher, .decrypt, key: vector.keyBytes, iv: iv, source: vector.ciphertext))
      #expect(
        opened == Response(outcome: .ok, destination: vector.message, result: []),
        "\(path) \(vector.tcId)")
    }
    return count
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
    let harness = try LaneHarness()
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
