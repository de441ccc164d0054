import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Sessions that cannot be, and sessions that are not there.
extension DeviceTests {
  @Suite("Statuses of sessions")
  struct SessionStatusTests {
    static let key: [UInt8] = Array(0..<16)

    static func chain(
      _ second: ChainSecond, order: ChainOrder = .cipherThenHash, resultByteCount: Int? = nil
    ) -> SessionSpec {
      .chain(
        .init(
          .aesCBC, .encrypt, key: key, order: order, second: second,
          resultByteCount: resultByteCount))
    }

    /// A key size that the algorithm does not have, in every transport.
    @Test(arguments: Transport.allCases)
    func keySizeOfNoAlgorithmIsNotSupported(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      var sessions: [SessionSpec] = []
      let sizes = [0, 1, 8, 15, 16, 17, 23, 24, 25, 31, 32, 33, 48, 63, 64]
      for count in sizes {
        let key = (0..<count).map { UInt8($0) }
        for cipher in OperationMaker.ciphers where !cipher.accepts(keyByteCount: count) {
          sessions.append(.cipher(cipher, .encrypt, key: key))
          sessions.append(
            .chain(
              .init(cipher, .decrypt, key: key, order: .hashThenCipher, second: .plain(.sha1))))
        }
        for aead in AEADAlgorithm.allCases where !aead.accepts(keyByteCount: count) {
          sessions.append(.aead(aead, .encrypt, key: key, tagByteCount: 16))
        }
        for mac in [MACAlgorithm.cmac3DES, .cmacAES, .gmacAES]
        where !mac.accepts(keyByteCount: count) {
          sessions.append(.mac(mac, key: key, resultByteCount: 8))
          sessions.append(Self.chain(.authenticated(mac, key: key), resultByteCount: 8))
        }
      }
      for session in sessions where transport.carries(session.service) {
        let probe = Probe(
          session: session, iv: Self.key, source: Self.key, expected: .sessionRefused(.notsupp))
        let fault = try probe.run(guest, .contiguous)
        #expect(fault == nil, "\(session): \(fault ?? "")")
      }
      try bench.finish()
    }

    /// A result or tag of a length that the algorithm does not have.
    @Test(arguments: Transport.allCases)
    func resultLengthOfNoAlgorithmIsAnError(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      var sessions: [SessionSpec] = [
        Self.chain(.plain(.sha1), resultByteCount: 21),
        Self.chain(.plain(.sha1), resultByteCount: 0),
        Self.chain(.authenticated(.hmacMD5, key: [1]), resultByteCount: 17),
        Self.chain(.nested(.sha256, key: [1, 2]), resultByteCount: 33),
        Self.chain(.nested(.sha256, key: [1, 2, 3])),
        .hash(.shake256, resultByteCount: 0), .hash(.shake256, resultByteCount: 65537),
      ]
      for hash in HashAlgorithm.allCases where !hash.isExtendable {
        sessions.append(.hash(hash, resultByteCount: 0))
        sessions.append(.hash(hash, resultByteCount: hash.maximumResultByteCount + 1))
      }
      for mac in OperationMaker.macs {
        let key = [UInt8](repeating: 1, count: mac == .cmac3DES ? 24 : 16)
        sessions.append(.mac(mac, key: key, resultByteCount: 0))
        sessions.append(.mac(mac, key: key, resultByteCount: mac.maximumResultByteCount + 1))
      }
      for aead in AEADAlgorithm.allCases {
        for count in [0, 1, 2, 3, 5, 15, 17, 32] where !aead.accepts(tagByteCount: count) {
          sessions.append(
            .aead(aead, .encrypt, key: Self.key + Self.key, tagByteCount: count))
        }
      }
      for session in sessions where transport.carries(session.service) {
        let probe = Probe(
          session: session, iv: Self.key, source: Self.key, expected: .sessionRefused(.err))
        let fault = try probe.run(guest, .contiguous)
        #expect(fault == nil, "\(session): \(fault ?? "")")
      }
      try bench.finish()
    }

    /// A key that the standard forbids: XTS with equal halves.
    @Test(arguments: Transport.allCases)
    func keyThatTheEngineRefusesIsAnError(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let probe = Probe(
        session: .cipher(.aesXTS, .encrypt, key: Self.key + Self.key), iv: Self.key,
        source: Self.key, expected: .sessionRefused(.err))
      #expect(try probe.run(bench.guest, .contiguous) == nil)
      try bench.finish()
    }

