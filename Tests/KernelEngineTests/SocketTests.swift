import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension KernelEngine {
  /// What becomes of the sockets that hold keys, and of requests that the kernel does not take.
  @Suite struct SocketTests {
    private func cipher(_ index: Int) -> SessionSpec {
      .cipher(.aesCBC, .encrypt, key: KernelHost.bytes(16, index))
    }

    private func perform(_ client: CryptoClient, _ operation: OperationSpec) throws {
      let answer = try client.perform(operation)
      let expected = try #require(ReferenceCrypto.answer(to: operation))
      #expect(answer.status == .ok)
      #expect(answer.output == expected.output && answer.result == expected.result)
    }

    /// More sessions than are kept open at once: the oldest are closed and opened again.
    @Test func moreSessionsThanSocketsAreServedAndLeaveNoDescriptorBehind() throws {
      let daemon = try KernelHost.daemon([("cipher", KernelHost.entry("aes-cbc", driver: nil))])
      let client = try daemon.client()
      let before = daemon.fileDescriptorCount
      var sessions: [(UInt64, SessionSpec)] = []
      for index in 0..<500 {
        let spec = cipher(index)
        sessions.append((try client.openSession(spec), spec))
      }
      for _ in 0..<2 {
        for (index, session) in sessions.enumerated() {
          try perform(
            client,
            OperationSpec(
              session.1, sessionID: session.0, iv: KernelHost.bytes(16, index),
              source: KernelHost.bytes(64, index)))
        }
      }
      // 256 and those in flight stay open, with an operation socket each.
      #expect(daemon.fileDescriptorCount - before <= 2 * (256 + 64))
      for session in sessions {
        #expect(try client.destroySession(session.0, service: .cipher) == .ok)
      }
      try waitUntil("closed sockets", milliseconds: 10000) {
        daemon.fileDescriptorCount == before
      }
    }

    @Test func statelessRequestsLeaveNoDescriptorBehind() throws {
      let daemon = try KernelHost.daemon([
        ("cipher", KernelHost.entry("aes-cbc", driver: nil)),
        ("mac", KernelHost.entry("hmac-sha1", driver: nil)),
      ])
      let client = try daemon.client(options: Frontend.Options(format: .stateless))
      let before = daemon.fileDescriptorCount
      for index in 0..<300 {
        try perform(
          client,
          OperationSpec(
            cipher(index), sessionID: nil, iv: KernelHost.bytes(16, index),
            source: KernelHost.bytes(160, index)))
        try perform(
          client,
          OperationSpec(
            .mac(.hmacSHA1, key: KernelHost.bytes(index % 100), resultByteCount: 20),
            sessionID: nil, source: KernelHost.bytes(index)))
      }
      #expect(daemon.fileDescriptorCount == before)
    }

    /// What the kernel has no GCM for is put together from other things that it has.
    @Test func gcmFromAnyJ0AndWithShortTagsIsTheKernelsToo() async throws {
      let daemon = try KernelHost.daemon([("aead", "aes-gcm: { engine: [kernel, openssl] }")])
      let client = try daemon.client()
      let key = KernelHost.bytes(32)
      let whole = SessionSpec.aead(.gcm, .encrypt, key: key, tagByteCount: 16)
      let session = try client.openSession(whole)
      // The counter's 32 bits wrap after no block, after one, and after two.
      let ends: [[UInt8]] = [
        [0, 0, 0, 1], [1, 2, 3, 4], [255, 255, 255, 255], [255, 255, 255, 254],
        [255, 255, 255, 253],
      ]
      for end in ends {
        for byteCount in [0, 1, 16, 31, 100] {
          for aadByteCount in [0, 20] {
            try perform(
              client,
              OperationSpec(
                whole, sessionID: session, iv: KernelHost.bytes(12, 3) + end,
                source: KernelHost.bytes(byteCount), aad: KernelHost.bytes(aadByteCount, 5)))
          }
        }
      }
      let short = SessionSpec.aead(.gcm, .decrypt, key: key, tagByteCount: 5)
      let shortSession = try client.openSession(short)
      for byteCount in [0, 40] {
        let sealed = try #require(
          ReferenceCrypto.seal(
            .gcm, key: key, iv: KernelHost.bytes(12), aad: [], source: KernelHost.bytes(byteCount),
            tagByteCount: 5))
        var operation = OperationSpec(
          short, sessionID: shortSession, iv: KernelHost.bytes(12), source: sealed)
        try perform(client, operation)
        operation.source[sealed.count - 1] ^= 1
        #expect(try client.perform(operation).status == .badmsg)
      }
      let rows = try await KernelHost.rows(daemon)
      #expect(Set(rows.map(\.engine)) == ["kernel"])
      #expect(rows.map(\.requests).sorted() == [4, 50])
    }

    /// Sockets hold only so much; what is longer goes on, too.
    @Test func whatTheKernelCannotDoGoesToTheNextEngine() async throws {
      let daemon = try KernelHost.daemon([("cipher", "aes-cbc: { engine: [kernel, openssl] }")])
      let client = try CryptoClient.start(
        path: daemon.socketPath, memory: try GuestRAM(byteCount: 64 << 20))
      let session = try client.openSession(cipher(0))
      for byteCount in [1024, 1 << 20] {
        try perform(
          client,
          OperationSpec(
            cipher(0), sessionID: session, iv: KernelHost.bytes(16),
            source: KernelHost.bytes(byteCount)))
      }
      let rows = try await KernelHost.rows(daemon)
      #expect(rows.map(\.requests) == [1, 1])
      #expect(Set(rows.map(\.engine)) == ["kernel", "openssl"])
      #expect(daemon.standardError.contains("net.core.optmem_max"), "\(daemon.standardError)")
    }

    /// Lengths around what a socket holds as it comes, and what it is widened to.
    @Test func longRequestsComeBackWhole() throws {
      let daemon = try KernelHost.daemon([
        ("cipher", KernelHost.entry("aes-cbc", driver: nil)),
        ("hash", KernelHost.entry("sha256", driver: nil)),
        ("aead", KernelHost.entry("aes-gcm", driver: nil)),
        ("mac", KernelHost.entry("gmac-aes", driver: nil)),
      ])
      let client = try CryptoClient.start(
        path: daemon.socketPath, memory: try GuestRAM(byteCount: 64 << 20))
      let key = KernelHost.bytes(16)
      let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
      let gcm = SessionSpec.aead(.gcm, .encrypt, key: key, tagByteCount: 16)
      let gmac = SessionSpec.mac(.gmacAES, key: key, resultByteCount: 16)
      let sessions = try [cipher(0), hash, gcm, gmac].map { try client.openSession($0) }
      for byteCount in [
        65536, 114_672, 114_688, 114_704, 131_072, 212_992, 213_008, 262_144, 425_984,
      ] {
        let source = KernelHost.bytes(byteCount)
        try perform(
          client,
          OperationSpec(
            cipher(0), sessionID: sessions[0], iv: KernelHost.bytes(16), source: source))
        try perform(
          client,
          OperationSpec(
            gcm, sessionID: sessions[2], iv: KernelHost.bytes(12), source: source,
            aad: KernelHost.bytes(1000)))
        try perform(
          client,
          OperationSpec(gmac, sessionID: sessions[3], source: KernelHost.bytes(12) + source))
      }
      // A hash has no such bounds.
      try perform(
        client, OperationSpec(hash, sessionID: sessions[1], source: KernelHost.bytes(1 << 20)))
    }

    @Test func keysThatTheKernelTakesAndNobodyShouldAreRefused() throws {
      let daemon = try KernelHost.daemon([("cipher", KernelHost.entry("aes-xts", driver: nil))])
      let client = try daemon.client()
      let half = KernelHost.bytes(16)
      let equal = try client.createSession(.cipher(.aesXTS, .encrypt, key: half + half))
      #expect(equal.status == .err)
      _ = try client.openSession(.cipher(.aesXTS, .encrypt, key: half + KernelHost.bytes(16, 1)))
    }

    @Test func aDriverThatIsNotThereIsSaidAndLeavesTheAlgorithmToTheNextEngine() throws {
      let daemon = try KernelHost.daemon([
        (
          "cipher",
          "aes-cbc: { engine: [ { kernel: { driver: cbc-aes-qat, min-size: 4096 } }, openssl ] }"
        ),
        ("hash", "sha256: { engine: [ { kernel: { driver: cbc-aes-aesni } } ] }"),
      ])
      let client = try daemon.client()
      try perform(
        client,
        OperationSpec(
          cipher(0), sessionID: try client.openSession(cipher(0)), iv: KernelHost.bytes(16),
          source: KernelHost.bytes(8192)))
      // A driver of something else is no driver of this.
      #expect(
        try client.createSession(.hash(.sha256, resultByteCount: 32)).status == .notsupp)
      #expect(daemon.standardError.contains("sha256 is not advertised"), "\(daemon.standardError)")
      #expect(daemon.standardError.contains("the kernel has no cbc-aes-aesni"))
    }

    @Test func aFrontendThatLeavesInTheMiddleTakesNothingWithIt() throws {
      let daemon = try KernelHost.daemon([
        ("cipher", KernelHost.entry("aes-cbc", driver: "cryptd(cbc(aes-generic))"))
      ])
      let idle = try daemon.client()
      idle.frontend.disconnect()
      try waitUntil("the daemon at rest", milliseconds: 5000) { daemon.guestMappingCount == 0 }
      let before = daemon.fileDescriptorCount
      for round in 0..<5 {
        let client = try daemon.client()
        let session = try client.openSession(cipher(round))
        let queue = client.dataQueues[0]
        for index in 0..<40 {
          let operation = OperationSpec(
            cipher(round), sessionID: session, iv: KernelHost.bytes(16, index),
            source: KernelHost.bytes(65536, index))
          let placed = try PlacedRequest(
            CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
            in: client.memory)
          queue.post(try queue.reserve(placed.buffers, indirect: true))
        }
        if queue.publish() { try queue.kick() }
        client.frontend.disconnect()
      }
      try waitUntil("the daemon at rest", milliseconds: 20000) {
        daemon.guestMappingCount == 0 && daemon.fileDescriptorCount == before
      }
      let client = try daemon.client()
      try perform(
        client,
        OperationSpec(
          cipher(9), sessionID: try client.openSession(cipher(9)), iv: KernelHost.bytes(16),
          source: KernelHost.bytes(64)))
      client.frontend.disconnect()
      #expect(try daemon.terminate() == .status(0))
    }
  }
}
