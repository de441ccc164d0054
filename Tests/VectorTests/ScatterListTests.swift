import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Large requests from many pieces: what a Linux guest with fragmented memory sends.
extension DeviceTests {
  @Suite("Scatter lists")
  struct ScatterListTests {
    struct List: Sendable, CustomTestStringConvertible {
      var byteCount: Int
      var source: Segmentation
      var destination: Segmentation
      var testDescription: String { "\(byteCount) bytes, \(source) to \(destination)" }
    }

    /// One entry a page, as `sg_alloc_table_from_pages` makes them, and the extremes.
    static let lists: [List] = [
      List(byteCount: 4096, source: .overlapping(2), destination: .overlapping(1)),
      List(byteCount: 65536, source: .overlapping(22), destination: .overlapping(16)),
      List(byteCount: 120 << 10, source: .overlapping(30), destination: .overlapping(31)),
      List(byteCount: 192 << 10, source: .overlapping(48), destination: .overlapping(48)),
      List(byteCount: 256 << 10, source: .overlapping(64), destination: .overlapping(64)),
      // 2 · 180 · 181 / 2 + 3 = 32583 descriptors.
      List(byteCount: 256 << 10, source: .overlapping(180), destination: .overlapping(180)),
      // Exactly 32768: header, IV, 32764 pieces, destination, status.
      List(byteCount: 32764, source: .count(32764), destination: .contiguous),
      List(byteCount: 65536, source: .contiguous, destination: .count(4000)),
      List(byteCount: 256 << 10, source: .count(1000), destination: .count(777)),
    ]

    @Test(arguments: lists)
    func cipherCarriesAcrossEveryPiece(_ list: List) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([.legacy, .stateless])
      for guest in bench.guests {
        let free = guest.memory.freeByteCount
        let session = SessionSpec.cipher(.aesCTR, .encrypt, key: maker.random.bytes(32))
        let id = try guest.open(session)
        let operation = OperationSpec(
          session, sessionID: id, iv: maker.random.bytes(16),
          source: maker.random.bytes(list.byteCount))
        var plan = RequestPlan()
        plan.source = list.source
        plan.destination = list.destination
        // A stateless request has its keys in one more descriptor in front.
        if guest.transport == .stateless { plan.front = .joined }
        let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
        let probe = try #require(Probe(reference: operation))
        let fault = probe.complaint(about: try guest.perform(request, plan: plan))
        #expect(fault == nil, "\(guest.transport): \(fault ?? "")")
        try guest.close(id, session)
        #expect(guest.memory.freeByteCount == free)
      }
      try bench.finish()
    }

