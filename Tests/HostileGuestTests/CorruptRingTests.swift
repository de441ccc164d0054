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
    var descriptor = try #require(RingDescriptor(bytes: memory.read(address, byteCount: 16)))
    change(&descriptor)
    try memory.write(descriptor.bytes, at: address)
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

/// One way to corrupt a ring, which has to stop the queue.
struct RingFault: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var isIndirect: Bool
  var spoil: @Sendable (LaidOutRequest) throws -> Void

  init(
    _ description: String, indirect: Bool,
    _ spoil: @escaping @Sendable (LaidOutRequest) throws -> Void
  ) {
    testDescription = (indirect ? "indirect: " : "direct: ") + description
    isIndirect = indirect
    self.spoil = spoil
  }

  private static let gap: UInt64 = 0x8000_0000

  /// Faults of a chain, in the ring's own table and in an indirect one.
  private static func ofChain(_ indirect: Bool) -> [RingFault] {
    func fault(
      _ description: String, _ spoil: @escaping @Sendable (LaidOutRequest) throws -> Void
    ) -> RingFault { RingFault(description, indirect: indirect, spoil) }
    func edit(
      _ description: String, _ index: Int,
      _ change: @escaping @Sendable (inout RingDescriptor) -> Void
    ) -> RingFault { fault(description) { try $0.edit(index, change) } }
    var faults = [
      fault("a header that is its own next") { request in
        try request.edit(0) { $0.next = request.link(0) }
      },
      fault("a cycle of readable descriptors") { request in
        try request.edit(2) { $0.next = request.link(0) }
      },
      fault("a cycle of writable descriptors") { request in
        try request.edit(4) {
          $0.flags |= DriverQueue.DescriptorFlag.next
          $0.next = request.link(3)
        }
      },
      fault("a cycle of empty descriptors") { request in
        try request.edit(1) { $0.byteCount = 0 }
        try request.edit(2) {
          $0.byteCount = 0
          $0.next = request.link(1)
        }
      },
      edit("next at the table's size", 1) { $0.next = indirect ? 5 : 256 },
      edit("next 65535", 3) { $0.next = .max },
      edit("an indirect descriptor inside", 2) { $0.flags |= DriverQueue.DescriptorFlag.indirect },
      edit("an indirect descriptor at the end", 4) {
        $0.flags = DriverQueue.DescriptorFlag.indirect
      },
      edit("writable before readable", 1) { $0.flags |= DriverQueue.DescriptorFlag.write },
      edit("a readable status behind the destination", 4) { $0.flags = 0 },
    ]
    let parts = ["header", "IV", "source", "destination", "status"]
    for (index, part) in parts.enumerated() {
      faults += [
        edit("\(part) in a gap", index) { $0.guestAddress = gap },
        edit("\(part) at 0", index) { $0.guestAddress = 0 },
        edit("\(part) at 2^64 − 8", index) {
          $0.guestAddress = .max - 7
          $0.byteCount = max($0.byteCount, 16)
        },
        edit("\(part) at 2^64 − 1", index) { $0.guestAddress = .max },
        fault("\(part) right behind the last region") { request in
          let end = try #require(request.memory.regions.last).guestRange.upperBound
          try request.edit(index) { $0.guestAddress = end }
        },
        fault("\(part) across the last region's end") { request in
          let end = try #require(request.memory.regions.last).guestRange.upperBound
          try request.edit(index) {
            $0.guestAddress = end - 8
            $0.byteCount = max($0.byteCount, 16)
          }
        },
        fault("\(part) from the hole into a region") { request in
          let start = try #require(request.memory.regions.last).guestRange.lowerBound
          try request.edit(index) {
            $0.guestAddress = start - 8
            // Of the status only the last byte is touched: it must not be the one in the region.
            $0.byteCount = index == 4 ? 8 : max($0.byteCount, 16)
          }
        },
      ]
    }
    // The last writable byte is then 4 GiB further on, in a gap.
    faults.append(
      fault("a status of 4 GiB") { request in
        let start = try #require(request.memory.regions.last).guestRange.lowerBound
        try request.edit(4) {
          $0.guestAddress = start
          $0.byteCount = .max
        }
      })
    return faults
  }

  /// Faults of the descriptor that names an indirect table.
  private static var ofTable: [RingFault] {
    func length(_ byteCount: UInt32) -> RingFault {
      RingFault("a table of \(byteCount) bytes", indirect: true) { request in
        request.editTableDescriptor { $0.byteCount = byteCount }
      }
    }
    func address(_ description: String, _ address: UInt64) -> RingFault {
      RingFault(description, indirect: true) { request in
        request.editTableDescriptor { $0.guestAddress = address }
      }
    }
    return [0, 1, 8, 15, 17, 79, 81, 16 * 32769, 0xFFFF_FFF0, .max].map(length) + [
      address("a table in a gap", gap), address("a table at 0", 0),
      address("a table that wraps 2^64", .max - 31),
      RingFault("a table across a region's end into nothing", indirect: true) { request in
        let end = try #require(request.memory.regions.last).guestRange.upperBound
        let start = try #require(request.table)
        try request.memory.write(request.memory.read(start, byteCount: 48), at: end - 48)
        request.editTableDescriptor { $0.guestAddress = end - 48 }
      },
      RingFault("a huge table across a region's end", indirect: true) { request in
        let end = try #require(request.memory.regions.last).guestRange.upperBound
        request.editTableDescriptor {
          $0.guestAddress = end - 4096
          $0.byteCount = 16 * 32768
        }
      },
      RingFault("a table with NEXT", indirect: true) { request in
        request.editTableDescriptor { $0.flags |= DriverQueue.DescriptorFlag.next }
      },
      RingFault("a table with NEXT to itself", indirect: true) { request in
        request.editTableDescriptor {
          $0.flags |= DriverQueue.DescriptorFlag.next
          $0.next = request.head
        }
      },
      RingFault("a table shorter than its chain", indirect: true) { request in
        request.editTableDescriptor { $0.byteCount = 16 * 4 }
      },
    ]
  }

  /// Faults of the available ring.
  private static var ofAvailableRing: [RingFault] {
    func head(_ head: UInt16) -> RingFault {
      RingFault("head \(head)", indirect: false) { request in
        request.queue.setRawAvailableEntry(request.queue.publishedIndex, head: head)
      }
    }
    func jump(_ distance: UInt16) -> RingFault {
      RingFault("an available index \(Int16(bitPattern: distance)) away", indirect: false) {
        request in
        request.queue.setRawAvailableIndex(request.queue.publishedIndex &+ distance)
      }
    }
    return [256, 257, 0x8000, .max].map(head) + [257, 0x7FFF, 0x8000, .max].map(jump)
  }

  static let all = ofChain(false) + ofChain(true) + ofTable + ofAvailableRing
}

