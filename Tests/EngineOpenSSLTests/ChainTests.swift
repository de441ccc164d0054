import COpenSSL
import CryptoTypes
import EngineOpenSSL
import EngineTestSupport
import Testing
import VhostUserFrontend

@Suite struct ChainTests {
  /// A chain's parameters, and what they should give, composed from one-shot calls.
  private struct Expectation {
    var request = Request()

    func response() -> Response {
      let session = request.session
      let range = request.cipherRange
      var output = request.source
      output.replaceSubrange(
        range,
        with: Reference.cipher(
          session.cipher, encrypt: session.direction == .encrypt, key: request.cipherKey,
          iv: request.iv, source: Array(request.source[range])))
      let text = session.order == .hashThenCipher ? request.source : output
      let covered = Array(text[request.hashRange])
      let tail: [UInt8]
      switch session.hashMode {
      case .plain: tail = Reference.digest(Reference.name(session.hash), request.aad + covered)
      case .nested:
        let half = request.authKey.count / 2
        let name = Reference.name(session.hash)
        let inner = Reference.digest(name, request.authKey.prefix(half) + request.aad + covered)
        tail = Reference.digest(name, request.authKey.suffix(half) + inner)
      case .authenticated:
        let key = request.authKey
        switch session.mac {
        case .hmacMD5: tail = Reference.hmac("MD5", key: key, request.aad + covered)
        case .hmacSHA1: tail = Reference.hmac("SHA1", key: key, request.aad + covered)
        case .hmacSHA256: tail = Reference.hmac("SHA256", key: key, request.aad + covered)
        case .hmacSHA512: tail = Reference.hmac("SHA512", key: key, request.aad + covered)
        case .cmac3DES: tail = Reference.cmac("DES-EDE3-CBC", key: key, request.aad + covered)
        case .cmacAES:
          tail = Reference.cmac("AES-\(key.count * 8)-CBC", key: key, request.aad + covered)
        case .cbcmacAES: tail = Reference.cbcmac(key: key, request.aad + covered)
        case .xcbcAES: tail = Reference.xcbc(key: key, request.aad + covered)
        default: tail = ChainTests.gmac(key: key, iv: request.aad, covered)
        }
      }
      return Response(
        outcome: .ok, destination: output, result: Array(tail.prefix(request.resultByteCount)))
    }
  }

  /// GMAC from its definition: E(J0) ⊕ GHASH(text ‖ lengths).
  private static func gmac(key: [UInt8], iv: [UInt8], _ text: [UInt8]) -> [UInt8] {
    let ecb = "AES-\(key.count * 8)-ECB"
    let zero = [UInt8](repeating: 0, count: 16)
    let subkey = Reference.cipher(ecb, encrypt: true, key: key, iv: [], source: zero)
    let mask = Reference.cipher(ecb, encrypt: true, key: key, iv: [], source: iv + [0, 0, 0, 1])
    var padded = text + [UInt8](repeating: 0, count: (16 - text.count % 16) % 16)
    padded += (0..<8).map {
      UInt8(truncatingIfNeeded: UInt64(text.count * 8) >> UInt64(56 - 8 * $0))
    }
    padded += [UInt8](repeating: 0, count: 8)
    return zip(Reference.ghash(subkey: subkey, padded), mask).map { $0 ^ $1 }
  }

  private static let ciphers: [(CipherAlgorithm, [Int])] = [
    (.aesECB, [16, 32]), (.aesCBC, [16, 24, 32]), (.aesCTR, [16, 32]), (.aesXTS, [32, 64]),
    (.tripleDESECB, [24]), (.tripleDESCBC, [24]), (.tripleDESCTR, [24]), (.desECB, [8]),
    (.desCBC, [8]), (.arc4, [5, 16, 256]), (.aesF8, [32, 48, 64]),
  ]
  private static let macs: [MACAlgorithm] = [
    .hmacMD5, .hmacSHA1, .hmacSHA256, .hmacSHA512, .cmacAES, .cmac3DES, .gmacAES, .cbcmacAES,
    .xcbcAES,
  ]
  private static let hashes: [HashAlgorithm] = [
    .md5, .sha1, .sha224, .sha256, .sha384, .sha512, .sha3_224, .sha3_256, .sha3_384, .sha3_512,
  ]

