import VhostUserFrontend
import VhostUserProtocol

/// Front-ends' conversations, in the notation of `MessagesEntry`.
enum ConversationSeeds {
  struct Conversation {
    var bytes: [UInt8] = []
    var needsReply = true

    mutating func send(
      _ request: FrontendRequest, _ payload: [UInt8] = [], descriptors: Int = 0, from first: Int = 0
    ) {
      bytes += [UInt8(request.rawValue), needsReply ? 8 : 0, UInt8(descriptors | first << 4)]
      bytes += bytes16(payload.count) + payload
    }

    mutating func negotiate(features: UInt64, protocolFeatures: UInt64 = ~0) {
      send(.getFeatures)
      send(.getProtocolFeatures)
      send(.setProtocolFeatures, NumberPayload(protocolFeatures).encoded)
      send(.setOwner)
      send(.setFeatures, NumberPayload(features | 1 << 30).encoded)
      send(.getQueueNum)
      send(.getMaxMemorySlots)
    }

    mutating func setMemory() {
      let regions = [
        MemoryRegionPayload(
          guestAddress: 0, regionByteCount: 0x2_0000, frontendAddress: 0x7000_0000, mmapOffset: 0),
        MemoryRegionPayload(
          guestAddress: 0x10_0000, regionByteCount: 0x1000, frontendAddress: 0x7800_0000,
          mmapOffset: 0),
      ]
      send(.setMemoryTable, MemoryTablePayload(regions: regions).encoded, descriptors: 2)
    }

    /// Size, base and addresses.
    mutating func prepareRing(_ index: UInt32, base: UInt32 = 0, size: UInt32 = 64) {
      send(.setVringNum, VringState(index: index, number: size).encoded)
      send(.setVringBase, VringState(index: index, number: base).encoded)
      send(
        .setVringAddress,
        VringAddress(
          index: index, descriptorTable: 0x7000_0000, usedRing: 0x7000_2000,
          availableRing: 0x7000_1000
        ).encoded)
    }

    mutating func startRing(_ index: UInt32, base: UInt32 = 0, size: UInt32 = 64) {
      prepareRing(index, base: base, size: size)
      let word = VringDescriptor(index: UInt8(index)).encoded
      send(.setVringError, word, descriptors: 1, from: 3)
      send(.setVringCall, word, descriptors: 1, from: 3)
      send(.setVringKick, word, descriptors: 1, from: 3)
      send(.setVringEnable, VringState(index: index, number: 1).encoded)
    }
  }

  private static let modern: UInt64 = 1 << 32 | 1 << 29 | 1 << 28

  static var all: [[UInt8]] {
    [split, packed, slots, sessions, housekeeping, quiet, faults] + OtherFeatures.all + broken
  }

