import COpenSSL
import CryptoTypes
import EngineContract
import EngineOpenSSL
import EngineTestSupport
import Foundation
import Testing

@Suite struct AllocationTests {
  private static let key = [UInt8](0..<32)
  private static let iv = [UInt8](repeating: 9, count: 16)
  private static let text = [UInt8](repeating: 5, count: 64)

  private static func chain(_ mode: ChainHashMode, _ mac: MACAlgorithm = .hmacSHA1) -> Request {
    var request = Request.cipher(.aesCBC, .encrypt, key: key, iv: iv, source: text)
    request.session.service = .chain
    request.session.hashMode = mode
    request.session.mac = mac
    request.session.hash = .sha512
    request.cipherRange = 0..<64
    request.hashRange = 0..<64
    request.authKey = key
    request.aad = Array(iv.prefix(12))
    request.resultByteCount = 16
    return request
  }

  private static func wholeBlocks(_ request: Request) -> Request {
    var request = request
    request.aad = []
    return request
  }

  private static func of(_ cipher: CipherAlgorithm, _ request: Request) -> Request {
    var request = request
    request.session.cipher = cipher
    return request
  }

  /// Ciphers of the legacy provider, and what is put together.
  private static var furtherRequests: [(String, Request)] {
    [
      (
        "3des-ctr",
        .cipher(
          .tripleDESCTR, .decrypt, key: Array(key.prefix(24)), iv: Array(iv.prefix(8)),
          source: text)
      ),
      (
        "des-cbc",
        .cipher(
          .desCBC, .encrypt, key: Array(key.prefix(8)), iv: Array(iv.prefix(8)), source: text)
      ),
      ("des-ecb", .cipher(.desECB, .decrypt, key: Array(key.prefix(8)), iv: [], source: text)),
      ("arc4", .cipher(.arc4, .encrypt, key: key, iv: [], source: text)),
      ("aes-f8", .cipher(.aesF8, .encrypt, key: key, iv: iv, source: text)),
      ("cbcmac-aes", .mac(.cbcmacAES, key: key, source: text, resultByteCount: 16)),
      (
        "xcbc-aes",
        .mac(.xcbcAES, key: Array(key.prefix(16)), source: text, resultByteCount: 12)
      ),
      ("chain with CBC-MAC", wholeBlocks(chain(.authenticated, .cbcmacAES))),
      ("chain of ARC4", of(.arc4, chain(.authenticated))),
      ("chain of f8", of(.aesF8, chain(.authenticated))),
    ]
  }

  private static var requests: [(String, Request)] {
    [
      ("aes-ecb", .cipher(.aesECB, .encrypt, key: key, iv: [], source: text)),
      ("aes-cbc", .cipher(.aesCBC, .decrypt, key: key, iv: iv, source: text)),
      ("aes-ctr", .cipher(.aesCTR, .encrypt, key: key, iv: iv, source: text)),
      ("aes-xts", .cipher(.aesXTS, .encrypt, key: key, iv: iv, source: text)),
      (
        "3des-cbc",
        .cipher(
          .tripleDESCBC, .encrypt, key: Array(key.prefix(24)), iv: Array(iv.prefix(8)),
          source: text)
      ),
      ("cmac-aes", .mac(.cmacAES, key: key, source: text, resultByteCount: 16)),
      ("hmac-md5", .mac(.hmacMD5, key: key, source: text, resultByteCount: 16)),
      ("hmac-sha1", .mac(.hmacSHA1, key: key, source: text, resultByteCount: 20)),
      ("hmac-sha512", .mac(.hmacSHA512, key: key, source: text, resultByteCount: 64)),
      (
        "gmac-aes",
        .mac(.gmacAES, key: key, iv: Array(iv.prefix(12)), source: text, resultByteCount: 16)
      ),
      (
        "gcm",
        .seal(.gcm, key: key, iv: Array(iv.prefix(12)), aad: text, source: text, tagByteCount: 16)
      ),
      ("gcm from J0", .seal(.gcm, key: key, iv: iv, aad: text, source: text, tagByteCount: 16)),
      (
        "ccm",
        .seal(.ccm, key: key, iv: Array(iv.prefix(13)), aad: text, source: text, tagByteCount: 8)
      ),
      (
        "chacha20-poly1305",
        .seal(
          .chacha20Poly1305, key: key, iv: Array(iv.prefix(12)), aad: text, source: text,
          tagByteCount: 16)
      ),
      ("chain with a MAC", chain(.authenticated)),
      ("chain with GMAC", chain(.authenticated, .gmacAES)),
      ("chain with a hash", chain(.plain)), ("chain with a nested hash", chain(.nested)),
    ]
      + HashAlgorithm.allCases.map { ($0.name, .hash($0, source: text, resultByteCount: 16)) }
  }

