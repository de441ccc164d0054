import CRingShims
import GuestMemory

/// Records which requests of a packed ring are in flight, so that another daemon can go on where this one was killed.
///
/// Two ways lead there. As long as chains are finished in the order in which they were taken, their descriptors stand in
/// the ring behind the published used ones until it is their turn: the record says where that is, and nothing of them is
/// copied (`PackedRecorder+Ring.swift`). One that is finished out of turn has its used descriptor written over another's:
/// from then on descriptors are copied, until nothing is in flight any more. As in ``SplitRecorder`` the order of stores is
/// what counts. Links are kept here, too, and never read back from the region, which the front-end may write. Without a
/// region it does nothing.
/// Spec: vhost-user, "Inflight I/O tracking", `QueueRegionPacked` and `DescStatePacked`.
@safe
public struct PackedRecorder: ~Copyable {
  // `QueueRegionPacked`: u64 features, u16 version, u16 desc_num, u16 free_head, u16 old_free_head, u16 used_idx,
  // u16 old_used_idx, u8 used_wrap_counter, u8 old_used_wrap_counter, padding; then the states. The padding's last eight
  // bytes are ours: the number of the next chain.
  static var versionOffset: Int { 8 }
  static var stateCountOffset: Int { 10 }
  static var freeHeadOffset: Int { @_noAllocation @_noLocks get { 12 } }
  static var oldFreeHeadOffset: Int { @_noAllocation @_noLocks get { 14 } }
  static var usedOffset: Int { @_noAllocation @_noLocks get { 16 } }
  static var numberOffset: Int { @_noAllocation @_noLocks get { 24 } }
  static var statesOffset: Int { @_noAllocation @_noLocks get { 32 } }
  // `DescStatePacked`: u8 inflight, padding, u16 next, u16 last, u16 num, u64 counter, u16 id, u16 flags, u32 len,
  // u64 addr.
  static var stateByteCount: Int { @_noAllocation @_noLocks get { 32 } }
  static var nextOffset: Int { @_noAllocation @_noLocks get { 2 } }
  static var countOffset: Int { @_noAllocation @_noLocks get { 6 } }
  static var counterOffset: Int { @_noAllocation @_noLocks get { 8 } }
  static var identifierOffset: Int { @_noAllocation @_noLocks get { 16 } }
  static var addressOffset: Int { @_noAllocation @_noLocks get { 24 } }

  let region: UnsafeMutablePointer<UInt8>?
  /// Of the next chain: how many descriptors were taken before it, so that the ring's place tells it (``PackedNumber``).
  var number: UInt64 = 0
  /// `ChainTicket.record` of the chain whose turn it is to be finished, where all in flight stand in the ring, in the order
  /// of their numbers, right behind what is published; else nobody's.
  var turn = PackedRecorder.nobody
  /// By index in the ring: how many descriptors the chain has that begins there and stands there; of one that was copied
  /// since, its state.
  let standing: UnsafeMutablePointer<UInt16>
  /// Finished chains that stand in the ring, in their order, until they are published.
  let finished: UnsafeMutablePointer<FinishedChain>
  var finishedCount = 0
  /// The first free state.
  private(set) var freeHead: UInt16 = 0
  /// By state, its first word as it is in the region while a chain of one is in flight there; and one more.
  private let links: UnsafeMutablePointer<UInt8>
  private static var linksByteCount: Int { @_noAllocation @_noLocks get { 8 } }
  /// By state, the last one of the chain that begins there; where none does, itself.
  private let last: UnsafeMutablePointer<UInt16>
  /// The last state of the chains that were completed since used descriptors were published; where none were, `capacity`.
  ///
  /// They are linked with each other, from a link at `capacity` on, which is none of the region's.
  private var batchEnd: UInt16
  let capacity: UInt16
  /// The driver's place of the published used descriptors.
  var published = PackedPosition(0)
  private var resubmissions: PackedResubmissions?
  private var resubmittedCount = 0
  private(set) var resubmissionCount = 0
  /// Where the ring goes on, and how many descriptors are in flight; nil where the record does not say.
  private(set) var start: PackedStart?

  /// Records nothing.
  public init() {
    unsafe region = nil
    // SAFETY: nobody looks at them without a region.
    let nowhere = unsafe UnsafeMutablePointer<UInt16>(bitPattern: 2).unsafelyUnwrapped
    unsafe links = UnsafeMutablePointer(bitPattern: 2).unsafelyUnwrapped
    unsafe last = nowhere
    unsafe standing = nowhere
    unsafe finished = UnsafeMutablePointer(bitPattern: 8).unsafelyUnwrapped
    batchEnd = 0
    capacity = 0
  }

