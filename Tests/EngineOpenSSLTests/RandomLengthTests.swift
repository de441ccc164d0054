import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing
import VhostUserFrontend

@Suite struct RandomLengthTests {
  private static let count = 2000

  @Test func randomRequestsAgreeWithOneShotCalls() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 0x5eed_0001)
    let ciphers: [(CipherAlgorithm, Int)] = [
      (.aesECB, 16), (.aesECB, 24), (.aesECB, 32), (.aesCBC, 16), (.aesCBC, 24), (.aesCBC, 32),
      (.aesCTR, 16), (.aesCTR, 24), (.aesCTR, 32), (.aesXTS, 32), (.aesXTS, 64),
      (.tripleDESECB, 24), (.tripleDESCBC, 24), (.tripleDESCTR, 24), (.desECB, 8), (.desCBC, 8),
      (.aesF8, 32), (.aesF8, 48), (.aesF8, 64),
    ]
    let hmacs: [(MACAlgorithm, String)] = [
      (.hmacMD5, "MD5"), (.hmacSHA1, "SHA1"), (.hmacSHA224, "SHA224"), (.hmacSHA256, "SHA256"),
      (.hmacSHA384, "SHA384"), (.hmacSHA512, "SHA512"),
    ]
    for round in 0..<Self.count {
      var length = Int.random(in: 0...(round % 50 == 0 ? 70_000 : 2000), using: &generator)
      switch round % 4 {
      case 0:
        let (cipher, keyByteCount) = ciphers[round / 4 % ciphers.count]
        length = max(length, cipher.minimumSourceByteCount)
        length -= length % cipher.granuleByteCount
        let key = generator.bytes(keyByteCount)
        let iv = generator.bytes(cipher.ivByteCount)
        let source = generator.bytes(length)
        let direction: CryptoDirection = Bool.random(using: &generator) ? .encrypt : .decrypt
        let expected = Reference.cipher(
          cipher, encrypt: direction == .encrypt, key: key, iv: iv, source: source)
        let response = harness.runAllWays(
          .cipher(cipher, direction, key: key, iv: iv, source: source))
        #expect(response == Response(outcome: .ok, destination: expected, result: []), "\(round)")
      case 1:
        let hash = HashAlgorithm.allCases[round / 4 % 10]
        let source = generator.bytes(length)
        let expected = Reference.digest(Reference.name(hash), source)
        let response = harness.runAllWays(
          .hash(hash, source: source, resultByteCount: hash.maximumResultByteCount))
        #expect(response == Response(outcome: .ok, destination: [], result: expected), "\(round)")
      case 2:
        let (mac, digest) = hmacs[round / 4 % hmacs.count]
        let source = generator.bytes(length)
        let key = generator.bytes(Int.random(in: 1...300, using: &generator))
        let response = harness.runAllWays(
          .mac(mac, key: key, source: source, resultByteCount: mac.maximumResultByteCount))
        #expect(response.outcome == .ok)
        #expect(response.result == Reference.hmac(digest, key: key, source), "\(round)")
      default:
        try checkAEAD(round / 4, length, harness, &generator)
      }
    }
  }

  /// What is sealed opens; with a bit of tag, text or associated data changed it does not.
  ///
  /// GCM's text comes from counter
  /// mode, and its 16-byte form from an IV of 12 bytes agrees with the plain form in all but the counter.
  private func checkAEAD(
    _ round: Int, _ length: Int, _ harness: OpenSSLHarness, _ generator: inout SeededRandom
  ) throws {
    let aead = AEADAlgorithm.allCases[round % 3]
    let key = generator.bytes(aead == .chacha20Poly1305 ? 32 : [16, 24, 32][round / 3 % 3])
    let ivByteCount =
      aead == .gcm ? [12, 16][round / 9 % 2] : aead == .ccm ? 7 + round / 9 % 7 : 12
    let iv = generator.bytes(ivByteCount)
    let tagByteCount = aead == .ccm ? 4 + 2 * (round / 3 % 7) : 16
    let text = generator.bytes(aead == .ccm ? min(length, 65_535) : length)
    let aad = generator.bytes(Int.random(in: 0...100, using: &generator))
    let sealed = harness.runAllWays(
      .seal(aead, key: key, iv: iv, aad: aad, source: text, tagByteCount: tagByteCount))
    #expect(sealed.outcome == .ok)
    if aead == .gcm {
      var counter = ivByteCount == 12 ? iv + [0, 0, 0, 1] : iv
      let next = counter.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) } &+ 1
      counter.replaceSubrange(
        12..<16, with: (0..<4).map { UInt8(truncatingIfNeeded: next >> UInt32(24 - 8 * $0)) })
      #expect(
        sealed.destination
          == Reference.cipher(
            "AES-\(key.count * 8)-CTR", encrypt: true, key: key, iv: counter, source: text))
      let whole = harness.run(
        .seal(
          .gcm, key: key, iv: Array(iv.prefix(12)) + [0, 0, 0, 1], aad: aad, source: text,
          tagByteCount: 16))
      if ivByteCount == 12 { #expect(whole == sealed) }
    }
    var opening = Request.open(
      aead, key: key, iv: iv, aad: aad, source: sealed.destination, tag: sealed.result)
    #expect(
      harness.runAllWays(opening) == Response(outcome: .ok, destination: text, result: []))
    switch round % 3 {
    case 0: opening.tag[round % tagByteCount] ^= 1
    case 1 where !text.isEmpty: opening.source[round % text.count] ^= 0x80
    default: opening.aad.append(0)
    }
    let zeros = [UInt8](repeating: 0, count: text.count)
    #expect(
      harness.runAllWays(opening)
        == Response(outcome: .tagMismatch, destination: zeros, result: []))
  }

  @Test func counterOfGCMWrapsInThirtyTwoBits() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 9)
    for last: UInt8 in [0xfd, 0xfe, 0xff] {
      let key = generator.bytes(16)
      let j0 = generator.bytes(12) + [0xff, 0xff, 0xff, last]
      let text = generator.bytes(9001)
      let sealed = harness.runAllWays(
        .seal(.gcm, key: key, iv: j0, aad: [1], source: text, tagByteCount: 16))
      #expect(sealed.outcome == .ok)
      // Block i is enciphered with the counter's low 32 bits at J0 + 1 + i.
      for block in 0..<8 {
        let low = UInt32(0xffff_ff00) &+ UInt32(last) &+ 1 &+ UInt32(block)
        let counter =
          j0.prefix(12) + (0..<4).map { UInt8(truncatingIfNeeded: low >> UInt32(24 - 8 * $0)) }
        let keystream = Reference.cipher(
          "AES-128-ECB", encrypt: true, key: key, iv: [], source: Array(counter))
        let expected = zip(keystream, text[block * 16..<block * 16 + 16]).map { $0 ^ $1 }
        #expect(Array(sealed.destination[block * 16..<block * 16 + 16]) == expected)
      }
      #expect(sealed.result == Self.tag(key: key, j0: j0, aad: [1], sealed.destination))
      #expect(
        harness.runAllWays(
          .open(.gcm, key: key, iv: j0, aad: [1], source: sealed.destination, tag: sealed.result)
        ).destination == text)
    }
  }

  /// SP 800-38D §7.1: E(J0) ⊕ GHASH(A, padded ‖ C, padded ‖ both lengths in bits).
  private static func tag(key: [UInt8], j0: [UInt8], aad: [UInt8], _ text: [UInt8]) -> [UInt8] {
    func encipher(_ block: [UInt8]) -> [UInt8] {
      Reference.cipher("AES-128-ECB", encrypt: true, key: key, iv: [], source: block)
    }
    func padded(_ bytes: [UInt8]) -> [UInt8] {
      bytes + [UInt8](repeating: 0, count: (16 - bytes.count % 16) % 16)
    }
    func length(_ bytes: [UInt8]) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: UInt64(bytes.count * 8) >> UInt64(56 - 8 * $0)) }
    }
    let hash = Reference.ghash(
      subkey: encipher([UInt8](repeating: 0, count: 16)),
      padded(aad) + padded(text) + length(aad) + length(text))
    return zip(hash, encipher(j0)).map { $0 ^ $1 }
  }
}
