import CryptoTypes
import Testing

/// Published answers, one request at a time in every way, and all of a file at once.
@Suite struct VectorTests {
  /// Runs requests alone in every way, then all as one batch in mixed sessions.
  private func check(_ cases: [(request: Request, expected: Response)], _ path: String) throws {
    let harness = try LaneHarness()
    for (index, item) in cases.enumerated() {
      #expect(harness.runAllWays(item.request) == item.expected, "\(path), request \(index)")
    }
    let prepared = cases.enumerated().map { index, item in
      let prepared = PreparedRequest(item.request, inPlace: index % 3 == 0)
      prepared.operation.pointee.sessionIndex =
        index % 2 == 0 && index < 2 * LaneHarness.sessionCapacity
        ? UInt32(index / 2) : CryptoOperation.transientSession
      prepared.operation.pointee.sessionGeneration = 1 << 20
      return prepared
    }
    defer { for prepared in prepared { prepared.release() } }
    harness.submit(prepared)
    harness.finish()
    for (index, item) in cases.enumerated() {
      #expect(prepared[index].response(of: item.request) == item.expected, "\(path), \(index)")
    }
  }

  private func checkCipher(
    _ path: String, _ cipher: CipherAlgorithm, count: Int,
    iv: (VectorFile.Vector) -> [UInt8] = { $0.ivBytes }
  ) throws {
    let vectors = try VectorFile.read(path).testGroups.flatMap(\.tests)
    #expect(vectors.count == count)
    try check(
      vectors.flatMap { vector in
        #expect(vector.isValid)
        let iv = iv(vector)
        return [
          (
            Request.cipher(
              cipher, .encrypt, key: vector.keyBytes, iv: iv, source: vector.message),
            Response(outcome: .ok, destination: vector.ciphertext, result: [])
          ),
          (
            Request.cipher(
              cipher, .decrypt, key: vector.keyBytes, iv: iv, source: vector.ciphertext),
            Response(outcome: .ok, destination: vector.message, result: [])
          ),
        ]
      }, path)
  }

  private func checkMAC(
    _ path: String, _ mac: MACAlgorithm, count: Int,
    iv: (VectorFile.Vector) -> [UInt8] = { $0.ivBytes },
    message: (VectorFile.Vector) -> [UInt8] = { $0.message }
  ) throws {
    let vectors = try VectorFile.read(path).testGroups.flatMap(\.tests).filter {
      $0.isValid && (mac.ivByteCount == 0 || iv($0).count == mac.ivByteCount)
        && mac.accepts(keyByteCount: $0.keyBytes.count)
    }
    #expect(vectors.count == count)
    try check(
      vectors.map { vector in
        (
          Request.mac(
            mac, key: vector.keyBytes, iv: iv(vector), source: message(vector),
            resultByteCount: vector.tagBytes.count),
          Response(outcome: .ok, destination: [], result: vector.tagBytes)
        )
      }, path)
  }

  @Test func blockCiphersGiveKnownAnswers() throws {
    try checkCipher("kat/ecb_test.json", .aesECB, count: 7)
    try checkCipher("kat/cbc_test.json", .aesCBC, count: 7)
    try checkCipher("kat/ctr_test.json", .aesCTR, count: 15) {
      $0.ivBytes + ($0.ivBytes.count == 12 ? [0, 0, 0, 1] : [])
    }
    try checkCipher("kat/des_test.json", .desCBC, count: 2)
    try checkCipher("kat/des3_test.json", .tripleDESCBC, count: 4)
  }

