public import GuestMemory

/// A place in a packed ring: an index, and the wrap counter that tells one round from the next.
struct PackedPosition: Hashable {
  /// Below the ring's size.
  var index: UInt16
  /// 1 in every other round, the first included.
  var wrap: UInt16

  /// Reads 15 bits of index and the wrap counter.
  @_noAllocation @_noLocks
  init(_ word: UInt16) {
    index = word & 0x7FFF
    wrap = word >> 15
  }

  var word: UInt16 { @_noAllocation @_noLocks get { index | wrap << 15 } }

  /// Descriptors from here to a place that is less than a round ahead.
  @_noAllocation @_noLocks
  func distance(to other: PackedPosition, size: UInt16) -> UInt16 {
    // Wrapping: what is behind the end of the ring comes out right.
    (wrap == other.wrap ? 0 : size) &+ other.index &- index
  }

  /// Moves on by at most a whole round of a ring of `size`.
  @_noAllocation @_noLocks
  mutating func advance(by count: UInt16, size: UInt16) {
    // Neither is above 32768, and the index is below it: the sum fits.
    index &+= count
    if index >= size {
      index &-= size
      wrap ^= 1
    }
  }
}

/// Where a packed ring and its two event suppression structures are, and where it goes on, checked when the queue starts.
///
/// Spec: virtio 1.3 §2.8 Packed Virtqueues.
@safe
public struct PackedQueueLayout {
  /// Where a fresh ring begins, in the words of `SET_VRING_BASE`.
  public static var initialBase: UInt32 { 0x8000_8000 }

  let size: UInt16
  let ring: UnsafeMutablePointer<UInt8>
  let driverEvent: UnsafeMutablePointer<UInt8>
  let deviceEvent: UnsafeMutablePointer<UInt8>
  let available: PackedPosition
  let used: PackedPosition
  /// Descriptors between the two, which the driver counts as the device's.
  let outstandingCount: UInt16

  /// - `size`: number of descriptors: 1…32768.
  /// - `base`: 15 bits of index and a wrap counter, of the next available descriptor in the low half, of the next used
  ///     one in the high half. A high half of zero is what front-ends send that leave it out (DPDK's): nothing is then
  ///     in flight.
  public init(
    size: Int, base: UInt32, descriptorRing: GuestSlice, driverEvent: GuestSlice,
    deviceEvent: GuestSlice
  ) throws(LayoutError) {
    guard size > 0, size <= 32768 else { throw .size(size) }
    guard descriptorRing.byteCount >= 16 * size, driverEvent.byteCount >= 4,
      deviceEvent.byteCount >= 4
    else { throw .tooShort }
    guard unsafe UInt(bitPattern: descriptorRing.pointer) % 16 == 0,
      unsafe UInt(bitPattern: driverEvent.pointer) % 4 == 0,
      unsafe UInt(bitPattern: deviceEvent.pointer) % 4 == 0
    else { throw .misaligned }
    let available = PackedPosition(UInt16(truncatingIfNeeded: base))
    let high = UInt16(truncatingIfNeeded: base >> 16)
    let used = high == 0 ? available : PackedPosition(high)
    let outstanding =
      Int(available.index) - Int(used.index) + (available.wrap == used.wrap ? 0 : size)
    guard available.index < size, used.index < size, (0...size).contains(outstanding) else {
      throw .base(base)
    }
    self.size = UInt16(size)
    unsafe ring = descriptorRing.pointer
    unsafe self.driverEvent = driverEvent.pointer
    unsafe self.deviceEvent = deviceEvent.pointer
    self.available = available
    self.used = used
    outstandingCount = UInt16(outstanding)
  }
}