    /// The queue has 256 entries and the device 1024: the table's length is bounded by neither.
    @Test func tableOf32768EntriesIsTaken() throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([.legacy])
      let guest = try bench.guest
      let session = SessionSpec.cipher(.aesCTR, .decrypt, key: maker.random.bytes(16))
      let operation = OperationSpec(
        session, sessionID: try guest.open(session), iv: maker.random.bytes(16),
        source: maker.random.bytes(32764))
      var plan = RequestPlan()
      plan.source = .count(32764)
      let request = CryptoRequestBuilder.data(operation, format: .legacy)
      let placed = try PlacedRequest(request, plan: plan, in: guest.memory)
      #expect(placed.buffers.count == 32768)
      placed.free(in: guest.memory)
      let probe = try #require(Probe(reference: operation))
      #expect(probe.complaint(about: try guest.perform(request, plan: plan)) == nil)
      try bench.finish()
    }

    @Test(arguments: [4096, 65536, 256 << 10])
    func everyServiceTakesLargeRequestsFromManyPieces(_ byteCount: Int) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench(Transport.layouts)
      let key = maker.random.bytes(32)
      let sessions: [SessionSpec] = [
        .cipher(.aesCBC, .encrypt, key: key), .cipher(.aesXTS, .decrypt, key: key),
        .hash(.sha256, resultByteCount: 32), .mac(.cmacAES, key: key, resultByteCount: 16),
        .aead(.gcm, .encrypt, key: key, tagByteCount: 16),
        .aead(.chacha20Poly1305, .decrypt, key: key, tagByteCount: 16),
        .chain(
          .init(
            .aesCBC, .encrypt, key: key, order: .cipherThenHash,
            second: .authenticated(.hmacSHA1, key: key))),
      ]
      for guest in bench.guests {
        for session in sessions {
          let id = try guest.open(session)
          let made: OperationSpec? =
            switch session {
            case .cipher: maker.cipher(session, id: id, byteCount)
            case .hash, .mac: maker.digest(session, id: id, byteCount)
            case .aead: maker.aead(session, id: id, byteCount)
            case .chain: maker.chain(session, id: id, byteCount)
            case .akcipher: nil
            }
          let operation = try #require(made)
          let request = CryptoRequestBuilder.data(operation, format: guest.client.format)
          var plan = Shape.overlapping.plan(for: request)
          if plan.source == .overlapping(5) { plan.source = .overlapping(60) }
          if plan.destination == .overlapping(4) { plan.destination = .overlapping(64) }
          let probe = try #require(Probe(reference: operation))
          for plan in [plan, Shape.random.plan(for: request, seed: maker.random.next())] {
            let fault = probe.complaint(about: try guest.perform(request, plan: plan))
            #expect(fault == nil, "\(guest.transport), \(session.service): \(fault ?? "")")
          }
          try guest.close(id, session)
        }
      }
      try bench.finish()
    }

    /// A source that the destination overlaps at another address, which no engine could work on as
    /// it lies.
    @Test(arguments: [-4096, -17, -16, -1, 1, 15, 16, 4096])
    func overlapOfSourceAndDestinationIsHarmless(_ distance: Int) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([.legacy])
      let guest = try bench.guest
      let byteCount = 8192
      for cipher in [CipherAlgorithm.aesCBC, .aesCTR, .aesXTS] {
        for direction in [CryptoDirection.encrypt, .decrypt] {
          let session = SessionSpec.cipher(cipher, direction, key: maker.random.bytes(32))
          let id = try guest.open(session)
          let operation = OperationSpec(
            session, sessionID: id, iv: maker.random.bytes(16),
            source: maker.random.bytes(byteCount))
          let area = try guest.memory.allocate(byteCount + 2 * 4096)
          let sourceAddress = area + 4096
          let destination = UInt64(Int64(sourceAddress) + Int64(distance))
          try guest.memory.write(operation.source, at: sourceAddress)
          let front = try guest.memory.allocate(128)
          let request = CryptoRequestBuilder.data(operation, format: .legacy)
          let head = request.fixed.bytes + operation.iv
          try guest.memory.write(head + [0xA5], at: front)
          let buffers = [
            ChainBuffer(guestAddress: front, byteCount: UInt32(head.count), isWritable: false),
            ChainBuffer(
              guestAddress: sourceAddress, byteCount: UInt32(byteCount), isWritable: false),
            ChainBuffer(guestAddress: destination, byteCount: UInt32(byteCount), isWritable: true),
            ChainBuffer(
              guestAddress: front + UInt64(head.count), byteCount: 1, isWritable: true),
          ]
          let queue = guest.client.dataQueues[0]
          let chain = try queue.submit(buffers, indirect: true)
          let used = try queue.pollUsed()
          queue.release(chain)
          #expect(used.byteCount == UInt32(byteCount) + 1)
          let status = try guest.memory.read(front + UInt64(head.count), byteCount: 1)
          #expect(status == [VirtioCryptoStatus.ok.rawValue])
          let output = try guest.memory.read(destination, byteCount: byteCount)
          #expect(output == ReferenceCrypto.answer(to: operation)?.output, "\(cipher) \(direction)")
          guest.memory.free(area)
          guest.memory.free(front)
          try guest.close(id, session)
        }
      }
      try bench.finish()
    }

    /// Source and destination run over the border of two regions that are neighbours for the guest
    /// alone.
    @Test func requestAcrossTwoRegionsIsWhole() throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([.revision1])
      let guest = try bench.guest
      let session = SessionSpec.cipher(.aesCBC, .encrypt, key: maker.random.bytes(16))
      let operation = OperationSpec(
        session, sessionID: try guest.open(session), iv: maker.random.bytes(16),
        source: maker.random.bytes(4096))
      let area = try guest.memory.allocateCrossing(4096)
      try guest.memory.write(operation.source, at: area)
      let request = CryptoRequestBuilder.data(operation, format: .revision1)
      let head = request.fixed.bytes + operation.iv
      let front = try guest.memory.allocate(head.count + 1)
      try guest.memory.write(head + [0xA5], at: front)
      let queue = guest.client.dataQueues[0]
      try queue.submit(
        [
          ChainBuffer(guestAddress: front, byteCount: UInt32(head.count), isWritable: false),
          ChainBuffer(guestAddress: area, byteCount: 4096, isWritable: false),
          ChainBuffer(guestAddress: area, byteCount: 4096, isWritable: true),
          ChainBuffer(guestAddress: front + UInt64(head.count), byteCount: 1, isWritable: true),
        ], indirect: false)
      #expect(try queue.pollUsed().byteCount == 4097)
      #expect(
        try guest.memory.read(area, byteCount: 4096)
          == ReferenceCrypto.answer(to: operation)?.output)
      try bench.finish()
    }
  }
}
