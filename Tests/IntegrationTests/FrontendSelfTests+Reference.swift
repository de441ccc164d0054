import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend

/// The test front-end's reference answers, against published vectors.
extension FrontendSelfTests {
  @Test(
    arguments: [
      ("kat/cbc_test.json", CipherAlgorithm.aesCBC), ("kat/ctr_test.json", .aesCTR),
      ("kat/ecb_test.json", .aesECB), ("kat/des_test.json", .desCBC),
      ("kat/des3_test.json", .tripleDESCBC), ("wycheproof/aes_xts_test.json", .aesXTS),
    ])
  func referenceCiphersMatchPublishedVectors(file: String, algorithm: CipherAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests where test.isValid {
        let iv = try test.ivBytes
        guard iv.count == algorithm.ivByteCount,
          algorithm.accepts(keyByteCount: try test.keyBytes.count),
          try !test.messageBytes.isEmpty
        else { continue }
        let output = ReferenceCrypto.cipher(
          algorithm, .encrypt, key: try test.keyBytes, iv: iv, source: try test.messageBytes)
        #expect(try output == test.ciphertextBytes, "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test(
    arguments: [
      ("kat/gcm_test.json", AEADAlgorithm.gcm), ("wycheproof/aes_gcm_test.json", .gcm),
      ("kat/ccm_128_test.json", .ccm), ("kat/ccm_256_test.json", .ccm),
      ("wycheproof/chacha20_poly1305_test.json", .chacha20Poly1305),
    ])
  func referenceAEADsMatchPublishedVectors(file: String, algorithm: AEADAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests {
        let iv = try test.ivBytes
        // A 16-byte IV is J0 for virtio-crypto and something else for these vectors.
        guard algorithm.accepts(ivByteCount: iv.count), iv.count < 16 else { continue }
        let tag = try test.tagBytes
        let opened = ReferenceCrypto.open(
          algorithm, key: try test.keyBytes, iv: iv, aad: try test.aadBytes,
          source: try test.ciphertextBytes + tag, tagByteCount: tag.count)
        #expect(try opened == (test.isValid ? test.messageBytes : nil), "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test func counterModeFromJ0EqualsGCMWithA96BitIV() throws {
    var random = SeededRandom.printed()
    for count in [0, 1, 16, 17, 100] {
      let (key, iv) = (random.bytes(32), random.bytes(12))
      let (aad, source) = (random.bytes(count + 3), random.bytes(count))
      let direct = ReferenceCrypto.seal(
        .gcm, key: key, iv: iv, aad: aad, source: source, tagByteCount: 16)
      let fromJ0 = ReferenceCrypto.seal(
        .gcm, key: key, iv: iv + [0, 0, 0, 1], aad: aad, source: source, tagByteCount: 16)
      #expect(direct != nil && direct == fromJ0)
      #expect(
        ReferenceCrypto.open(
          .gcm, key: key, iv: iv + [0, 0, 0, 1], aad: aad, source: fromJ0 ?? [], tagByteCount: 16)
          == source)
    }
  }

  @Test(
    arguments: [
      ("kat/hmac_md5_test.json", MACAlgorithm.hmacMD5), ("kat/hmac_sha1_test.json", .hmacSHA1),
      ("kat/hmac_sha256_test.json", .hmacSHA256), ("kat/hmac_sha512_test.json", .hmacSHA512),
      ("kat/cmac_128_test.json", .cmacAES), ("kat/xcbc_test.json", .xcbcAES),
      ("wycheproof/aes_cmac_test.json", .cmacAES), ("kat/gmac_test.json", .gmacAES),
    ])
  func referenceMACsMatchPublishedVectors(file: String, algorithm: MACAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests where test.isValid {
        let tag = try test.tagBytes
        let iv = try test.ivBytes
        guard iv.count == algorithm.ivByteCount else { continue }
        let code = ReferenceCrypto.mac(
          algorithm, key: try test.keyBytes, iv: iv, try test.messageBytes)
        #expect(code.map { Array($0.prefix(tag.count)) } == tag, "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test func everyAlgorithmThatTheReferenceClaimsGivesAnAnswer() {
    let unknown: Set<CryptoAlgorithm> = [
      .cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3), .mac(.kasumiF9),
      .mac(.snow3gUIA2), .mac(.gmacTwofish), .mac(.cbcmacKasumiF9), .mac(.zucEIA3),
    ]
    let source = [UInt8](repeating: 7, count: 64)
    for algorithm in CryptoAlgorithm.symmetric {
      let output: [UInt8]?
      switch algorithm {
      case .cipher(let cipher):
        // Two different DES keys in a row, since equal ones are refused.
        let key = (0..<cipher.maximumKeyByteCount).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 1) }
        let iv = [UInt8](repeating: 3, count: cipher.ivByteCount)
        output = ReferenceCrypto.cipher(cipher, .encrypt, key: key, iv: iv, source: source)
        if let output {
          #expect(output.count == source.count && output != source)
          #expect(
            ReferenceCrypto.cipher(cipher, .decrypt, key: key, iv: iv, source: output) == source)
        }
      case .hash(let hash): output = ReferenceCrypto.hash(hash, source, byteCount: 16)
      case .mac(let mac):
        let key = (0..<(mac == .cmac3DES ? 24 : 16)).map { UInt8($0 * 9 + 1) }
        output = ReferenceCrypto.mac(mac, key: key, iv: Array(key.prefix(mac.ivByteCount)), source)
        if let output { #expect(output.count == mac.maximumResultByteCount) }
      case .akcipher: continue
      case .aead(let aead):
        output = ReferenceCrypto.seal(
          aead, key: Array(0..<32), iv: Array(0..<12), aad: [1], source: source, tagByteCount: 16)
      }
      #expect((output == nil) == unknown.contains(algorithm), "\(algorithm)")
    }
  }

  @Test func chainsAreComposedAsDocumented() {
    let source = (0..<64).map { UInt8($0) }
    let iv = Array(repeating: UInt8(9), count: 16)
    func answer(_ second: ChainSecond, _ order: ChainOrder) -> ReferenceCrypto.Answer? {
      ReferenceCrypto.answer(
        to: OperationSpec(
          .chain(.init(.aesCBC, .encrypt, key: Self.key, order: order, second: second)),
          sessionID: 1, iv: iv, source: source, aad: [1, 2, 3],
          ranges: ChainRanges(cipher: 16..<48, hash: 8..<40)))
    }
    let middle = ReferenceCrypto.cipher(
      .aesCBC, .encrypt, key: Self.key, iv: iv, source: Array(source[16..<48]))
    let output = source[..<16] + (middle ?? []) + source[48...]
    // Associated data goes in front of the range; the order says whose range.
    let before = answer(.plain(.sha256), .hashThenCipher)
    #expect(before?.output == Array(output))
    #expect(
      before?.result == ReferenceCrypto.hash(.sha256, [1, 2, 3] + source[8..<40], byteCount: 32))
    #expect(
      answer(.authenticated(.hmacSHA1, key: [7]), .cipherThenHash)?.result
        == ReferenceCrypto.mac(.hmacSHA1, key: [7], [1, 2, 3] + output[8..<40]))
    // A nested hash with HMAC's pads is HMAC.
    let padded = Self.key + [UInt8](repeating: 0, count: 48)
    let pads = padded.map { $0 ^ 0x36 } + padded.map { $0 ^ 0x5C }
    #expect(
      answer(.nested(.sha256, key: pads), .hashThenCipher)?.result
        == ReferenceCrypto.mac(.hmacSHA256, key: Self.key, [1, 2, 3] + source[8..<40]))
  }

  @Test func everyVectorFileLoads() throws {
    var count = 0
    for folder in ["kat", "wycheproof"] {
      for name in try Vectors.names(in: folder) {
        count += try Vectors.load("\(folder)/\(name)").testCount
      }
    }
    #expect(count > 1000)
    #expect(throws: TestSupportError.self) { try Vectors.load("kat/no_such_test.json") }
  }
}
