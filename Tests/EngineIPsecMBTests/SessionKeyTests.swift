import CryptoTypes
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

  /// Runs a request under a key that stands nowhere else in memory, and returns that key with all bits flipped.
  private func runUnderSecretKey(
    _ request: Request, on harness: LaneHarness, sessionIndex: UInt32,
    _ generator: inout SeededGenerator
  ) -> [UInt8] {
    let prepared = PreparedRequest(request, inPlace: false)
    let isMAC = request.session.service == .mac
    let key = isMAC ? prepared.session.pointee.authKey : prepared.session.pointee.cipherKey
    let count = isMAC ? request.authKey.count : request.cipherKey.count
    let writable = UnsafeMutablePointer(mutating: key)
    var flipped: [UInt8] = []
    for index in 0..<count {
      let byte = UInt8(truncatingIfNeeded: generator.next() >> 24)
      writable?[index] = byte
      flipped.append(~byte)
    }
    prepared.operation.pointee.sessionIndex = sessionIndex
    prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
    harness.submit([prepared])
    harness.finish()
    #expect(prepared.operation.pointee.outcome == .ok)
    prepared.release()
    return flipped
  }

  /// The first bytes of a key, which every AES schedule begins with.
  private func occurrences(_ flipped: [UInt8]) throws -> Int {
    try MemorySearch.occurrences(ofComplement: Array(flipped.prefix(16)))
  }

  @Test func forgetLeavesNoKeyInMemory() throws {
    let harness = try LaneHarness()
    var generator = SeededGenerator(state: 0xfeed)
    var found = 0
    for (index, request) in Self.keyed.enumerated() {
      let flipped = runUnderSecretKey(request, on: harness, sessionIndex: 3, &generator)
      if try occurrences(flipped) > 0 { found += 1 }
      harness.lane.forget(sessionIndex: 3)
      #expect(try occurrences(flipped) == 0, "request \(index)")
    }
    // The search is able to find what is there: only HMAC, XCBC and SNOW 3G keep no key as it came.
    #expect(found == Self.keyed.count - 4)
  }

  @Test func aStatelessRequestLeavesNoKeyInMemory() throws {
    let harness = try LaneHarness()
    var generator = SeededGenerator(state: 0xbeef)
    for (index, request) in Self.keyed.enumerated() {
      let flipped = runUnderSecretKey(
        request, on: harness, sessionIndex: CryptoOperation.transientSession, &generator)
      #expect(try occurrences(flipped) == 0, "request \(index)")
    }
  }

  @Test func aLaneThatGoesLeavesNoKeyInMemory() throws {
    var generator = SeededGenerator(state: 0xcafe)
    var flipped: [[UInt8]] = []
    do {
      let harness = try LaneHarness()
      for (index, request) in Self.keyed.enumerated() {
        flipped.append(
          runUnderSecretKey(request, on: harness, sessionIndex: UInt32(index), &generator))
      }
      #expect(try occurrences(flipped[0]) > 0)
    }
    for key in flipped { #expect(try occurrences(key) == 0) }
  }

  @Test func keysThatDoNotFitAreRefused() throws {
    let harness = try LaneHarness()
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
