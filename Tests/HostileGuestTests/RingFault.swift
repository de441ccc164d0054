import TestSupport
import Testing
import VhostUserFrontend

/// One way to corrupt a ring, which has to stop the queue.
struct RingFault: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var ring: RingKind
  var isIndirect: Bool
  var spoil: @Sendable (LaidOutRequest) throws -> Void

  init(
    _ description: String, indirect: Bool, ring: RingKind = .split,
    _ spoil: @escaping @Sendable (LaidOutRequest) throws -> Void
  ) {
    testDescription = "\(ring), \(indirect ? "indirect" : "direct"): \(description)"
    self.ring = ring
    isIndirect = indirect
    self.spoil = spoil
  }

  private static let gap: UInt64 = 0x8000_0000

  /// Faults of how descriptors are linked, in the ring's own table and in an indirect one.
  private static func ofLinks(_ indirect: Bool) -> [RingFault] {
    func fault(
      _ description: String, _ spoil: @escaping @Sendable (LaidOutRequest) throws -> Void
    ) -> RingFault { RingFault(description, indirect: indirect, spoil) }
    func edit(
      _ description: String, _ index: Int,
      _ change: @escaping @Sendable (inout RingDescriptor) -> Void
    ) -> RingFault { fault(description) { try $0.edit(index, change) } }
    return [
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
    ]
  }

  /// The same of a packed ring, whose chains are descriptors one behind the other.
  private static var ofPackedChains: [RingFault] {
    func edit(
      _ description: String, _ index: Int,
      _ change: @escaping @Sendable (inout RingDescriptor) -> Void
    ) -> RingFault {
      RingFault(description, indirect: false, ring: .packed) { try $0.edit(index, change) }
    }
    return [
      RingFault("every descriptor of the ring goes on", indirect: false, ring: .packed) {
        request in
        try request.edit(4) { $0.flags |= DriverQueue.DescriptorFlag.next }
        let onwards = RingDescriptor(
          guestAddress: 0, byteCount: 0, flags: DriverQueue.DescriptorFlag.next, next: 0)
        for distance in 5..<request.queue.size {
          try request.memory.write(
            onwards.bytes(of: .packed), at: request.queue.nextDescriptorAddress(distance))
        }
      },
      edit("an indirect descriptor first", 0) { $0.flags |= DriverQueue.DescriptorFlag.indirect },
      edit("an indirect descriptor inside", 2) { $0.flags |= DriverQueue.DescriptorFlag.indirect },
      edit("an indirect descriptor at the end", 4) {
        $0.flags = DriverQueue.DescriptorFlag.indirect
      },
    ]
  }

  /// Faults of a chain's buffers, in the ring itself and in an indirect table.
  private static func ofBuffers(_ indirect: Bool, _ ring: RingKind) -> [RingFault] {
    func fault(
      _ description: String, _ spoil: @escaping @Sendable (LaidOutRequest) throws -> Void
    ) -> RingFault { RingFault(description, indirect: indirect, ring: ring, spoil) }
    func edit(
      _ description: String, _ index: Int,
      _ change: @escaping @Sendable (inout RingDescriptor) -> Void
    ) -> RingFault { fault(description) { try $0.edit(index, change) } }
    var faults = [
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
  private static func ofTable(_ ring: RingKind) -> [RingFault] {
    func length(_ byteCount: UInt32) -> RingFault {
      RingFault("a table of \(byteCount) bytes", indirect: true, ring: ring) { request in
        request.editTableDescriptor { $0.byteCount = byteCount }
      }
    }
    func address(_ description: String, _ address: UInt64) -> RingFault {
      RingFault(description, indirect: true, ring: ring) { request in
        request.editTableDescriptor { $0.guestAddress = address }
      }
    }
    return [0, 1, 8, 15, 17, 79, 81, 16 * 32769, 0xFFFF_FFF0, .max].map(length) + [
      address("a table in a gap", gap), address("a table at 0", 0),
      address("a table that wraps 2^64", .max - 31),
      RingFault("a table across a region's end into nothing", indirect: true, ring: ring) {
        request in
        let end = try #require(request.memory.regions.last).guestRange.upperBound
        let start = try #require(request.table)
        try request.memory.write(request.memory.read(start, byteCount: 48), at: end - 48)
        request.editTableDescriptor { $0.guestAddress = end - 48 }
      },
      RingFault("a huge table across a region's end", indirect: true, ring: ring) { request in
        let end = try #require(request.memory.regions.last).guestRange.upperBound
        request.editTableDescriptor {
          $0.guestAddress = end - 4096
          $0.byteCount = 16 * 32768
        }
      },
      RingFault("a table with NEXT", indirect: true, ring: ring) { request in
        request.editTableDescriptor { $0.flags |= DriverQueue.DescriptorFlag.next }
      },
    ]
  }

  /// Faults of that descriptor and its table that only links can have.
  private static var ofTableLinks: [RingFault] {
    [
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

  static let all =
    [false, true].flatMap { indirect in
      ofLinks(indirect) + [.split, .packed].flatMap { ofBuffers(indirect, $0) }
    }
    + [.split, .packed].flatMap { ofTable($0) } + ofTableLinks + ofAvailableRing + ofPackedChains
}
