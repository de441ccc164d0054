import CRingShims
import GuestMemory

/// Where a packed ring goes on.
struct PackedStart {
  var available: PackedPosition
  var used: PackedPosition
  /// Descriptors between the two.
  var outstandingCount: UInt16
}

/// What the record of a packed ring says when a queue starts, checked, and made whole where the daemon before was
/// killed in the middle of something.
struct PackedRecovery {
  private(set) var used: PackedPosition
  private(set) var freeHead: UInt16
  /// By state.
  private(set) var next: [UInt16]
  private(set) var last: [UInt16]
  private(set) var counts: [UInt16]
  /// In the order in which they were taken.
  private(set) var requests: [RecordedRequest] = []
  private var outstandingCount = 0
  /// The next chain's; until `giveNumber`, what the record says of it.
  private(set) var number: UInt64 = 0

  /// The region has a head and `capacity` states.
  init(
    _ region: UnsafeMutablePointer<UInt8>, _ capacity: UInt16, _ layout: PackedQueueLayout
  ) throws(InflightError) {
    let count = Int(capacity)
    let stateCount = unsafe cring_load16(region + PackedRecorder.stateCountOffset)
    guard stateCount == capacity else { throw .stateCount(stateCount) }
    next = [UInt16](repeating: 0, count: count)
    last = next
    counts = next
    // SAFETY: the region has a head.
    (used, freeHead) = unsafe try Self.settleLastBatch(region, layout)
    for index in 0..<count {
      let state = unsafe Self.state(region, index)
      next[index] = unsafe cring_load16(state + PackedRecorder.nextOffset)
    }
    var isSeen = [Bool](repeating: false, count: count)
    unsafe try clearFreeStates(region, &isSeen)
    unsafe try readRequests(region, &isSeen, size: layout.size)
    requests.sortByAge()
    hideUnpublished(layout)
    number = unsafe number(region, capacity, size: layout.size)
  }

  /// What a record says that was begun just now: nothing of it is read back, as the front-end may write it meanwhile, and
  /// nothing is in flight in the ring.
  init(new capacity: UInt16, _ layout: PackedQueueLayout) {
    used = layout.used
    freeHead = 0
    next = (0..<capacity).map { $0 &+ 1 }
    last = [UInt16](repeating: 0, count: Int(capacity))
    counts = last
    number = PackedNumber.first(at: layout.available, size: layout.size)
  }

  /// The number of the next chain, which says what stands in the ring; 0 if it is not ours any more.
  private func number(
    _ region: UnsafeMutablePointer<UInt8>, _ capacity: UInt16, size: UInt16
  ) -> UInt64 {
    // SAFETY: the region has a head and `capacity` states.
    let number = unsafe UInt64(littleEndian: cring_load64(region + PackedRecorder.numberOffset))
    var counter: UInt64 = 0
    if freeHead < capacity {
      let state = unsafe Self.state(region, Int(freeHead))
      counter = unsafe UInt64(littleEndian: cring_load64(state + PackedRecorder.counterOffset))
    }
    if counter == PackedNumber.standingMark { return number & ~PackedNumber.copyingFlag }
    guard number & PackedNumber.copyingFlag != 0 else { return 0 }
    // Somebody else may have gone on since: the chain that comes next follows the one that was copied last, or is in the
    // middle of being copied.
    let end = number & ~PackedNumber.copyingFlag
    let next = end &- PackedNumber.distance(from: available(size), to: end, size: size)
    let copied = requests.last.map { $0.counter &+ UInt64(counts[Int($0.state)]) }
    return copied == next || counter == next ? end : 0
  }

  private static func state(
    _ region: UnsafeMutablePointer<UInt8>, _ index: Int
  ) -> UnsafeMutablePointer<UInt8> {
    unsafe region + PackedRecorder.statesOffset + index * PackedRecorder.stateByteCount
  }

  /// Settles whether the last batch was shown to the driver or not; where the used descriptors and the free states are.
  private static func settleLastBatch(
    _ region: UnsafeMutablePointer<UInt8>, _ layout: PackedQueueLayout
  ) throws(InflightError) -> (PackedPosition, UInt16) {
    let places = unsafe UInt64(littleEndian: cring_load64(region + PackedRecorder.usedOffset))
    let heads = unsafe UInt32(littleEndian: cring_load32(region + PackedRecorder.freeHeadOffset))
    func position(_ shift: UInt64, _ wrapShift: UInt64) throws(InflightError) -> PackedPosition {
      var position = PackedPosition(0)
      position.index = UInt16(truncatingIfNeeded: places >> shift)
      position.wrap = UInt16(truncatingIfNeeded: places >> wrapShift) & 0xFF
      guard position.index < layout.size, position.wrap <= 1 else {
        throw .indexOutOfRange(position.index)
      }
      return position
    }
    let used = try position(0, 32)
    let old = try position(16, 40)
    var settled = old
    var freeHead = UInt16(truncatingIfNeeded: heads >> 16)
    // The first used descriptor of a batch is stored last: as long as the driver's own is there, nothing was shown.
    if used != old, !old.isAvailable(flags(layout, old)) {
      settled = used
      freeHead = UInt16(truncatingIfNeeded: heads)
    }
    unsafe cring_store32(
      region + PackedRecorder.freeHeadOffset,
      (UInt32(freeHead) | UInt32(freeHead) << 16).littleEndian)
    unsafe cring_store64(
      region + PackedRecorder.usedOffset, PackedRecorder.places(settled, old: settled))
    return (settled, freeHead)
  }

