import CryptoTypes
import EngineOpenSSL
import Testing

@Suite struct HashAndMACVectorTests {
  private func checkHashes(
    _ path: String, _ hash: (Int) -> HashAlgorithm?
  ) throws -> Int {
    let harness = try LaneHarness()
    var count = 0
    for group in try VectorFile.read(path).testGroups {
      let tagSize = try #require(group.tagSize)
      let algorithm = try #require(hash(tagSize))
      for vector in group.tests {
        let response = harness.runAllWays(
          .hash(algorithm, source: vector.message, resultByteCount: vector.tagBytes.count))
        #expect(vector.isValid)
        #expect(
          response == Response(outcome: .ok, destination: [], result: vector.tagBytes),
          "\(path) \(vector.tcId)")
        count += 1
      }
    }
    return count
  }

  @Test func secureHashesGiveKnownAnswers() throws {
    let bySize: [Int: HashAlgorithm] = [
      160: .sha1, 224: .sha224, 256: .sha256, 384: .sha384, 512: .sha512,
    ]
    #expect(try checkHashes("kat/sha_test.json") { bySize[$0] } == 21)
  }

  @Test func keccakHashesGiveKnownAnswers() throws {
    let bySize: [Int: HashAlgorithm] = [
      224: .sha3_224, 256: .sha3_256, 384: .sha3_384, 512: .sha3_512,
    ]
    #expect(try checkHashes("kat/sha3_test.json") { bySize[$0] } == 172)
  }

  @Test func extendableHashesGiveAsManyBytesAsWanted() throws {
    #expect(try checkHashes("kat/shake128_test.json") { _ in .shake128 } == 20)
    #expect(try checkHashes("kat/shake256_test.json") { _ in .shake256 } == 20)
  }

  @Test func truncatedHashIsTheLeadingBytes() throws {
    let harness = try LaneHarness()
    let whole = harness.run(.hash(.sha256, source: [1, 2, 3], resultByteCount: 32)).result
    for count in 1...32 {
      let part = harness.run(.hash(.sha256, source: [1, 2, 3], resultByteCount: count))
      #expect(part == Response(outcome: .ok, destination: [], result: Array(whole.prefix(count))))
    }
    #expect(harness.run(.hash(.sha256, source: [], resultByteCount: 0)).outcome == .failed)
    #expect(harness.run(.hash(.sha256, source: [], resultByteCount: 33)).outcome == .failed)
    #expect(harness.run(.hash(.shake128, source: [], resultByteCount: 65537)).outcome == .failed)
  }

  /// Valid vectors must match, invalid ones must not; key sizes that the algorithm has not are refused.
  private func checkMACs(_ path: String, _ mac: MACAlgorithm) throws -> (valid: Int, invalid: Int) {
    let harness = try LaneHarness()
    var counts = (valid: 0, invalid: 0)
    for group in try VectorFile.read(path).testGroups {
      let tagByteCount = try #require(group.tagSize) / 8
      for vector in group.tests {
        // Some files give the whole tag beside the length that is to be compared.
        let tag = vector.isValid ? Array(vector.tagBytes.prefix(tagByteCount)) : vector.tagBytes
        let request = Request.mac(
          mac, key: vector.keyBytes, iv: mac.ivByteCount > 0 ? vector.ivBytes : [],
          source: vector.message, resultByteCount: tagByteCount)
        guard mac.accepts(keyByteCount: vector.keyBytes.count) else {
          #expect(!vector.isValid)
          #expect(harness.validate(request) == .failed)
          #expect(harness.runAllWays(request).outcome == .failed)
          counts.invalid += 1
          continue
        }
        if mac == .gmacAES && vector.ivBytes.count != 12 {
          // The MAC takes 12 bytes; the same tag comes from GCM with the IV hashed to J0 and no text.
          let sealed = harness.runAllWays(
            .seal(
              .gcm, key: vector.keyBytes,
              iv: Reference.preCounterBlock(key: vector.keyBytes, iv: vector.ivBytes),
              aad: vector.message, source: [], tagByteCount: tagByteCount))
          #expect(sealed.outcome == .ok)
          #expect((sealed.result == tag) == vector.isValid, "\(path) \(vector.tcId)")
          #expect(harness.run(request).outcome == .failed)
        } else {
          let response = harness.runAllWays(request)
          #expect(response.outcome == .ok)
          #expect((response.result == tag) == vector.isValid, "\(path) \(vector.tcId)")
        }
        if vector.isValid { counts.valid += 1 } else { counts.invalid += 1 }
      }
    }
    return counts
  }

  @Test func hmacGivesKnownAnswers() throws {
    for (path, mac) in [
      ("md5", MACAlgorithm.hmacMD5), ("sha1", .hmacSHA1), ("sha224", .hmacSHA224),
      ("sha256", .hmacSHA256), ("sha384", .hmacSHA384), ("sha512", .hmacSHA512),
    ] {
      #expect(try checkMACs("kat/hmac_\(path)_test.json", mac).valid >= 7)
    }
  }

  @Test func hmacAgreesWithWycheproof() throws {
    for (path, mac) in [
      ("sha1", MACAlgorithm.hmacSHA1), ("sha256", .hmacSHA256), ("sha512", .hmacSHA512),
    ] {
      let counts = try checkMACs("wycheproof/hmac_\(path)_test.json", mac)
      #expect(counts.valid > 50 && counts.invalid > 50)
    }
  }

  @Test func cmacGivesKnownAnswers() throws {
    #expect(try checkMACs("kat/cmac_128_test.json", .cmacAES).valid == 17)
    #expect(try checkMACs("kat/cmac_256_test.json", .cmacAES).valid == 4)
    let counts = try checkMACs("wycheproof/aes_cmac_test.json", .cmacAES)
    #expect(counts.valid > 50 && counts.invalid > 50)
  }

  @Test func xcbcGivesKnownAnswers() throws {
    #expect(try checkMACs("kat/xcbc_test.json", .xcbcAES).valid == 7)
  }

  @Test func gmacGivesKnownAnswers() throws {
    #expect(try checkMACs("kat/gmac_test.json", .gmacAES).valid == 4)
    let counts = try checkMACs("wycheproof/aes_gmac_test.json", .gmacAES)
    #expect(counts.valid > 50 && counts.invalid > 50)
  }
}
