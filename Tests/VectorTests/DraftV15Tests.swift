import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What draft v15 has of its own: feature bits, modes, and one structure for both of them.
///
/// Vectors, lengths and statuses that it shares with the default dialect are tested with the other transports.
extension DeviceTests {
  @Suite("Draft v15")
  struct DraftV15Tests {
    static let good = LengthTests.operations.map(\.0)
    static let services: [VirtioCryptoService] = [.cipher, .hash, .mac, .aead]
    static let ringFeatures: UInt64 =
      1 << 26 | 1 << 28 | 1 << 29 | 1 << 30 | 1 << 32 | 1 << 34 | 1 << 35

    @Test func offersSessionBitsAndTheOldConfiguration() throws {
      let bench = try TestBench([.draftV15])
      let frontend = try bench.guest.client.frontend
      #expect(frontend.offeredFeatures == Self.ringFeatures | 0b11110)
      let config = try frontend.readConfiguration(offset: 0, byteCount: 56)
      let words = (0..<14).map { WireBytes(config).get32(at: 4 * $0) }
      // status, queues, services without AKCIPHER; `reserved` where akcipher_algo came to be.
      #expect(words[0] == 1 && words[1] == 4 && words[2] == 0b1111)
      #expect(words[11] == 0 && words[12] == 1 << 20 && words[13] == 0)
      #expect(words[3..<9].filter { $0 != 0 }.count >= 5)
      try bench.finish()
    }

    /// No session mode of a service that is not there.
    @Test func serviceThatIsOffHasNoSessionBit() throws {
      let bench = try TestBench(
        [], device: ["dialect: draft-v15"],
        algorithms: "algorithms: { hash: { default: off }, aead: { default: off } }\n")
      let client = try CryptoClient.start(
        path: bench.daemon.socketPath, options: Frontend.Options(format: .draftV15))
      #expect(client.frontend.offeredFeatures == Self.ringFeatures | 0b01010)
      #expect(client.format.sessionServices == [.cipher, .mac])
      client.frontend.disconnect()
      try bench.finish()
    }

    /// Without its bit a service has requests without sessions only; the other services go on.
    @Test(arguments: services)
    func sessionsNeedTheirServicesBit(_ service: VirtioCryptoService) throws {
      let bench = try TestBench([], device: ["dialect: draft-v15"])
      var format = RequestFormat.draftV15
      format.sessionServices.remove(service)
      let client = try CryptoClient.start(
        path: bench.daemon.socketPath, options: Frontend.Options(format: format))
      #expect(client.format == format)
      for var operation in Self.good {
        #expect(try client.perform(operation).status == .ok, "\(operation.session)")
        let made = try client.createSession(operation.session)
        if operation.session.service == service {
          #expect(made.status == .notsupp)
          operation.sessionID = 1 << 32
          let answer = try client.perform(operation)
          #expect(answer.status == .notsupp && answer.usedByteCount == 1)
        } else {
          operation.sessionID = made.sessionID
          let answer = try client.perform(operation)
          #expect(answer.status == .ok)
          #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
        }
      }
      client.frontend.disconnect()
      try bench.finish()
    }

    /// Where the session bit is negotiated, each request chooses its mode.
    @Test func bothModesShareAQueue() throws {
      let bench = try TestBench([.draftV15])
      let guest = try bench.guest
      for var operation in Self.good {
        let session = try guest.open(operation.session)
        for id in [session, nil, session] {
          operation.sessionID = id
          let probe = try #require(Probe(reference: operation))
          let fault = probe.complaint(about: try guest.perform(operation))
          #expect(fault == nil, "\(operation.session): \(fault ?? "")")
        }
      }
      try bench.finish()
    }

    @Test(arguments: Transport.drafts)
    func flagNamesOneMode(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        for flag in [0, 3, 4, 5, 0x8000_0001, 0xFFFF_FFFE] as [UInt32] {
          var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          request.fixed.set32(flag, at: 16)
          let answer = try guest.perform(request, plan: RequestPlan()).answer
          #expect(answer.status == .err && answer.usedByteCount == 1, "flag \(flag)")
        }
      }
      try bench.finish()
    }

