import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Sessions of the service beside those of the others, and what the device says that it has.
extension AsymmetricTests {
  @Suite("Sessions")
  struct SessionLifeTests {
    static let digest = [UInt8](repeating: 5, count: 32)
    static let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa512.privateKey)
    static let task = KeyTask(.sign, spec, digest, room: 64)
    static let others: [SessionSpec] = [
      .cipher(.aesCBC, .encrypt, key: Array(0..<16)), .hash(.sha256, resultByteCount: 32),
      .mac(.hmacSHA1, key: Array(0..<20), resultByteCount: 20),
      .aead(.gcm, .encrypt, key: Array(0..<16), tagByteCount: 16),
    ]

    private func expectServed(_ guest: AsymmetricGuest, _ session: UInt64) throws {
      let reply = try guest.perform(Self.task, session: session)
      #expect(reply.status == .ok)
      #expect(reply.result == Keys.rsa512.sign(Self.digest, .sha256))
    }

    @Test(arguments: [Way.legacy, .revision1])
    func onlyTheServicesOwnOpcodeDestroys(way: Way) throws {
      let bench = try AsymmetricBench([way])
      let guest = try bench.guest
      let session = try guest.client.openSession(.akcipher(Self.spec))
      for other in Self.others {
        #expect(
          try guest.client.destroySession(session, service: other.service) == .invsess,
          "\(other.service)")
        let symmetric = try guest.client.openSession(other)
        #expect(
          try guest.client.destroySession(symmetric, service: .akcipher) == .invsess,
          "\(other.service)")
        #expect(try guest.client.destroySession(symmetric, service: other.service) == .ok)
        try expectServed(guest, session)
      }
      #expect(try guest.client.destroySession(session, service: .akcipher) == .ok)
      #expect(try guest.perform(Self.task, session: session).status == .invsess)
      #expect(try guest.client.destroySession(session, service: .akcipher) == .invsess)
      try bench.finish()
    }

    @Test(arguments: [Way.legacy, .revision1])
    func sessionsOfOtherServicesAreInvalid(way: Way) throws {
      let bench = try AsymmetricBench([way])
      let guest = try bench.guest
      let session = try guest.client.openSession(.akcipher(Self.spec))
      for other in Self.others {
        let symmetric = try guest.client.openSession(other)
        for task in [Self.task, KeyTask(verify: Self.digest, of: Self.digest, Self.spec)] {
          let reply = try guest.perform(task, session: symmetric)
          #expect(reply.status == .invsess, "\(other.service)")
          #expect(reply.fault == nil, "\(other.service)")
        }
        let ivByteCount = other.service == .cipher ? 16 : other.service == .aead ? 12 : 0
        let operation = OperationSpec(
          other, sessionID: session, iv: [UInt8](repeating: 1, count: ivByteCount),
          source: Self.digest)
        let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        #expect(try guest.perform(request).status == .invsess, "\(other.service)")
      }
      for number in [session &+ 1 << 32, session ^ 1 << 63, .max, session &+ 65536] {
        #expect(try guest.perform(Self.task, session: number).status == .invsess, "\(number)")
      }
      try expectServed(guest, session)
      try bench.finish()
    }

    /// The cipher's stateless feature is not the asymmetric service's.
    @Test func statelessRequestsNeedTheFeature() throws {
      for services: Set<VirtioCryptoService> in [[], [.cipher]] {
        let format = RequestFormat(isRevision1: true, statelessServices: services)
        let daemon = try DaemonProcess()
        let client = try daemon.client(options: Frontend.Options(format: format))
        #expect(client.format == format)
        let answer = try client.perform(Self.task.request(nil))
        #expect(answer.status == .notsupp)
        #expect(answer.usedByteCount == 1)
        client.frontend.disconnect()
        #expect(try daemon.terminate() == .status(0))
      }
    }

    /// Both kinds are served where the feature is there.
    @Test func sessionsWorkBesideStatelessRequests() throws {
      let bench = try AsymmetricBench([.stateless])
      let guest = try bench.guest
      let session = try guest.client.openSession(.akcipher(Self.spec))
      try expectServed(guest, session)
      #expect(try guest.run(Self.task).result == Keys.rsa512.sign(Self.digest, .sha256))
      try bench.finish()
    }

    @Test func configurationSaysWhatIsServed() throws {
      let all: UInt32 = 1 << 1 | 1 << 2
      for (algorithms, mask) in [
        ("", all), ("algorithms: { akcipher: { rsa: off } }\n", 1 << 2),
        ("algorithms: { akcipher: { ecdsa: off } }\n", 1 << 1),
        ("algorithms: { akcipher: { default: off } }\n", 0),
      ] as [(String, UInt32)] {
        let daemon = try DaemonProcess(configuration: "version: 1\n" + algorithms)
        let client = try daemon.client(options: Frontend.Options(format: .revision1))
        let bytes = try client.frontend.readConfiguration(offset: 0, byteCount: 56)
        #expect(WireBytes(bytes).get32(at: 44) == mask, "\(algorithms)")
        #expect(WireBytes(bytes).get32(at: 8) >> 4 & 1 == (mask == 0 ? 0 : 1), "\(algorithms)")
        let rsa = try client.createSession(.akcipher(Self.spec)).status
        #expect(rsa == (mask & 1 << 1 == 0 ? .notsupp : .ok), "\(algorithms)")
        let curve = AKCipherSpec.ecdsa(.p256, key: try Keys.on(.p256).publicKey)
        let ecdsa = try client.createSession(.akcipher(curve)).status
        #expect(ecdsa == (mask & 1 << 2 == 0 ? .notsupp : .ok), "\(algorithms)")
        client.frontend.disconnect()
        #expect(try daemon.terminate() == .status(0))
      }
    }

    /// Signatures that are on their way when their session is closed are right, or refused as without a session.
    @Test func sessionClosedWithRequestsInFlight() throws {
      let bench = try AsymmetricBench([.revision1])
      let guest = try bench.guest
      let queue = guest.client.dataQueues[0]
      let expected = try #require(Keys.rsa2048.sign(Self.digest, .sha256))
      let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: Keys.rsa2048.privateKey)
      let task = KeyTask(.sign, spec, Self.digest, room: 256)
      var answers: [VirtioCryptoStatus: Int] = [:]
      for _ in 0..<10 {
        let session = try guest.client.openSession(.akcipher(spec))
        let request = CryptoRequestBuilder.data(task.request(session), format: .revision1)
        var placed: [UInt32: PlacedRequest] = [:]
        for _ in 0..<40 {
          let one = try PlacedRequest(request, plan: RequestPlan(), in: guest.client.memory)
          let head = try queue.reserve(one.buffers, indirect: true)
          queue.post(head)
          placed[UInt32(head)] = one
        }
        if queue.publish() { try queue.kick() }
        #expect(try guest.client.destroySession(session, service: .akcipher) == .ok)
        while !placed.isEmpty {
          let used = try queue.pollUsed(timeoutMilliseconds: 10000)
          let one = placed.removeValue(forKey: used.head)
          let request = try #require(one)
          let answer = try guest.client.answer(request, used)
          #expect(
            answer.status == .invsess || answer.status == .ok && answer.writtenOutput == expected)
          answers[answer.status, default: 0] += 1
          queue.release(UInt16(used.head))
          request.free(in: guest.client.memory)
        }
        #expect(try guest.perform(task, session: session).status == .invsess)
      }
      #expect(answers.values.reduce(0, +) == 400)
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
