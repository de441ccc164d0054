import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// A good request in a queue of 256, laid out and not yet shown to the device, to be spoilt.
///
/// Its five descriptors are header, IV, source (device-readable), destination and status
/// (device-writable).
struct LaidOutRequest {
  let memory: GuestRAM
  let queue: DriverQueue
  let placed: PlacedRequest
  let operation: OperationSpec
  let head: UInt16
  /// The descriptors in the ring's table: five, or the one that names the indirect table.
  let ring: [UInt16]
  let table: UInt64?

  init(
    _ guest: Guest, on queue: DriverQueue, isIndirect: Bool, plan: RequestPlan = RequestPlan()
  ) throws {
    memory = guest.memory
    self.queue = queue
    operation = guest.operation(.cipher)
    placed = try PlacedRequest(
      CryptoRequestBuilder.data(operation, format: guest.format), plan: plan, in: memory)
    head = try queue.reserve(placed.buffers, indirect: isIndirect)
    ring = queue.descriptorIndices(of: head)
    table = queue.indirectTable(of: head)
  }

  /// Changes a descriptor of the request (0 header … 4 status), wherever it lies.
  func edit(_ index: Int, _ change: (inout RingDescriptor) -> Void) throws {
    guard let table else {
      var descriptor = queue.descriptor(ring[index])
      change(&descriptor)
      queue.setDescriptor(ring[index], descriptor)
      return
    }
    let address = table + 16 * UInt64(index)
    var descriptor = try #require(
      RingDescriptor(bytes: memory.read(address, byteCount: 16), of: queue.kind))
    change(&descriptor)
    try memory.write(descriptor.bytes(of: queue.kind), at: address)
  }

  /// Changes the one descriptor in the ring that names the indirect table.
  func editTableDescriptor(_ change: (inout RingDescriptor) -> Void) {
    var descriptor = queue.descriptor(head)
    change(&descriptor)
    queue.setDescriptor(head, descriptor)
  }

  /// The number that `next` has for a descriptor of the request.
  func link(_ index: Int) -> UInt16 { table == nil ? ring[index] : UInt16(index) }

  func submit() throws {
    queue.post(head)
    _ = queue.publish()
    try queue.kick()
  }
}

extension HostileGuest {
  @Suite struct CorruptRings {
    @Test(arguments: RingFault.all)
    func corruptRingStopsItsQueueAloneAndStartsAgain(fault: RingFault) throws {
      let guest = try Stage.current().guest(
        fault.isIndirect ? .legacy : .revision1, ring: fault.ring)
      try guest.expectAllIsWell()
      let queue = guest.client.dataQueues[0]
      let request = try LaidOutRequest(guest, on: queue, isIndirect: fault.isIndirect)
      let before = try guest.usedRing(queue)
      // What is in the available ring is changed after it was posted, before it is shown.
      queue.post(request.head)
      try fault.spoil(request)
      if fault.testDescription.contains("available index") {
        try queue.kick()
      } else {
        _ = queue.publish()
        try queue.kick()
      }
      try guest.expectStopped(0, queue, usedRing: before)
      try guest.expectAllIsWell(exceptQueue: 0)
      let fresh = try guest.restart(0)
      let restarted = guest.client(withQueue: fresh)
      let operation = guest.operation(.cipher)
      try expectRight(restarted.perform(operation), operation)
      try guest.expectAllIsWell(exceptQueue: 0)
    }

