import CryptoTypes
import EngineIPsecMB
import Testing

/// Random requests, many in flight at once, give what other code gives.
@Suite struct RandomRequestTests {
  static let requestsPerAlgorithm = 10_000

  private static let seed = UInt64.random(in: 0...UInt64.max)

  /// Runs requests in batches of random size, with flushes in between, and compares.
  private func compare(
    _ name: String, _ index: Int, count: Int = requestsPerAlgorithm,
    reference: (Request) -> Response,
    make: (inout RandomRequests) -> Request
  ) throws {
    let seed = Self.seed &+ UInt64(index)
    var random = RandomRequests(generator: SeededGenerator(state: seed))
    let harness = try LaneHarness()
    var done = 0
    var open: [(Request, PreparedRequest)] = []
    func settle() {
      harness.finish()
      for (request, prepared) in open {
        if prepared.response(of: request) != reference(request) {
          Issue.record("\(name), seed \(seed): \(request.session), \(request.source.count) bytes")
        }
        prepared.release()
      }
      open = []
    }
    while done < count {
      var batch: [PreparedRequest] = []
      for _ in 0..<1 + random.below(64) {
        let request = make(&random)
        let prepared = PreparedRequest(request, inPlace: random.below(2) == 0)
        // A session's index is used once between two settlements, as nothing may be in flight when it changes.
        let sessionIndex = open.count
        let isStateless = sessionIndex >= LaneHarness.sessionCapacity || random.below(3) == 0
        prepared.operation.pointee.sessionIndex =
          isStateless ? CryptoOperation.transientSession : UInt32(sessionIndex)
        prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
        open.append((request, prepared))
        batch.append(prepared)
      }
      harness.submit(batch)
      if random.below(3) == 0 { harness.lane.flush() }
      harness.collect()
      done += batch.count
      if random.below(3) == 0 { settle() }
    }
    settle()
  }

  @Test(arguments: [CipherAlgorithm.aesECB, .aesCBC, .aesCTR, .tripleDESCBC])
  func ciphersAgreeWithOpenSSL(_ cipher: CipherAlgorithm) throws {
    let openssl = try ReferenceLane()
    try compare(cipher.name, Int(cipher.rawValue), reference: openssl.run) { $0.cipher(cipher) }
  }

  @Test func desAgreesWithTripleDESUnderOneKey() throws {
    let openssl = try ReferenceLane()
    try compare(
      "des-cbc", 50,
      reference: {
        var triple = $0
        triple.session.cipher = .tripleDESCBC
        triple.cipherKey = $0.cipherKey + $0.cipherKey + $0.cipherKey
        return openssl.run(triple)
      }, make: { $0.cipher(.desCBC) })
  }

  @Test(arguments: [HashAlgorithm.sha1, .sha224, .sha256, .sha384, .sha512])
  func hashesAgreeWithOpenSSL(_ hash: HashAlgorithm) throws {
    let openssl = try ReferenceLane()
    try compare(hash.name, 100 + Int(hash.rawValue), reference: openssl.run) { $0.hash(hash) }
  }

  @Test(arguments: [
    MACAlgorithm.hmacMD5, .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512, .cmacAES,
    .gmacAES,
  ])
  func macsAgreeWithOpenSSL(_ mac: MACAlgorithm) throws {
    let openssl = try ReferenceLane()
    try compare(mac.name, 200 + Int(mac.rawValue), reference: openssl.run) { $0.mac(mac) }
  }

  @Test func xcbcAgreesWithItsDefinition() throws {
    let openssl = try ReferenceLane()
    try compare(
      "xcbc-aes", 300, reference: { xcbc($0, by: openssl) }, make: { $0.mac(.xcbcAES) })
  }