  private static func flags(_ layout: PackedQueueLayout, _ position: PackedPosition) -> UInt16 {
    // SAFETY: the index is below the ring's size.
    unsafe UInt16(littleEndian: cring_load16(layout.ring + Int(position.index) * 16 + 14))
  }

  /// Follows the free states; none of them is in flight, whatever it says.
  private mutating func clearFreeStates(
    _ region: UnsafeMutablePointer<UInt8>, _ isSeen: inout [Bool]
  ) throws(InflightError) {
    var index = Int(freeHead)
    while index < isSeen.count {
      guard !isSeen[index] else { throw .sharedState(UInt16(index)) }
      isSeen[index] = true
      unsafe cring_store8(Self.state(region, index), 0)
      index = Int(next[index])
    }
  }

  private mutating func readRequests(
    _ region: UnsafeMutablePointer<UInt8>, _ isSeen: inout [Bool], size: UInt16
  ) throws(InflightError) {
    for index in isSeen.indices {
      let state = unsafe Self.state(region, index)
      guard unsafe cring_load8(state) == 1 else { continue }
      let count = unsafe cring_load16(state + PackedRecorder.countOffset)
      outstandingCount += Int(count)
      guard count > 0, outstandingCount <= Int(size) else { throw .counts }
      var current = index
      for position in 0..<count {
        guard current < isSeen.count else { throw .indexOutOfRange(UInt16(current)) }
        guard !isSeen[current] else { throw .sharedState(UInt16(current)) }
        isSeen[current] = true
        last[index] = UInt16(current)
        if position + 1 < count { current = Int(next[current]) }
      }
      counts[index] = count
      requests.append(
        RecordedRequest(
          state: UInt16(index), counter: unsafe cring_load64(state + PackedRecorder.counterOffset)))
    }
    guard isSeen.allSatisfy({ $0 }) else { throw .counts }
  }

  /// Takes back used descriptors that were written behind the first one of a batch that was not shown: when the driver
  /// comes there, they must not pass for ours.
  ///
  /// The driver does not look at them before the first.
  private func hideUnpublished(_ layout: PackedQueueLayout) {
    var position = used
    for _ in 0..<outstandingCount {
      let flags = Self.flags(layout, position)
      if position.isUsed(flags) {
        unsafe cring_store16(
          layout.ring + Int(position.index) * 16 + 14,
          (position.availableFlags | flags & 0x7F7F).littleEndian)
      }
      position.advance(by: 1, size: layout.size)
    }
  }

  // MARK: - What stands in the ring

  /// Whether chains stand in the ring that an earlier daemon had taken and not copied, behind all others.
  func hasStanding(_ layout: PackedQueueLayout) -> Bool { standingSlotCount(layout) > 0 }

  private func standingSlotCount(_ layout: PackedQueueLayout) -> Int {
    let size = layout.size
    let distance = PackedNumber.distance(from: available(size), to: number, size: size)
    return distance <= Int(size) - outstandingCount ? Int(distance) : 0
  }

  /// Finds those chains, and has each one copied.
  ///
  /// - `copy`: copies a chain of so many descriptors at a place, by its number, into free states; the first of them.
  mutating func takeUpStanding(
    _ layout: PackedQueueLayout,
    copy: (_ count: UInt16, _ place: PackedPosition, _ number: UInt64) -> UInt16
  ) {
    let end = number
    var left = standingSlotCount(layout)
    while left > 0 {
      let place = available(layout.size)
      let count = Self.slotCount(of: place, layout, most: left)
      guard count > 0 else { break }
      let number = end - UInt64(left)
      let state = copy(UInt16(count), place, number)
      counts[Int(state)] = UInt16(count)
      requests.append(RecordedRequest(state: state, counter: number))
      outstandingCount += count
      left -= count
    }
    number = end - UInt64(left)
  }

