import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What the capability file says is what guests get.
extension DeviceTests {
  @Suite("Capability file")
  struct CapabilityFileTests {
    static let key: [UInt8] = Array(0..<16)

    /// One of each service switched off, AEAD altogether.
    static let withoutSome = """
      algorithms:
        cipher: { aes-cbc: off, default: { engine: openssl } }
        hash: { sha256: off, default: { engine: openssl } }
        mac: { hmac-sha1: off, default: { engine: openssl } }
        aead: { default: off }

      """

    @Test func algorithmSwitchedOffIsNotInTheMasks() throws {
      let all = try TestBench([.revision1])
      let offered = try all.guest.client.frontend.readConfiguration()
      try all.finish()
      let some = try TestBench([.revision1], algorithms: Self.withoutSome)
      let left = try some.guest.client.frontend.readConfiguration()
      try some.finish()
      // ARC4, AES, DES and 3DES in all modes; all hashes; HMACs, CMACs, AES-GMAC, CBC-MAC and XCBC; three AEADs.
      #expect(offered.cipherAlgorithms == 0x33FE)
      #expect(offered.hashAlgorithms == 0x1FFE)
      #expect(offered.macAlgorithms == 0x22_0200_0600_007E)
      #expect(offered.aeadAlgorithms == 0xE)
      #expect(offered.cryptoServices == 0b11111)
      #expect(left.cipherAlgorithms == offered.cipherAlgorithms & ~(1 << 3))
      #expect(left.hashAlgorithms == offered.hashAlgorithms & ~(1 << 4))
      #expect(left.macAlgorithms == offered.macAlgorithms & ~(1 << 2))
      #expect(left.aeadAlgorithms == 0)
      #expect(left.cryptoServices == 0b10111)
    }

    @Test(arguments: Transport.allCases)
    func algorithmSwitchedOffIsNotSupported(_ transport: Transport) throws {
      let bench = try TestBench([transport], algorithms: Self.withoutSome)
      let guest = try bench.guest
      func chain(_ cipher: CipherAlgorithm, _ second: ChainSecond) -> SessionSpec {
        .chain(.init(cipher, .encrypt, key: Self.key, order: .cipherThenHash, second: second))
      }
      let refused: [SessionSpec] = [
        .cipher(.aesCBC, .encrypt, key: Self.key), .hash(.sha256, resultByteCount: 32),
        .mac(.hmacSHA1, key: Self.key, resultByteCount: 20),
        .aead(.gcm, .decrypt, key: Self.key, tagByteCount: 16),
        .aead(.ccm, .encrypt, key: Self.key, tagByteCount: 16),
        chain(.aesCBC, .plain(.sha1)), chain(.aesCTR, .plain(.sha256)),
        chain(.aesCTR, .nested(.sha256, key: Self.key)),
        chain(.aesCTR, .authenticated(.hmacSHA1, key: Self.key)),
      ]
      for session in refused where transport.carries(session.service) {
        let probe = Probe(
          session: session, iv: Array(repeating: 0, count: session.service == .aead ? 12 : 16),
          source: Self.key, expected: .sessionRefused(.notsupp))
        #expect(try probe.run(guest, .contiguous) == nil, "\(session)")
      }
      // The others are there as before.
      let served: [SessionSpec] = [
        .cipher(.aesCTR, .encrypt, key: Self.key), .hash(.sha1, resultByteCount: 20),
        .mac(.hmacSHA256, key: Self.key, resultByteCount: 32), chain(.aesCTR, .plain(.sha1)),
      ]
      for session in served where transport.carries(session.service) {
        let iv = session.service == .cipher ? Self.key : []
        let operation = OperationSpec(session, sessionID: nil, iv: iv, source: Self.key)
        let probe = try #require(Probe(reference: operation))
        #expect(try probe.run(guest, .split) == nil, "\(session)")
      }
      try bench.finish()
    }

