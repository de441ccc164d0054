/// What the chains of a packed ring are known by in its record: how many descriptors were taken before them.
///
/// So a number modulo two rounds is a place in the ring. Counting begins so high that nobody has the numbers who counts from 0:
/// what was saved of a chain under one of ours is no other back-end's.
///
/// In the record, the next chain's number says which chains that stand in the ring were taken; but only while it is ours. A
/// back-end that knows nothing of it takes chains and leaves it as it is. So the first free state holds a mark in place of its
/// counter, which everybody overwrites who takes a chain by the protocol, and so do we when we copy one.
enum PackedNumber {
  /// The mark; no number is so high.
  static var standingMark: UInt64 { @_noAllocation @_noLocks get { 0xA11E_57A9_D1C6_0001 } }
  /// Of a number in the record: it holds without the mark, since chains that stood in the ring are being copied.
  static var copyingFlag: UInt64 { @_noAllocation @_noLocks get { 1 << 63 } }
  private static var least: UInt64 { 1 << 62 }

  private static func round(_ size: UInt16) -> UInt64 { 2 * UInt64(size) }

  private static func place(_ position: PackedPosition, _ size: UInt16) -> UInt64 {
    UInt64(position.index) + (position.wrap == 1 ? 0 : UInt64(size))
  }

  /// The lowest one of a place, from `least` on; from the beginning, where that is so high that nobody can have counted it.
  static func first(
    at position: PackedPosition, size: UInt16, from least: UInt64 = 0
  ) -> UInt64 {
    let least = least < .max / 2 ? max(least, Self.least) : Self.least
    let distance = (place(position, size) + round(size) - least % round(size)) % round(size)
    return least + distance
  }

  /// Descriptors from a place to that of a number: less than two rounds; 0 where nobody has that number.
  static func distance(from position: PackedPosition, to number: UInt64, size: UInt16) -> UInt64 {
    guard number >= least else { return 0 }
    return (number - place(position, size)) % round(size)
  }
}
