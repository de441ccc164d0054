internal import GuestMemory
internal import LinuxSystem
internal import VhostUserProtocol

/// The memory table: whole, or one region at a time.
///
/// A new table is built beside the old one. Only when it is complete do the rings pause for the exchange, so a message
/// that cannot be obeyed changes nothing.
extension Connection {
  func setMemoryTable(_ message: inout Message) throws(Refusal) {
    let table = try parse(message, MemoryTablePayload.init(parsing:))
    guard message.descriptors.count == table.regions.count else {
      throw .descriptorCount(message.descriptors.count)
    }
    var map = MemoryMap()
    for region in table.regions { map = try adding(region, of: &message, to: map) }
    exchangeMemory(for: map)
  }

  func addMemoryRegion(_ message: inout Message) throws(Refusal) {
    let region = try parse(message, MemoryRegionPayload.init(parsingSingle:))
    guard memory.regionCount < VhostUserLimit.memorySlots else {
      throw .memorySlots(memory.regionCount)
    }
    exchangeMemory(for: try adding(region, of: &message, to: memory))
  }

  /// Removes the region of this guest address, size and front-end address; a descriptor that came along is closed unused.
  func removeMemoryRegion(_ message: borrowing Message) throws(Refusal) {
    let region = try parse(message, MemoryRegionPayload.init(parsingSingle:))
    do {
      exchangeMemory(for: try memory.removing(RegionDescription(region)))
    } catch {
      throw .memory(reason: "\(error)")
    }
  }

  func getMaxMemorySlots() {
    reply(to: .getMaxMemorySlots, NumberPayload(UInt64(VhostUserLimit.memorySlots)).encoded)
  }

  /// A map with one more region, whose descriptor is the next that came with the message.
  private func adding(
    _ region: MemoryRegionPayload, of message: inout Message, to map: MemoryMap
  ) throws(Refusal) -> MemoryMap {
    guard let descriptor = message.descriptors.take() else { throw .descriptorCount(0) }
    do {
      return try map.adding(RegionDescription(region), descriptor: descriptor)
    } catch {
      throw .memory(reason: "\(error)")
    }
  }

  /// Swaps the maps while no ring runs; the old mappings go when the last ring that holds them has.
  private func exchangeMemory(for map: MemoryMap) {
    stopAll()
    memory = map
    device.memoryChanged(map)
    startWhatMayRun()
  }
}

extension RegionDescription {
  init(_ payload: MemoryRegionPayload) {
    self.init(
      guestAddress: GuestAddress(rawValue: payload.guestAddress),
      byteCount: payload.regionByteCount,
      frontendAddress: FrontendAddress(rawValue: payload.frontendAddress),
      mmapOffset: payload.mmapOffset)
  }
}
