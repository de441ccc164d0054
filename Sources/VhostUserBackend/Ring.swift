internal import LinuxSystem
internal import VhostUserProtocol

/// What a front-end has said about one ring; the ring itself belongs to the device while it runs.
final class Ring {
  let index: Int
  /// 0 until `SET_VRING_NUM`.
  var size: UInt16 = 0
  var address: VringAddress?
  /// Where the ring goes on; nil until somebody has said it: at its beginning.
  var base: UInt32?
  /// `SET_VRING_KICK` came, with a descriptor or with the word that none comes.
  var hasKick = false
  var kick: FileDescriptor?
  var call: FileDescriptor?
  var error: FileDescriptor?
  /// Which of the three are eventfds of ours, for notifications that go in messages.
  var notifiesInBand = InBandEvents()
  /// What `SET_VRING_ENABLE` said last, if it ever spoke of this ring.
  var enable: Bool?
  var isRunning = false
  /// The guest spoiled it; the front-end has to take it back or set its base before it runs again.
  var isCorrupt = false

  init(index: Int) { self.index = index }

  /// Whether all is there that a start needs, apart from memory.
  var isComplete: Bool { size != 0 && address != nil && hasKick }

  /// Back to where `GET_VRING_BASE` leaves a ring: waiting for the next kick descriptor.
  func forgetKick() {
    hasKick = false
    kick = nil
    notifiesInBand.kick = false
  }

  /// Back to how a connection finds the ring.
  func forgetAll() {
    forgetKick()
    call = nil
    error = nil
    notifiesInBand = InBandEvents()
    size = 0
    address = nil
    base = nil
    enable = nil
    isCorrupt = false
  }
}
