import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension HostileGuest {
  @Suite struct SessionIdentifiers {
    /// A request with another session's number.
    private func request(_ kind: Kind, session: UInt64, _ guest: Guest) -> DataRequest {
      var operation = guest.operation(kind)
      operation.sessionID = session
      return CryptoRequestBuilder.data(operation, format: guest.format)
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1"])
    func sessionOfAnotherServiceIsInvalid(kind: Kind, layout: String) throws {
      let guest = try Stage.current().guest(layout == "legacy" ? .legacy : .revision1)
      for other in Kind.allCases where other != kind {
        let session = try #require(guest.sessions[other])
        try guest.expectRefused(request(kind, session: session, guest), .invsess, "\(other)")
        // A chain belongs to the CIPHER service, so its opcode may end either.
        let service = Guest.spec(kind).service
        if service != Guest.spec(other).service {
          #expect(try guest.client.destroySession(session, service: service) == .invsess)
        }
        try guest.expectServed(other)
        try guest.expectAllIsWell(kind)
      }
    }

    @Test(arguments: Kind.allCases)
    func sessionOfTheOtherDirectionIsRefused(kind: Kind) throws {
      guard kind != .hash, kind != .mac else { return }
      let guest = try Stage.current().guest()
      var request = CryptoRequestBuilder.data(guest.operation(kind), format: guest.format)
      request.fixed.set32(request.fixed.get32(at: 0) | 1, at: 0)
      try guest.expectRefused(request, .err)
      try guest.expectAllIsWell(kind)
    }

    @Test(arguments: Kind.allCases, ["legacy", "revision 1"])
    func numbersThatAreNoSessionAreInvalid(kind: Kind, layout: String) throws {
      let guest = try Stage.current().guest(layout == "legacy" ? .legacy : .revision1)
      let own = try #require(guest.sessions[kind])
      var random = SeededRandom.printed()
      var numbers: [UInt64] = [
        0, .max, 1, UInt64(UInt32.max), 1 << 63, UInt64(Int64.max), 0xFFFF_FFFF_0000_0000,
        // The right slot in another generation; the right generation in another slot; a slot that
        // the table does not have.
        own &+ 1 << 32, own &- 1 << 32, own ^ 1 << 63, own & 0xFFFF_FFFF, own | 0xFFFF,
        own | 0xFFFF_FFFF, own &+ 65536,
      ]
      numbers += (0..<50).map { _ in random.next() }
      numbers += (0..<50).map { _ in random.next() & 0x7_0000_FFFF }
      let live = Set(guest.sessions.values)
      for number in numbers where !live.contains(number) {
        try guest.expectRefused(
          request(kind, session: number, guest), .invsess, "session \(number)")
        let service = Guest.spec(kind).service
        #expect(
          try guest.client.destroySession(number, service: service) == .invsess,
          "session \(number)")
      }
      try guest.expectAllIsWell(kind)
    }

    @Test(arguments: Kind.allCases)
    func closedSessionIsInvalidAndItsSlotsNextSessionHasAnotherNumber(kind: Kind) throws {
      let guest = try Stage.current().guest()
      let spec = Guest.spec(kind)
      var seen: Set<UInt64> = []
      for _ in 0..<20 {
        let session = try guest.client.openSession(spec)
        #expect(seen.insert(session).inserted)
        #expect(try guest.client.destroySession(session, service: spec.service) == .ok)
        for closed in seen {
          try guest.expectRefused(request(kind, session: closed, guest), .invsess)
        }
        #expect(try guest.client.destroySession(session, service: spec.service) == .invsess)
      }
      try guest.expectAllIsWell(kind)
    }

    @Test func sessionOfAnotherDeviceIsInvalid() throws {
      let stage = try Stage.current()
      let guest = try stage.guest()
      // As many on the other device as it takes to have a number that is none here.
      var foreign: [UInt64] = []
      for _ in 0..<20 {
        foreign.append(try stage.bystander.client.openSession(Guest.spec(.cipher)))
      }
      let last = try #require(foreign.last)
      try #require(!guest.sessions.values.contains(last))
      try guest.expectRefused(request(.cipher, session: last, guest), .invsess)
      #expect(try guest.client.destroySession(last, service: .cipher) == .invsess)
      let operation = OperationSpec(
        Guest.spec(.cipher), sessionID: last, iv: Guest.cipherKey, source: Guest.cipherKey)
      try expectRight(stage.bystander.client.perform(operation), operation)
      for session in foreign {
        try stage.bystander.client.destroySession(session, service: .cipher)
      }
      try guest.expectAllIsWell()
    }

    /// Requests that are on their way when their session is closed are answered right or as invalid.
    @Test(arguments: [RingKind.split, .packed])
    func sessionClosedWithRequestsInFlight(ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      let queue = guest.client.dataQueues[0]
      let source = Samples.bytes(16384)
      var (served, refused, rounds, roundsInFlight) = (0, 0, 0, 0)
      // A quick engine may be done each time before the session is closed.
      while rounds < 30 || roundsInFlight == 0 && rounds < 500 {
        rounds += 1
        let session = try guest.client.openSession(Guest.spec(.cipher))
        var requests: [UInt32: (OperationSpec, PlacedRequest)] = [:]
        for _ in 0..<100 {
          var operation = guest.operation(.cipher)
          // Long enough that the session is closed meanwhile.
          operation.source = source
          operation.source[0] = UInt8(truncatingIfNeeded: requests.count)
          operation.sessionID = session
          let placed = try PlacedRequest(
            CryptoRequestBuilder.data(operation, format: guest.format), plan: RequestPlan(),
            in: guest.memory)
          let head = try queue.reserve(placed.buffers, indirect: true)
          queue.post(head)
          requests[UInt32(head)] = (operation, placed)
        }
        if queue.publish() { try queue.kick() }
        #expect(try guest.client.destroySession(session, service: .cipher) == .ok)
        if queue.rawUsedIndex &- queue.usedIndex < requests.count { roundsInFlight += 1 }
        while !requests.isEmpty {
          let used = try queue.pollUsed()
          let taken = requests.removeValue(forKey: used.head)
          let (operation, placed) = try #require(taken)
          let answer = try guest.client.answer(placed, used)
          if answer.status == .ok {
            try expectRight(answer, operation)
            served += 1
          } else {
            #expect(answer.status == .invsess)
            refused += 1
          }
          queue.release(UInt16(used.head))
          placed.free(in: guest.memory)
        }
        try guest.expectRefused(request(.cipher, session: session, guest), .invsess)
      }
      #expect(served + refused == 100 * rounds)
      #expect(roundsInFlight > 0, "each session was closed behind its last request")
      try guest.expectAllIsWell()
    }
  }
}