  /// RFC 3566 §4, with AES of the other engine.
  private func xcbc(_ request: Request, by openssl: ReferenceLane) -> Response {
    func encrypt(_ key: [UInt8], _ text: [UInt8], iv: [UInt8]) -> [UInt8] {
      openssl.run(.cipher(.aesCBC, .encrypt, key: key, iv: iv, source: text)).destination
    }
    let zero = [UInt8](repeating: 0, count: 16)
    let keys = (1...3).map {
      encrypt(request.authKey, [UInt8](repeating: UInt8($0), count: 16), iv: zero)
    }
    var text = request.source
    let isWhole = !text.isEmpty && text.count % 16 == 0
    if !isWhole { text += [0x80] + [UInt8](repeating: 0, count: 15 - text.count % 16) }
    for index in 0..<16 { text[text.count - 16 + index] ^= keys[isWhole ? 1 : 2][index] }
    let mac = encrypt(keys[0], text, iv: zero).suffix(16)
    return Response(
      outcome: .ok, destination: [], result: Array(mac.prefix(request.resultByteCount)))
  }

  @Test(arguments: AEADAlgorithm.allCases)
  func aeadsAgreeWithOpenSSL(_ aead: AEADAlgorithm) throws {
    let openssl = try ReferenceLane()
    try compare(
      aead.name, 400 + Int(aead.rawValue), reference: openssl.run,
      make: { random in
        let sealing = random.seal(aead)
        guard random.below(2) == 0 else { return sealing }
        let sealed = openssl.run(sealing)
        var opening = sealing
        opening.session.direction = .decrypt
        opening.source = sealed.destination
        opening.tag = sealed.result
        opening.resultByteCount = 0
        if random.below(4) == 0 { opening.tag[0] ^= 1 << UInt8(random.below(8)) }
        return opening
      })
  }

  @Test(arguments: [CipherAlgorithm.aesCBC, .aesCTR, .aesECB, .tripleDESCBC])
  func chainsAgreeWithOpenSSL(_ cipher: CipherAlgorithm) throws {
    let openssl = try ReferenceLane()
    try compare(
      "chain", 500 + Int(cipher.rawValue), reference: openssl.run, make: { $0.chain(cipher) })
  }

  /// What no other engine has: the same text comes back, and each shape of a request gives the same.
  @Test(arguments: [(CipherAlgorithm.kasumiF8, 2500), (.snow3gUEA2, 70_000), (.zucEEA3, 8188)])
  func mobileCiphersComeBack(_ cipher: CipherAlgorithm, _ longest: Int) throws {
    var random = RandomRequests(generator: SeededGenerator(state: Self.seed))
    let harness = try LaneHarness()
    for turn in 0..<1000 {
      var request = random.cipher(cipher)
      request.session.direction = .encrypt
      request.source = random.generator.bytes(turn < 4 ? longest - turn : random.below(400))
      let sealed = harness.runAllWays(request)
      #expect(sealed.outcome == .ok)
      var opening = request
      opening.session.direction = .decrypt
      opening.source = sealed.destination
      #expect(
        harness.runAllWays(opening)
          == Response(outcome: .ok, destination: request.source, result: []),
        "\(cipher.name), seed \(Self.seed)")
      // A keystream does not depend on how much of it is used.
      var shorter = request
      shorter.source.removeLast(min(request.source.count, random.below(40)))
      #expect(
        harness.run(shorter).destination
          == Array(sealed.destination.prefix(shorter.source.count)))
    }
  }

  @Test func textsThat3GPPDoesNotDefineAreRefused() throws {
    let harness = try LaneHarness()
    let key = [UInt8](0..<16)
    func outcome(_ request: Request) -> CryptoOutcome {
      let outcome = harness.run(request).outcome
      #expect(
        harness.run(request, sessionIndex: CryptoOperation.transientSession).outcome == outcome)
      return outcome
    }
    let long = [UInt8](repeating: 0, count: 8189)
    let kasumi = Array(long.prefix(2501))
    #expect(
      outcome(.cipher(.kasumiF8, .encrypt, key: key, iv: Array(key.prefix(8)), source: kasumi))
        == .failed)
    #expect(outcome(.cipher(.zucEEA3, .encrypt, key: key, iv: key, source: long)) == .failed)
    #expect(outcome(.mac(.zucEIA3, key: key, iv: key, source: long, resultByteCount: 4)) == .failed)
    for count in [0, 8, 2501] {
      let source = Array(long.prefix(count))
      #expect(
        outcome(.mac(.kasumiF9, key: key, source: source, resultByteCount: 4)) == .failed)
    }
    #expect(
      outcome(.cipher(.kasumiF8, .encrypt, key: key, iv: Array(key.prefix(8)), source: [])) == .ok)
  }
}
