import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing

@Suite struct HashAndMACVectorTests {
  private func checkHashes(_ path: String, _ hash: (Int) -> HashAlgorithm?) throws -> Int {
    try VectorChecks(OpenSSLHarness()).hashes(path, hash)
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
    let harness = try OpenSSLHarness()
    let whole = harness.run(.hash(.sha256, source: [1, 2, 3], resultByteCount: 32)).result
    for count in 1...32 {
      let part = harness.run(.hash(.sha256, source: [1, 2, 3], resultByteCount: count))
      #expect(part == Response(outcome: .ok, destination: [], result: Array(whole.prefix(count))))
    }
    #expect(harness.run(.hash(.sha256, source: [], resultByteCount: 0)).outcome == .failed)
    #expect(harness.run(.hash(.sha256, source: [], resultByteCount: 33)).outcome == .failed)
    #expect(harness.run(.hash(.shake128, source: [], resultByteCount: 65537)).outcome == .failed)
  }

  private func checkMACs(
    _ path: String, _ mac: MACAlgorithm
  ) throws -> VectorChecks<OpenSSLLane>.Counts {
    try VectorChecks(OpenSSLHarness()).macs(path, mac)
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
