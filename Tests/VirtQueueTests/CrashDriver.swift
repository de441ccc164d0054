import CRingShims
import VirtQueue

/// A driver that survives its device's crashes: a plain value, so that it can be copied with the world.
struct CrashDriver {
  enum Complaint: Error, Equatable {
    /// A used entry for a chain that is not in flight: it came back twice, or never was.
    case notInFlight(UInt16)
    /// A used entry in front of its turn.
    case outOfOrder(UInt16)
  }

  struct Chain: Equatable {
    var serial: Int
    var id: UInt16
    var slotCount: Int
    /// Of its buffers.
    var byteCount: UInt32
  }

  let size: Int
  let isPacked: Bool
  let isInOrder: Bool
  let skips: Bool
  /// In the order of offering.
  private(set) var inFlight: [Chain] = []
  private var nextSerial = 0
  private var available = PackedDriver.Place(index: 0, wrap: true)
  private var used = PackedDriver.Place(index: 0, wrap: true)
  private var availableIndex: UInt16 = 0
  private var usedIndex: UInt16 = 0

  init(size: Int, isPacked: Bool, isInOrder: Bool = false, skips: Bool = false) {
    self.size = size
    self.isPacked = isPacked
    self.isInOrder = isInOrder
    self.skips = skips
  }

  private var room: Int { size - inFlight.reduce(0) { $0 + $1.slotCount } }

  /// Makes a chain available, where there is room for one.
  mutating func offer(
    _ memory: UnsafeMutablePointer<UInt8>, random: inout some RandomNumberGenerator
  ) {
    guard room > 0 else { return }
    let free = (0..<UInt16(size)).filter { id in !inFlight.contains { $0.id == id } }
    guard let id = free.randomElement(using: &random) else { return }
    var chain = Chain(serial: nextSerial, id: id, slotCount: 1, byteCount: 8)
    nextSerial += 1
    if isPacked {
      chain.slotCount = Int.random(in: 1...min(3, room), using: &random)
      let isIndirect = chain.slotCount == 1 && .random(using: &random)
      chain.byteCount =
        isIndirect
        ? CrashWorld.tableByteCount(of: Int(id)) : (1...UInt32(chain.slotCount)).reduce(0, +)
      offerPacked(chain, memory, isIndirect: isIndirect)
    } else {
      let descriptor = memory + CrashWorld.table + 16 * Int(id)
      cring_store64(descriptor, CrashWorld.buffers + 16 * UInt64(id))
      cring_store64(descriptor + 8, 8 | UInt64(DriverDescriptor.write) << 32)
      cring_store16(memory + CrashWorld.available + 4 + 2 * (Int(availableIndex) % size), id)
      availableIndex &+= 1
      cring_store16(memory + CrashWorld.available + 2, availableIndex)
    }
    inFlight.append(chain)
  }

  private mutating func offerPacked(
    _ chain: Chain, _ memory: UnsafeMutablePointer<UInt8>, isIndirect: Bool
  ) {
    var places: [PackedDriver.Place] = []
    for _ in 0..<chain.slotCount {
      places.append(available)
      available.advance(1, size: size)
    }
    for (position, place) in places.enumerated().reversed() {
      let isLast = position + 1 == chain.slotCount
      var flags = DriverDescriptor.write | (isLast ? 0 : DriverDescriptor.next)
      if isIndirect { flags = DriverDescriptor.indirect }
      flags |= place.wrap ? PackedDriver.avail : PackedDriver.used
      let entry = memory + CrashWorld.table + 16 * place.index
      // The address says which chain it is, and but for an indirect one the length which descriptor.
      cring_store64(
        entry, (isIndirect ? CrashWorld.tables : CrashWorld.buffers) + 16 * UInt64(chain.id))
      let word = UInt64(isIndirect ? 16 : 1 + position) | UInt64(isLast ? chain.id : 0xEEEE) << 32
      cring_store64(entry + 8, word | UInt64(flags) << 48)
    }
  }

  /// Takes what the device has finished.
  mutating func consume(_ memory: UnsafeMutablePointer<UInt8>) throws {
    while let id = nextUsed(memory) {
      guard let end = inFlight.firstIndex(where: { $0.id == id }) else {
        throw Complaint.notInFlight(id)
      }
      if isInOrder, !skips, end != 0 { throw Complaint.outOfOrder(id) }
      let first = isInOrder ? 0 : end
      for chain in inFlight[first...end] {
        used.advance(chain.slotCount, size: size)
        usedIndex &+= 1
      }
      inFlight.removeSubrange(first...end)
    }
  }

  private func nextUsed(_ memory: UnsafeMutablePointer<UInt8>) -> UInt16? {
    if isPacked {
      let entry = memory + CrashWorld.table + 16 * used.index
      let both = PackedDriver.avail | PackedDriver.used
      guard cring_load16(entry + 14) & both == (used.wrap ? both : 0) else { return nil }
      return cring_load16(entry + 12)
    }
    guard cring_load16(memory + CrashWorld.used + 2) != usedIndex else { return nil }
    return cring_load16(memory + CrashWorld.used + 4 + 8 * (Int(usedIndex) % size))
  }
}
