import CryptoTypes
import EngineIPsecMB
import EngineTestSupport
import Testing

/// What the lane and the library keep of keys, and for how long.
@Suite(.serialized) struct SessionKeyTests {
  private static let iv = [UInt8](repeating: 1, count: 16)
  private static let text = [UInt8](repeating: 2, count: 96)

  /// Every kind of expanded key, by jobs and by compositions.
  private static var keyed: [Request] {
    let zeros = [UInt8](repeating: 0, count: 32)
    let half = Array(zeros.prefix(16))
    let nonce = Array(iv.prefix(12))
    var chain = Request.cipher(.aesCBC, .encrypt, key: zeros, iv: iv, source: text)
    chain.session.service = .chain
    chain.session.hashMode = .authenticated
    chain.session.mac = .hmacSHA1
    chain.cipherRange = 0..<96
    chain.hashRange = 0..<96
    chain.resultByteCount = 20
    return [
      .cipher(.aesECB, .encrypt, key: zeros, iv: [], source: text),
      .cipher(.aesCBC, .encrypt, key: half, iv: iv, source: text),
      .cipher(.aesCBC, .encrypt, key: zeros, iv: iv, source: text),
      .cipher(.aesCTR, .encrypt, key: zeros, iv: iv, source: text),
      .cipher(.zucEEA3, .encrypt, key: half, iv: iv, source: text),
      .cipher(.snow3gUEA2, .encrypt, key: half, iv: iv, source: text),
      .mac(.hmacSHA256, key: zeros, source: text, resultByteCount: 32),
      .mac(.cmacAES, key: half, source: text, resultByteCount: 16),
      .mac(.cmacAES, key: zeros, source: text, resultByteCount: 16),
      .mac(.xcbcAES, key: half, source: text, resultByteCount: 16),
      .mac(.gmacAES, key: zeros, iv: nonce, source: text, resultByteCount: 16),
      .mac(.zucEIA3, key: half, iv: iv, source: text, resultByteCount: 4),
      .mac(.snow3gUIA2, key: half, iv: iv, source: text, resultByteCount: 4),
      .seal(.gcm, key: zeros, iv: nonce, aad: [], source: text, tagByteCount: 16),
      .seal(.gcm, key: zeros, iv: iv, aad: [], source: text, tagByteCount: 16),
      .seal(.ccm, key: zeros, iv: nonce, aad: [], source: text, tagByteCount: 16),
      .seal(.chacha20Poly1305, key: zeros, iv: nonce, aad: [], source: text, tagByteCount: 16),
      chain,
    ]
  }

  /// Only HMAC, XCBC and SNOW 3G keep no key as it came.
  private static func keepsKey(_ request: Request) -> Bool {
    switch request.session.service {
    case .mac: ![.hmacSHA256, .xcbcAES, .snow3gUIA2].contains(request.session.mac)
    case .cipher: request.session.cipher != .snow3gUEA2
    default: true
    }
  }

  @Test(arguments: KeyEnd.allCases)
  func noKeyIsLeftInMemory(after end: KeyEnd) throws {
    try KeyTraces(Self.keyed, keepsKey: Self.keepsKey) { try LaneHarness<IPsecMBLane>() }
      .expectNone(after: end)
  }

  @Test func keysThatDoNotFitAreRefused() throws {
    let harness = try LaneHarness<IPsecMBLane>()
    for count in 0...80 {
      let key = [UInt8](repeating: 1, count: count)
      for cipher in CipherAlgorithm.allCases {
        let outcome = harness.validate(.cipher(cipher, .encrypt, key: key, iv: [], source: []))
        if outcome == .unsupported { continue }
        #expect((outcome == .ok) == cipher.accepts(keyByteCount: count), "\(cipher) \(count)")
      }
      for mac in MACAlgorithm.allCases {
        let outcome = harness.validate(.mac(mac, key: key, source: [], resultByteCount: 4))
        if outcome == .unsupported { continue }
        #expect((outcome == .ok) == mac.accepts(keyByteCount: count), "\(mac) \(count)")
      }
      for aead in AEADAlgorithm.allCases {
        let outcome = harness.validate(
          .seal(aead, key: key, iv: [], aad: [], source: [], tagByteCount: 16))
        #expect((outcome == .ok) == aead.accepts(keyByteCount: count), "\(aead) \(count)")
      }
    }
  }
}