  /// Gives the next chain its number, above those of all that are in flight.
  mutating func giveNumber(_ layout: PackedQueueLayout) {
    let next = requests.map(\.counter).max().map { $0 &+ 1 } ?? 0
    number = PackedNumber.first(
      at: available(layout.size), size: layout.size, from: max(number, next))
  }

  /// Descriptors of the chain that begins at a place; 0 if none does of at most so many.
  private static func slotCount(
    of place: PackedPosition, _ layout: PackedQueueLayout, most: Int
  ) -> Int {
    var place = place
    var flags = flags(layout, place)
    guard place.isAvailable(flags) else { return 0 }
    if flags & Descriptor.indirectFlag != 0 { return 1 }
    for count in 1...most {
      if flags & Descriptor.nextFlag == 0 { return count }
      place.advance(by: 1, size: layout.size)
      flags = Self.flags(layout, place)
    }
    return 0
  }

  /// Where the next chain is taken.
  private func available(_ size: UInt16) -> PackedPosition {
    var available = used
    available.advance(by: UInt16(truncatingIfNeeded: outstandingCount), size: size)
    return available
  }

  func start(size: UInt16) -> PackedStart {
    PackedStart(
      available: available(size), used: used,
      outstandingCount: UInt16(truncatingIfNeeded: outstandingCount))
  }
}

extension PackedPosition {
  /// AVAIL (bit 7) and USED (bit 15) of a descriptor that the driver has made available in this round.
  var availableFlags: UInt16 { wrap << 7 | (wrap ^ 1) << 15 }

  /// Whether flags are those of such a descriptor.
  func isAvailable(_ flags: UInt16) -> Bool { flags & 0x8080 == availableFlags }

  /// Whether flags are those of one that was used in this round.
  func isUsed(_ flags: UInt16) -> Bool { flags & 0x8080 == wrap << 7 | wrap << 15 }
}

/// Chains of the time before as a ring of their own, copied out of the record.
///
/// Their places in the driver's ring may hold used descriptors by now.
@safe
struct PackedResubmissions {
  struct Chain {
    var first: UInt16
    var count: UInt16
    var state: UInt16
    var identifier: UInt16
    var counter: UInt64
  }

  private let table: UnsafeMutablePointer<UInt8>
  private let tableCount: UInt16
  private let chains: UnsafeMutablePointer<Chain>

  init(_ region: UnsafeMutablePointer<UInt8>, _ recovery: PackedRecovery) {
    let total = recovery.requests.reduce(0) { $0 + Int(recovery.counts[Int($1.state)]) }
    unsafe table = UnsafeMutableRawPointer.allocate(byteCount: 16 * total, alignment: 16)
      .bindMemory(to: UInt8.self, capacity: 16 * total)
    tableCount = UInt16(total)
    unsafe chains = .allocate(capacity: recovery.requests.count)
    var place = 0
    for (index, request) in recovery.requests.enumerated() {
      let count = recovery.counts[Int(request.state)]
      var chain = Chain(
        first: UInt16(place), count: count, state: request.state, identifier: 0,
        counter: request.counter)
      var current = request.state
      for _ in 0..<count {
        // SAFETY: recovery has checked the states of every request, and counted their descriptors.
        let state =
          unsafe region + PackedRecorder.statesOffset
          + Int(current) * PackedRecorder.stateByteCount
        let word = unsafe UInt64(
          littleEndian: cring_load64(state + PackedRecorder.identifierOffset))
        unsafe cring_store64(
          table + place * 16, cring_load64(state + PackedRecorder.addressOffset))
        unsafe cring_store64(table + place * 16 + 8, (word >> 32 | word << 32).littleEndian)
        // The last descriptor has the identifier.
        chain.identifier = UInt16(truncatingIfNeeded: word)
        current = recovery.next[Int(current)]
        place += 1
      }
      unsafe (chains + index).initialize(to: chain)
    }
  }

  /// Frees what `init` took.
  func deallocate() {
    unsafe table.deallocate()
    unsafe chains.deallocate()
  }

  /// Starts a chain; `index` is below their number.
  @_noAllocation @_noLocks
  func start(
    _ index: Int, _ chain: inout DescriptorChain, window: UnsafeMutablePointer<ChainRun>,
    _ memory: inout MemoryView
  ) throws(QueueError) {
    // SAFETY: the table has every chain's descriptors.
    let old = unsafe chains[index]
    unsafe chain.start(
      sequentialAt: old.first, slotCount: old.count, id: old.identifier, ring: table,
      size: tableCount, window: window)
    chain.ticket.put(record: old.state)
    chain.isResubmitted = true
    chain.recordNumber = old.counter
    guard old.count == 1 else { return }
    let descriptor = unsafe Descriptor(at: table + Int(old.first) &* 16, flagsShift: 48)
    if descriptor.isIndirect { try chain.enter(descriptor, &memory) }
  }
}
