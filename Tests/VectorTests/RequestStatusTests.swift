import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Data requests that are wrong in one place: each gets its status, used length 1, and leaves its
/// destination alone.
extension DeviceTests {
  @Suite("Statuses of requests")
  struct RequestStatusTests {
    static let key: [UInt8] = Array(0..<16)
    static let good = LengthTests.operations.map(\.0)

    private func check(
      _ guest: Guest, _ request: DataRequest, _ status: VirtioCryptoStatus, _ what: String,
      plan: RequestPlan = RequestPlan()
    ) throws {
      let outcome = try guest.perform(request, plan: plan)
      let probe = Probe(
        session: .hash(.md5, resultByteCount: 16), source: [], expected: .refused(status))
      let fault = probe.complaint(about: outcome)
      #expect(fault == nil, "\(guest.transport), \(what): \(fault ?? "")")
    }

    @Test(arguments: Transport.everyLayout)
    func unknownOpcodeIsNotSupported(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        for opcode in [0x002, 0x101, 0x201, 0x302, 0x404, 0x500, 0xFFFF_FFFF] as [UInt32] {
          var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          request.fixed.set32(opcode, at: 0)
          try check(guest, request, .notsupp, "opcode \(opcode)")
        }
      }
      try bench.finish()
    }

    /// Encrypting with a session for decryption, or the other way round.
    @Test(arguments: Transport.everyLayout)
    func directionsMustAgree(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for var operation in Self.good where operation.session.direction != nil {
        operation.sessionID = try guest.open(operation.session)
        var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        request.fixed.set32(request.fixed.get32(at: 0) ^ 1, at: 0)
        try check(guest, request, .err, "\(operation.session)")
      }
      try bench.finish()
    }

