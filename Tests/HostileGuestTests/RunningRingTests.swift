import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// What a front-end may do to rings while they run.
extension HostileGuest {
  @Suite struct RunningRings {
    private func slotGuest(_ layout: String) throws -> Guest {
      let format: RequestFormat = layout == "legacy" ? .legacy : .revision1
      var options = Frontend.Options(format: format)
      options.usesMemorySlots = true
      return try Stage.current().guest(format, options: options)
    }

    /// A request whose source lies in the third region.
    private func requestInThirdRegion(_ guest: Guest) throws -> LaidOutRequest {
      let request = try LaidOutRequest(guest, on: guest.client.dataQueues[0], isIndirect: true)
      let address = try guest.memory.allocate(64, region: 2)
      try guest.memory.write(request.operation.source, at: address)
      try request.edit(2) { $0.guestAddress = address }
      return request
    }

    @Test(arguments: ["legacy", "revision 1"])
    func regionsComeAndGoWhileRingsRun(layout: String) throws {
      let guest = try slotGuest(layout)
      let queue = guest.client.dataQueues[0]
      for _ in 0..<10 {
        let request = try requestInThirdRegion(guest)
        try request.submit()
        try expectRight(
          guest.client.answer(request.placed, queue.pollUsed()), request.operation)
        queue.release(request.head)
        // Requests are under way while the tables change.
        let others = try (0..<50).map { _ in
          try LaidOutRequest(guest, on: queue, isIndirect: true)
        }
        for other in others { queue.post(other.head) }
        if queue.publish() { try queue.kick() }
        try guest.frontend.removeMemoryRegion(2)
        try guest.expectServed(queue: 1)
        try guest.frontend.addMemoryRegion(2)
        for other in others {
          try expectRight(guest.client.answer(other.placed, queue.pollUsed()), other.operation)
          queue.release(other.head)
        }
        try guest.expectAllIsWell()
      }
      // Without its region a buffer lies in a gap.
      try guest.frontend.removeMemoryRegion(2)
      let request = try requestInThirdRegion(guest)
      let before = try guest.usedRing(queue)
      try request.submit()
      try guest.expectStopped(0, queue, usedRing: before)
      try guest.expectAllIsWell(exceptQueue: 0)
      try guest.frontend.addMemoryRegion(2)
      let fresh = try guest.restart(0)
      let operation = guest.operation(.cipher)
      try expectRight(guest.client(withQueue: fresh).perform(operation), operation)
    }

    @Test func ringWhoseMemoryIsTakenAwayGoesOnWhenItComesBack() throws {
      let guest = try slotGuest("revision 1")
      try guest.frontend.stopQueue(0)
      let queue = try guest.frontend.makeQueue(size: 64, region: 2)
      try guest.frontend.startQueue(0, queue)
      let client = guest.client(withQueue: queue)
      for _ in 0..<5 {
        let operation = guest.operation(.cipher)
        try expectRight(client.perform(operation), operation)
        try guest.frontend.removeMemoryRegion(2)
        try guest.expectAllIsWell(exceptQueue: 0)
        try guest.frontend.addMemoryRegion(2)
      }
      try guest.expectAllIsWell(exceptQueue: 0)
    }

    @Test func callEventIsExchangedWhileTheRingRuns() throws {
      let guest = try Stage.current().guest()
      let queue = guest.client.dataQueues[0]
      var current = queue.callEvent
      for turn in 0..<20 {
        let request = try LaidOutRequest(guest, on: queue, isIndirect: true)
        #expect(!queue.enableCalls())
        _ = try current.drain()
        queue.post(request.head)
        if queue.publish() { try queue.kick() }
        #expect(try current.wait(milliseconds: 5000), "turn \(turn)")
        try expectRight(guest.client.answer(request.placed, queue.pollUsed()), request.operation)
        queue.release(request.head)
        let next = try EventFile()
        try guest.frontend.command(
          .setVringCall, payload: VringDescriptor(index: 0).encoded,
          descriptors: [next.descriptor])
        // From here on the old one is silent.
        _ = try current.drain()
        let other = try LaidOutRequest(guest, on: queue, isIndirect: true)
        _ = queue.enableCalls()
        try other.submit()
        #expect(try next.wait(milliseconds: 5000), "turn \(turn)")
        try expectRight(guest.client.answer(other.placed, queue.pollUsed()), other.operation)
        queue.release(other.head)
        #expect(try current.drain() == 0)
        current = next
      }
      try guest.expectAllIsWell()
    }

    /// Sizes that are no power of two are for packed rings.
    @Test(
      arguments: [
        (8, .split), (256, .split), (8, .splitInOrder), (7, .packed), (100, .packed),
        (256, .packedInOrder),
      ] as [(Int, RingKind)], [true, false])
    func ringsAreStoppedAndRestartedWithWrappedIndices(
      shape: (size: Int, ring: RingKind), hasEventIndex: Bool
    ) throws {
      let size = shape.size
      var options = Frontend.Options(format: .revision1, ring: shape.ring)
      if !hasEventIndex { options.features &= ~(1 << 29) }
      let guest = try Stage.current().guest(.revision1, options: options)
      try guest.frontend.stopQueue(0)
      let queue = try guest.frontend.makeQueue(size: UInt16(size), startIndex: 65500)
      let client = guest.client(withQueue: queue)
      // Asleep between requests, so that a lost kick or call shows.
      client.polls = false
      var count: UInt16 = 0
      for turn in 0..<12 {
        try guest.frontend.startQueue(0, queue)
        for _ in 0..<7 {
          let operation = guest.operation(.cipher)
          try expectRight(client.perform(operation), operation, "turn \(turn)")
          count += 1
        }
        let base = try guest.frontend.stopQueue(0)
        #expect(queue.index(ofBase: base) == 65500 &+ count)
        #expect(queue.rawUsedIndex == 65500 &+ count)
        // What is posted while the ring is stopped is served when it starts.
        let request = try LaidOutRequest(guest, on: queue, isIndirect: true)
        queue.post(request.head)
        _ = queue.publish()
        usleep(2000)
        #expect(queue.rawUsedIndex == 65500 &+ count)
        // The kick eventfd alone starts the ring again, from where it stopped.
        try guest.frontend.command(
          .setVringKick, payload: VringDescriptor(index: 0).encoded,
          descriptors: [queue.kickEvent.descriptor])
        try expectRight(client.answer(request.placed, queue.pollUsed()), request.operation)
        queue.release(request.head)
        count += 1
        try guest.frontend.stopQueue(0)
      }
      try guest.frontend.startQueue(0, queue)
      try guest.expectAllIsWell(exceptQueue: 0)
    }
  }
}
