import CryptoDevice
import CryptoTypes
import LinuxSystem

/// A journal of sessions that an earlier process has left.
///
/// Input: number of slots (1 byte), flags (1 byte), then pieces of the file: kind (1 byte), slot (1 byte), place in it
/// (2 bytes), length (2 bytes), bytes. Numbers that have to fit others are made to fit, but for raw pieces, which are put
/// in last.
final class JournalEntry: FuzzEntry {
  struct Flags: OptionSet {
    var rawValue: UInt8
    /// The header keeps the check of one that was not spoilt.
    static let staleHeader = Flags(rawValue: 1)
    static let unsealed = Flags(rawValue: 2)
    /// The file is a page longer.
    static let longer = Flags(rawValue: 4)
    /// The device offers ciphers alone.
    static let ciphersOnly = Flags(rawValue: 8)
    /// Another front-end comes than the one of before.
    static let stranger = Flags(rawValue: 16)
  }

  /// What a piece is of.
  enum Piece: UInt8, CaseIterable {
    case header, used, owner, generation, slot, longKeys, raw
  }

  /// The number of slots for a device as they are made; others have some more than a table needs.
  static let wholeSlotCount = DeviceCore.slotCount(capacity: capacity)
  private static let capacity = 16
  private let lane: OfferedDevice.Lane

  init() throws { lane = try OfferedDevice.Lane(sessionCapacity: Self.capacity) }

  private func device(
    _ flags: Flags, capacity: Int = capacity, _ journal: SessionJournal?
  ) -> OfferedDevice {
    OfferedDevice(
      .virtio13, lane: lane, sessionCapacity: capacity, stateless: [], journal: journal,
      offers: { !flags.contains(.ciphersOnly) || $0.service == .cipher })
  }

  func run(_ input: inout FuzzInput) throws {
    let slots = input.byte()
    let flags = Flags(rawValue: input.byte())
    let image = try JournalImage(
      slotCount: slots == 255 ? Self.wholeSlotCount : 1 + Int(slots & 15),
      surplusByteCount: flags.contains(.longer) ? JournalImage.pageByteCount : 0,
      isSealed: !flags.contains(.unsealed))
    fill(image, flags, &input)
    let journal: SessionJournal
    do throws(JournalError) {
      journal = try adopt(image)
    } catch {
      try require(!error.description.isEmpty, "a journal is refused without a word")
      return
    }
    try check(journal, image, flags)
  }

  private func adopt(_ image: JournalImage) throws(JournalError) -> SessionJournal {
    guard let file = try? image.file.duplicate() else { fatalError("no descriptor") }
    return try SessionJournal(adopting: file)
  }

  private func fill(_ image: JournalImage, _ flags: Flags, _ input: inout FuzzInput) {
    var raw: [(offset: Int, bytes: [UInt8])] = []
    var sessions: Set<Int> = []
    while !input.isAtEnd {
      let kind = Piece.allCases[Int(input.byte()) % Piece.allCases.count]
      let index = Int(input.byte()) % image.slotCount
      let place = Int(input.word16())
      let count = Int(input.word16())
      func put(_ start: Int, _ byteCount: Int) {
        let place = place % byteCount
        image.put(input.takePadded(min(count, byteCount - place)), at: start + place)
      }
      switch kind {
      case .header: put(0, JournalImage.headerByteCount)
      case .used: image.setUsed(UInt32(count))
      case .owner:
        // The record that counts is the one that was written last.
        image.put([UInt8(index & 1), 0, 0, 0], at: JournalImage.ownerSelectorOffset)
        put(JournalImage.ownersOffset + (index & 1) * JournalImage.ownerByteCount, 56)
        image.checkOwner(index & 1)
      case .generation: put(image.generationOffset(index), 4)
      case .slot:
        put(
          image.slotOffset(index) + JournalImage.connectionOffset,
          JournalImage.slotByteCount - JournalImage.connectionOffset)
        sessions.insert(index)
      case .longKeys: put(image.longKeysOffset(index), JournalImage.longKeysByteCount)
      case .raw:
        let start = count & 0x8000 != 0 ? image.slotOffset(index) : 0
        raw.append((start + place % JournalImage.slotByteCount, input.take(count & 255)))
      }
    }
    if !flags.contains(.staleHeader) { image.checkHeader() }
    for index in sessions { image.checkSlot(index) }
    for piece in raw { image.put(piece.bytes, at: piece.offset) }
  }

  private func check(_ journal: SessionJournal, _ image: JournalImage, _ flags: Flags) throws {
    let sessions = (0..<image.usedCount).filter { image.identifier($0) != 0 }
      .map { (identifier: image.identifier($0), index: $0, keyByteCount: image.keyByteCount($0)) }
    let core = device(flags, journal).core
    let restoration = core.restoration
    try require(
      restoration.heldCount + restoration.refusedCount + restoration.ownerlessCount
        == sessions.count, "sessions of a journal are neither held nor dropped")
    try require(
      core.sessions.heldCount == restoration.heldCount && core.sessions.openCount == 0,
      "other sessions are held than was said")
    for session in sessions {
      try require(
        core.sessions.view.find(session.identifier) == nil, "a session is found that is held")
    }
    core.beginConnection()
    if flags.contains(.stranger) {
      core.destroyHeld()
    } else {
      core.admitHeld()
      try require(
        core.sessions.openCount == restoration.heldCount, "held sessions were not all admitted")
      try checkState(core, flags)
    }
    if let fresh = try? StandardSessions.all[0].create(in: core) {
      try require(
        !sessions.contains { $0.identifier == fresh }, "an identifier of before has come back")
    }
    core.endConnection()
    try require(!journal.hasSessions, "sessions outlive their front-end")
    for index in 0..<image.usedCount {
      try require(
        image.isZero(image.slotOffset(index), JournalImage.slotByteCount), "a slot is not wiped")
    }
    for session in sessions where session.keyByteCount > JournalImage.shortKeysByteCount {
      try require(
        image.isZero(image.longKeysOffset(session.index), session.keyByteCount),
        "a long key is not wiped")
    }
  }

  /// What a journal may bring another host may send.
  private func checkState(_ core: DeviceCore, _ flags: Flags) throws {
    let state = try core.savedState()
    let other = device(flags, capacity: Self.wholeSlotCount, nil).core
    try other.load(state)
    try require(try other.savedState() == state, "a journal's sessions are another host's others")
  }
}