  private func mallocs(
    _ request: Request, count: Int, sessionIndex: UInt32, on harness: OpenSSLHarness
  ) -> UInt64 {
    let prepared = PreparedRequest(request, inPlace: false)
    defer { prepared.release() }
    prepared.operation.pointee.sessionIndex = sessionIndex
    prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
    // The first request expands keys and fills the lists.
    for _ in 0..<4 { harness.run(prepared) }
    #expect(prepared.operation.pointee.outcome == .ok)
    let before = copenssl_malloc_count()
    for _ in 0..<count { harness.run(prepared) }
    #expect(prepared.operation.pointee.outcome == .ok)
    return copenssl_malloc_count() - before
  }

  @Test func noRequestOfASessionReachesMalloc() throws {
    let harness = try OpenSSLHarness()
    #expect(harness.engine.recyclesMemory)
    for (name, request) in Self.requests + Self.furtherRequests {
      #expect(mallocs(request, count: 100_000, sessionIndex: 0, on: harness) == 0, "\(name)")
    }
  }

  @Test func noStatelessRequestReachesMalloc() throws {
    let harness = try OpenSSLHarness()
    for (name, request) in Self.requests + Self.furtherRequests {
      let count = mallocs(
        request, count: 5000, sessionIndex: CryptoOperation.transientSession, on: harness)
      #expect(count == 0, "\(name)")
    }
  }

  @Test func failedVerificationsDoNotReachMallocEither() throws {
    let harness = try OpenSSLHarness()
    for iv in [12, 16] {
      let request = Request.open(
        .gcm, key: Self.key, iv: Array(Self.iv.prefix(iv)), aad: [], source: Self.text,
        tag: Self.iv)
      let prepared = PreparedRequest(request, inPlace: false)
      defer { prepared.release() }
      prepared.operation.pointee.sessionIndex = 1
      prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
      for _ in 0..<4 { harness.run(prepared) }
      let before = copenssl_malloc_count()
      for _ in 0..<10_000 { harness.run(prepared) }
      #expect(prepared.operation.pointee.outcome == .tagMismatch)
      #expect(copenssl_malloc_count() == before)
    }
  }

  // MARK: The recycler itself

  @Test func freedBlocksComeBackWiped() throws {
    #expect(try OpenSSLEngine(EngineOptions()).recyclesMemory)
    for count in [1, 64, 65, 200, 512, 1000, 1024] {
      let block = try #require(CRYPTO_malloc(count, "", 0))
      memset(block, 0x5a, count)
      CRYPTO_free(block, "", 0)
      let again = try #require(CRYPTO_malloc(count, "", 0))
      let bytes = UnsafeRawBufferPointer(start: again, count: count)
      #expect(bytes.allSatisfy { $0 != 0x5a })
      #expect(UInt(bitPattern: again) % 16 == 0)
      CRYPTO_free(again, "", 0)
    }
  }

  @Test func listsAreBounded() throws {
    _ = try OpenSSLEngine(EngineOptions())
    var blocks = (0..<100).map { _ in CRYPTO_malloc(300, "", 0) }
    for block in blocks { CRYPTO_free(block, "", 0) }
    let before = copenssl_malloc_count()
    blocks = (0..<100).map { _ in CRYPTO_malloc(300, "", 0) }
    #expect(copenssl_malloc_count() - before == 68)
    for block in blocks { CRYPTO_free(block, "", 0) }
  }

  @Test func growingABlockKeepsItsContents() throws {
    _ = try OpenSSLEngine(EngineOptions())
    var block = try #require(CRYPTO_malloc(10, "", 0))
    for index in 0..<10 { block.storeBytes(of: UInt8(index), toByteOffset: index, as: UInt8.self) }
    for count in [64, 65, 1024, 1025, 9000, 20] {
      block = try #require(CRYPTO_realloc(block, count, "", 0))
      for index in 0..<10 {
        #expect(block.load(fromByteOffset: index, as: UInt8.self) == UInt8(index))
      }
    }
    CRYPTO_free(block, "", 0)
  }

  @Test func blocksMayBeFreedByAnotherThread() throws {
    _ = try OpenSSLEngine(EngineOptions())
    let blocks = (0..<200).map {
      CRYPTO_malloc(50 + $0 * 7, "", 0).map(UInt.init(bitPattern:)) ?? 0
    }
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      for block in blocks { CRYPTO_free(UnsafeMutableRawPointer(bitPattern: block), "", 0) }
      // Taken back from this thread's lists, and left to its end.
      for _ in 0..<10 { CRYPTO_free(CRYPTO_malloc(100, "", 0), "", 0) }
      done.signal()
    }
    done.wait()
  }
}
