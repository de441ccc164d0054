import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Shapes that look wrong and are right: they must be served.
extension HostileGuest {
  @Suite struct OddButGoodRings {
    private static let rings = [RingKind.split, .packed]

    @Test(arguments: [true, false], RingKind.allCases)
    func emptyDescriptorsAreSkipped(isIndirect: Bool, ring: RingKind) throws {
      let guest = try Stage.current().guest(ring.isInOrder ? .legacy : .revision1, ring: ring)
      var plan = RequestPlan()
      plan.hasZeroLengthDescriptors = true
      plan.isIndirect = isIndirect
      for kind in Kind.allCases {
        try guest.expectServed(kind, plan: plan)
        try guest.expectAllIsWell(kind)
      }
    }

    /// Also where requests in flight are recorded, by their heads.
    @Test(arguments: [(true, false), (false, false), (true, true), (false, true)], rings)
    func sameHeadTwiceIsAnsweredTwice(
      shape: (isIndirect: Bool, isRecorded: Bool), ring: RingKind
    ) throws {
      let isIndirect = shape.isIndirect
      let guest = try Stage.current().guest(ring: ring)
      if shape.isRecorded { try guest.keepRecord() }
      let queue = guest.client.dataQueues[0]
      let request = try LaidOutRequest(guest, on: queue, isIndirect: isIndirect)
      queue.post(request.head)
      queue.post(request.head)
      _ = queue.publish()
      try queue.kick()
      for _ in 0..<2 {
        let used = try queue.pollUsed()
        #expect(used.head == UInt32(request.head))
        try expectRight(guest.client.answer(request.placed, used), request.operation)
      }
      try guest.expectAllIsWell()
    }

    /// Only the bytes that a request asks for are looked at.
    @Test(arguments: [(true, 2), (true, 3), (false, 2), (false, 3)], rings)
    func descriptorLongerThanTheRequestAsksForIsServed(
      shape: (isIndirect: Bool, part: Int), ring: RingKind
    ) throws {
      let (isIndirect, part) = shape
      let guest = try Stage.current().guest(ring: ring)
      let request = try LaidOutRequest(
        guest, on: guest.client.dataQueues[0], isIndirect: isIndirect)
      try request.edit(part) { $0.byteCount = .max }
      try request.submit()
      let used = try request.queue.pollUsed()
      try expectRight(guest.client.answer(request.placed, used), request.operation)
      try guest.expectAllIsWell()
    }

    @Test(arguments: rings)
    func indirectDescriptorMayCarryTheWriteFlag(ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      let request = try LaidOutRequest(guest, on: guest.client.dataQueues[0], isIndirect: true)
      request.editTableDescriptor { $0.flags |= DriverQueue.DescriptorFlag.write }
      try request.submit()
      let used = try request.queue.pollUsed()
      try expectRight(guest.client.answer(request.placed, used), request.operation)
      try guest.expectAllIsWell()
    }

    /// All flags but WRITE are reserved in a packed ring's tables.
    @Test(arguments: [DriverQueue.DescriptorFlag.next, DriverQueue.DescriptorFlag.indirect, 0x8080])
    func otherFlagsInAPackedRingsTableAreIgnored(flags: UInt16) throws {
      let guest = try Stage.current().guest(ring: .packed)
      let request = try LaidOutRequest(guest, on: guest.client.dataQueues[0], isIndirect: true)
      for part in 0..<5 { try request.edit(part) { $0.flags |= flags } }
      try request.submit()
      let used = try request.queue.pollUsed()
      try expectRight(guest.client.answer(request.placed, used), request.operation)
      try guest.expectAllIsWell()
    }

    /// 0 header, 1 IV, 2 source, 3 destination; half in one region, half in its neighbour.
    @Test(arguments: 0..<4, [true, false])
    func bufferAcrossAdjacentRegionsIsServed(part: Int, isIndirect: Bool) throws {
      for ring in Self.rings {
        let guest = try Stage.current().guest(ring.isPacked ? .revision1 : .legacy, ring: ring)
        let request = try LaidOutRequest(
          guest, on: guest.client.dataQueues[0], isIndirect: isIndirect)
        let old = request.placed.buffers[part]
        let count = Int(old.byteCount)
        let address = try guest.memory.allocateCrossing(count)
        try guest.memory.write(
          guest.memory.read(old.guestAddress, byteCount: count), at: address)
        try request.edit(part) { $0.guestAddress = address }
        try request.submit()
        let used = try request.queue.pollUsed()
        #expect(used.byteCount == 65)
        #expect(
          try guest.memory.read(try #require(request.placed.statusAddress), byteCount: 1) == [0])
        let output =
          part == 3
          ? try guest.memory.read(address, byteCount: count)
          : try PlacedRequest.content(of: request.placed.destination, in: guest.memory)
        #expect(try output == Guest.expectedBytes(request.operation))
        guest.memory.freeCrossing(address)
        try guest.expectAllIsWell()
        guest.leave()
      }
    }

    /// The border lies inside a descriptor, or between two of them.
    @Test(arguments: [80, 64, 96, 72, 8], rings)
    func indirectTableAcrossAdjacentRegionsIsServed(bytesBefore: Int, ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      let request = try LaidOutRequest(guest, on: guest.client.dataQueues[0], isIndirect: true)
      // A table of ten: empty descriptors follow, unlinked.
      let table = try guest.memory.read(try #require(request.table), byteCount: 80)
      let area = try guest.memory.allocateCrossing(400)
      let border = area + 200
      let address = border - UInt64(bytesBefore)
      try guest.memory.write(table + [UInt8](repeating: 0, count: 80), at: address)
      request.editTableDescriptor {
        $0.guestAddress = address
        $0.byteCount = 160
      }
      try request.submit()
      let used = try request.queue.pollUsed()
      try expectRight(guest.client.answer(request.placed, used), request.operation)
      guest.memory.freeCrossing(area)
      try guest.expectAllIsWell()
    }

    /// As long a table as there can be, all of it in use.
    @Test(arguments: rings)
    func tableOf32768DescriptorsIsServed(ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      let operation = guest.operation(.cipher)
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: guest.format), plan: RequestPlan(),
        in: guest.memory)
      let filler = ChainBuffer(
        guestAddress: placed.source[0].guestAddress, byteCount: 16, isWritable: false)
      var buffers = placed.buffers
      buffers.insert(
        contentsOf: Array(repeating: filler, count: 32768 - buffers.count), at: 3)
      let queue = guest.client.dataQueues[0]
      try queue.submit(buffers, indirect: true)
      let used = try queue.pollUsed()
      try expectRight(guest.client.answer(placed, used), operation)
      try guest.expectAllIsWell()
    }
  }
}