  /// A chain in the ring, which moves to other memory and comes back.
  private static var split: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: modern)
    talk.setMemory()
    // One writable descriptor at 0x3000, head 0, index 1.
    let descriptor = bytes64(0x3000) + bytes64(32 | 2 << 32)
    talk.bytes += [0, 0x20, 0] + bytes16(16) + descriptor
    talk.bytes += [0x10, 0x20, 0] + bytes16(6) + [0, 0, 1, 0, 0, 0]
    talk.startRing(0)
    talk.startRing(1)
    talk.send(.getVringBase, VringState(index: 0, number: 0).encoded)
    talk.setMemory()
    talk.startRing(0, base: 1)
    talk.send(.setVringEnable, VringState(index: 1, number: 0).encoded)
    talk.send(.resetDevice)
    return talk.bytes
  }

  private static var packed: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: modern | 1 << 34 | 1 << 35)
    talk.setMemory()
    talk.startRing(2, base: 0x8000_8000, size: 48)
    talk.send(.setFeatures, NumberPayload(modern | 1 << 30).encoded)
    talk.send(.getVringBase, VringState(index: 2, number: 0).encoded)
    return talk.bytes
  }

  private static var slots: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: modern)
    for index in 0..<3 {
      let region = MemoryRegionPayload(
        guestAddress: UInt64(index) * 0x10_0000, regionByteCount: 0x1000,
        frontendAddress: 0x7000_0000 + UInt64(index) * 0x1000, mmapOffset: UInt64(index) * 0x800)
      talk.send(.addMemoryRegion, region.encodedSingle, descriptors: 1)
      if index == 1 { talk.send(.removeMemoryRegion, region.encodedSingle) }
    }
    talk.startRing(0)
    return talk.bytes
  }

  private static var sessions: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: modern)
    let specs: [SessionSpec] = [
      .cipher(.aesCBC, .encrypt, key: StandardSessions.key(16)),
      .chain(
        .init(
          .aesCBC, .decrypt, key: StandardSessions.key(16), order: .hashThenCipher,
          second: .authenticated(.hmacSHA1, key: StandardSessions.key(20)))),
      .hash(.sha1, resultByteCount: 20),
      .mac(.hmacSHA256, key: StandardSessions.key(32), resultByteCount: 32),
      .aead(.gcm, .encrypt, key: StandardSessions.key(16), tagByteCount: 16),
      StandardKeys.specs[0],
    ]
    for layout in SessionLayout.allCases {
      for spec in specs {
        guard let payload = spec.message(layout).encoded else { continue }
        talk.send(.createCryptoSession, payload)
      }
    }
    talk.send(.closeCryptoSession, NumberPayload(1).encoded)
    talk.send(.closeCryptoSession, NumberPayload(.max).encoded)
    return talk.bytes
  }

  private static var housekeeping: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: modern)
    for (offset, count) in [(0, 56), (8, 4), (50, 8), (0, 256)] {
      talk.send(
        .getConfig,
        ConfigurationPayload(
          offset: UInt32(offset), window: [UInt8](repeating: 0, count: count)
        ).encoded)
    }
    talk.send(.setConfig, ConfigurationPayload(offset: 0, window: [1, 0, 0, 0]).encoded)
    talk.send(.setConfig, ConfigurationPayload(offset: 4, window: [1, 0, 0, 0]).encoded)
    talk.send(.setBackendRequestDescriptor, descriptors: 1, from: 7)
    talk.send(.setStatus, NumberPayload(15).encoded)
    talk.send(.getStatus)
    talk.send(.setStatus, NumberPayload(256).encoded)
    talk.send(.resetOwner)
    return talk.bytes
  }

  /// A front-end that negotiates nothing, as QEMU's first ones did.
  private static var quiet: [UInt8] {
    var talk = Conversation()
    talk.needsReply = false
    talk.send(.getFeatures)
    talk.send(.setOwner)
    talk.send(.setFeatures, NumberPayload(0).encoded)
    talk.setMemory()
    talk.startRing(0)
    talk.send(
      .setVringCall, VringDescriptor(index: 0, hasNoDescriptor: true).encoded)
    talk.send(
      .setVringKick, VringDescriptor(index: 0, hasNoDescriptor: true).encoded)
    return talk.bytes
  }

  /// Messages that are refused and answered, and the connection goes on.
  private static var faults: [UInt8] {
    var talk = Conversation()
    talk.negotiate(features: ~0)
    talk.send(.setVringNum, VringState(index: 0, number: 3).encoded)
    talk.send(.setVringNum, VringState(index: 3, number: 64).encoded)
    talk.send(.setVringNum, [1, 2, 3])
    talk.send(.setVringBase, VringState(index: 0, number: 1 << 16).encoded)
    talk.send(.setVringEnable, VringState(index: 0, number: 2).encoded)
    talk.send(.setVringKick, VringDescriptor(index: 0).encoded)
    talk.send(
      .setVringKick, VringDescriptor(index: 0, hasNoDescriptor: true).encoded, descriptors: 1)
    talk.send(.getFeatures, descriptors: 1)
    talk.send(.setOwner, descriptors: 9)
    talk.send(FrontendRequest(rawValue: 200))
    talk.setMemory()
    let region = MemoryRegionPayload(
      guestAddress: 0x800, regionByteCount: 0x1000, frontendAddress: 0, mmapOffset: 0)
    talk.send(.addMemoryRegion, region.encodedSingle, descriptors: 1)
    talk.send(.removeMemoryRegion, region.encodedSingle, descriptors: 1)
    for (address, byteCount, offset) in [
      (UInt64(1) << 33, UInt64(0), UInt64(0)), (UInt64.max - 10, 100, 0), (1 << 33, 1 << 60, 0),
      (1 << 33, 0x1000, 1 << 60), (1 << 33, 0x10_0000, 0),
    ] {
      let wrong = MemoryRegionPayload(
        guestAddress: address, regionByteCount: byteCount, frontendAddress: 0, mmapOffset: offset)
      talk.send(.addMemoryRegion, wrong.encodedSingle, descriptors: 1)
    }
    talk.startRing(0)
    // Rings outside of memory, and misaligned ones.
    for address in [UInt64(0x9000_0000), 0x7000_0001] {
      talk.send(
        .setVringAddress,
        VringAddress(
          index: 0, descriptorTable: address, usedRing: 0x7000_2000, availableRing: 0x7000_1000
        ).encoded)
    }
    // An index jump, after which the ring waits for its base.
    talk.bytes += [0x10, 0x20, 0] + bytes16(4) + [0, 0, 0xFF, 0x7F]
    talk.startRing(1)
    talk.send(.setVringEnable, VringState(index: 1, number: 1).encoded)
    return talk.bytes
  }

  /// Each ends the connection.
  private static var broken: [[UInt8]] {
    [
      // No version, a reply, a size that nothing has, half a message.
      [1, 1, 0, 0, 0], [1, 4, 0, 0, 0], [1, 0x40, 0, 0, 0, 0, 0, 1, 0],
      [2, 0x40, 0, 0, 0, 8, 0, 0, 0],
      [200, 0, 0, 0, 0],
    ]
  }
}
