import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension HostileGuest {
  @Suite struct ControlQueueRequests {
    /// A length field of a creation request: its offset, and the answers to 0, 1 and the most.
    struct Field {
      var offset: Int
      var answers: [(value: UInt32, status: VirtioCryptoStatus)]

      init(
        _ offset: Int, _ zero: VirtioCryptoStatus, _ one: VirtioCryptoStatus,
        _ most: VirtioCryptoStatus, _ others: [(UInt32, VirtioCryptoStatus)] = []
      ) {
        self.offset = offset
        answers = [(0, zero), (1, one), (.max, most)] + others.map { ($0, $1) }
      }
    }

    /// Offsets from the start of the request.
    ///
    /// Spec: draft v25, the create session structures.
    static func fields(_ kind: Kind) -> [Field] {
      // A key that is longer than what follows the fixed part ends early.
      let key: [(UInt32, VirtioCryptoStatus)] = [(24, .err), (32, .err), (512, .notsupp)]
      let authKey: [(UInt32, VirtioCryptoStatus)] = [
        (21, .err), (512, .err), (513, .notsupp), (0xFFFF_FFF0, .notsupp),
      ]
      return switch kind {
      case .cipher: [Field(20, .notsupp, .notsupp, .notsupp, Array(key.dropLast()))]
      case .hash: [Field(20, .err, .ok, .err, [(33, .err)])]
      case .mac: [Field(20, .err, .ok, .err, [(21, .err)]), Field(24, .ok, .ok, .notsupp, authKey)]
      case .aead:
        [
          Field(20, .notsupp, .notsupp, .notsupp, Array(key.dropLast())),
          Field(24, .err, .ok, .err, [(17, .err)]),
          // The associated data's length is a hint: each request says its own.
          Field(28, .ok, .ok, .ok),
        ]
      case .chain:
        [
          Field(28, .notsupp, .notsupp, .notsupp), Field(44, .err, .ok, .err, [(33, .err)]),
          Field(48, .ok, .ok, .notsupp, authKey), Field(56, .ok, .ok, .ok),
        ]
      }
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1"])
    func everySpoiltLengthOfASessionIsRefusedOrMeansWhatItSays(kind: Kind, layout: String) throws {
      let guest = try Stage.current().guest(layout == "legacy" ? .legacy : .revision1)
      for field in Self.fields(kind) {
        for (value, status) in field.answers {
          var request = CryptoRequestBuilder.createSession(Guest.spec(kind), format: guest.format)
          request.fixed.set32(value, at: field.offset)
          let answer = try guest.client.create(request)
          let comment = "\(value) at \(field.offset)"
          #expect(answer.status == status, "\(comment)")
          #expect(answer.usedByteCount == 16, "\(comment)")
          if status == .ok {
            let service = Guest.spec(kind).service
            #expect(try guest.client.destroySession(answer.sessionID, service: service) == .ok)
          } else {
            #expect(answer.sessionID == 0, "\(comment)")
          }
          try guest.expectAllIsWell(kind, comment)
        }
      }
      // Two keys whose lengths add up to 16.
      if kind == .chain {
        var request = CryptoRequestBuilder.createSession(Guest.spec(kind), format: guest.format)
        request.fixed.set32(0xFFFF_FFF0, at: 28)
        request.fixed.set32(0x20, at: 48)
        #expect(try guest.client.create(request).status == .notsupp)
      }
      #expect(try guest.client.createSession(Guest.spec(kind)).status == .ok)
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1"])
    func creationTruncatedAtAnyByteIsRefused(kind: Kind, layout: String) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(layout == "legacy" ? .legacy : .revision1)
      let whole = CryptoRequestBuilder.createSession(Guest.spec(kind), format: guest.format)
      let bytes = whole.fixed.bytes + whole.keys
      let padding = kind == .hash ? bytes.count - 24 : 0
      for count in 0..<bytes.count - padding {
        let request = ControlRequest(
          fixed: WireBytes(Array(bytes.prefix(count))), keys: [], writableByteCount: 16)
        let answer = try guest.client.create(request)
        #expect(answer.status == .err, "\(count) bytes")
        #expect(answer.usedByteCount == 16, "\(count) bytes")
      }
      #expect(try guest.client.createSession(Guest.spec(kind)).status == .ok)
      try guest.expectAllIsWell(kind)
    }

    @Test(arguments: Kind.allCases)
    func keyShorterThanItsLengthSaysIsRefused(kind: Kind) throws {
      let guest = try Stage.current().guest()
      guard kind != .hash else { return }
      for missing in [1, 15, 16] {
        var request = CryptoRequestBuilder.createSession(Guest.spec(kind), format: guest.format)
        request.keys.removeLast(missing)
        #expect(try guest.client.create(request).status == .err)
        try guest.expectAllIsWell(kind)
      }
    }

    @Test(arguments: [0, 4, 0x004, 0x104, 0x402, 0x406, 0x500, 0xFFFF, UInt32.max])
    func unknownControlOperationIsNotSupported(opcode: UInt32) throws {
      for format in [RequestFormat.legacy, .revision1] {
        let guest = try Stage.current().guest(format)
        var request = CryptoRequestBuilder.createSession(Guest.spec(.cipher), format: format)
        request.fixed.set32(opcode, at: 0)
        let (_, outcome) = try guest.client.send(request)
        #expect(outcome[8] == VirtioCryptoStatus.notsupp.rawValue)
        #expect(try guest.client.createSession(Guest.spec(.cipher)).status == .ok)
        try guest.expectAllIsWell()
        guest.leave()
      }
    }

    @Test(arguments: [1, 4, 8, 12, 15], [true, false])
    func outcomeMayBeSplitInTwoDescriptors(first: Int, isIndirect: Bool) throws {
      let guest = try Stage.current().guest()
      let request = CryptoRequestBuilder.createSession(Guest.spec(.mac), format: guest.format)
      let placed = try PlacedRequest(request, in: guest.memory)
      var buffers = placed.buffers
      let outcome = buffers.removeLast()
      let other = try guest.memory.allocate(16)
      buffers += [
        ChainBuffer(
          guestAddress: outcome.guestAddress, byteCount: UInt32(first), isWritable: true),
        ChainBuffer(guestAddress: other, byteCount: UInt32(16 - first), isWritable: true),
      ]
      let queue = try guest.controlQueue
      let head = try queue.submit(buffers, indirect: isIndirect)
      #expect(try queue.pollUsed() == UsedElement(head: UInt32(head), byteCount: 16))
      let answer = WireBytes(
        try PlacedRequest.content(of: Array(buffers.suffix(2)), in: guest.memory))
      #expect(answer.get32(at: 8) == 0)
      #expect(try guest.client.destroySession(answer.get64(at: 0), service: .mac) == .ok)
      try guest.expectAllIsWell()
    }

    @Test(arguments: Kind.allCases)
    func creationWithoutRoomForItsOutcomeMakesNoSession(kind: Kind) throws {
      let stage = try Stage.current()
      let guest = try stage.guest()
      let before = try stage.footprint().openSessions
      for room in 0..<16 {
        var request = CryptoRequestBuilder.createSession(Guest.spec(kind), format: guest.format)
        request.writableByteCount = room
        let (used, outcome) = try guest.client.send(request)
        #expect(used == 0, "room for \(room)")
        #expect(outcome.allSatisfy { $0 == PlacedRequest.untouched }, "room for \(room)")
      }
      #expect(try stage.footprint().openSessions == before)
      try guest.expectAllIsWell(kind)
    }

    @Test(arguments: ["legacy", "revision 1"])
    func destructionIsAnsweredInTheRoomThatThereIs(layout: String) throws {
      let guest = try Stage.current().guest(layout == "legacy" ? .legacy : .revision1)
      for (room, written) in [(1, 1), (2, 1), (7, 1), (8, 8), (16, 8)] {
        for status in [VirtioCryptoStatus.ok, .invsess] {
          let session = status == .ok ? try guest.client.openSession(Guest.spec(.aead)) : 77
          let (used, outcome) = try guest.client.send(
            CryptoRequestBuilder.destroySession(
              session, service: .aead, format: guest.format, writableByteCount: room))
          #expect(used == written, "room for \(room)")
          let expected = [status.rawValue] + [UInt8](repeating: 0, count: written - 1)
          #expect(Array(outcome.prefix(written)) == expected, "room for \(room)")
          #expect(outcome.dropFirst(written).allSatisfy { $0 == PlacedRequest.untouched })
        }
      }
      // No room at all: nothing is written and nothing destroyed.
      let session = try guest.client.openSession(Guest.spec(.aead))
      let (used, _) = try guest.client.send(
        CryptoRequestBuilder.destroySession(
          session, service: .aead, format: guest.format, writableByteCount: 0))
      #expect(used == 0)
      #expect(try guest.client.destroySession(session, service: .aead) == .ok)
      try guest.expectAllIsWell()
    }
  }
}
