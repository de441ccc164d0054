public import CRingShims

// Packed rings, and used entries that stand for a batch.
extension DriverQueue {
  /// Writes what was posted into the ring, the first descriptor's flags last.
  @inlinable @_noAllocation @_noLocks
  func publishPacked() -> Bool {
    let before = unsafe indices.pointee.availablePosition
    var position = before
    var slotCount = 0
    var chain = unsafe indices.pointee.published
    let end = unsafe indices.pointee.available
    var firstWord: UInt64 = 0
    while chain != end {
      let head = books.head(at: chain)
      var descriptor = head
      var left = unsafe books.slotCounts[Int(head)]
      while left > 0 {
        // SAFETY: descriptor and position are below the ring's size.
        let template = unsafe books.templates + 16 * Int(descriptor)
        let entry = unsafe descriptors + 16 * Int(position.index)
        unsafe cring_store64(entry, cring_load64(template))
        // AVAIL of this round, USED of the last.
        let round: UInt16 = position.wrap == 1 ? 0x80 : 0x8000
        let flags = unsafe cring_load16(template + 12) & 0x7F7F | round
        let word =
          unsafe UInt64(cring_load32(template + 8)) | UInt64(head) << 32 | UInt64(flags) << 48
        if slotCount == 0 { firstWord = word } else { unsafe cring_store64(entry + 8, word) }
        position.advance(by: 1, size: size)
        descriptor = unsafe books.nextInChain[Int(descriptor)]
        slotCount &+= 1
        left &-= 1
      }
      chain &+= 1
    }
    if slotCount > 0 {
      // Release: the device that sees these flags also sees what is behind them.
      unsafe cring_store64_release(descriptors + 16 * Int(before.index) + 8, firstWord)
    }
    unsafe indices.pointee.published = end
    unsafe indices.pointee.availablePosition = position
    // Full fence between our store of flags and our load of the device's wish; the device stores the
    // wish, fences, and loads flags.
    cring_fence_full()
    let wish = unsafe cring_load32(used)
    if hasEventIndex, wish >> 16 & 3 == PackedEvent.atDescriptor {
      let distance =
        Int(wish & 0x7FFF) &- Int(before.index)
        &+ (UInt16(truncatingIfNeeded: wish) >> 15 == before.wrap ? 0 : Int(size))
      return distance >= 0 && distance < slotCount
    }
    return wish >> 16 & 3 != PackedEvent.disabled
  }

  /// Makes every descriptor of a packed ring look as if it came back: in this round those that were passed, in the last
  /// one those that come.
  func markAllUsed() {
    let position = unsafe indices.pointee.usedPosition
    unsafe cring_zero(descriptors, 16 * Int(size))
    for index in 0..<size {
      let wrap = index < position.index ? position.wrap : position.wrap ^ 1
      unsafe cring_store16(descriptors + 16 * Int(index) + 14, wrap == 1 ? 0x8080 : 0)
    }
  }

  /// The next chain that the device finished, in its own used entry or in one for a batch.
  @inlinable @_noAllocation @_noLocks
  func popUsedInBatch() -> UsedElement? {
    let index = unsafe indices.pointee.used
    if unsafe index != indices.pointee.batchEnd {
      return leaveBatch(books.head(at: index))
    }
    guard let element = isPacked ? peekPacked() : peekSplit() else { return nil }
    guard isInOrder, let length = batchLength(endingWith: element.head) else {
      move(over: element.head)
      unsafe indices.pointee.batchEnd = indices.pointee.used
      return element
    }
    // All chains up to the one that is named are finished.
    unsafe indices.pointee.batchEnd = index &+ length
    unsafe indices.pointee.batchByteCount = element.byteCount
    return leaveBatch(books.head(at: index))
  }

