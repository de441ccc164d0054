import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension HostileGuest {
  /// RESET_DEVICE: rings are disabled, sessions are gone, and the guest can begin anew over the same connection.
  @Suite struct ResetDevices {
    /// Puts long requests on both data queues and does not wait for them.
    private func flood(_ guest: Guest, _ random: inout SeededRandom) throws {
      for queue in guest.client.dataQueues {
        for _ in 0..<40 {
          var operation = guest.operation(Kind.allCases.randomElement(using: &random) ?? .cipher)
          if case .hash = operation.session {
            operation.source = random.bytes(20000)
          }
          let placed = try PlacedRequest(
            CryptoRequestBuilder.data(operation, format: guest.format), plan: RequestPlan(),
            in: guest.memory)
          queue.post(try queue.reserve(placed.buffers, indirect: true))
        }
        if queue.publish() { try queue.kick() }
      }
    }

    @Test(arguments: RingKind.allCases)
    func resetUnderLoadBringsTheDeviceBackToItsStart(ring: RingKind) throws {
      let stage = try Stage.current()
      var random = SeededRandom.printed()
      for turn in 0..<5 {
        let guest = try stage.guest(turn % 2 == 0 ? .revision1 : .legacy, ring: ring)
        let old = try #require(guest.sessions[.cipher])
        try guest.frontend.setStatus(0xF)
        try flood(guest, &random)
        usleep(UInt32.random(in: 0..<3000, using: &random))
        try guest.frontend.resetDevice()

        // From the answer on, nothing of the rings is in flight, and nothing is taken from them.
        let before = try guest.client.dataQueues.map { try $0.rawUsedRing() }
        for queue in guest.client.dataQueues { try queue.kick() }
        usleep(20000)
        for (queue, ring) in zip(guest.client.dataQueues, before) {
          #expect(try queue.rawUsedRing() == ring, "turn \(turn)")
        }
        #expect(try guest.frontend.status() == 0)
        let sessions = try stage.device()["sessions"] as? [String: Any]
        #expect(sessions?["open"] as? Int == 0)
        let queues = try stage.device()["queues"] as? [[String: Any]] ?? []
        #expect(queues.allSatisfy { $0["running"] as? Bool != true })

        // The guest begins anew: memory and features are as they were.
        let fresh = try startAnew(guest)
        #expect(try fresh.perform(guest.operation(.cipher)).status == .invsess)
        var operation = guest.operation(.cipher)
        operation.sessionID = try fresh.openSession(Guest.spec(.cipher))
        #expect(operation.sessionID != old)
        try expectRight(fresh.perform(operation), operation, "turn \(turn)")
        try stage.bystander.expectServed()
        guest.leave()
        try stage.expectNothingIsLeft()
      }
    }

    /// Whatever was wrong with a ring before.
    @Test(arguments: [RingKind.split, .packed])
    func resetHealsARingThatTheGuestCorrupted(ring: RingKind) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(ring: ring)
      let queue = guest.client.dataQueues[0]
      let request = try LaidOutRequest(guest, on: queue, isIndirect: true)
      request.editTableDescriptor { $0.byteCount = 17 }
      try request.submit()
      #expect(try guest.frontend.hasRingError(0, timeoutMilliseconds: 5000))
      try guest.frontend.resetDevice()
      let fresh = try startAnew(guest)
      var operation = guest.operation(.cipher)
      operation.sessionID = try fresh.openSession(Guest.spec(.cipher))
      try expectRight(fresh.perform(operation), operation)
    }

    /// Resets one after the other, with nothing, something or everything started in between.
    @Test(arguments: [RingKind.split, .packed])
    func resetsMayFollowEachOther(ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      for turn in 0..<30 {
        try guest.frontend.resetDevice()
        if turn % 3 > 0 {
          let queue = try guest.frontend.makeQueue(size: 16)
          try guest.frontend.startQueue(turn % 2, queue)
        }
      }
      try guest.frontend.resetDevice()
      let fresh = try startAnew(guest)
      var operation = guest.operation(.cipher)
      operation.sessionID = try fresh.openSession(Guest.spec(.cipher))
      try expectRight(fresh.perform(operation), operation)
    }

    /// Data queue 0 and the control queue, in fresh rings.
    private func startAnew(_ guest: Guest) throws -> CryptoClient {
      let queue = try guest.frontend.makeQueue(size: 64)
      try guest.frontend.startQueue(0, queue)
      let control = try guest.frontend.makeQueue(size: 64)
      try guest.frontend.startQueue(
        Int(try guest.frontend.readConfiguration().maxDataQueues), control)
      return CryptoClient(
        frontend: guest.frontend, memory: guest.memory, dataQueues: [queue],
        control: .queue(control))
    }
  }
}