  /// Goes on with a record, or begins it.
  ///
  /// Its memory belongs to whoever starts the queue, and has to outlive the recorder.
  public init(_ record: InflightRecord, layout: PackedQueueLayout) throws(InflightError) {
    let count = Int(record.capacity)
    guard record.capacity >= layout.size,
      record.slice.byteCount >= Self.statesOffset + count * Self.stateByteCount
    else { throw .tooShort }
    let region = unsafe record.slice.pointer
    // SAFETY: the region has a head and `count` states.
    let version = unsafe cring_load16(region + Self.versionOffset)
    guard version == 0 || version == InflightRecord.version else { throw .version(version) }
    var recovery: PackedRecovery
    if version == 0 {
      unsafe Self.begin(region, record.capacity, layout)
      recovery = PackedRecovery(new: record.capacity, layout)
    } else {
      recovery = unsafe try PackedRecovery(region, record.capacity, layout)
    }
    unsafe self.region = region
    capacity = record.capacity
    freeHead = recovery.freeHead
    published = recovery.used
    batchEnd = record.capacity
    unsafe links = .allocate(capacity: (count + 1) * Self.linksByteCount)
    unsafe last = .allocate(capacity: count)
    unsafe standing = .allocate(capacity: Int(layout.size))
    unsafe standing.initialize(repeating: 0, count: Int(layout.size))
    unsafe finished = .allocate(capacity: Int(layout.size))
    for index in 0..<count {
      let state = UInt16(index)
      unsafe cring_store64(
        links + index * Self.linksByteCount,
        Self.word(next: recovery.next[index], last: state, count: 1))
      unsafe last[index] = recovery.counts[index] > 0 ? recovery.last[index] : state
    }
    unsafe cring_store64(links + count * Self.linksByteCount, 0)
    if version == 0 {
      number = recovery.number
      if layout.outstandingCount == 0 { enterRing(at: published) }
    } else {
      unsafe goOn(with: &recovery, region, layout)
    }
  }

  /// Takes up what was in flight.
  ///
  /// Chains that stand in the ring are copied: they may be finished in another order now.
  private mutating func goOn(
    with recovery: inout PackedRecovery, _ region: UnsafeMutablePointer<UInt8>,
    _ layout: PackedQueueLayout
  ) {
    number = recovery.number
    if recovery.hasStanding(layout) {
      beginCopying()
      recovery.takeUpStanding(layout) { count, place, number in
        unsafe copyChain(
          count, at: place.index,
          cring_load64(layout.ring + Int(place.index) * 16 + PackedQueue.secondWordOffset),
          number: number, ring: layout.ring, size: layout.size)
      }
    }
    recovery.giveNumber(layout)
    number = recovery.number
    endCopying()
    resubmissionCount = recovery.requests.count
    if resubmissionCount > 0 { unsafe resubmissions = PackedResubmissions(region, recovery) }
    start = recovery.start(size: layout.size)
    if resubmissionCount == 0 { enterRing(at: published) }
  }

  deinit {
    guard isOn else { return }
    unsafe links.deallocate()
    unsafe last.deallocate()
    unsafe standing.deallocate()
    unsafe finished.deallocate()
    resubmissions?.deallocate()
  }

  /// Makes an empty record; its version comes last.
  private static func begin(
    _ region: UnsafeMutablePointer<UInt8>, _ capacity: UInt16, _ layout: PackedQueueLayout
  ) {
    let used = layout.used
    unsafe cring_zero(region + statesOffset, Int(capacity) * stateByteCount)
    for index in 0..<capacity {
      unsafe cring_store16(
        region + statesOffset + Int(index) * stateByteCount + nextOffset, index &+ 1)
    }
    unsafe cring_store64(region, 0)
    unsafe cring_store16(region + stateCountOffset, capacity)
    unsafe cring_store32(region + freeHeadOffset, 0)
    unsafe cring_store64(region + usedOffset, places(used, old: used))
    unsafe cring_store64(
      region + numberOffset,
      PackedNumber.first(at: layout.available, size: layout.size).littleEndian)
    cring_fence_full()
    unsafe cring_store16(region + versionOffset, InflightRecord.version)
  }

  /// `used_idx`, `old_used_idx`, `used_wrap_counter` and `old_used_wrap_counter` as one word, so that no place is ever seen
  /// beside the wrap counter of another.
  @_noAllocation @_noLocks
  static func places(_ used: PackedPosition, old: PackedPosition) -> UInt64 {
    let indices = UInt64(used.index) | UInt64(old.index) << 16
    let wraps = UInt64(used.wrap) | UInt64(old.wrap) << 8
    return (indices | wraps << 32).littleEndian
  }

  // MARK: - While it runs

  var isOn: Bool { @_noAllocation @_noLocks @inline(__always) get { unsafe region != nil } }