  private static func random(
    _ cipher: CipherAlgorithm, _ keyByteCount: Int, _ generator: inout SeededRandom
  ) -> Request {
    var request = Request()
    request.session.service = .chain
    request.session.cipher = cipher
    request.session.direction = Bool.random(using: &generator) ? .encrypt : .decrypt
    request.session.order = Bool.random(using: &generator) ? .hashThenCipher : .cipherThenHash
    request.cipherKey = generator.bytes(keyByteCount)
    request.iv = generator.bytes(cipher.ivByteCount)
    let head = Int.random(in: 0...40, using: &generator)
    let covered = 16 * Int.random(in: 1...20, using: &generator)
    request.source = generator.bytes(head + covered + Int.random(in: 0...40, using: &generator))
    request.cipherRange = head..<head + covered
    let ends = [
      Int.random(in: 0...request.source.count, using: &generator),
      Int.random(in: 0...request.source.count, using: &generator),
    ].sorted()
    request.hashRange = ends[0]..<ends[1]
    request.aad = generator.bytes(Int.random(in: 0...48, using: &generator))
    return request
  }

  @Test func everyCipherChainsWithEveryHashAndMAC() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 20_240_611)
    var count = 0
    for (cipher, keyByteCounts) in Self.ciphers {
      for keyByteCount in keyByteCounts {
        for mac in Self.macs {
          var request = Self.random(cipher, keyByteCount, &generator)
          request.session.hashMode = .authenticated
          request.session.mac = mac
          request.authKey = generator.bytes(mac == .cmac3DES ? 24 : mac == .xcbcAES ? 16 : 32)
          if mac == .gmacAES { request.aad = generator.bytes(12) }
          if mac == .cbcmacAES {
            // Blocks must be whole; where aad ends in them does not matter.
            let excess = (request.aad.count + request.hashRange.count) % 16
            request.aad += generator.bytes((16 - excess) % 16)
          }
          request.resultByteCount = Int.random(
            in: 1...mac.maximumResultByteCount, using: &generator)
          #expect(harness.runAllWays(request) == Expectation(request: request).response())
          count += 1
        }
        for hash in Self.hashes {
          for mode in [ChainHashMode.plain, .nested] {
            var request = Self.random(cipher, keyByteCount, &generator)
            request.session.hashMode = mode
            request.session.hash = hash
            if mode == .nested { request.authKey = generator.bytes(2 * (count % 70)) }
            request.resultByteCount = Int.random(
              in: 1...hash.maximumResultByteCount, using: &generator)
            #expect(harness.runAllWays(request) == Expectation(request: request).response())
            count += 1
          }
        }
      }
    }
    #expect(count > 200)
  }

  @Test func nestedHashWithoutPrefixesIsTheHashOfTheHash() throws {
    let harness = try OpenSSLHarness()
    var request = Request()
    request.session.service = .chain
    request.session.cipher = .aesCBC
    request.session.hashMode = .nested
    request.session.hash = .sha256
    request.cipherKey = [UInt8](0..<16)
    request.iv = [UInt8](repeating: 0, count: 16)
    request.source = [UInt8](repeating: 7, count: 32)
    request.cipherRange = 0..<32
    request.hashRange = 0..<32
    request.resultByteCount = 32
    let once = Reference.digest("SHA2-256", request.source)
    #expect(harness.runAllWays(request).result == Reference.digest("SHA2-256", once))
    request.authKey = [1, 2, 3]
    #expect(harness.validate(request) == .failed)
    request.authKey = []
    request.session.hash = .shake128
    #expect(harness.validate(request) == .unsupported)
  }

  @Test func rangesOutsideTheSourceAndPartialBlocksAreRefused() throws {
    let harness = try OpenSSLHarness()
    var generator = SeededRandom(seed: 3)
    var good = Self.random(.aesCBC, 16, &generator)
    good.session.hashMode = .authenticated
    good.session.mac = .hmacSHA1
    good.authKey = [1]
    good.resultByteCount = 20
    #expect(harness.run(good).outcome == .ok)
    let end = good.source.count
    let spoilings: [(inout Request) -> Void] = [
      { $0.cipherRange = end - 15..<end + 1 },
      { $0.cipherRange = end + 1..<end + 17 },
      { $0.cipherRange = 0..<15 },
      { $0.hashRange = 0..<end + 1 },
      { $0.hashRange = Int(UInt32.max) - 1..<Int(UInt32.max) },
      { $0.resultByteCount = 21 },
      { $0.resultByteCount = 0 },
      { $0.iv.removeLast() },
    ]
    for spoil in spoilings {
      var bad = good
      spoil(&bad)
      #expect(harness.run(bad).outcome == .failed)
      #expect(harness.run(bad, inPlace: true).outcome == .failed)
    }
    #expect(harness.run(good).outcome == .ok)
  }
}
