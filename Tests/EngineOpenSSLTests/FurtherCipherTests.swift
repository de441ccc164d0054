import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing
import VhostUserFrontend

/// Ciphers of the legacy provider, and modes and MACs that are put together.
@Suite struct FurtherCipherTests {
  @Test func arc4TakesEveryKeyLength() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 4)
    for count in 5...256 {
      let key = generator.bytes(count)
      let source = generator.bytes(Int.random(in: 0...300, using: &generator))
      for direction in CryptoDirection.allCases {
        let request = Request.cipher(.arc4, direction, key: key, iv: [], source: source)
        let expected = Reference.arc4(key: key, source)
        #expect(
          harness.runAllWays(request)
            == Response(outcome: .ok, destination: expected, result: []), "\(count) bytes")
      }
    }
  }

  @Test func everyRequestStartsARC4Anew() throws {
    let harness = try OpenSSLHarness()
    let requests = [[UInt8](0..<5), [UInt8](0..<200)].map {
      Request.cipher(.arc4, .encrypt, key: $0, iv: [], source: [UInt8](repeating: 0, count: 99))
    }
    let expected = requests.map { Reference.arc4(key: $0.cipherKey, $0.source) }
    // Two sessions and stateless requests in turn: nobody goes on with another's key stream.
    for _ in 0..<5 {
      for index in 0..<2 {
        let inSession = harness.run(
          requests[index], sessionIndex: UInt32(index), generation: 1)
        #expect(inSession.destination == expected[index])
        let stateless = harness.run(
          requests[index], sessionIndex: CryptoOperation.transientSession)
        #expect(stateless.destination == expected[index])
      }
    }
  }

  @Test func counterOfTripleDESWrapsInSixtyFourBits() throws {
    let harness = try OpenSSLHarness()
    let key = (0..<24).map { UInt8($0 * 11 + 1) }
    for last: UInt8 in [0xfc, 0xff] {
      let iv = [UInt8](repeating: 0xff, count: 7) + [last]
      // Across the end of a piece of key stream, too.
      for count in [1, 7, 8, 9, 31, 4095, 4096, 4097, 8200] {
        let source = [UInt8](repeating: 0x3c, count: count)
        let expected = Reference.cipher(
          .tripleDESCTR, encrypt: true, key: key, iv: iv, source: source)
        #expect(
          harness.runAllWays(.cipher(.tripleDESCTR, .decrypt, key: key, iv: iv, source: source))
            == Response(outcome: .ok, destination: expected, result: []), "\(count) bytes")
      }
    }
  }

  @Test func f8CountsBlocksAcrossPieces() throws {
    let harness = try OpenSSLHarness()
    let key = (0..<48).map { UInt8($0 * 5 + 3) }
    let iv = [UInt8](16..<32)
    for count in [0, 1, 15, 16, 17, 4095, 4096, 4097, 70_001] {
      let source = [UInt8](repeating: 0xc3, count: count)
      let expected = Reference.cipher(.aesF8, encrypt: true, key: key, iv: iv, source: source)
      #expect(
        harness.runAllWays(.cipher(.aesF8, .encrypt, key: key, iv: iv, source: source))
          == Response(outcome: .ok, destination: expected, result: []), "\(count) bytes")
    }
  }

  @Test func ivOfTheWrongLengthIsRefused() throws {
    let harness = try OpenSSLHarness()
    for (cipher, key) in [(CipherAlgorithm.tripleDESCTR, 24), (.aesF8, 32), (.desCBC, 8)] {
      for count in 0...16 where count != cipher.ivByteCount {
        let request = Request.cipher(
          cipher, .encrypt, key: [UInt8](0..<UInt8(key)), iv: [UInt8](repeating: 1, count: count),
          source: [UInt8](repeating: 0, count: 16))
        #expect(harness.run(request).outcome == .failed, "\(cipher) \(count)")
      }
    }
  }

  @Test func macsOfEveryLengthAgreeWithTheirDefinition() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 0x3566)
    for length in Array(0...70) + [4079, 4080, 4081, 4096, 4112, 9000, 70_000] {
      let source = generator.bytes(length)
      let key = generator.bytes([16, 24, 32][length % 3])
      let wanted = 1 + length % 16
      let chained = harness.runAllWays(
        .mac(.cbcmacAES, key: key, source: source, resultByteCount: wanted))
      if length % 16 == 0 {
        let expected = Array(Reference.cbcmac(key: key, source).prefix(wanted))
        #expect(chained == Response(outcome: .ok, destination: [], result: expected), "\(length)")
      } else {
        #expect(chained.outcome == .failed, "\(length)")
      }
      let short = Array(key.prefix(16))
      let extended = harness.runAllWays(
        .mac(.xcbcAES, key: short, source: source, resultByteCount: wanted))
      let expected = Array(Reference.xcbc(key: short, source).prefix(wanted))
      #expect(extended == Response(outcome: .ok, destination: [], result: expected), "\(length)")
    }
    let nothing = Request.mac(.cbcmacAES, key: [UInt8](0..<16), source: [], resultByteCount: 16)
    #expect(harness.runAllWays(nothing).result == [UInt8](repeating: 0, count: 16))
  }

  @Test func aChainsCipherAndMACKeepTheirKeysApart() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 77)
    // AES-CBC and f8 borrow the primitives that CBC-MAC and XCBC are built on.
    for cipher in [CipherAlgorithm.aesCBC, .aesF8, .aesECB] {
      for mac in [MACAlgorithm.cbcmacAES, .xcbcAES] {
        var request = Request.cipher(
          cipher, .encrypt, key: generator.bytes(cipher == .aesF8 ? 32 : 16),
          iv: generator.bytes(cipher.ivByteCount), source: generator.bytes(96))
        request.session.service = .chain
        request.session.hashMode = .authenticated
        request.session.mac = mac
        request.session.order = .cipherThenHash
        request.authKey = generator.bytes(16)
        request.aad = generator.bytes(21)
        request.cipherRange = 16..<96
        request.hashRange = 3..<94
        request.resultByteCount = 16
        var output = request.source
        output.replaceSubrange(
          16..<96,
          with: Reference.cipher(
            cipher, encrypt: true, key: request.cipherKey, iv: request.iv,
            source: Array(request.source[16..<96])))
        let text = request.aad + output[3..<94]
        let expected =
          mac == .xcbcAES
          ? Reference.xcbc(key: request.authKey, text)
          : Reference.cbcmac(key: request.authKey, text)
        #expect(
          harness.runAllWays(request)
            == Response(outcome: .ok, destination: output, result: expected), "\(cipher) \(mac)")
      }
    }
  }

  @Test func aPartialBlockOfCBCMACLeavesTheSessionUsable() throws {
    let harness = try OpenSSLHarness()
    var chain = Request.cipher(
      .aesCTR, .encrypt, key: [UInt8](0..<16), iv: [UInt8](0..<16),
      source: [UInt8](repeating: 1, count: 64))
    chain.session.service = .chain
    chain.session.hashMode = .authenticated
    chain.session.mac = .cbcmacAES
    chain.authKey = [UInt8](0..<32)
    chain.cipherRange = 0..<64
    chain.hashRange = 0..<64
    chain.resultByteCount = 16
    let expected = harness.run(chain, generation: 9)
    #expect(expected.outcome == .ok)
    for end in [1, 15, 17, 63] {
      var bad = chain
      bad.hashRange = 0..<end
      #expect(harness.run(bad, generation: 9).outcome == .failed)
      #expect(harness.run(chain, generation: 9) == expected)
    }
  }
}
