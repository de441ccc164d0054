import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension TheDaemon {
  /// Public-key operations run on helper threads, too.
  @Suite("Signatures on helper threads")
  struct SignatureHelperTests {
    private static let signatureCount = 32
    private static let shortCount = 32

    /// Posts 32 RSA-4096 signatures and 32 encryptions of 64 bytes behind them, on one ring; how many signatures were
    /// finished before the last encryption.
    private static func signaturesBeforeTheLastShortRequest(
      _ client: CryptoClient, _ key: RSAKeyPair, salt: Int
    ) throws -> Int {
      let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: key.privateKey)
      let signer = try client.openSession(.akcipher(spec))
      let cipher = try client.openSession(Samples.encryption)
      let signatures = (0..<signatureCount).map {
        OperationSpec(
          .sign, spec, sessionID: signer, source: Samples.bytes(32, $0 + salt),
          room: key.modulusByteCount)
      }
      let encryptions = (0..<shortCount).map {
        HelperTests.encrypt(cipher, byteCount: 64, salt: $0 + salt)
      }
      let operations = signatures + encryptions
      let queue = client.dataQueues[0]
      let placed = try operations.map {
        try PlacedRequest(
          CryptoRequestBuilder.data($0, format: client.format), plan: RequestPlan(),
          in: client.memory)
      }
      let heads = try placed.map { try queue.reserve($0.buffers, indirect: true) }
      queue.disableCalls()
      for head in heads { queue.post(head) }
      if queue.publish() { try queue.kick() }
      var signed = 0
      var before = 0
      for _ in heads {
        let used = try queue.pollUsed(timeoutMilliseconds: 30000)
        let index = try #require(heads.firstIndex { UInt32($0) == used.head })
        let answer = try client.answer(placed[index], used)
        #expect(answer.status == .ok)
        if index < signatureCount {
          signed += 1
          #expect(
            key.verify(answer.writtenOutput, of: operations[index].source, .sha256),
            "signature \(index)")
        } else {
          before = signed
          let isRight = answer.output == ReferenceCrypto.answer(to: operations[index])?.output
          #expect(isRight, "encryption \(index)")
        }
      }
      for head in heads { queue.release(head) }
      for request in placed { request.free(in: client.memory) }
      _ = try client.destroySession(signer, service: .akcipher)
      _ = try client.destroySession(cipher, service: .cipher)
      return before
    }

    @Test(arguments: HelperTests.polls)
    func shortRequestsBehindSignaturesFinishFirst(poll: String) throws {
      let daemon = try HelperTests.daemon("poll: { mode: \(poll) }, helpers: 2")
      let client = try HelperTests.client(daemon)
      let key = RSAKeyPair.generated(bitCount: 4096)
      let counts = try (0..<5).map {
        try Self.signaturesBeforeTheLastShortRequest(client, key, salt: 100 * $0)
      }
      print("signatures finished before the last short request, \(poll):", counts)
      // A machine that has other things to do may keep the worker from its CPU for one of the rounds.
      #expect(counts.sorted()[2] == 0)
      #expect(counts.allSatisfy { $0 < Self.signatureCount / 2 })
      #expect(try daemon.device().queues[0].helped == 5 * Self.signatureCount)
    }

    @Test func withoutHelpersTheWorkerSigns() throws {
      let daemon = try HelperTests.daemon("helpers: 0")
      let client = try HelperTests.client(daemon)
      let key = RSAKeyPair.generated(bitCount: 2048)
      _ = try Self.signaturesBeforeTheLastShortRequest(client, key, salt: 7)
      #expect(try daemon.device().queues[0].helped == 0)
      #expect(HelperTests.helperNames(daemon).isEmpty)
    }
  }
}
