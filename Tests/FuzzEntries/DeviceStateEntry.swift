import CryptoDevice
import CryptoTypes
import LinuxSystem

/// A state that comes from another host.
///
/// Input: flags (1 byte), then the state, without its digest where that is made. What is taken over has to be saved as the
/// same bytes again, and to be found by the next process; what is refused must change nothing.
final class DeviceStateEntry: FuzzEntry {
  /// Flags of an input.
  struct Flags: OptionSet {
    var rawValue: UInt8
    /// The header's number of bytes is made true.
    static let sized = Flags(rawValue: 1)
    /// The digest is made.
    static let signed = Flags(rawValue: 2)
    /// The device keeps its sessions in a journal.
    static let kept = Flags(rawValue: 4)
    /// The device offers ciphers alone.
    static let ciphersOnly = Flags(rawValue: 8)
    /// The device has room for three sessions.
    static let small = Flags(rawValue: 16)
  }

  private static let capacity = 128
  private static let smallCapacity = 3
  private let lane: OfferedDevice.Lane

  init() throws { lane = try OfferedDevice.Lane(sessionCapacity: Self.capacity) }

  private func device(_ flags: Flags, _ journal: SessionJournal?) -> OfferedDevice {
    OfferedDevice(
      .virtio13, lane: lane,
      sessionCapacity: flags.contains(.small) ? Self.smallCapacity : Self.capacity, stateless: [],
      journal: journal, offers: { !flags.contains(.ciphersOnly) || $0.service == .cipher })
  }

  func run(_ input: inout FuzzInput) throws {
    let flags = Flags(rawValue: input.byte())
    var state = input.rest()
    if flags.contains(.sized), state.count >= 24 {
      let byteCount = state.count + (flags.contains(.signed) ? StateDigest.byteCount : 0)
      state.replaceSubrange(16..<24, with: bytes64(UInt64(byteCount)))
    }
    if flags.contains(.signed) { state += state.withUnsafeBytes(StateDigest.of) }

    let journal =
      flags.contains(.kept)
      ? try SessionJournal(
        name: "fuzz", slotCount: DeviceCore.slotCount(capacity: Self.capacity)) : nil
    let core = device(flags, journal).core
    core.beginConnection()
    core.setOwner(.standard)
    let old = try StandardSessions.all[0].create(in: core)
    let before = try core.savedState()
    do throws(DeviceStateError) {
      try core.load(state)
    } catch {
      try require(
        try core.savedState() == before, "a state that was refused has changed the device")
      return
    }
    try require(try core.savedState() == state, "a state is saved as another than was taken over")
    if let journal { try checkNextProcess(of: journal, flags, state) }
    try checkLife(core, old, state)
  }

  /// The journal says the same as the state.
  private func checkNextProcess(
    of journal: SessionJournal, _ flags: Flags, _ state: [UInt8]
  ) throws {
    let copy = try SessionJournal(
      adopting: try FileDescriptor.duplicate(of: journal.descriptor))
    let next = device(flags, copy).core
    next.beginConnection()
    next.admitHeld()
    try require(
      try next.savedState() == state, "the next process has another state than was taken over")
  }

  /// Sessions come and go afterwards as ever.
  private func checkLife(_ core: DeviceCore, _ old: UInt64, _ state: [UInt8]) throws {
    let count = core.sessions.openCount
    if let fresh = try? StandardSessions.all[0].create(in: core) {
      try require(core.sessions.openCount == count + 1, "a new session has another's place")
      try require(core.sessions.view.find(fresh) != nil, "a new session is not found")
    }
    core.endConnection()
    let sessions = core.sessions
    try require(sessions.openCount == 0, "sessions outlive their front-end")
    try require(
      sessions.createdCount == sessions.destroyedCount, "sessions made and ended do not add up")
    try require(sessions.view.find(old) == nil, "a session that was replaced is found")
  }
}
