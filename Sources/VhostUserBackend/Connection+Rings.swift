internal import GuestMemory
internal import LinuxSystem
internal import VhostUserProtocol

/// The rings' set-up messages.
///
/// Each changes one thing of one ring: the ring stops, changes, and goes on from where it was if it still may.
extension Connection {
  func setVringNum(_ message: borrowing Message) throws(Refusal) {
    let state = try parse(message, VringState.init(parsing:))
    let ring = try ring(state.index)
    guard
      state.number >= 1, state.number <= UInt32(VhostUserLimit.ringEntries),
      usesPackedRings || state.number.nonzeroBitCount == 1
    else { throw .ringSize(state.number) }
    try change(ring) { $0.size = UInt16(state.number) }
  }

  /// Takes the addresses unseen; they are checked against size and memory when the ring starts.
  func setVringAddress(_ message: borrowing Message) throws(Refusal) {
    let address = try parse(message, VringAddress.init(parsing:))
    try change(try ring(address.index)) { $0.address = address }
  }

  func setVringBase(_ message: borrowing Message) throws(Refusal) {
    let state = try parse(message, VringState.init(parsing:))
    let ring = try ring(state.index)
    guard usesPackedRings || state.number <= UInt32(UInt16.max) else {
      throw .ringBase(state.number)
    }
    try change(ring) {
      // What a corrupted ring left unfinished is not to be tried again.
      if $0.isCorrupt { forgetInflight(of: $0) }
      $0.base = state.number
      $0.isCorrupt = false
    }
  }

  /// Stops the ring; the answer is sent when nothing of it is in flight.
  func getVringBase(_ message: borrowing Message) throws(Refusal) {
    let state = try parse(message, VringState.init(parsing:))
    let ring = try ring(state.index)
    stop(ring)
    ring.forgetKick()
    ring.isCorrupt = false
    // All is finished, and from here on the front-end says where the ring goes on.
    forgetInflight(of: ring)
    reply(
      to: .getVringBase, VringState(index: state.index, number: ring.base ?? initialBase).encoded)
  }

  /// Gives the ring its kick, with which it may start; enabled rings stay enabled.
  func setVringKick(_ message: inout Message) throws(Refusal) {
    let ring = try ringOfDescriptor(message)
    stop(ring)
    var event = try event(of: &message, ring)
    ring.notifiesInBand.kick = event.isOurs
    ring.kick = event.take()
    ring.hasKick = true
    try startIfItMay(ring)
  }

  func setVringCall(_ message: inout Message) throws(Refusal) {
    let ring = try ringOfDescriptor(message)
    stop(ring)
    var event = try event(of: &message, ring)
    ring.notifiesInBand.call = event.isOurs
    ring.call = event.take()
    try startIfItMay(ring)
  }

  func setVringError(_ message: inout Message) throws(Refusal) {
    let ring = try ringOfDescriptor(message)
    stop(ring)
    var event = try event(of: &message, ring)
    ring.notifiesInBand.error = event.isOurs
    ring.error = event.take()
    try startIfItMay(ring)
  }

  /// Enables or disables a ring; the first such message ends the time when all rings ran unasked.
  func setVringEnable(_ message: borrowing Message) throws(Refusal) {
    let state = try parse(message, VringState.init(parsing:))
    let ring = try ring(state.index)
    guard state.number <= 1 else { throw .ringEnable(state.number) }
    ring.enable = state.number == 1
    if !sawRingEnable {
      sawRingEnable = true
      for other in rings where !mayRun(other) { stop(other) }
    }
    if state.number == 0 { stop(ring) } else { try startIfItMay(ring) }
  }

  // MARK: Common parts

  func ring(_ index: UInt32) throws(Refusal) -> Ring {
    guard index < UInt32(rings.count) else { throw .ringIndex(index) }
    return rings[Int(index)]
  }

  /// The ring of a kick, call or error message, once the message carries what its word says it does.
  private func ringOfDescriptor(_ message: borrowing Message) throws(Refusal) -> Ring {
    let word = try parse(message, VringDescriptor.init(parsing:))
    let ring = try ring(UInt32(word.index))
    guard message.descriptors.count == (word.hasNoDescriptor ? 0 : 1) else {
      throw .descriptorCount(message.descriptors.count)
    }
    return ring
  }

  private func change(_ ring: Ring, _ change: (Ring) -> Void) throws(Refusal) {
    stop(ring)
    change(ring)
    try startIfItMay(ring)
  }
}
