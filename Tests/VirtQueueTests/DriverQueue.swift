import CRingShims
import GuestMemory
import LinuxSystem
import VirtQueue

/// Two adjacent regions of guest memory, each in a file of its own.
final class GuestFixture {
  static let base: UInt64 = 0x10_0000
  static let regionByteCount: UInt64 = 4 << 20
  /// Where the second region starts: a buffer over this address crosses regions.
  static let seam = base + regionByteCount
  static let end = seam + regionByteCount

  let map: MemoryMap

  init() throws {
    var map = MemoryMap()
    // The upper one first, so that nothing may rely on the order of mapping.
    for (index, start) in [Self.seam, Self.base].enumerated() {
      let file = try MemoryFile.make(
        name: "queue-test", byteCount: Int(Self.regionByteCount))
      map = try map.adding(
        RegionDescription(
          guestAddress: GuestAddress(rawValue: start), byteCount: Self.regionByteCount,
          frontendAddress: FrontendAddress(rawValue: 0x7000_0000 + UInt64(index) << 32),
          mmapOffset: 0),
        descriptor: file)
    }
    self.map = map
  }

  /// The test's own way to a byte, which does not use the code under test beyond one-byte translation.
  func pointer(_ address: UInt64) throws -> UnsafeMutablePointer<UInt8> {
    guard let slice = map.translate(GuestAddress(rawValue: address), byteCount: 1) else {
      throw FixtureError.notMapped(address)
    }
    return slice.pointer
  }

  func write(_ bytes: [UInt8], at address: UInt64) throws {
    for (index, byte) in bytes.enumerated() {
      try pointer(address + UInt64(index)).pointee = byte
    }
  }

  func read(_ address: UInt64, _ count: Int) throws -> [UInt8] {
    try (0..<count).map { try pointer(address + UInt64($0)).pointee }
  }
}

enum FixtureError: Error {
  case notMapped(UInt64)
  case noSlice
}

/// One descriptor as a driver writes it.
struct DriverDescriptor {
  static let next: UInt16 = 1
  static let write: UInt16 = 2
  static let indirect: UInt16 = 4

  var address: UInt64
  var byteCount: UInt32
  var flags: UInt16 = 0
  var link: UInt16 = 0

  static func readable(_ address: UInt64, _ byteCount: UInt32) -> DriverDescriptor {
    DriverDescriptor(address: address, byteCount: byteCount)
  }
  static func writable(_ address: UInt64, _ byteCount: UInt32) -> DriverDescriptor {
    DriverDescriptor(address: address, byteCount: byteCount, flags: write)
  }
}

/// The guest's side of a split virtqueue: rings at fixed places in the fixture's memory, and no manners of its own.
final class DriverQueue {
  static let descriptorTable = GuestFixture.base
  static let availableRing = GuestFixture.base + 0x10_0000
  static let usedRing = GuestFixture.base + 0x14_0000
  /// Free for indirect tables and buffers, up to the seam.
  static let free = GuestFixture.base + 0x20_0000

  let guest: GuestFixture
  let size: Int
  private(set) var availableIndex: UInt16

  init(size: Int = 16, startIndex: UInt16 = 0) throws {
    guest = try GuestFixture()
    self.size = size
    availableIndex = startIndex
    try setAvailableIndex(startIndex)
    cring_store16(try guest.pointer(Self.usedRing) + 2, startIndex)
  }

  /// A queue that starts where the driver is.
  func makeQueue(eventIndex: Bool = false) throws -> DeviceQueue {
    try makeQueue(eventIndex: eventIndex, nextAvailable: availableIndex)
  }

  /// A queue that starts at available index 0, whatever the driver has offered since.
  func makeQueueFromStart() throws -> DeviceQueue {
    try makeQueue(eventIndex: false, nextAvailable: 0)
  }

  private func makeQueue(eventIndex: Bool, nextAvailable: UInt16) throws -> DeviceQueue {
    DeviceQueue(
      try SplitQueue(layout: layout(), eventIndex: eventIndex, nextAvailable: nextAvailable),
      memory: guest.map.view)
  }

