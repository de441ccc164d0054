internal import CRingShims

/// A descriptor as it lies in the ring: every field free to be wrong.
public struct RingDescriptor: Hashable, Sendable {
  public var guestAddress: UInt64
  public var byteCount: UInt32
  public var flags: UInt16
  public var next: UInt16

  public init(guestAddress: UInt64, byteCount: UInt32, flags: UInt16, next: UInt16) {
    self.guestAddress = guestAddress
    self.byteCount = byteCount
    self.flags = flags
    self.next = next
  }

  /// The 16 bytes in a ring or table of this kind: `struct virtq_desc`, or `struct pvirtq_desc` with
  /// `next` for its identifier.
  public func bytes(of kind: RingKind) -> [UInt8] {
    guard kind.isPacked else { return bytes }
    var swapped = self
    (swapped.flags, swapped.next) = (next, flags)
    return swapped.bytes
  }

  /// Reads what `bytes(of:)` gives; nil for another count.
  public init?(bytes: [UInt8], of kind: RingKind) {
    self.init(bytes: bytes)
    if kind.isPacked { (flags, next) = (next, flags) }
  }

  /// The 16 bytes of `struct virtq_desc`.
  public var bytes: [UInt8] {
    var wire = WireBytes()
    wire.append64(guestAddress)
    wire.append32(byteCount)
    wire.append32(UInt32(flags) | UInt32(next) << 16)
    return wire.bytes
  }

  /// Reads the 16 bytes of `struct virtq_desc`; nil for another count.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    let wire = WireBytes(bytes)
    guestAddress = wire.get64(at: 0)
    byteCount = wire.get32(at: 8)
    flags = UInt16(truncatingIfNeeded: wire.get32(at: 12))
    next = UInt16(truncatingIfNeeded: wire.get32(at: 12) >> 16)
  }
}

/// Access to the ring's memory without the driver's manners: tests break rules here.
extension DriverQueue {
  /// Where descriptors lie that were not posted: in a split ring where they stay, in a packed one where
  /// they are taken from.
  private var table: UnsafeMutableRawPointer { unsafe isPacked ? books.templates : descriptors }

  /// The descriptor at `index`, which is taken modulo the ring's size; of a packed ring the one that
  /// will be posted.
  public func descriptor(_ index: UInt16) -> RingDescriptor {
    // SAFETY: the index is below `size`; the table lives as long as `memory`.
    let entry = unsafe table + 16 * Int(index % size)
    return unsafe RingDescriptor(
      guestAddress: cring_load64(entry), byteCount: cring_load32(entry + 8),
      flags: cring_load16(entry + 12), next: cring_load16(entry + 14))
  }

  /// Overwrites the descriptor at `index`, which is taken modulo the ring's size.
  public func setDescriptor(_ index: UInt16, _ descriptor: RingDescriptor) {
    // SAFETY: as in `descriptor(_:)`.
    let entry = unsafe table + 16 * Int(index % size)
    unsafe cring_store64(entry, descriptor.guestAddress)
    unsafe cring_store32(entry + 8, descriptor.byteCount)
    unsafe cring_store16(entry + 12, descriptor.flags)
    unsafe cring_store16(entry + 14, descriptor.next)
  }

  /// Says which descriptors are a chain, its head first, that was written by `setDescriptor` and never
  /// reserved: a packed ring posts as many.
  public func setRawChain(_ descriptors: [UInt16]) {
    books.enter(descriptors.map { $0 % size }, writableByteCount: 0)
  }

  /// The available index in the ring's memory.
  public var rawAvailableIndex: UInt16 { unsafe cring_load16(available + 2) }

  /// Writes any available index, behind the driver's back.
  public func setRawAvailableIndex(_ index: UInt16) {
    unsafe cring_store16_release(available + 2, index)
  }

  /// Writes any head into an entry of the available ring (`slot` modulo the ring's size).
  public func setRawAvailableEntry(_ slot: UInt16, head: UInt16) {
    // SAFETY: the masked slot is below `size`.
    unsafe cring_store16(available + 4 + 2 * Int(slot & mask), head)
  }

  /// The device's used index; of a packed ring, as many chains as it has finished.
  public var rawUsedIndex: UInt16 {
    isPacked ? usedIndex &+ finishedCount : unsafe cring_load16_acquire(used + 2)
  }

  /// The device's `used.flags`: bit 0 asks for no kicks; so do a packed ring's event flags.
  public var rawUsedFlags: UInt16 { unsafe cring_load16(isPacked ? used + 2 : used) }

  /// What the device wrote that the driver did not: a split ring's used index and entries; of a packed
  /// ring all descriptors, which say so only until the driver posts again.
  public func rawUsedRing() throws(FrontendError) -> [UInt8] {
    if isPacked { return try memory.read(layout.descriptorTable, byteCount: 16 * Int(size)) }
    return try memory.read(layout.used + 2, byteCount: 2 + 8 * Int(size))
  }

  /// Guest address of the descriptor that a packed ring's next one will be written to, so many places
  /// further on.
  public func nextDescriptorAddress(_ distance: UInt16 = 0) -> UInt64 {
    var position = unsafe indices.pointee.availablePosition
    position.advance(by: distance % size, size: size)
    return layout.descriptorTable + 16 * UInt64(position.index)
  }

  /// Where the back-end is to go on, in the words of `SET_VRING_BASE`.
  public var base: UInt32 {
    guard isPacked else { return UInt32(availableIndex) }
    let words = unsafe (indices.pointee.availablePosition, indices.pointee.usedPosition)
    return UInt32(words.0.word) | UInt32(words.1.word) << 16
  }

  /// The available index that `GET_VRING_BASE` speaks of; of a packed ring, counting chains; nil where
  /// its word is not a place between two chains in flight, with nothing left to be used before it.
  public func index(ofBase base: UInt32) -> UInt16? {
    guard isPacked else { return UInt16(exactly: base) }
    guard base & 0xFFFF == base >> 16 else { return nil }
    var chain = usedIndex
    var position = unsafe indices.pointee.usedPosition
    while UInt32(position.word) != base & 0xFFFF {
      guard chain != publishedIndex else { return nil }
      position.advance(by: unsafe books.slotCounts[Int(books.head(at: chain))], size: size)
      chain &+= 1
    }
    return chain
  }

  /// The device's `avail_event`: the available index at which it wants a kick.
  public var rawAvailableEvent: UInt16 { unsafe cring_load16(used + 4 + 8 * Int(size)) }

  /// The driver's `used_event`: the used index at which it wants a call.
  public var rawUsedEvent: UInt16 { unsafe cring_load16(available + 4 + 2 * Int(size)) }

  /// The used entry in a slot (modulo the ring's size), whether or not it is new.
  public func rawUsedEntry(_ slot: UInt16) -> UsedElement {
    // SAFETY: the masked slot is below `size`.
    let entry = unsafe used + 4 + 8 * Int(slot & mask)
    return unsafe UsedElement(head: cring_load32(entry), byteCount: cring_load32(entry + 4))
  }

  /// Forgets everything in flight and starts over at `index`, as after a device reset or
  /// `GET_VRING_BASE`.
  ///
  /// Reserved chains stay reserved.
  public func restart(at index: UInt16) {
    unsafe indices.pointee = Indices(index, size: size)
    if isPacked {
      markAllUsed()
      unsafe cring_store32(used, 0)
      return
    }
    unsafe cring_store16(available + 2, index)
    unsafe cring_store16(used + 2, index)
    unsafe cring_store16(used, 0)
    unsafe cring_store16(used + 4 + 8 * Int(size), 0)
  }
}