  @Test func mobileCiphersGiveKnownAnswers() throws {
    try checkCipher("kat/kasumi_f8_test.json", .kasumiF8, count: 39)
    try checkCipher("kat/snow3g_f8_test.json", .snow3gUEA2, count: 21)
    try checkCipher("kat/snow3g_f8_linear_test.json", .snow3gUEA2, count: 15)
    // COUNT in little-endian order, BEARER and DIRECTION, of which TS 35.221 §3.4 makes the IV.
    try checkCipher("kat/zuc_eea3_128_test.json", .zucEEA3, count: 6) {
      let iv = $0.ivBytes
      guard iv.count == 6 else { return iv }
      let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3 | iv[5] << 2, 0, 0, 0]
      return half + half
    }
  }

  @Test func mobileMACsGiveKnownAnswers() throws {
    try checkMAC("kat/snow3g_f9_test.json", .snow3gUIA2, count: 3)
    try checkMAC("kat/zuc_eia3_128_test.json", .zucEIA3, count: 3) {
      let iv = $0.ivBytes
      guard iv.count == 6 else { return [] }
      let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3, 0, 0, 0]
      var whole = half + half
      whole[8] ^= iv[5] << 7
      whole[14] ^= iv[5] << 7
      return whole
    }
    // A 9-byte IV is a direction and COUNT ‖ FRESH, apart from whole bytes of message; else all is in the message.
    for mac in [MACAlgorithm.kasumiF9, .cbcmacKasumiF9] {
      try checkMAC("kat/kasumi_f9_test.json", mac, count: 30, iv: { _ in [] }) {
        let iv = $0.ivBytes
        guard iv.count == 9 else { return $0.message }
        return Array(iv.dropFirst()) + $0.message + [iv[0] << 7 | 0x40]
      }
    }
  }

  @Test func otherMACsGiveKnownAnswers() throws {
    try checkMAC("kat/hmac_md5_test.json", .hmacMD5, count: 15)
    try checkMAC("kat/cmac_128_test.json", .cmacAES, count: 17)
    try checkMAC("kat/xcbc_test.json", .xcbcAES, count: 7)
    try checkMAC("kat/gmac_test.json", .gmacAES, count: 4)
    let hmacs: [(String, MACAlgorithm)] = [
      ("sha1", .hmacSHA1), ("sha224", .hmacSHA224), ("sha256", .hmacSHA256),
      ("sha384", .hmacSHA384), ("sha512", .hmacSHA512),
    ]
    for (name, mac) in hmacs {
      let path = "kat/hmac_\(name)_test.json"
      let count = try VectorFile.read(path).testGroups.flatMap(\.tests).count
      #expect(count > 5)
      try checkMAC(path, mac, count: count)
    }
  }

  /// Of Wycheproof, what is valid must come out; what is not valid must not.
  @Test func wycheproofMACs() throws {
    let files: [(String, MACAlgorithm)] = [
      ("aes_cmac", .cmacAES), ("aes_gmac", .gmacAES), ("hmac_sha1", .hmacSHA1),
      ("hmac_sha256", .hmacSHA256), ("hmac_sha512", .hmacSHA512),
    ]
    for (name, mac) in files {
      let harness = try LaneHarness()
      var count = 0
      for vector in try VectorFile.read("wycheproof/\(name)_test.json").testGroups.flatMap(\.tests)
      {
        guard
          mac.accepts(keyByteCount: vector.keyBytes.count),
          mac.ivByteCount == vector.ivBytes.count
        else { continue }
        count += 1
        let response = harness.runAllWays(
          .mac(
            mac, key: vector.keyBytes, iv: vector.ivBytes, source: vector.message,
            resultByteCount: vector.tagBytes.count))
        #expect(response.outcome == .ok)
        #expect((response.result == vector.tagBytes) == vector.isValid, "\(name) \(vector.tcId)")
      }
      #expect(count > 50, "\(name)")
    }
  }

  private func checkAEAD(_ path: String, _ aead: AEADAlgorithm, count atLeast: Int) throws {
    let harness = try LaneHarness()
    var count = 0
    for vector in try VectorFile.read(path).testGroups.flatMap(\.tests) {
      let tag = vector.tagBytes
      guard
        aead.accepts(keyByteCount: vector.keyBytes.count),
        // 16 bytes of IV are J0 here, and hashed in the vectors.
        vector.ivBytes.count < 16, aead.accepts(ivByteCount: vector.ivBytes.count),
        aead.accepts(tagByteCount: tag.count)
      else { continue }
      count += 1
      if vector.isValid {
        let sealed = harness.runAllWays(
          .seal(
            aead, key: vector.keyBytes, iv: vector.ivBytes, aad: vector.aadBytes,
            source: vector.message, tagByteCount: tag.count))
        #expect(
          sealed == Response(outcome: .ok, destination: vector.ciphertext, result: tag),
          "\(path) \(vector.tcId)")
      }
      let opened = harness.runAllWays(
        .open(
          aead, key: vector.keyBytes, iv: vector.ivBytes, aad: vector.aadBytes,
          source: vector.ciphertext, tag: tag))
      let wiped = [UInt8](repeating: 0, count: vector.ciphertext.count)
      #expect(
        opened
          == (vector.isValid
            ? Response(outcome: .ok, destination: vector.message, result: [])
            : Response(outcome: .tagMismatch, destination: wiped, result: [])),
        "\(path) \(vector.tcId)")
    }
    #expect(count >= atLeast, "\(path) \(count)")
  }

  @Test func aeadsGiveKnownAnswersAndRefuseForgeries() throws {
    try checkAEAD("kat/gcm_test.json", .gcm, count: 10)
    try checkAEAD("kat/ccm_128_test.json", .ccm, count: 39)
    try checkAEAD("kat/ccm_256_test.json", .ccm, count: 5)
    try checkAEAD("kat/chacha20_poly1305_test.json", .chacha20Poly1305, count: 1)
    try checkAEAD("wycheproof/aes_gcm_test.json", .gcm, count: 50)
    try checkAEAD("wycheproof/chacha20_poly1305_test.json", .chacha20Poly1305, count: 50)
  }
}