  func layout() throws -> SplitQueueLayout {
    func slice(_ address: UInt64, _ byteCount: Int) throws -> GuestSlice {
      guard
        let slice = guest.map.translate(GuestAddress(rawValue: address), byteCount: byteCount)
      else { throw FixtureError.noSlice }
      return slice
    }
    return try SplitQueueLayout(
      size: size, descriptorTable: slice(Self.descriptorTable, 16 * size),
      availableRing: slice(Self.availableRing, 6 + 2 * size),
      usedRing: slice(Self.usedRing, 6 + 8 * size))
  }

  // MARK: - Writing descriptors

  func put(_ descriptor: DriverDescriptor, at index: Int, table: UInt64 = descriptorTable) throws {
    var bytes = [UInt8]()
    for shift in 0..<8 {
      bytes.append(UInt8(truncatingIfNeeded: descriptor.address >> (8 * shift)))
    }
    for shift in 0..<4 {
      bytes.append(UInt8(truncatingIfNeeded: descriptor.byteCount >> (8 * shift)))
    }
    for word in [descriptor.flags, descriptor.link] {
      bytes.append(UInt8(truncatingIfNeeded: word))
      bytes.append(UInt8(truncatingIfNeeded: word >> 8))
    }
    try guest.write(bytes, at: table + 16 * UInt64(index))
  }

  /// Writes a chain into a table, linked in the order of `slots` (by default one after the other).
  func putChain(
    _ chain: [DriverDescriptor], slots: [Int]? = nil, table: UInt64 = descriptorTable
  ) throws {
    let slots = slots ?? Array(chain.indices)
    for (position, descriptor) in chain.enumerated() {
      var linked = descriptor
      if position + 1 < chain.count {
        linked.flags |= DriverDescriptor.next
        linked.link = UInt16(slots[position + 1])
      }
      try put(linked, at: slots[position], table: table)
    }
  }

  /// Makes a chain available whose descriptors are in an indirect table at `table`.
  func offerIndirect(_ chain: [DriverDescriptor], table: UInt64 = free, head: Int = 0) throws {
    try putChain(chain, table: table)
    try put(
      DriverDescriptor(
        address: table, byteCount: UInt32(16 * chain.count), flags: DriverDescriptor.indirect),
      at: head)
    try offer(UInt16(head))
  }

  // MARK: - The rings

  func offer(_ head: UInt16) throws {
    let slot = Int(availableIndex) & (size - 1)
    cring_store16(try guest.pointer(Self.availableRing) + 4 + 2 * slot, head)
    try setAvailableIndex(availableIndex &+ 1)
  }

  func setAvailableIndex(_ index: UInt16) throws {
    availableIndex = index
    cring_store16_release(try guest.pointer(Self.availableRing) + 2, index)
  }

  /// `VIRTQ_AVAIL_F_NO_INTERRUPT`.
  func setAvailableFlags(_ flags: UInt16) throws {
    cring_store16(try guest.pointer(Self.availableRing), flags)
  }

  func setUsedEvent(_ index: UInt16) throws {
    cring_store16(try guest.pointer(Self.availableRing) + 4 + 2 * size, index)
  }

  var usedIndex: UInt16 {
    get throws { cring_load16_acquire(try guest.pointer(Self.usedRing) + 2) }
  }
  var usedFlags: UInt16 { get throws { cring_load16(try guest.pointer(Self.usedRing)) } }
  var availableEvent: UInt16 {
    get throws { cring_load16(try guest.pointer(Self.usedRing) + 4 + 8 * size) }
  }

  func usedEntry(_ index: UInt16) throws -> (head: UInt32, byteCount: UInt32) {
    let entry = try guest.pointer(Self.usedRing) + 4 + 8 * (Int(index) & (size - 1))
    return (cring_load32(entry), cring_load32(entry + 4))
  }
}
