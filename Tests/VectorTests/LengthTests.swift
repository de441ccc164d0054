import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// How much comes back: truncated results, extendable ones, used lengths, destinations with room to
/// spare.
extension DeviceTests {
  @Suite("Result lengths")
  struct LengthTests {
    @Test(arguments: Transport.everyLayout)
    func everyTruncationOfAHashIsItsHead(_ transport: Transport) throws {
      var random = SeededRandom.printed()
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for hash in HashAlgorithm.allCases where !hash.isExtendable {
        let full = hash.maximumResultByteCount
        let session = SessionSpec.hash(hash, resultByteCount: full)
        let source = random.bytes(200)
        let digest = try #require(ReferenceCrypto.hash(hash, source, byteCount: full))
        try checkTruncations(guest, session, source, digest)
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func everyTruncationOfACodeIsItsHead(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for mac in OperationMaker.macs {
        let key = maker.key(mac)
        let session = SessionSpec.mac(
          mac, key: key, resultByteCount: mac.maximumResultByteCount)
        let (iv, message) = (maker.random.bytes(mac.ivByteCount), maker.random.bytes(100))
        let code = try #require(ReferenceCrypto.mac(mac, key: key, iv: iv, message))
        try checkTruncations(guest, session, iv + message, code)
      }
      try bench.finish()
    }

    /// From 1 byte to all, and neither none nor one more.
    private func checkTruncations(
      _ guest: Guest, _ session: SessionSpec, _ source: [UInt8], _ full: [UInt8]
    ) throws {
      let id = try guest.open(session)
      var wrong: [Int] = []
      for count in 0...full.count + 1 {
        let outcome = try guest.perform(
          OperationSpec(session, sessionID: id, source: source, resultByteCount: count))
        let isGood =
          (1...full.count).contains(count)
          ? outcome.answer.status == .ok && outcome.answer.result == Array(full.prefix(count))
            && outcome.answer.usedByteCount == count + 1 && outcome.spoiledAddress == nil
          : outcome.answer.status == .err && outcome.answer.usedByteCount == 1
        if !isGood { wrong.append(count) }
      }
      #expect(wrong.isEmpty, "\(session), lengths \(wrong)")
      try guest.close(id, session)
    }

    /// A session's length bounds its requests: its head may be asked for, more may not.
    @Test(arguments: [Transport.legacy, .revision1, .draftV15])
    func lengthOfTheSessionBoundsTheRequest(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let key: [UInt8] = Array(0..<16)
      let sessions: [SessionSpec] = [
        .hash(.sha512, resultByteCount: 20), .hash(.shake128, resultByteCount: 20),
        .mac(.hmacSHA256, key: key, resultByteCount: 20),
        .chain(
          .init(
            .aesCTR, .encrypt, key: key, order: .cipherThenHash, second: .plain(.sha256),
            resultByteCount: 20)),
      ]
      for session in sessions {
        let id = try guest.open(session)
        for (count, status) in [(1, .ok), (19, .ok), (20, .ok), (21, .err), (32, .err), (0, .err)]
          as [(Int, VirtioCryptoStatus)]
        {
          let isChain = session.service == .cipher
          let operation = OperationSpec(
            session, sessionID: id, iv: isChain ? key : [], source: key, resultByteCount: count)
          let answer = try guest.perform(operation).answer
          #expect(answer.status == status, "\(session): \(count)")
          if status == .ok {
            #expect(answer.result == ReferenceCrypto.answer(to: operation)?.result)
          }
        }
        try guest.close(id, session)
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func shakeGivesAsManyBytesAsAskedFor(_ transport: Transport) throws {
      var random = SeededRandom.printed()
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for hash in [HashAlgorithm.shake128, .shake256] {
        let source = random.bytes(321)
        for count in [1, 16, 31, 32, 64, 135, 136, 137, 167, 168, 169, 5000, 65535, 65536] {
          let session = SessionSpec.hash(hash, resultByteCount: count)
          let id = try guest.open(session)
          let operation = OperationSpec(session, sessionID: id, source: source)
          let probe = try #require(Probe(reference: operation))
          let fault = probe.complaint(about: try guest.perform(operation, .split))
          #expect(fault == nil, "\(hash), \(count) bytes: \(fault ?? "")")
          try guest.close(id, session)
        }
        let tooMuch = Probe(
          session: .hash(hash, resultByteCount: 65537), source: source,
          expected: .sessionRefused(.err))
        #expect(try tooMuch.run(guest, .contiguous) == nil)
      }
      try bench.finish()
    }

    static let key: [UInt8] = Array(0..<32)

    /// One good operation of each service, with the bytes that it gives.
    static let operations: [(OperationSpec, output: Int, result: Int)] = [
      (
        OperationSpec(
          .cipher(.aesCBC, .encrypt, key: key), sessionID: nil, iv: Array(key.prefix(16)),
          source: key), 32, 0
      ),
      (
        OperationSpec(
          .cipher(.aesCTR, .decrypt, key: key), sessionID: nil, iv: Array(key.prefix(16)),
          source: []), 0, 0
      ),
      (OperationSpec(.hash(.sha384, resultByteCount: 48), sessionID: nil, source: key), 0, 48),
      (
        OperationSpec(.mac(.hmacMD5, key: key, resultByteCount: 12), sessionID: nil, source: key),
        0, 12
      ),
      (
        OperationSpec(
          .aead(.gcm, .encrypt, key: key, tagByteCount: 13), sessionID: nil,
          iv: Array(key.prefix(12)), source: [1, 2, 3], aad: key), 16, 0
      ),
      (
        OperationSpec(
          .chain(.init(.aesCTR, .encrypt, key: key, order: .hashThenCipher, second: .plain(.sha1))),
          sessionID: nil, iv: Array(key.prefix(16)), source: [1, 2, 3, 4, 5], aad: [6]), 5, 20
      ),
    ]

    @Test(arguments: Transport.everyLayout, Shape.allCases)
    func usedLengthIsResultAndStatus(_ transport: Transport, _ shape: Shape) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      for (operation, output, result) in Self.operations {
        var operation = operation
        operation.sessionID = try guest.open(operation.session)
        let outcome = try guest.perform(operation, shape)
        #expect(outcome.answer.status == .ok)
        #expect(outcome.answer.usedByteCount == output + result + 1)
        #expect(outcome.answer.output.count == output && outcome.answer.result.count == result)
        #expect(outcome.spoiledAddress == nil)
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func chainWithoutAWritableByteIsUsedWithLengthZero(_ transport: Transport) throws {
      let bench = try TestBench([transport])
      let guest = try bench.guest
      var plan = RequestPlan()
      plan.status = .missing
      for (operation, _, _) in Self.operations {
        var operation = operation
        operation.sessionID = try guest.open(operation.session)
        var request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        request.destinationByteCount = 0
        request.resultByteCount = 0
        #expect(try guest.perform(request, plan: plan).answer.usedByteCount == 0)
        // Writable, but all of it belongs to the result: the last byte becomes the status.
        let whole = CryptoRequestBuilder.data(operation, format: guest.client.format)
        guard whole.destinationByteCount + whole.resultByteCount > 0 else { continue }
        let answer = try guest.perform(whole, plan: plan).answer
        #expect(answer.usedByteCount == 1)
        #expect((answer.output + answer.result).last == VirtioCryptoStatus.err.rawValue)
        #expect((answer.output + answer.result).dropLast().allSatisfy { $0 == 0xA5 })
      }
      try bench.finish()
    }

    @Test(arguments: Transport.everyLayout)
    func authenticatedDestinationMayHaveRoomToSpare(_ transport: Transport) throws {
      var random = SeededRandom.printed()
      let bench = try TestBench([transport])
      let guest = try bench.guest
      let (iv, text, aad) = (random.bytes(12), random.bytes(100), random.bytes(9))
      for aead in AEADAlgorithm.allCases {
        let key = random.bytes(32)
        let sealed = try #require(
          ReferenceCrypto.seal(aead, key: key, iv: iv, aad: aad, source: text, tagByteCount: 16))
        for (direction, source, output) in [
          (CryptoDirection.encrypt, text, sealed), (.decrypt, sealed, text),
        ] {
          let session = SessionSpec.aead(aead, direction, key: key, tagByteCount: 16)
          let id = try guest.open(session)
          for spare in [-output.count, -16, -1, 0, 1, 15, 16, 4096] {
            for shape in [Shape.contiguous, .split, .overlapping, .inPlace] {
              let operation = OperationSpec(
                session, sessionID: id, iv: iv, source: source, aad: aad,
                destinationByteCount: output.count + spare)
              let outcome = try guest.perform(operation, shape)
              let what = "\(aead) \(direction), \(spare) to spare, \(shape)"
              #expect(outcome.spoiledAddress == nil, "\(what)")
              if spare < 0 {
                #expect(outcome.answer.status == .err, "\(what)")
                #expect(outcome.answer.output == outcome.before, "\(what)")
              } else {
                #expect(outcome.answer.status == .ok, "\(what)")
                #expect(Array(outcome.answer.output.prefix(output.count)) == output, "\(what)")
                #expect(outcome.answer.usedByteCount == output.count + 1, "\(what)")
                let behind = outcome.answer.output.dropFirst(output.count)
                #expect(Array(behind) == Array(outcome.before.dropFirst(output.count)), "\(what)")
              }
            }
          }
          try guest.close(id, session)
        }
      }
      try bench.finish()
    }
  }
}
