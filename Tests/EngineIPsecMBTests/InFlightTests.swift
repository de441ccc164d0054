import CryptoTypes
import EngineTestSupport
import Testing
import VhostUserFrontend

@testable import EngineIPsecMB

/// How operations come back, and what the lane claims.
@Suite struct InFlightTests {
  private func cbc(_ byte: UInt8, _ count: Int) -> Request {
    .cipher(
      .aesCBC, .encrypt, key: [UInt8](repeating: byte, count: 16), iv: [UInt8](0..<16),
      source: [UInt8](repeating: byte, count: count))
  }

  /// What the library takes as jobs only.
  private func cmac(_ byte: UInt8, _ count: Int) -> Request {
    .mac(
      .cmacAES, key: [UInt8](repeating: byte, count: 16),
      source: [UInt8](repeating: byte, count: count), resultByteCount: 16)
  }

  @Test func aRequestAloneWaitsForAFlush() throws {
    let harness = try LaneHarness<IPsecMBLane>()
    let prepared = PreparedRequest(cmac(1, 64), inPlace: false)
    defer { prepared.release() }
    prepared.operation.pointee.sessionIndex = 0
    harness.submit([prepared])
    #expect(prepared.operation.pointee.disposition == .submitted)
    #expect(harness.lane.inFlightCount == 1)
    #expect(harness.lane.nextCompletion() == nil)
    harness.finish()
    #expect(harness.lane.inFlightCount == 0)
    #expect(prepared.operation.pointee.outcome == .ok)
  }

  @Test func moreThanTheLaneHoldsIsServedToo() throws {
    let harness = try LaneHarness<IPsecMBLane>()
    let requests = (0..<2000).map { cbc(UInt8(truncatingIfNeeded: $0), 16 * (1 + $0 % 40)) }
    let prepared = requests.map { PreparedRequest($0, inPlace: false) }
    defer { for prepared in prepared { prepared.release() } }
    // One at a time and nothing collected, so that completed jobs pile up.
    for prepared in prepared { harness.submit([prepared]) }
    harness.finish()
    let alone = try LaneHarness<IPsecMBLane>()
    for (request, prepared) in zip(requests, prepared) {
      #expect(prepared.response(of: request) == alone.run(request))
    }
  }

  @Test func sessionsOfOneIndexFollowEachOther() throws {
    let harness = try LaneHarness<IPsecMBLane>()
    let first = harness.run(cbc(1, 16), generation: 1)
    #expect(harness.run(cbc(2, 16), generation: 1).destination != first.destination)
    #expect(harness.run(cbc(1, 16), generation: 2) == first)
    harness.lane.forget(sessionIndex: 0)
    harness.lane.forget(sessionIndex: .max)
    #expect(harness.run(cbc(1, 16), generation: 2) == first)
  }

  @Test func freshMemoryIsAnEmptyEntry() {
    var zeros = [UInt64](repeating: 0, count: MemoryLayout<KeyedEntry>.stride / 8 + 1)
    zeros.withUnsafeMutableBytes {
      #expect(!$0.assumingMemoryBound(to: KeyedEntry.self)[0].isExpanded)
    }
    #expect(MemoryLayout<KeyedEntry>.size <= 64)
    #expect(MemoryLayout<JobSlot>.size <= 64)
  }

  @Test func textsOfMebibytesAgreeWithOpenSSL() throws {
    let harness = try LaneHarness<IPsecMBLane>()
    let openssl = try ReferenceLane()
    var generator = SeededRandom(seed: 3)
    let source = generator.bytes(5 << 20)
    let key = generator.bytes(32)
    let iv = generator.bytes(16)
    let requests: [Request] = [
      .cipher(.aesCBC, .encrypt, key: key, iv: iv, source: source),
      .cipher(.aesCBC, .decrypt, key: key, iv: iv, source: source),
      .cipher(.aesCTR, .encrypt, key: key, iv: [UInt8](repeating: 0xff, count: 16), source: source),
      .cipher(.aesECB, .decrypt, key: key, iv: [], source: source),
      .hash(.sha384, source: source, resultByteCount: 48),
      .mac(.hmacSHA1, key: key, source: source, resultByteCount: 20),
      .mac(.cmacAES, key: key, source: source, resultByteCount: 16),
      .mac(.gmacAES, key: key, iv: Array(iv.prefix(12)), source: source, resultByteCount: 16),
      .seal(.gcm, key: key, iv: iv, aad: key, source: source, tagByteCount: 16),
      .seal(.ccm, key: key, iv: Array(iv.prefix(11)), aad: key, source: source, tagByteCount: 8),
      .seal(
        .chacha20Poly1305, key: key, iv: Array(iv.prefix(12)), aad: key, source: source,
        tagByteCount: 16),
    ]
    for request in requests { #expect(harness.run(request) == openssl.run(request)) }
  }

  // MARK: Self-test

  private static let claimed: Set<CryptoAlgorithm> = [
    .cipher(.aesECB), .cipher(.aesCBC), .cipher(.aesCTR), .cipher(.desCBC), .cipher(.tripleDESCBC),
    .cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3), .hash(.sha1), .hash(.sha224),
    .hash(.sha256), .hash(.sha384), .hash(.sha512), .mac(.hmacMD5), .mac(.hmacSHA1),
    .mac(.hmacSHA224), .mac(.hmacSHA256), .mac(.hmacSHA384), .mac(.hmacSHA512), .mac(.cmacAES),
    .mac(.kasumiF9), .mac(.snow3gUIA2), .mac(.gmacAES), .mac(.cbcmacKasumiF9), .mac(.xcbcAES),
    .mac(.zucEIA3), .aead(.gcm), .aead(.ccm), .aead(.chacha20Poly1305),
  ]

  private func checks() throws -> SelfTestChecks<IPsecMBLane> {
    SelfTestChecks(try IPsecMBEngine().knownAnswerTest, algorithms: Self.claimed)
  }

  @Test func theSelfTestClaimsWhatIsServed() throws {
    try checks().expectTheseAlgorithmsOnly()
    #expect(IPsecMBEngine.description.algorithms == Self.claimed)
  }

  @Test func aWrongAnswerIsReported() throws {
    try checks().expectWrongResultsToBeReported()
    try checks().expectWrongTagsToBeReported()
  }
}
