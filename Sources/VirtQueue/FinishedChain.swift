/// What the used descriptor of a finished chain of a packed ring is to say.
struct FinishedChain {
  /// Bytes written, identifier, descriptors to go on by, from the lowest bits on: one store keeps it.
  private let word: UInt64

  @_noAllocation @_noLocks
  @inline(__always)
  init(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    word = UInt64(writtenByteCount) | ticket.word << 32
  }

  /// How far it moves the ring on.
  var slotCount: UInt16 { @_noAllocation @_noLocks get { UInt16(truncatingIfNeeded: word >> 48) } }
  var wideSlotCount: UInt64 { @_noAllocation @_noLocks get { word >> 48 } }

  var wasWritten: Bool { @_noAllocation @_noLocks get { word & 0xFFFF_FFFF > 0 } }

  /// The second word of its used descriptor at a place: length, identifier, flags.
  @_noAllocation @_noLocks
  @inline(__always)
  func usedWord(at place: PackedPosition) -> UInt64 {
    usedWord(flags: wasWritten ? Self.flags(writtenAt: place) : Self.flags(at: place))
  }

  @_noAllocation @_noLocks
  @inline(__always)
  func usedWord(flags: UInt64) -> UInt64 { word & 0xFFFF_FFFF_FFFF | flags }

  /// AVAIL and USED of a place's round.
  @_noAllocation @_noLocks
  @inline(__always)
  static func flags(at place: PackedPosition) -> UInt64 {
    UInt64((0 &- place.wrap) & 0x8080) << 48
  }

  /// The same with WRITE: there is something to read.
  @_noAllocation @_noLocks
  @inline(__always)
  static func flags(writtenAt place: PackedPosition) -> UInt64 { flags(at: place) | 2 << 48 }
}