    /// Offset in the fixed part, value, status.
    typealias Spoil = (offset: Int, value: UInt32, status: VirtioCryptoStatus)

    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func wordsOfASessionAreChecked(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let cases: [(SessionSpec, [Spoil])] = [
        (
          .cipher(.aesCBC, .encrypt, key: Self.key),
          // Algorithms that are unknown or none, directions, symmetric types, a key that ends early.
          [0, 15, 63, 64, 0xFFFF_FFFF].map { (16, $0, .notsupp) }
            + [0, 3, 0x101].map { (24, $0, .notsupp) } + [0, 3].map { (64, $0, .notsupp) }
            + [(20, 32, .err), (20, 513, .notsupp), (20, 0xFFFF_FFFF, .notsupp)]
        ),
        (
          Self.chain(.authenticated(.hmacSHA1, key: Self.key)),
          [0, 3].map { (16, $0, .notsupp) } + [0, 4].map { (20, $0, .notsupp) }
            + [0, 7, 0x8000_0001].map { (40, $0, .notsupp) } + [
              (48, 17, .err), (48, 513, .notsupp),
            ]
        ),
        (.hash(.sha1, resultByteCount: 20), [0, 13, 64].map { (16, $0, .notsupp) }),
        (
          .mac(.hmacSHA1, key: Self.key, resultByteCount: 20),
          [0, 7, 64, 26 + 256].map { (16, $0, .notsupp) } + [(24, 17, .err), (24, 600, .notsupp)]
        ),
        (
          .aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16),
          [0, 4, 64].map { (16, $0, .notsupp) } + [0, 3].map { (32, $0, .notsupp) }
            + [(20, 24, .err)]
        ),
      ]
      for (session, spoils) in cases {
        for (offset, value, status) in spoils {
          var request = CryptoRequestBuilder.createSession(session, format: guest.client.format)
          request.fixed.set32(value, at: offset)
          let answer = try guest.client.create(request)
          #expect(answer.status == status, "\(session.service): \(value) at \(offset)")
          #expect(answer.usedByteCount == 16)
        }
        // The header's algorithm and its word 4 are ignored.
        var request = CryptoRequestBuilder.createSession(session, format: guest.client.format)
        request.fixed.set32(99, at: 4)
        request.fixed.set32(1, at: 8)
        #expect(try guest.client.create(request).status == .ok)
      }
      try bench.finish()
    }

    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func unknownControlOpcodeIsNotSupported(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for opcode in [0x000, 0x004, 0x402, 0x502, 0xFFFF_FF02] as [UInt32] {
        var request = CryptoRequestBuilder.createSession(
          .hash(.sha1, resultByteCount: 20), format: guest.client.format)
        request.fixed.set32(opcode, at: 0)
        #expect(try guest.client.create(request).status == .notsupp, "\(opcode)")
      }
      try bench.finish()
    }

    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func destroyingNamesTheSessionAndItsService(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let session = SessionSpec.hash(.sha1, resultByteCount: 20)
      let id = try guest.client.openSession(session)
      for wrong in [VirtioCryptoService.cipher, .mac, .aead] {
        #expect(try guest.client.destroySession(id, service: wrong) == .invsess)
      }
      for unknown in [0, 1, id &+ 1, id &+ 1 << 32, UInt64.max] where unknown != id {
        #expect(try guest.client.destroySession(unknown, service: .hash) == .invsess)
      }
      let operation = OperationSpec(session, sessionID: id, source: Self.key)
      #expect(try guest.perform(operation).answer.status == .ok)
      #expect(try guest.client.destroySession(id, service: .hash) == .ok)
      #expect(try guest.client.destroySession(id, service: .hash) == .invsess)
      #expect(try guest.perform(operation).answer.status == .invsess)
      try bench.finish()
    }

    /// Draft v23 leaves eight bytes for the outcome of a destruction: a le32 and padding.
    @Test(arguments: [Transport.legacy, .revision1])
    func destructionOfDraftV23IsAnsweredWithEightBytes(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let id = try guest.client.openSession(.hash(.sha1, resultByteCount: 20))
      // The first ends the session, the second finds none: INVSESS is 4.
      for status in [0, 4] as [UInt8] {
        let request = CryptoRequestBuilder.destroySession(
          id, service: .hash, format: guest.client.format, writableByteCount: 8)
        let (used, outcome) = try guest.client.send(request)
        #expect(used == 8 && outcome == [status, 0, 0, 0, 0, 0, 0, 0])
      }
      // Less than eight bytes is the byte of virtio 1.3.
      let short = CryptoRequestBuilder.destroySession(
        id, service: .hash, format: guest.client.format, writableByteCount: 7)
      #expect(try guest.client.send(short).usedByteCount == 1)
      try bench.finish()
    }

    /// A session by message is closed once; where acknowledgements are negotiated, twice shows.
    @Test(arguments: Transport.allCases.filter { $0.messageLayout != nil })
    func closedSessionIsUnknown(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let session = SessionSpec.cipher(.aesCTR, .encrypt, key: Self.key)
      let id = try guest.client.openSession(session)
      let operation = OperationSpec(session, sessionID: id, iv: Self.key, source: [1, 2, 3])
      #expect(try guest.perform(operation).answer.status == .ok)
      #expect(try guest.client.destroySession(id, service: .cipher) == .ok)
      #expect(try guest.client.destroySession(id, service: .cipher) == .invsess)
      #expect(try guest.perform(operation).answer.status == .invsess)
      try bench.finish()
    }

    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func sessionOfAnotherServiceIsUnknown(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let operations = LengthTests.operations.map(\.0)
      let ids = try operations.map { try guest.client.openSession($0.session) }
      for (operation, own) in zip(operations, ids) {
        for (other, id) in zip(operations, ids) {
          var operation = operation
          operation.sessionID = id
          let status = try guest.perform(operation).answer.status
          if id == own {
            #expect(status == .ok)
          } else if Self.isSameKind(operation.session, other.session) {
            // CBC's request with CTR's session: the direction is another one.
            #expect(status == .err)
          } else {
            #expect(status == .invsess, "\(operation.session) with \(other.session)")
          }
        }
        for unknown in [0, 7, own ^ 1 << 40, own | 1 << 63, UInt64.max] where !ids.contains(unknown)
        {
          var operation = operation
          operation.sessionID = unknown
          #expect(try guest.perform(operation).answer.status == .invsess)
        }
      }
      try bench.finish()
    }

    private static func isSameKind(_ a: SessionSpec, _ b: SessionSpec) -> Bool {
      if case .cipher = a, case .cipher = b { return true }
      return false
    }
  }
}