    /// Without its feature, a service's stateless request is refused, and its sessions go on.
    @Test(arguments: [VirtioCryptoService.cipher, .hash, .mac, .aead])
    func statelessRequestNeedsItsServicesFeature(_ service: VirtioCryptoService) throws {
      let bench = try TestBench([])
      var format = RequestFormat.stateless
      format.statelessServices.remove(service)
      let client = try CryptoClient.start(
        path: bench.daemon.socketPath, options: Frontend.Options(format: format))
      #expect(client.format == format)
      for var operation in Self.good {
        let status: VirtioCryptoStatus = operation.session.service == service ? .notsupp : .ok
        #expect(try client.perform(operation).status == status, "\(operation.session)")
        operation.sessionID = try client.openSession(operation.session)
        let answer = try client.perform(operation)
        #expect(answer.status == .ok)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
      client.frontend.disconnect()
      try bench.finish()
    }

    @Test func statelessRequestWithoutAnyFeatureIsNotSupported() throws {
      let bench = try TestBench([.revision1])
      for operation in Self.good {
        let request = CryptoRequestBuilder.data(operation, format: .stateless)
        try check(try bench.guest, request, .notsupp, "\(operation.session)")
      }
      try bench.finish()
    }

    /// Drivers without REVISION_1 leave the flag at 0: their requests are session requests.
    @Test func flagIsIgnoredInTheLegacyLayout() throws {
      let bench = try TestBench([.legacy])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        for flag in [0, 1, 0xFFFF_FFFF] as [UInt32] {
          var request = CryptoRequestBuilder.data(operation, format: .legacy)
          request.fixed.set32(flag, at: 16)
          let answer = try guest.perform(request, plan: RequestPlan()).answer
          #expect(answer.status == .ok)
          #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
        }
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func lengthOfAnIVIsTheModes(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for cipher in OperationMaker.ciphers {
        let key = (0..<cipher.maximumKeyByteCount).map { UInt8($0) }
        let session = SessionSpec.cipher(cipher, .encrypt, key: key)
        let id = try guest.open(session)
        for count in [0, 1, 7, 8, 9, 12, 15, 16, 17, 64] where count != cipher.ivByteCount {
          let operation = OperationSpec(
            session, sessionID: id, iv: [UInt8](repeating: 1, count: count), source: Self.key)
          let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          try check(guest, request, .err, "\(cipher) with an IV of \(count)")
        }
      }
      for aead in AEADAlgorithm.allCases {
        let session = SessionSpec.aead(aead, .encrypt, key: Self.key + Self.key, tagByteCount: 16)
        let id = try guest.open(session)
        for count in [0, 1, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 128]
        where !aead.accepts(ivByteCount: count) {
          let operation = OperationSpec(
            session, sessionID: id, iv: [UInt8](repeating: 1, count: count), source: Self.key)
          let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          try check(guest, request, .err, "\(aead) with an IV of \(count)")
        }
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func sourceIsWholeBlocksAndAsLongAsTheDestination(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for cipher in OperationMaker.ciphers {
        let key = (0..<cipher.maximumKeyByteCount).map { UInt8($0) }
        let session = SessionSpec.cipher(cipher, .decrypt, key: key)
        let id = try guest.open(session)
        let iv = [UInt8](repeating: 1, count: cipher.ivByteCount)
        // Source, destination.
        var lengths = [(32, 16), (32, 48), (32, 31), (32, 33), (32, 0), (0, 16)]
        lengths += [1, 7, 9, 15, 17, 4095].filter {
          $0 % cipher.granuleByteCount != 0 || $0 < cipher.minimumSourceByteCount
        }.map { ($0, $0) }
        for (source, destination) in lengths {
          let operation = OperationSpec(
            session, sessionID: id, iv: iv, source: [UInt8](repeating: 2, count: source),
            destinationByteCount: destination)
          let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          try check(guest, request, .err, "\(cipher), \(source) to \(destination)")
        }
      }
      try bench.finish()
    }

    /// Every length word of a good request made larger than its chain has bytes for.
    @Test(arguments: Transport.everyLayout)
    func lengthsBeyondTheChainAreErrors(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for var operation in Self.good {
        operation.sessionID = try guest.open(operation.session)
        let good = CryptoRequestBuilder.data(operation, format: guest.client.format)
        for shape in [Shape.contiguous, .split] {
          var short = good
          if let last = short.fields.last, last.bytes.count > 1 {
            short.fields[short.fields.count - 1].bytes.removeLast()
            try check(guest, short, .err, "source ends early", plan: shape.plan(for: short))
          }
          var narrow = good
          if narrow.resultByteCount > 0 {
            narrow.resultByteCount -= 1
          } else if narrow.destinationByteCount > 0 {
            narrow.destinationByteCount -= 1
          } else {
            continue
          }
          try check(guest, narrow, .err, "result ends early", plan: shape.plan(for: narrow))
        }
      }
      try bench.finish()
    }

    /// A chain's ranges lie in its source and fit its algorithms.
    @Test(arguments: Transport.everyLayout)
    func rangesOfAChainAreChecked(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let session = SessionStatusTests.chain(.plain(.sha1))
      let id = try guest.open(session)
      // Offsets of cipher_start, cipher_len, hash_start, hash_len in the request.
      let words =
        Transport.drafts.contains(transport) || transport == .stateless
        ? [68, 72, 76, 80] : [36, 40, 44, 48]
      let ranges: [[UInt32]] = [
        [0, 15, 0, 16], [0, 80, 0, 16], [64, 16, 0, 16], [1, 64, 0, 16], [65, 0, 0, 16],
        [0, 16, 0, 65], [0, 16, 65, 0], [0, 16, 1, 64], [0xFFFF_FFF0, 16, 0, 16],
        [16, 0xFFFF_FFF0, 0, 16], [0, 16, 0xFFFF_FFFF, 1], [0, 16, 1, 0xFFFF_FFFF],
      ]
      let operation = OperationSpec(
        session, sessionID: id, iv: Self.key, source: [UInt8](repeating: 3, count: 64))
      let good = CryptoRequestBuilder.data(operation, format: guest.client.format)
      #expect(words.map { good.fixed.get32(at: $0) } == [0, 64, 0, 64])
      for range in ranges {
        var request = good
        for (offset, value) in zip(words, range) { request.fixed.set32(value, at: offset) }
        try check(guest, request, .err, "ranges \(range)")
      }
      try bench.finish()
    }

    /// GMAC's IV in a chain is the associated data, of exactly its length; in a MAC request it is
    /// the head of the source.
    @Test(arguments: Transport.everyLayout)
    func ivOfGMACHasItsLength(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let chain = SessionStatusTests.chain(.authenticated(.gmacAES, key: Self.key))
      let chainID = try guest.open(chain)
      let mac = SessionSpec.mac(.gmacAES, key: Self.key, resultByteCount: 16)
      let macID = try guest.open(mac)
      for count in [0, 1, 11, 12, 13, 16] {
        let bytes = [UInt8](repeating: 4, count: count)
        let inChain = OperationSpec(
          chain, sessionID: chainID, iv: Self.key, source: Self.key, aad: bytes)
        let status = try guest.perform(inChain).answer.status
        #expect(status == (count == 12 ? .ok : .err), "aad of \(count)")
        let alone = OperationSpec(mac, sessionID: macID, source: bytes)
        #expect(try guest.perform(alone).answer.status == (count >= 12 ? .ok : .err))
      }
      try bench.finish()
    }

    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func tagLengthIsTheSessions(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for direction in [CryptoDirection.encrypt, .decrypt] {
        let session = SessionSpec.aead(.gcm, direction, key: Self.key, tagByteCount: 12)
        let id = try guest.open(session)
        for count in [0, 4, 11, 13, 16, 17] {
          let operation = OperationSpec(
            session, sessionID: id, iv: Array(Self.key.prefix(12)), source: Self.key + Self.key,
            destinationByteCount: 64, resultByteCount: count)
          let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          try check(guest, request, .err, "tag of \(count)")
        }
      }
      try bench.finish()
    }
  }
}
