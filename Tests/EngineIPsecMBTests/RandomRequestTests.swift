import CryptoTypes
import EngineIPsecMB
import EngineTestSupport
import Testing

/// Random requests, many in flight at once, give what other code gives.
@Suite struct RandomRequestTests {
  static let requestsPerAlgorithm = 10_000

  private static let seed = UInt64.random(in: 0...UInt64.max)

  private func compare(
    _ name: String, _ index: Int, reference: (Request) -> Response,
    make: (inout RandomRequests) -> Request
  ) throws {
    RandomComparison(try LaneHarness<IPsecMBLane>()).run(
      name, seed: Self.seed &+ UInt64(index), count: Self.requestsPerAlgorithm,
      reference: reference, make: make)
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

  /// RFC 3566 §4.
  @Test func xcbcAgreesWithItsDefinition() throws {
    try compare(
      "xcbc-aes", 300,
      reference: {
        let mac = Reference.xcbc(key: $0.authKey, $0.source)
        return Response(
          outcome: .ok, destination: [], result: Array(mac.prefix($0.resultByteCount)))
      }, make: { $0.mac(.xcbcAES) })
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

  /// One session's operations, which share the lanes, of lengths around those that a job may have.
  @Test(arguments: [CryptoDirection.encrypt, .decrypt])
  func longTextsOfOneSessionAgreeWithOpenSSL(_ direction: CryptoDirection) throws {
    let openssl = try ReferenceLane()
    let harness = try LaneHarness<IPsecMBLane>()
    var random = RandomRequests(seed: Self.seed)
    for turn in 0..<24 {
      let key = random.generator.bytes([16, 24, 32][turn % 3])
      let macKey = random.generator.bytes(20)
      let isChain = turn % 4 == 3
      let order = random.below(2) == 0 ? ChainOrder.cipherThenHash : .hashThenCipher
      let requests = (0..<1 + random.below(24)).map { _ in
        let byteCount =
          switch random.below(4) {
          case 0: 16 * (1 + random.below(8190))
          case 1: 65_520 * (1 + random.below(4)) + 16 * (random.below(3) - 1)
          case 2: 16 * (1 + random.below(40_000))
          default: 16 * (1 + random.below(64))
          }
        var request = Request.cipher(
          .aesCBC, direction, key: key, iv: random.generator.bytes(16),
          source: random.generator.bytes(byteCount))
        guard isChain else { return request }
        // An HMAC over a part that is short enough for a burst.
        request.session.service = .chain
        request.session.order = order
        request.session.hashMode = .authenticated
        request.session.mac = .hmacSHA256
        request.authKey = macKey
        request.resultByteCount = 32
        let start = 16 * random.below(byteCount / 16)
        request.cipherRange = start..<byteCount
        let hashStart = random.below(byteCount)
        request.hashRange = hashStart..<min(byteCount, hashStart + 1 + random.below(60_000))
        return request
      }
      let prepared = requests.map { PreparedRequest($0, inPlace: random.below(2) == 0) }
      defer { for prepared in prepared { prepared.release() } }
      let generation = harness.nextGeneration()
      for one in prepared {
        one.operation.pointee.session = UnsafePointer(prepared[0].session)
        one.operation.pointee.sessionIndex = 0
        one.operation.pointee.sessionGeneration = generation
      }
      harness.submit(prepared)
      #expect(harness.lane.inFlightCount == 0, "all of it is a burst")
      for (request, prepared) in zip(requests, prepared) {
        if prepared.response(of: request) != openssl.run(request) {
          Issue.record("seed \(Self.seed): \(request.session), \(request.source.count) bytes")
        }
      }
    }
  }

  /// What no other engine has: the same text comes back, and each shape of a request gives the same.
  @Test(arguments: [(CipherAlgorithm.kasumiF8, 2500), (.snow3gUEA2, 70_000), (.zucEEA3, 8188)])
  func mobileCiphersComeBack(_ cipher: CipherAlgorithm, _ longest: Int) throws {
    var random = RandomRequests(seed: Self.seed)
    let harness = try LaneHarness<IPsecMBLane>()
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
    let harness = try LaneHarness<IPsecMBLane>()
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