  /// Whether chains of the time before are left, to be taken first.
  var hasResubmissions: Bool {
    @_noAllocation @_noLocks get { resubmittedCount != resubmissionCount }
  }

  /// Starts the next chain of the time before, which the record has already.
  @_noAllocation @_noLocks
  mutating func takeResubmission(
    into chain: inout DescriptorChain, window: UnsafeMutablePointer<ChainRun>,
    _ memory: inout MemoryView
  ) throws(QueueError) {
    guard hasResubmissions else { return }
    let index = resubmittedCount
    resubmittedCount &+= 1
    unsafe try startResubmission(index, in: &chain, window: window, &memory)
  }

  /// Starts one of the chains of the time before.
  @_noAllocation @_noLocks
  func startResubmission(
    _ index: Int, in chain: inout DescriptorChain, window: UnsafeMutablePointer<ChainRun>,
    _ memory: inout MemoryView
  ) throws(QueueError) {
    guard index < resubmissionCount, let resubmissions else { return }
    unsafe try resubmissions.start(index, &chain, window: window, &memory)
  }

  /// The links of a state, which is below the capacity.
  @_noAllocation @_noLocks
  @inline(__always)
  private func links(of state: UInt16) -> UnsafeMutablePointer<UInt8> {
    unsafe links + Int(state) &* Self.linksByteCount
  }

  @_noAllocation @_noLocks
  @inline(__always)
  private func next(_ state: UInt16) -> UInt16 {
    unsafe UInt16(littleEndian: cring_load16(links(of: state) + Self.nextOffset))
  }

  /// A state's first word: `inflight`, `next`, `last` and `num`.
  @_noAllocation @_noLocks
  @inline(__always)
  private static func word(next: UInt16, last: UInt16, count: UInt16) -> UInt64 {
    (1 | UInt64(next) << 16 | UInt64(last) << 32 | UInt64(count) << 48).littleEndian
  }

  /// Copies an indirect chain that was taken; it is in flight from the last store but one on.
  ///
  /// Its ticket has the state to be named in `complete`. `address` and `word` are its descriptor's words, as they are used.
  /// There are as many free states as free descriptors. A way of its own, as most chains are indirect.
  @_noAllocation @_noLocks
  @inline(never)
  mutating func takeIndirect(
    _ chain: inout DescriptorChain, _ address: UInt64, _ word: UInt64
  ) {
    let first = freeHead
    guard let region = unsafe region, first < capacity else { return }
    // SAFETY: states are below the capacity, whose states the region has.
    let state = unsafe region + Self.statesOffset + Int(first) &* Self.stateByteCount
    unsafe number(&chain, region)
    unsafe copy(address.littleEndian, word, to: state)
    unsafe begin(state, cring_load64(links(of: first)), chain.recordNumber)
    unsafe free(from: next(first), region)
    chain.ticket.put(record: first)
  }

  /// Copies a chain that was taken, whose descriptors begin at `index` of the ring, the first one's second word as it was
  /// looked at.
  @_noAllocation @_noLocks
  @inline(never)
  mutating func take(
    _ chain: inout DescriptorChain, at index: UInt16, _ headWord: UInt64,
    ring: UnsafePointer<UInt8>, size: UInt16
  ) {
    guard let region = unsafe region else { return }
    unsafe number(&chain, region)
    let state = unsafe copyChain(
      chain.ticket.slotCount, at: index, headWord, number: chain.recordNumber, ring: ring,
      size: size)
    chain.ticket.put(record: state)
  }

  /// Copies a chain of `count` descriptors that begin at `index` of the ring; its state.
  @_noAllocation @_noLocks
  mutating func copyChain(
    _ count: UInt16, at index: UInt16, _ headWord: UInt64, number: UInt64,
    ring: UnsafePointer<UInt8>, size: UInt16
  ) -> UInt16 {
    let first = freeHead
    guard let region = unsafe region, first < capacity else { return 0 }
    var current = first
    var end = first
    var place = index
    var word = headWord
    var left = count
    while left > 0, current < capacity {
      // SAFETY: as above; place < size.
      let state = unsafe region + Self.statesOffset + Int(current) &* Self.stateByteCount
      let descriptor = unsafe ring + Int(place) &* 16
      if left != count { word = unsafe UInt64(littleEndian: cring_load64(descriptor + 8)) }
      unsafe copy(cring_load64(descriptor), word, to: state)
      end = current
      current = next(current)
      place = place &+ 1 == size ? 0 : place &+ 1
      left &-= 1
    }
    unsafe last[Int(first)] = end
    let state = unsafe region + Self.statesOffset + Int(first) &* Self.stateByteCount
    unsafe begin(state, Self.word(next: next(first), last: end, count: count), number)
    unsafe free(from: current, region)
    return first
  }

