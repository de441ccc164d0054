import CRingShims
import GuestMemory
import VirtQueue

/// The guest's side of a packed virtqueue, with no manners of its own.
final class PackedDriver {
  static let ring = GuestFixture.base
  static let driverEvent = GuestFixture.base + 0x10_0000
  static let deviceEvent = GuestFixture.base + 0x14_0000
  /// Free for indirect tables and buffers, up to the seam.
  static let free = GuestFixture.base + 0x20_0000

  /// `VIRTQ_DESC_F_AVAIL`, `VIRTQ_DESC_F_USED`.
  static let avail: UInt16 = 0x80
  static let used: UInt16 = 0x8000

  struct Place: Hashable {
    var index: Int
    var wrap: Bool
    var word: UInt16 { UInt16(index) | (wrap ? 0x8000 : 0) }

    mutating func advance(_ count: Int, size: Int) {
      for _ in 0..<count {
        index += 1
        if index == size { (index, wrap) = (0, !wrap) }
      }
    }

    func advanced(_ count: Int, size: Int) -> Place {
      var place = self
      place.advance(count, size: size)
      return place
    }
  }

  struct Used: Hashable {
    var id: UInt16
    var byteCount: UInt32
    var isWritten: Bool
  }

  let guest: GuestFixture
  let size: Int
  private(set) var next: Place
  private(set) var nextUsed: Place

  init(size: Int = 16, start: Place = Place(index: 0, wrap: true)) throws {
    guest = try GuestFixture()
    self.size = size
    next = start
    nextUsed = start
    // All was used before: in this round up to here, in the last one from here on.
    for index in 0..<max(size, 0) {
      let round = index < start.index ? start.wrap : !start.wrap
      let flags = round ? Self.avail | Self.used : 0
      guard size <= 32768 else { break }
      cring_store16(try guest.pointer(Self.slot(index)) + 14, flags)
    }
  }

  /// A queue that starts where the driver is.
  func makeQueue(eventIndex: Bool = false, base: UInt32? = nil) throws -> PackedDeviceQueue {
    PackedDeviceQueue(
      try PackedQueue(layout: layout(base: base), eventIndex: eventIndex), memory: guest.map.view)
  }

  func layout(base: UInt32? = nil) throws -> PackedQueueLayout {
    func slice(_ address: UInt64, _ byteCount: Int) throws -> GuestSlice {
      guard
        let slice = guest.map.translate(GuestAddress(rawValue: address), byteCount: byteCount)
      else { throw FixtureError.noSlice }
      return slice
    }
    return try PackedQueueLayout(
      size: size, base: base ?? UInt32(next.word) | UInt32(nextUsed.word) << 16,
      descriptorRing: slice(Self.ring, 16 * max(size, 1)),
      driverEvent: slice(Self.driverEvent, 4), deviceEvent: slice(Self.deviceEvent, 4))
  }

  // MARK: - Writing descriptors

  /// Writes a descriptor anywhere, the flags as they are.
  func put(_ descriptor: DriverDescriptor, id: UInt16, at address: UInt64) throws {
    let entry = try guest.pointer(address)
    cring_store64(entry, descriptor.address)
    cring_store32(entry + 8, descriptor.byteCount)
    cring_store16(entry + 12, id)
    cring_store16_release(entry + 14, descriptor.flags)
  }

  static func slot(_ index: Int) -> UInt64 { ring + 16 * UInt64(index) }

  /// Makes a chain available in the next descriptors.
  ///
  /// - `extraFlags`: for the last one.
  /// - `isShown`: give the head its AVAIL and USED flags; otherwise `show` does.
  func offer(
    _ chain: [DriverDescriptor], id: UInt16, extraFlags: UInt16 = 0, isShown: Bool = true
  ) throws {
    var places = [next]
    for _ in chain.dropFirst() { places.append(places[places.count - 1].advanced(1, size: size)) }
    for (position, (descriptor, place)) in zip(chain, places).enumerated().reversed() {
      var descriptor = descriptor
      let isLast = position + 1 == chain.count
      descriptor.flags |= isLast ? extraFlags : DriverDescriptor.next
      if position > 0 || isShown { descriptor.flags |= place.wrap ? Self.avail : Self.used }
      // Only the last one's identifier counts.
      try put(descriptor, id: isLast ? id : 0xEEEE, at: Self.slot(place.index))
    }
    next.advance(chain.count, size: size)
  }

  /// Makes a chain available whose descriptors are in an indirect table at `table`.
  func offerIndirect(
    _ chain: [DriverDescriptor], id: UInt16, table: UInt64 = free, extraFlags: UInt16 = 0,
    byteCount: UInt32? = nil
  ) throws {
    for (index, descriptor) in chain.enumerated() {
      // Byte by byte: a table may lie across regions.
      var bytes = (0..<8).map { UInt8(truncatingIfNeeded: descriptor.address >> (8 * $0)) }
      bytes += (0..<4).map { UInt8(truncatingIfNeeded: descriptor.byteCount >> (8 * $0)) }
      bytes += [0xEE, 0xEE]
      bytes += (0..<2).map { UInt8(truncatingIfNeeded: descriptor.flags >> (8 * $0)) }
      try guest.write(bytes, at: table + 16 * UInt64(index))
    }
    let descriptor = DriverDescriptor(
      address: table, byteCount: byteCount ?? UInt32(16 * chain.count),
      flags: DriverDescriptor.indirect | extraFlags)
    try offer([descriptor], id: id)
  }

  // MARK: - Taking used descriptors

  func flags(at index: Int) throws -> UInt16 {
    cring_load16(try guest.pointer(Self.slot(index)) + 14)
  }

  /// The used descriptor at a place; nil if that has none of this round.
  func used(at place: Place) throws -> Used? {
    let entry = try guest.pointer(Self.slot(place.index))
    let flags = cring_load16_acquire(entry + 14)
    let both = Self.avail | Self.used
    guard flags & both == (place.wrap ? both : 0) else { return nil }
    return Used(
      id: cring_load16(entry + 12), byteCount: cring_load32(entry + 8),
      isWritten: flags & DriverDescriptor.write != 0)
  }

  /// The next used descriptor, whose chain took `slotCount`.
  func popUsed(slotCount: Int = 1) throws -> Used? {
    guard let used = try used(at: nextUsed) else { return nil }
    nextUsed.advance(slotCount, size: size)
    return used
  }

  // MARK: - Events

  func setDriverEvent(flags: UInt16, place: UInt16 = 0) throws {
    cring_store32(try guest.pointer(Self.driverEvent), UInt32(place) | UInt32(flags) << 16)
  }

  var deviceEvent: (place: UInt16, flags: UInt16) {
    get throws {
      let word = cring_load32(try guest.pointer(Self.deviceEvent))
      return (UInt16(truncatingIfNeeded: word), UInt16(word >> 16))
    }
  }
}