  /// The next chain of a batch; those before the last were written completely.
  @inlinable @_noAllocation @_noLocks
  func leaveBatch(_ head: UInt16) -> UsedElement {
    move(over: UInt32(head))
    let isLast = unsafe indices.pointee.used == indices.pointee.batchEnd
    return unsafe UsedElement(
      head: UInt32(head),
      byteCount: isLast ? indices.pointee.batchByteCount : books.writableByteCounts[Int(head)])
  }

  @inlinable @_noAllocation @_noLocks
  func move(over head: UInt32) {
    let slots = unsafe head < UInt32(size) ? books.slotCounts[Int(head)] : 1
    unsafe indices.pointee.used &+= 1
    unsafe indices.pointee.usedPosition.advance(by: slots, size: size)
  }

  /// How many chains there are up to the first one in flight with this head; nil where it is not in
  /// flight.
  @inlinable @_noAllocation @_noLocks
  func batchLength(endingWith head: UInt32) -> UInt16? {
    var index = unsafe indices.pointee.used
    while unsafe index != indices.pointee.published {
      let found = books.head(at: index)
      index &+= 1
      if UInt32(found) == head { return unsafe index &- indices.pointee.used }
    }
    return nil
  }

  @inlinable @_noAllocation @_noLocks
  func peekPacked() -> UsedElement? {
    // SAFETY: the position is below the ring's size. Acquire: buffers are read after it.
    let word = unsafe cring_load64_acquire(
      descriptors + 16 * Int(indices.pointee.usedPosition.index) + 8)
    guard
      unsafe indices.pointee.usedPosition.isUsed(UInt16(truncatingIfNeeded: word >> 48))
    else { return nil }
    return UsedElement(
      head: UInt32(truncatingIfNeeded: word >> 32) & 0xFFFF,
      byteCount: UInt32(truncatingIfNeeded: word))
  }

  @inlinable @_noAllocation @_noLocks
  func peekSplit() -> UsedElement? {
    let index = unsafe indices.pointee.used
    // Acquire: entries and buffers behind the index are read after it.
    guard unsafe cring_load16_acquire(used + 2) != index else { return nil }
    // SAFETY: the masked index is below `size`.
    let entry = unsafe used + 4 + 8 * Int(index & mask)
    return unsafe UsedElement(head: cring_load32(entry), byteCount: cring_load32(entry + 4))
  }

  @inlinable @_noAllocation @_noLocks
  func enablePackedCalls(afterAnother count: UInt16) -> Bool {
    var event: UInt32 = 0
    if hasEventIndex {
      var position = unsafe indices.pointee.usedPosition
      position.advance(by: count, size: size)
      event = UInt32(position.word) | PackedEvent.atDescriptor << 16
    }
    unsafe cring_store32(available, event)
    // Full fence between our wish and our look at the ring; the device stores flags, fences, and
    // loads the wish.
    cring_fence_full()
    return finishedCount > count
  }

  /// Chains that the device has finished and `popUsed` has not given yet; of a packed ring.
  @inlinable var finishedCount: UInt16 {
    @_noAllocation @_noLocks get {
      let first = unsafe indices.pointee.used
      var chain = first
      var position = unsafe indices.pointee.usedPosition
      while unsafe chain != indices.pointee.batchEnd {
        position.advance(by: unsafe books.slotCounts[Int(books.head(at: chain))], size: size)
        chain &+= 1
      }
      while unsafe chain != indices.pointee.published {
        // SAFETY: the position is below the ring's size.
        let entry = unsafe descriptors + 16 * Int(position.index)
        guard unsafe position.isUsed(cring_load16_acquire(entry + 14)) else { break }
        let head = unsafe cring_load16(entry + 12)
        guard head < size else { break }
        // In order, an entry stands for all chains up to the one that it names.
        while true {
          let next = isInOrder ? books.head(at: chain) : head
          position.advance(by: unsafe books.slotCounts[Int(next)], size: size)
          chain &+= 1
          if next == head { break }
          if unsafe chain == indices.pointee.published { break }
        }
      }
      return chain &- first
    }
  }
}
