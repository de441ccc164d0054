import CryptoTypes
import EngineIPsecMB
import EngineTestSupport
import TestSupport
import Testing

/// Published answers.
@Suite struct VectorTests {
  private let checks: VectorChecks<IPsecMBLane>

  init() throws { checks = VectorChecks(try LaneHarness<IPsecMBLane>()) }

  @Test func blockCiphersGiveKnownAnswers() throws {
    #expect(try checks.ciphers("kat/ecb_test.json", .aesECB) == 7)
    #expect(try checks.ciphers("kat/cbc_test.json", .aesCBC) == 7)
    let counters = try checks.ciphers("kat/ctr_test.json", .aesCTR) {
      let iv = try $0.ivBytes
      return iv + (iv.count == 12 ? [0, 0, 0, 1] : [])
    }
    #expect(counters == 15)
    #expect(try checks.ciphers("kat/des_test.json", .desCBC) == 2)
    #expect(try checks.ciphers("kat/des3_test.json", .tripleDESCBC) == 4)
  }

  @Test func mobileCiphersGiveKnownAnswers() throws {
    #expect(try checks.ciphers("kat/kasumi_f8_test.json", .kasumiF8) == 39)
    #expect(try checks.ciphers("kat/snow3g_f8_test.json", .snow3gUEA2) == 21)
    #expect(try checks.ciphers("kat/snow3g_f8_linear_test.json", .snow3gUEA2) == 15)
    // COUNT in little-endian order, BEARER and DIRECTION, of which TS 35.221 §3.4 makes the IV.
    let zuc = try checks.ciphers("kat/zuc_eea3_128_test.json", .zucEEA3) {
      let iv = try $0.ivBytes
      guard iv.count == 6 else { return iv }
      let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3 | iv[5] << 2, 0, 0, 0]
      return half + half
    }
    #expect(zuc == 6)
  }

  @Test func mobileMACsGiveKnownAnswers() throws {
    #expect(try checks.macs("kat/snow3g_f9_test.json", .snow3gUIA2).valid == 3)
    let zuc = try checks.macs(
      "kat/zuc_eia3_128_test.json", .zucEIA3,
      iv: {
        let iv = try $0.ivBytes
        guard iv.count == 6 else { return nil }
        let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3, 0, 0, 0]
        var whole = half + half
        whole[8] ^= iv[5] << 7
        whole[14] ^= iv[5] << 7
        return whole
      })
    #expect(zuc.valid == 3)
    // A 9-byte IV is a direction and COUNT ‖ FRESH, apart from whole bytes of message; else all is in the message.
    for mac in [MACAlgorithm.kasumiF9, .cbcmacKasumiF9] {
      let kasumi = try checks.macs(
        "kat/kasumi_f9_test.json", mac,
        message: {
          let iv = try $0.ivBytes
          guard iv.count == 9 else { return try $0.messageBytes }
          return Array(iv.dropFirst()) + (try $0.messageBytes) + [iv[0] << 7 | 0x40]
        })
      #expect(kasumi.valid == 30)
    }
  }

  private static let hmacs: [(String, MACAlgorithm)] = [
    ("sha1", .hmacSHA1), ("sha224", .hmacSHA224), ("sha256", .hmacSHA256),
    ("sha384", .hmacSHA384), ("sha512", .hmacSHA512),
  ]

  @Test func otherMACsGiveKnownAnswers() throws {
    #expect(try checks.macs("kat/hmac_md5_test.json", .hmacMD5).valid == 15)
    #expect(try checks.macs("kat/cmac_128_test.json", .cmacAES).valid == 17)
    #expect(try checks.macs("kat/cmac_256_test.json", .cmacAES).valid == 4)
    #expect(try checks.macs("kat/xcbc_test.json", .xcbcAES).valid == 7)
    #expect(try checks.macs("kat/gmac_test.json", .gmacAES).valid == 4)
    for (name, mac) in Self.hmacs {
      let path = "kat/hmac_\(name)_test.json"
      let counts = try checks.macs(path, mac)
      let all = try Vectors.load(path).testCount
      #expect(counts.valid > 5 && counts.valid == all)
    }
  }

  /// Of Wycheproof, what is valid must come out; what is not valid must not.
  @Test func wycheproofMACs() throws {
    let files: [(String, MACAlgorithm)] = [
      ("aes_cmac", .cmacAES), ("aes_gmac", .gmacAES), ("hmac_sha1", .hmacSHA1),
      ("hmac_sha256", .hmacSHA256), ("hmac_sha512", .hmacSHA512),
    ]
    for (name, mac) in files {
      let counts = try checks.macs("wycheproof/\(name)_test.json", mac)
      #expect(counts.valid > 50 && counts.invalid > 50, "\(name)")
    }
  }

  @Test func hashesGiveKnownAnswers() throws {
    let bySize: [Int: HashAlgorithm] = [
      160: .sha1, 224: .sha224, 256: .sha256, 384: .sha384, 512: .sha512,
    ]
    #expect(try checks.hashes("kat/sha_test.json") { bySize[$0] } == 21)
  }

  @Test func aeadsGiveKnownAnswersAndRefuseForgeries() throws {
    #expect(try checks.aeads("kat/gcm_test.json", .gcm).valid == 26)
    #expect(try checks.aeads("kat/ccm_128_test.json", .ccm).valid == 39)
    #expect(try checks.aeads("kat/ccm_256_test.json", .ccm).valid == 12)
    #expect(try checks.aeads("kat/chacha20_poly1305_test.json", .chacha20Poly1305).valid == 3)
    for (name, aead) in [("aes_gcm", AEADAlgorithm.gcm), ("chacha20_poly1305", .chacha20Poly1305)] {
      let counts = try checks.aeads("wycheproof/\(name)_test.json", aead)
      #expect(counts.valid > 100 && counts.invalid > 30, "\(name)")
    }
  }
}
