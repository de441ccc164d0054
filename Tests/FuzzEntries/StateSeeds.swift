import CryptoDevice
import LinuxSystem

// Sessions of every service as the device itself writes them down, for the entries of states and of journals.

/// Devices whose sessions are written down.
private enum StateSources {
  static let capacity = 16

  static func groups(of count: Int) -> [[StandardSessions]] {
    stride(from: 0, to: StandardSessions.all.count, by: count).map {
      Array(StandardSessions.all[$0..<min($0 + count, StandardSessions.all.count)])
    }
  }

  /// A session whose key no engine takes once it is zeros: its halves would be equal.
  static let xts = StandardSessions.specs.indices
    .filter { if case .cipher(.aesXTS, _, _) = StandardSessions.specs[$0] { true } else { false } }
    .prefix(1).map { StandardSessions.all[$0] }

  /// A device with these sessions; of four each, the third has ended.
  static func core(
    _ sessions: [StandardSessions], _ journal: SessionJournal? = nil
  ) throws -> DeviceCore {
    let lane = try OfferedDevice.Lane(sessionCapacity: capacity)
    let core = OfferedDevice(
      .virtio13, lane: lane, sessionCapacity: capacity, stateless: [], journal: journal
    ).core
    core.beginConnection()
    core.setOwner(.standard)
    let identifiers = try sessions.map { try $0.create(in: core) }
    for (number, identifier) in identifiers.enumerated() where number % 4 == 2 {
      try core.destroySession(identifier, services: .all)
    }
    return core
  }
}

enum DeviceStateSeeds {
  private typealias Flags = DeviceStateEntry.Flags

  /// A state, all of whose identifiers begin with 1: devices begin at random ones.
  private static func state(_ sessions: [StandardSessions]) throws -> [UInt8] {
    var state = try StateSources.core(sessions).savedState()
    let end = state.count - StateDigest.byteCount
    var offset = DeviceState.headerByteCount
    while offset < end {
      state.replaceSubrange(offset + 4..<offset + 8, with: [1, 0, 0, 0])
      offset += 72 + Int(state[offset + 8]) + Int(state[offset + 9]) << 8
    }
    state.replaceSubrange(end..., with: state[..<end].withUnsafeBytes(StateDigest.of))
    return state
  }

  private static func record(_ flags: Flags, _ state: [UInt8]) -> [UInt8] {
    [flags.rawValue] + (flags.contains(.signed) ? state.dropLast(StateDigest.byteCount) : state)
  }

  static func all() throws -> [[UInt8]] {
    let states = try StateSources.groups(of: 6).map(state)
    let none = try state([])
    let few = try state(Array(StandardSessions.all[..<5]))
    let refused = try state(StateSources.xts).prefix(DeviceState.headerByteCount + 72)
    return states.enumerated().map { number, state in
      record(number % 2 == 0 ? [.signed, .sized] : [.signed, .sized, .kept], state)
    } + [
      record([], none), record([.kept], few), record([.signed, .small], few),
      record([.signed, .ciphersOnly], few), record([.signed, .ciphersOnly], states[5]),
      record([.signed, .sized], refused + [UInt8](repeating: 0, count: 64 + 32)),
      record([.signed, .sized], few + [0]), record([.signed], Array(few.dropLast(40))),
      record([.signed, .sized], Array(few.dropLast(3))),
    ]
  }
}

enum JournalSeeds {
  private typealias Flags = JournalEntry.Flags

  private static func piece(
    _ kind: JournalEntry.Piece, _ bytes: [UInt8], index: Int = 0, place: Int = 0,
    count: Int? = nil
  ) -> [UInt8] {
    [kind.rawValue, UInt8(index)] + bytes16(place) + bytes16(count ?? bytes.count) + bytes
  }

  private static func owner(_ image: JournalImage) -> [UInt8] {
    let number = Int(image.word32(JournalImage.ownerSelectorOffset))
    return piece(
      .owner, image.bytes(JournalImage.ownersOffset + number * JournalImage.ownerByteCount, 56),
      index: number)
  }

  private static func slot(_ image: JournalImage, _ index: Int) -> [UInt8] {
    let count = image.keyByteCount(index)
    let isLong = count > JournalImage.shortKeysByteCount
    let words = image.bytes(
      image.slotOffset(index) + JournalImage.connectionOffset,
      JournalImage.keysOffset - JournalImage.connectionOffset + (isLong ? 0 : count))
    // Devices begin at random generations.
    let keys = isLong ? image.bytes(image.longKeysOffset(index), count) : []
    return piece(.generation, [1, 0, 0, 0], index: index)
      + (isLong ? piece(.longKeys, keys, index: index) : []) + piece(.slot, words, index: index)
  }

  /// The pieces of a journal with these sessions.
  private static func journal(
    _ sessions: [StandardSessions], isOwned: Bool = true
  ) throws -> [UInt8] {
    let slotCount = DeviceCore.slotCount(capacity: StateSources.capacity)
    let journal = try SessionJournal(name: "seed", slotCount: slotCount)
    let core = try StateSources.core(sessions, journal)
    if !isOwned { core.setOwner(nil) }
    let image = try JournalImage(of: journal.descriptor, slotCount: slotCount)
    let used = piece(.used, [], count: image.usedCount)
    return (0..<image.usedCount).filter { image.identifier($0) != 0 }
      .reduce(used + owner(image)) { $0 + slot(image, $1) }
  }

  static func all() throws -> [[UInt8]] {
    let journals = try StateSources.groups(of: 6).map { try journal($0) }
    let few = try journal(Array(StandardSessions.all[..<5]))
    let ownerless = try journal(Array(StandardSessions.all[..<5]), isOwned: false)
    // The second's identifier is taken away, or is another's; a byte of the fourth's key is another; the header.
    let ended = piece(.raw, [UInt8](repeating: 0, count: 8), index: 1, count: 0x8008)
    let others = piece(.raw, [7, 0, 0, 0], index: 1, count: 0x8004)
    let spoilt = piece(.raw, [0], index: 3, place: JournalImage.keysOffset, count: 0x8001)
    let header = try JournalImage(slotCount: 16, surplusByteCount: 0, isSealed: true).bytes(0, 64)
    let refused =
      try journal(StateSources.xts)
      + piece(
        .slot, [UInt8](repeating: 0, count: 64),
        place: JournalImage.keysOffset - JournalImage.connectionOffset)
    func record(_ flags: Flags, slots: UInt8 = 15, _ pieces: [UInt8]) -> [UInt8] {
      [slots, flags.rawValue] + pieces
    }
    return journals.enumerated().map { number, journal in
      record(number % 3 == 2 ? .stranger : [], slots: number % 4 == 3 ? 255 : 15, journal)
    } + [
      record([], few + ended), record([], few + others), record([], few + spoilt),
      record([], ownerless), record([], refused), record(.ciphersOnly, journals[5]),
      record(.unsealed, few),
      record(.longer, few), record([], few + piece(.header, header)),
      record([], slots: 3, few + piece(.header, header)),
      record(.staleHeader, piece(.header, [1, 0, 0, 0, 15], place: 8)),
      record([], piece(.header, [2], place: 8)), record([], piece(.header, [0])),
      record([], few + piece(.raw, [0], place: 68, count: 1)),
      record([], few + piece(.raw, [2], place: 72, count: 1)),
      record([], few + piece(.raw, [0], place: 128, count: 1)),
      record([], few + piece(.raw, [9], place: 192, count: 1)),
    ]
  }
}