    /// The parameters in front of a session's request may hold anything, lengths of keys included.
    @Test func parametersAreIgnoredWithASession() throws {
      let bench = try TestBench([.draftV15])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        var request = CryptoRequestBuilder.data(operation, format: .draftV15)
        for offset in stride(from: 24, to: 24 + Self.parameterByteCount(operation), by: 4) {
          #expect(request.fixed.get32(at: offset) == 0)
          request.fixed.set32(0xFFFF_FFFF, at: offset)
        }
        let probe = try #require(Probe(reference: operation))
        let fault = probe.complaint(about: try guest.perform(request, plan: RequestPlan()))
        #expect(fault == nil, "\(operation.session): \(fault ?? "")")
      }
      try bench.finish()
    }

    static func parameterByteCount(_ operation: OperationSpec) -> Int {
      switch operation.session {
      case .hash: 4
      case .mac: 8
      case .cipher, .aead, .akcipher: 12
      case .chain: 32
      }
    }

    /// All requests have a fixed part of 80 bytes: what is shorter is an error, whatever its service.
    @Test(arguments: Transport.drafts)
    func fixedPartHasEightyBytes(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        let good = CryptoRequestBuilder.data(operation, format: guest.client.format)
        #expect(good.fixed.count == 24 + 80)
        for count in [0, 23, 24, 25, 40, 72, 103] {
          var short = good
          short.fixed = WireBytes(Array(good.fixed.bytes.prefix(count)))
          short.fields = []
          let answer = try guest.perform(short, plan: RequestPlan()).answer
          #expect(answer.status == .err && answer.usedByteCount == 1, "\(count) bytes")
        }
      }
      try bench.finish()
    }

    /// Identifiers of nothing, of another service, and of a session that has ended.
    @Test func unknownSessionIsInvalid() throws {
      let bench = try TestBench([.draftV15])
      let guest = try bench.guest
      let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
      let other = SessionSpec.mac(.hmacSHA1, key: [1, 2, 3], resultByteCount: 20)
      let (hashID, otherID) = (try guest.open(hash), try guest.open(other))
      for var operation in Self.good {
        let id = try #require(try guest.open(operation.session))
        try guest.close(id, operation.session)
        let foreign = operation.session.service == .hash ? otherID : hashID
        for wrong in [0, id, id &+ 1 << 32, .max, try #require(foreign)] {
          operation.sessionID = wrong
          let answer = try guest.perform(operation).answer
          #expect(answer.status == .invsess && answer.usedByteCount == 1, "session \(wrong)")
        }
      }
      try bench.finish()
    }

    /// The service came later: neither sessions nor requests, by no way.
    @Test(arguments: [Transport.draftV15, .draftV15WithoutSessions])
    func asymmetricRequestsAreNotSupported(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for opcode in [0x400, 0x401, 0x402, 0x403, 0x404, 0x405] as [UInt32] {
        var request = CryptoRequestBuilder.data(Self.good[0], format: guest.client.format)
        request.fixed.set32(opcode, at: 0)
        #expect(try guest.perform(request, plan: RequestPlan()).answer.status == .notsupp)
        var control = CryptoRequestBuilder.createSession(
          .hash(.sha1, resultByteCount: 20), format: guest.client.format)
        control.fixed.set32(opcode, at: 0)
        let outcome = try guest.client.send(control).outcome
        // What looks like a destruction has its status in front.
        #expect(outcome[[3, 5].contains(opcode & 0xFF) ? 0 : 8] == 3, "opcode \(opcode)")
      }
      try bench.finish()
    }

    /// The operator's list counts, although no feature tells the driver.
    @Test func requestsWithoutSessionsAreServedForListedServices() throws {
      let bench = try TestBench([.draftV15], device: ["stateless: [hash]"])
      let guest = try bench.guest
      for var operation in Self.good {
        let isListed = operation.session.service == .hash
        #expect(try guest.perform(operation).answer.status == (isListed ? .ok : .notsupp))
        operation.sessionID = try guest.open(operation.session)
        #expect(try guest.perform(operation).answer.status == .ok)
      }
      try bench.finish()
    }

    /// The symmetric services of the RFC are draft v15's.
    @Test func asymmetricRFCStandsOnTheDraft() throws {
      let bench = try TestBench([.draftV15], device: ["dialect: rfc-asym-v3"])
      let guest = try bench.guest
      for var operation in Self.good {
        let session = try guest.open(operation.session)
        for id in [session, nil] {
          operation.sessionID = id
          let probe = try #require(Probe(reference: operation))
          #expect(probe.complaint(about: try guest.perform(operation)) == nil)
        }
      }
      try bench.finish()
    }
  }
}