  /// Gives a chain that was taken its number; what stands before that in the ring was taken, too.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func number(_ chain: inout DescriptorChain, _ region: UnsafeMutablePointer<UInt8>) {
    chain.recordNumber = number
    number &+= UInt64(chain.ticket.slotCount)
    // SAFETY: the region has a head.
    unsafe cring_store64(region + Self.numberOffset, number.littleEndian)
  }

  /// Copies a descriptor: the ring has length, identifier and flags, the state identifier, flags and length.
  @_noAllocation @_noLocks
  @inline(__always)
  private func copy(
    _ address: UInt64, _ word: UInt64, to state: UnsafeMutablePointer<UInt8>
  ) {
    // SAFETY: the caller's state.
    unsafe cring_store64(state + Self.addressOffset, address)
    unsafe cring_store64(state + Self.identifierOffset, (word >> 32 | word << 32).littleEndian)
  }

  /// Has a chain be in flight whose descriptors are copied.
  @_noAllocation @_noLocks
  @inline(__always)
  private func begin(
    _ state: UnsafeMutablePointer<UInt8>, _ word: UInt64, _ number: UInt64
  ) {
    // SAFETY: the caller's state.
    unsafe cring_store64(state + Self.counterOffset, number.littleEndian)
    unsafe cring_store64(state, word)
  }

  /// `free_head` and `old_free_head`: up to here the states were free, from here on they are the chain's.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func free(from head: UInt16, _ region: UnsafeMutablePointer<UInt8>) {
    freeHead = head
    unsafe cring_store32(
      region + Self.freeHeadOffset, (UInt32(head) | UInt32(head) << 16).littleEndian)
  }

  /// Notes a chain that was copied, and will be shown with the next used descriptors, of at most `slotCount` descriptors.
  ///
  /// Its states are given back when that happens, and not before: chains may be taken in between. Chains that are completed
  /// in the order in which they were taken are linked already, and stay so when they are free.
  @_noAllocation @_noLocks
  mutating func complete(_ ticket: ChainTicket) {
    let first = state(of: ticket)
    if ticket.slotCount == 1, next(batchEnd) == first {
      batchEnd = first
    } else {
      completeChain(first)
    }
  }

  /// The same for any chain.
  @_noAllocation @_noLocks
  mutating func completeChain(_ first: UInt16) {
    if next(batchEnd) != first { link(batchEnd, to: first) }
    // SAFETY: `take` named it, so it is below the capacity.
    batchEnd = unsafe last[Int(first)]
    unsafe last[Int(first)] = first
  }

  /// Has a completed chain's last state be followed by another state, here and in the record.
  ///
  /// What follows it is nobody's concern while the chain is in flight.
  @_noAllocation @_noLocks
  @inline(__always)
  private func link(_ state: UInt16, to next: UInt16) {
    unsafe cring_store16(links(of: state) + Self.nextOffset, next.littleEndian)
    guard let region = unsafe region, state < capacity else { return }
    // SAFETY: states are below the capacity.
    unsafe cring_store16(
      region + Self.statesOffset + Int(state) &* Self.stateByteCount + Self.nextOffset,
      next.littleEndian)
  }

  /// Used descriptors are about to be shown, up to `used`, all at once.
  @_noAllocation @_noLocks
  mutating func prepare(_ used: PackedPosition) {
    guard let region = unsafe region else { return }
    if batchEnd != capacity {
      if next(batchEnd) != freeHead { link(batchEnd, to: freeHead) }
      freeHead = next(capacity)
    }
    unsafe cring_store16(region + Self.freeHeadOffset, freeHead.littleEndian)
    unsafe cring_store64(region + Self.usedOffset, Self.places(used, old: published))
  }

  /// Used descriptors are shown: what was completed is not in flight any more.
  ///
  /// - `outstandingCount`: descriptors that still are.
  @_noAllocation @_noLocks
  mutating func publish(_ used: PackedPosition, outstandingCount: UInt16) {
    guard let region = unsafe region else { return }
    let states = unsafe region + Self.statesOffset
    // What the loop needs, so that it is not looked up behind each store again.
    let (nexts, end) = unsafe (links + Self.nextOffset, Int(batchEnd))
    var state = Int(capacity)
    while state != end {
      // SAFETY: states are below the capacity. Those that begin no chain say 0 already.
      state = unsafe Int(UInt16(littleEndian: cring_load16(nexts + state &* Self.linksByteCount)))
      unsafe cring_store8(states + state &* Self.stateByteCount, 0)
    }
    batchEnd = capacity
    unsafe cring_store16(region + Self.oldFreeHeadOffset, freeHead.littleEndian)
    unsafe cring_store64(region + Self.usedOffset, Self.places(used, old: used))
    published = used
    // The next chain stands right behind what is published.
    if outstandingCount == 0 { enterRing(at: used) }
  }
}
