import CryptoTypes
import EngineTestSupport
import Foundation
import Testing

@testable import EngineOpenSSL

/// What the lane keeps of keys, for how long, and what it refuses.
@Suite(.serialized) struct SessionKeyTests {
  private static let iv = [UInt8](repeating: 1, count: 16)
  private static let text = [UInt8](repeating: 2, count: 64)

  private func cbc(_ key: [UInt8]) -> Request {
    .cipher(.aesCBC, .encrypt, key: key, iv: Self.iv, source: Self.text)
  }

  @Test func freshMemoryIsATableOfEmptyEntries() {
    var zeros = [UInt64](repeating: 0, count: MemoryLayout<KeyedContexts>.stride / 8 + 1)
    zeros.withUnsafeMutableBytes {
      let entry = $0.assumingMemoryBound(to: KeyedContexts.self)[0]
      #expect(entry.recipe.isEmpty)
      #expect(
        entry.cipher == nil && entry.cmac == nil && entry.hmacInner == nil
          && entry.authenticator == nil)
      #expect(entry.counter == nil && entry.block == nil)
    }
  }

  @Test func sessionsKeepTheirKeysApart() throws {
    let harness = try OpenSSLHarness()
    let keys = (0..<4).map { [UInt8](repeating: UInt8($0), count: 16) }
    let alone = keys.map { harness.run(cbc($0)).destination }
    for _ in 0..<3 {
      for index in 0..<4 {
        let response = harness.run(
          cbc(keys[index]), sessionIndex: UInt32(index), generation: 77)
        #expect(response == Response(outcome: .ok, destination: alone[index], result: []))
      }
    }
  }

  @Test func keysAreExpandedOncePerGeneration() throws {
    let harness = try OpenSSLHarness()
    let first = [UInt8](repeating: 1, count: 16)
    let second = [UInt8](repeating: 2, count: 16)
    let underFirst = harness.run(cbc(first), generation: 1).destination
    // The lane has not been told of a new session, so it goes on with the keys that it has expanded.
    #expect(harness.run(cbc(second), generation: 1).destination == underFirst)
    let underSecond = harness.run(cbc(second), generation: 2).destination
    #expect(underSecond != underFirst)
    harness.lane.forget(sessionIndex: 0)
    #expect(harness.run(cbc(first), generation: 2).destination == underFirst)
  }

  @Test func aNewGenerationMayBeOfAnotherService() throws {
    let harness = try OpenSSLHarness()
    for _ in 0..<3 {
      #expect(harness.run(cbc([UInt8](0..<16))).outcome == .ok)
      #expect(harness.run(.hash(.sha1, source: [1], resultByteCount: 20)).outcome == .ok)
      #expect(
        harness.run(.mac(.hmacSHA1, key: [1], source: [], resultByteCount: 20)).outcome == .ok)
    }
  }

  @Test func indexBeyondTheCapacityIsServedLikeAStatelessRequest() throws {
    let harness = try OpenSSLHarness()
    let request = cbc([UInt8](0..<16))
    let index = UInt32(OpenSSLHarness.sessionCapacity)
    #expect(harness.run(request, sessionIndex: index) == harness.run(request))
    harness.lane.forget(sessionIndex: index)
    harness.lane.forget(sessionIndex: .max)
  }

  @Test func aRefusedKeyLeavesNothingAndIsRefusedAgain() throws {
    let harness = try OpenSSLHarness()
    let bad = cbc([1, 2, 3])
    for _ in 0..<3 { #expect(harness.run(bad, generation: 5).outcome == .failed) }
    #expect(harness.run(cbc([UInt8](0..<16)), generation: 5).outcome == .ok)
  }

  // MARK: Keys in memory

  /// Every kind of context that can hold a key, with an AES key or one for HMAC of 32 bytes.
  private static var keyed: [Request] {
    let zeros = [UInt8](repeating: 0, count: 32)
    func chain(_ mac: MACAlgorithm) -> Request {
      var request = Request.cipher(.aesCTR, .encrypt, key: zeros, iv: iv, source: text)
      request.session.service = .chain
      request.session.hashMode = .authenticated
      request.session.mac = mac
      request.cipherRange = 0..<64
      request.hashRange = 0..<64
      request.authKey = zeros
      request.aad = Array(iv.prefix(12))
      request.resultByteCount = 16
      return request
    }
    return [
      .cipher(.aesECB, .encrypt, key: zeros, iv: [], source: text),
      .cipher(.aesCBC, .encrypt, key: zeros, iv: iv, source: text),
      .cipher(.aesCTR, .encrypt, key: zeros, iv: iv, source: text),
      .cipher(.aesXTS, .encrypt, key: zeros, iv: iv, source: text),
      .mac(.hmacSHA256, key: zeros, source: text, resultByteCount: 32),
      .mac(.cmacAES, key: zeros, source: text, resultByteCount: 16),
      .mac(.gmacAES, key: zeros, iv: Array(iv.prefix(12)), source: text, resultByteCount: 16),
      .cipher(.aesF8, .encrypt, key: zeros + zeros, iv: iv, source: text),
      .cipher(.arc4, .encrypt, key: zeros, iv: [], source: text),
      .mac(.cbcmacAES, key: zeros, source: text, resultByteCount: 16),
      .mac(.xcbcAES, key: Array(zeros.prefix(16)), source: text, resultByteCount: 16),
      .seal(
        .gcm, key: zeros, iv: Array(iv.prefix(12)), aad: [], source: text, tagByteCount: 16),
      .seal(.gcm, key: zeros, iv: iv, aad: [], source: text, tagByteCount: 16),
      .seal(
        .ccm, key: zeros, iv: Array(iv.prefix(12)), aad: [], source: text, tagByteCount: 16),
      .seal(
        .chacha20Poly1305, key: zeros, iv: Array(iv.prefix(12)), aad: [], source: text,
        tagByteCount: 16),
      chain(.hmacSHA1), chain(.gmacAES),
    ]
  }

  /// A key schedule begins with the key, and ChaCha20 keeps its own as it is.
  ///
  /// HMAC keeps only what the padded keys hash to, XCBC what the key enciphers, ARC4 a permutation.
  private static func keepsKey(_ request: Request) -> Bool {
    switch request.session.service {
    case .mac: ![.hmacSHA256, .xcbcAES].contains(request.session.mac)
    case .cipher: request.session.cipher != .arc4
    default: true
    }
  }

  @Test(arguments: KeyEnd.allCases)
  func noKeyIsLeftInMemory(after end: KeyEnd) throws {
    try KeyTraces(Self.keyed, keepsKey: Self.keepsKey) { try OpenSSLHarness() }.expectNone(
      after: end)
  }

  // MARK: Validation

  @Test func keysThatDoNotFitAreRefused() throws {
    let harness = try OpenSSLHarness()
    for cipher in CipherAlgorithm.allCases {
      for count in Array(0...80) + [255, 256, 257] {
        let key = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let outcome = harness.validate(
          .cipher(cipher, .encrypt, key: key, iv: [], source: []))
        switch cipher {
        case .kasumiF8, .snow3gUEA2, .zucEEA3:
          #expect(outcome == .unsupported, "\(cipher) \(count)")
        default:
          #expect(
            outcome == (cipher.accepts(keyByteCount: count) ? .ok : .failed), "\(cipher) \(count)")
        }
      }
    }
    for aead in AEADAlgorithm.allCases {
      for count in 0...40 {
        let outcome = harness.validate(
          .open(
            aead, key: [UInt8](repeating: 1, count: count), iv: [], aad: [], source: [], tag: []))
        #expect(outcome == (aead.accepts(keyByteCount: count) ? .ok : .failed), "\(aead) \(count)")
      }
    }
    for mac in MACAlgorithm.allCases {
      for count in [0, 1, 8, 15, 16, 24, 32, 33, 64, 512, 513] {
        let outcome = harness.validate(
          .mac(mac, key: [UInt8](repeating: 1, count: count), source: [], resultByteCount: 4))
        switch mac {
        case .gmacTwofish, .kasumiF9, .snow3gUIA2, .cbcmacKasumiF9, .zucEIA3:
          #expect(outcome == .unsupported, "\(mac) \(count)")
        default:
          #expect(outcome == (mac.accepts(keyByteCount: count) ? .ok : .failed), "\(mac) \(count)")
        }
      }
    }
  }

  @Test(arguments: CryptoDirection.allCases)
  func equalHalvesOfAnXTSKeyAreRefused(_ direction: CryptoDirection) throws {
    let harness = try OpenSSLHarness()
    for count in [32, 64] {
      let half = [UInt8](0..<UInt8(count / 2))
      let request = Request.cipher(
        .aesXTS, direction, key: half + half, iv: Self.iv, source: Self.text)
      #expect(harness.validate(request) == .failed)
      #expect(harness.run(request).outcome == .failed)
      #expect(
        harness.run(request, sessionIndex: CryptoOperation.transientSession).outcome == .failed)
      // The context that refused a key must serve the next.
      let good = Request.cipher(
        .aesXTS, direction, key: [UInt8](0..<UInt8(count)), iv: Self.iv, source: Self.text)
      #expect(harness.runAllWays(good).outcome == .ok)
    }
  }

  @Test func lengthsThatDoNotFitFailAndLeaveTheSessionUsable() throws {
    let harness = try OpenSSLHarness()
    let key = [UInt8](0..<16)
    let good = cbc(key)
    let expected = harness.run(good, generation: 1)
    for count in 1..<16 {
      var bad = good
      bad.source = [UInt8](repeating: 0, count: count)
      #expect(harness.run(bad, generation: 1).outcome == .failed)
      #expect(harness.run(good, generation: 1) == expected)
    }
    for count in [0, 1, 12, 15] {
      var bad = good
      bad.iv = [UInt8](repeating: 0, count: count)
      #expect(harness.run(bad, generation: 1).outcome == .failed)
    }
    let short = Request.cipher(
      .aesXTS, .encrypt, key: [UInt8](0..<32), iv: Self.iv, source: [UInt8](0..<15))
    #expect(harness.run(short).outcome == .failed)
    let long = Request.seal(
      .ccm, key: key, iv: [UInt8](0..<13), aad: [], source: [UInt8](repeating: 0, count: 65_536),
      tagByteCount: 16)
    #expect(harness.run(long).outcome == .failed)
  }

  @Test func operationsBeyondOneGibibyteFail() throws {
    let harness = try OpenSSLHarness()
    let prepared = PreparedRequest(cbc([UInt8](0..<16)), inPlace: true)
    defer { prepared.release() }
    prepared.operation.pointee.sourceByteCount = 1 << 30 + 1
    prepared.operation.pointee.sessionIndex = 0
    harness.run(prepared)
    #expect(prepared.operation.pointee.outcome == .failed)
    prepared.operation.pointee.sourceByteCount = 64
    prepared.operation.pointee.aadByteCount = .max
    harness.run(prepared)
    #expect(prepared.operation.pointee.outcome == .failed)
  }

  @Test func emptySourcesAreLegal() throws {
    let harness = try OpenSSLHarness()
    let key = [UInt8](0..<16)
    for cipher in [CipherAlgorithm.aesECB, .aesCBC, .aesCTR] {
      let iv = [UInt8](repeating: 0, count: cipher.ivByteCount)
      #expect(
        harness.runAllWays(.cipher(cipher, .decrypt, key: key, iv: iv, source: [])).outcome == .ok)
    }
    for aead in [AEADAlgorithm.gcm, .ccm] {
      for iv in aead == .gcm ? [12, 16] : [7, 12, 13] {
        let nonce = [UInt8](repeating: 3, count: iv)
        let sealed = harness.runAllWays(
          .seal(aead, key: key, iv: nonce, aad: [], source: [], tagByteCount: 16))
        #expect(sealed.outcome == .ok)
        #expect(
          harness.runAllWays(
            .open(aead, key: key, iv: nonce, aad: [], source: [], tag: sealed.result)
          ).outcome == .ok)
      }
    }
    #expect(
      harness.runAllWays(.mac(.hmacSHA256, key: [], source: [], resultByteCount: 32)).result
        == Reference.hmac("SHA256", key: [], []))
  }
}