extension HostileGuest {
  @Suite struct CorruptRings {
    @Test(arguments: RingFault.all)
    func corruptRingStopsItsQueueAloneAndStartsAgain(fault: RingFault) throws {
      let guest = try Stage.current().guest(fault.isIndirect ? .legacy : .revision1)
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

    @Test func goodRequestsInFrontOfACorruptOneAreAnswered() throws {
      let stage = try Stage.current()
      let guest = try stage.guest()
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
      // The device goes on with the chain that it could not read, should anybody want that.
      let base = try guest.frontend.stopQueue(0)
      #expect(base == 10 || base == 11)
      #expect(try stage.counter("malformedRings") == malformed + 1)
      let fresh = try guest.frontend.makeQueue(size: 64)
      try guest.frontend.startQueue(0, fresh)
      let operation = guest.operation(.cipher)
      try expectRight(guest.client(withQueue: fresh).perform(operation), operation)
    }

    /// A stateless request brings its keys, which are read before the bad address is found.
    @Test func keysOfARequestThatStopsItsQueueAreWiped() throws {
      let stage = try Stage.current()
      let guest = try stage.guest(.stateless)
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

    @Test func corruptControlQueueStopsAloneAndStartsAgain() throws {
      let guest = try Stage.current().guest()
      let index = Int(try guest.frontend.readConfiguration().maxDataQueues)
      let queue = try guest.controlQueue
      let before = try guest.usedRing(queue)
      queue.setRawAvailableIndex(queue.publishedIndex &+ 65)
      try queue.kick()
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