    @Test(arguments: RingKind.allCases)
    func goodRequestsInFrontOfACorruptOneAreAnswered(ring: RingKind) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(ring: ring)
      let malformed = try stage.counter("malformedRings")
      let queue = guest.client.dataQueues[0]
      let good = try (0..<10).map { _ in try LaidOutRequest(guest, on: queue, isIndirect: true) }
      let bad = try LaidOutRequest(guest, on: queue, isIndirect: true)
      bad.editTableDescriptor { $0.byteCount = 8 }
      for request in good + [bad] { queue.post(request.head) }
      _ = queue.publish()
      try queue.kick()
      for request in good {
        let used = try queue.pollUsed()
        #expect(used.head == UInt32(request.head))
        try expectRight(guest.client.answer(request.placed, used), request.operation)
      }
      try guest.expectStopped(0, queue, usedRing: try guest.usedRing(queue))
      let health = try HTTPExchange("/healthz", socketPath: stage.statsSocket).answer()
      #expect(health.status == 503)
      let reason = String(decoding: health.body, as: UTF8.self)
      #expect(reason.contains("queue 0: stopped, the guest corrupted its ring: "), "\(reason)")
      // The device goes on with the chain that it could not read, should anybody want that.
      let base = try guest.frontend.stopQueue(0)
      // A packed ring's word also has where used descriptors go on: in front of that chain.
      #expect([10, 11].contains(base & 0x7FFF) && (!ring.isPacked || base >> 16 == 0x800A))
      #expect(try stage.counter("malformedRings") == malformed + 1)
      let fresh = try guest.frontend.makeQueue(size: 64)
      try guest.frontend.startQueue(0, fresh)
      let operation = guest.operation(.cipher)
      try expectRight(guest.client(withQueue: fresh).perform(operation), operation)
      #expect(
        try HTTPExchange("/healthz", socketPath: stage.statsSocket).answer().status == 200)
    }

    /// A stateless request brings its keys, which are read before the bad address is found.
    @Test(arguments: [RingKind.split, .packed])
    func keysOfARequestThatStopsItsQueueAreWiped(ring: RingKind) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(.stateless, ring: ring)
      var random = SeededRandom.printed()
      // It starts with a rare byte, which makes the search fast.
      let key = [0xA7] + random.bytes(31)
      #expect(try !stage.daemonHolds(key))
      // With a session, so that the search is seen to find a key that is there.
      let session = try guest.client.openSession(.cipher(.aesCBC, .encrypt, key: key))
      #expect(try stage.daemonHolds(key))
      #expect(try guest.client.destroySession(session, service: .cipher) == .ok)
      try guest.expectAllIsWell()
      try waitUntil("the session's key to go") { try !stage.daemonHolds(key) }

      let operation = OperationSpec(
        .cipher(.aesCBC, .encrypt, key: key), sessionID: nil, iv: Guest.cipherKey,
        source: Guest.cipherKey)
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: .stateless), plan: RequestPlan(),
        in: guest.memory)
      var buffers = placed.buffers
      // Header, key, IV, source.
      buffers[3].guestAddress = 0x8000_0000
      // In a small ring, whose request slots lie in the heap: pages of their own would be gone.
      let queue = try guest.restart(0, size: 16)
      try queue.submit(buffers, indirect: true)
      #expect(try guest.frontend.hasRingError(0, timeoutMilliseconds: 5000))
      try guest.frontend.stopQueue(0)
      #expect(try !stage.daemonHolds(key))
      try guest.expectAllIsWell(exceptQueue: 0)
    }

    @Test(arguments: [RingKind.split, .packed])
    func corruptControlQueueStopsAloneAndStartsAgain(ring: RingKind) throws {
      let guest = try Stage.current().guest(ring: ring)
      let index = Int(try guest.frontend.readConfiguration().maxDataQueues)
      let queue = try guest.controlQueue
      let before = try guest.usedRing(queue)
      if ring.isPacked {
        let bad = try LaidOutRequest(guest, on: queue, isIndirect: true)
        bad.editTableDescriptor { $0.byteCount = 8 }
        try bad.submit()
      } else {
        queue.setRawAvailableIndex(queue.publishedIndex &+ 65)
        try queue.kick()
      }
      try guest.expectStopped(index, queue, usedRing: before)
      try guest.expectAllIsWell()
      let fresh = try guest.restart(index, size: 64)
      let again = CryptoClient(
        frontend: guest.frontend, memory: guest.memory, dataQueues: guest.client.dataQueues,
        control: .queue(fresh))
      _ = try again.openSession(Guest.spec(.mac))
      try guest.expectAllIsWell()
    }
  }
}