    /// The table's size is the file's; a full one says so as the negotiated revision allows.
    @Test(arguments: Transport.allCases.filter(\.hasSessions))
    func fullSessionTableRefusesUntilOneIsDestroyed(_ transport: Transport) throws {
      let bench = try TestBench([transport], device: ["max-sessions: 4"])
      let guest = try bench.guest
      let session = SessionSpec.cipher(.aesCTR, .encrypt, key: Self.key)
      let full: VirtioCryptoStatus = transport.format.isRevision1 ? .nospc : .err
      for round in 0..<3 {
        let ids = try (0..<4).map { _ in try guest.client.openSession(session) }
        #expect(Set(ids).count == 4)
        for _ in 0..<2 { #expect(try guest.client.createSession(session).status == full) }
        #expect(try guest.client.destroySession(ids[round], service: .cipher) == .ok)
        let again = try guest.client.openSession(session)
        #expect(!ids.contains(again))
        #expect(try guest.client.createSession(session).status == full)
        // All four work, the destroyed one does not.
        for id in ids + [again] {
          let operation = OperationSpec(session, sessionID: id, iv: Self.key, source: Self.key)
          let answer = try guest.perform(operation).answer
          #expect(answer.status == (id == ids[round] ? .invsess : .ok))
        }
        for id in ids + [again] where id != ids[round] { try guest.close(id, session) }
      }
      try bench.finish()
    }

    /// One round of the control queue: no worker hears of a destroyed session before the next is made.
    @Test(arguments: [Transport.legacy, .revision1])
    func destroyedSessionMakesRoomAtOnce(_ transport: Transport) throws {
      let bench = try TestBench([transport], device: ["max-sessions: 1"])
      let guest = try bench.guest
      guard case .queue(let queue) = guest.client.control else { return }
      let session = SessionSpec.cipher(.aesCTR, .encrypt, key: Self.key)
      var id = try guest.client.openSession(session)
      for _ in 0..<100 {
        let destroy = try PlacedRequest(
          CryptoRequestBuilder.destroySession(id, service: .cipher, format: guest.client.format),
          in: guest.memory)
        let create = try PlacedRequest(
          CryptoRequestBuilder.createSession(session, format: guest.client.format),
          in: guest.memory)
        let heads = try [destroy, create].map { try queue.reserve($0.buffers, indirect: true) }
        for head in heads { queue.post(head) }
        if queue.publish() { try queue.kick() }
        for head in heads {
          #expect(try queue.pollUsed().head == UInt32(head))
          queue.release(head)
        }
        let outcome = WireBytes(try PlacedRequest.content(of: create.result, in: guest.memory))
        try #require(outcome.get32(at: 8) == UInt32(VirtioCryptoStatus.ok.rawValue))
        id = outcome.get64(at: 0)
        destroy.free(in: guest.memory)
        create.free(in: guest.memory)
      }
      try guest.close(id, session)
      try bench.finish()
    }

    /// `max-request` bounds source and associated data together, exactly.
    @Test(arguments: Transport.everyLayout)
    func maximumRequestIsHonoured(_ transport: Transport) throws {
      var random = SeededRandom.printed()
      let bench = try TestBench([transport], device: ["max-request: 64KiB"])
      let guest = try bench.guest
      #expect(try guest.client.frontend.readConfiguration().maxRequestByteCount == 65536)
      let sessions: [(SessionSpec, iv: Int, aad: Int)] = [
        (.cipher(.aesCTR, .encrypt, key: Self.key), 16, 0),
        (.hash(.sha1, resultByteCount: 20), 0, 0),
        (.mac(.hmacSHA1, key: Self.key, resultByteCount: 20), 0, 0),
        (.aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16), 12, 0),
        (.aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16), 12, 100),
        (
          .chain(
            .init(.aesCTR, .encrypt, key: Self.key, order: .cipherThenHash, second: .plain(.md5))),
          16, 33
        ),
      ]
      for (session, iv, aad) in sessions {
        for (count, isServed) in [(65536 - aad, true), (65537 - aad, false), (200_000, false)] {
          for shape in [Shape.contiguous, .split] {
            let id = try guest.open(session)
            let operation = OperationSpec(
              session, sessionID: id, iv: random.bytes(iv), source: random.bytes(count),
              aad: random.bytes(aad))
            var probe = try #require(Probe(reference: operation))
            if !isServed { probe.expected = .refused(.err) }
            let fault = probe.complaint(about: try guest.perform(operation, shape))
            #expect(fault == nil, "\(session.service), \(count) + \(aad): \(fault ?? "")")
            try guest.close(id, session)
          }
        }
      }
      try bench.finish()
    }

    @Test func defaultMaximumRequestIsOneMebibyte() throws {
      var random = SeededRandom.printed()
      let bench = try TestBench([.legacy])
      let guest = try bench.guest
      #expect(try guest.client.frontend.readConfiguration().maxRequestByteCount == 1 << 20)
      let session = SessionSpec.cipher(.aesCTR, .encrypt, key: Self.key)
      let id = try guest.open(session)
      let operation = OperationSpec(
        session, sessionID: id, iv: Self.key, source: random.bytes(1 << 20))
      let probe = try #require(Probe(reference: operation))
      #expect(probe.complaint(about: try guest.perform(operation, .split)) == nil)
      try bench.finish()
    }

    /// A service whose stateless mode the file leaves out: its feature bit is not offered.
    @Test func statelessModesAreTheFiles() throws {
      let bench = try TestBench([.revision1], device: ["stateless: [hash]"])
      let offered = try bench.guest.client.frontend.offeredFeatures
      #expect(offered & VirtioFeature.cryptoHashStateless != 0)
      #expect(
        offered
          & (VirtioFeature.cryptoCipherStateless | VirtioFeature.cryptoMACStateless
            | VirtioFeature.cryptoAEADStateless) == 0)
      try bench.finish()
    }
  }
}
