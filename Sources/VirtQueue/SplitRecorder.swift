import CRingShims
import GuestMemory

/// Records which requests of a split ring are in flight, so that another daemon can go on where this one was killed.
///
/// A process that dies has made all stores of the instructions before, and none of those after: what counts is their
/// order in the program, which volatile stores keep. After any of them the record and the used ring together say which
/// chains the driver has not got back. Without a region it does nothing.
/// Spec: vhost-user, "Inflight I/O tracking", `QueueRegionSplit` and `DescStateSplit`.
@safe
public struct SplitRecorder: ~Copyable {
  // `QueueRegionSplit`: u64 features, u16 version, u16 desc_num, u16 last_batch_head, u16 used_idx; then the states.
  private static var versionOffset: Int { 8 }
  private static var stateCountOffset: Int { 10 }
  private static var lastBatchHeadOffset: Int { @_noAllocation @_noLocks get { 12 } }
  private static var usedIndexOffset: Int { @_noAllocation @_noLocks get { 14 } }
  @usableFromInline static var statesOffset: Int {
    @inlinable @_noAllocation @_noLocks get { 16 }
  }
  // `DescStateSplit`: u8 inflight, 5 bytes, u16 next, u64 counter.
  @usableFromInline static var stateByteCount: Int {
    @inlinable @_noAllocation @_noLocks get { 16 }
  }
  @usableFromInline static var nextOffset: Int { @inlinable @_noAllocation @_noLocks get { 6 } }
  private static var counterOffset: Int { @_noAllocation @_noLocks get { 8 } }

  @usableFromInline let region: UnsafeMutablePointer<UInt8>?
  @usableFromInline let size: UInt16
  private var counter: UInt64 = 0
  private var lastBatchHead: UInt16 = 0
  /// Heads that were completed, each where its used entry is in the ring or would be, until the used index is published.
  ///
  /// A copy of our own: the driver may write the ring. That it is laid out alike makes a completed chain one store.
  @usableFromInline let usedHeads: UnsafeMutablePointer<UInt16>?
  /// Heads to be taken again, before what is available.
  private let resubmissions: UnsafeMutablePointer<RecordedRequest>?
  @usableFromInline var resubmittedCount = 0
  @usableFromInline let resubmissionCount: Int
  /// Where the ring goes on; nil where the record does not say.
  let nextAvailable: UInt16?

  /// Records nothing.
  public init() {
    unsafe region = nil
    size = 0
    unsafe usedHeads = nil
    unsafe resubmissions = nil
    resubmissionCount = 0
    nextAvailable = nil
  }

  /// Goes on with a record, or begins it.
  ///
  /// Its memory belongs to whoever starts the queue, and has to outlive the recorder.
  public init(_ record: InflightRecord, layout: SplitQueueLayout) throws(InflightError) {
    let count = Int(record.capacity)
    guard record.capacity >= layout.size,
      record.slice.byteCount >= Self.statesOffset + count * Self.stateByteCount
    else { throw .tooShort }
    let region = unsafe record.slice.pointer
    // SAFETY: the region has a head and `count` states, and the used ring has its index.
    let usedIndex = layout.usedIndex
    let version = unsafe cring_load16(region + Self.versionOffset)
    var requests: [RecordedRequest] = []
    var goesOn = false
    if version == InflightRecord.version {
      let stateCount = unsafe cring_load16(region + Self.stateCountOffset)
      guard stateCount == record.capacity else { throw .stateCount(stateCount) }
      goesOn = unsafe try Self.settleLastBatch(region, usedIndex, size: layout.size)
      if goesOn {
        unsafe requests = try Self.requests(region, size: layout.size, capacity: record.capacity)
      }
    } else if version != 0 {
      throw .version(version)
    }
    if !goesOn { unsafe Self.begin(region, record.capacity, usedIndex) }
    requests.sortByAge()
    unsafe self.region = region
    size = layout.size
    counter = (requests.last?.counter ?? 0) &+ 1
    unsafe lastBatchHead = cring_load16(region + Self.lastBatchHeadOffset)
    let usedHeads = UnsafeMutablePointer<UInt16>.allocate(capacity: Int(layout.size))
    unsafe usedHeads.initialize(repeating: 0, count: Int(layout.size))
    unsafe self.usedHeads = unsafe usedHeads
    let list = UnsafeMutablePointer<RecordedRequest>.allocate(capacity: max(requests.count, 1))
    for (index, request) in requests.enumerated() {
      unsafe (list + index).initialize(to: request)
    }
    unsafe resubmissions = list
    resubmissionCount = requests.count
    nextAvailable = goesOn ? usedIndex &+ UInt16(truncatingIfNeeded: requests.count) : nil
  }

  deinit {
    unsafe usedHeads?.deallocate()
    unsafe resubmissions?.deallocate()
  }

  // MARK: - When a queue starts

  private static func state(
    _ region: UnsafeMutablePointer<UInt8>, _ head: UInt16
  ) -> UnsafeMutablePointer<UInt8> {
    unsafe region + statesOffset + Int(head) * stateByteCount
  }

  /// Makes an empty record; its version comes last.
  private static func begin(
    _ region: UnsafeMutablePointer<UInt8>, _ capacity: UInt16, _ usedIndex: UInt16
  ) {
    unsafe cring_store16(region + versionOffset, 0)
    cring_fence_full()
    unsafe cring_zero(region + statesOffset, Int(capacity) * stateByteCount)
    unsafe cring_store64(region, 0)
    unsafe cring_store16(region + stateCountOffset, capacity)
    unsafe cring_store16(region + lastBatchHeadOffset, 0)
    unsafe cring_store16(region + usedIndexOffset, usedIndex)
    cring_fence_full()
    unsafe cring_store16(region + versionOffset, InflightRecord.version)
  }

  /// Takes the chains out of the record that the driver got back just before the end; false where the record is that of
  /// another life of the ring.
  private static func settleLastBatch(
    _ region: UnsafeMutablePointer<UInt8>, _ usedIndex: UInt16, size: UInt16
  ) throws(InflightError) -> Bool {
    let left = unsafe usedIndex &- cring_load16(region + usedIndexOffset)
    // No batch is longer than the ring.
    guard left <= size else { return false }
    var head = unsafe cring_load16(region + lastBatchHeadOffset)
    for _ in 0..<left {
      guard head < size else { throw .indexOutOfRange(head) }
      unsafe cring_store8(state(region, head), 0)
      unsafe head = cring_load16(state(region, head) + nextOffset)
    }
    cring_fence_full()
    unsafe cring_store16(region + usedIndexOffset, usedIndex)
    return true
  }

  private static func requests(
    _ region: UnsafeMutablePointer<UInt8>, size: UInt16, capacity: UInt16
  ) throws(InflightError) -> [RecordedRequest] {
    var requests: [RecordedRequest] = []
    for head in 0..<capacity {
      let state = unsafe state(region, head)
      guard unsafe cring_load8(state) == 1 else { continue }
      guard head < size else { throw .indexOutOfRange(head) }
      requests.append(
        RecordedRequest(state: head, counter: unsafe cring_load64(state + counterOffset)))
    }
    return requests
  }

  // MARK: - While it runs

  @inlinable var isOn: Bool {
    @_noAllocation @_noLocks @inline(__always) get { unsafe region != nil }
  }

  /// Whether chains of the time before are left, to be taken first.
  @inlinable var hasResubmissions: Bool {
    @_noAllocation @_noLocks get { resubmittedCount != resubmissionCount }
  }

  /// The next chain of the time before, which the record has already.
  @_noAllocation @_noLocks
  mutating func takeResubmission() -> RecordedRequest? {
    guard hasResubmissions else { return nil }
    let request = resubmission(resubmittedCount)
    resubmittedCount &+= 1
    return request
  }

  /// One of the chains of the time before; its head is below the ring's size.
  @_noAllocation @_noLocks
  func resubmission(_ index: Int) -> RecordedRequest? {
    guard index < resubmissionCount, let requests = unsafe resubmissions else { return nil }
    // SAFETY: below the count.
    return unsafe requests[index]
  }

  /// What the next chain will be known by in the record.
  var nextNumber: UInt64 { @_noAllocation @_noLocks get { counter } }

  /// Notes a chain that was taken; it is in flight from the last store on.
  ///
  /// `head` is below the ring's size.
  @_noAllocation @_noLocks
  mutating func take(_ head: UInt16) {
    guard let region = unsafe region else { return }
    // SAFETY: the region has a state for every head.
    let state = unsafe region + Self.statesOffset + Int(head) &* Self.stateByteCount
    unsafe cring_store64(state + Self.counterOffset, counter)
    counter &+= 1
    unsafe cring_store8(state, 1)
  }

  /// Notes a chain to be shown with the next used index.
  ///
  /// - `slot`: where its used entry is, or would be if another one did not stand for it.
  @_noAllocation @_noLocks
  @inlinable @inline(__always)
  mutating func complete(_ head: UInt16, at slot: Int) {
    guard let usedHeads = unsafe usedHeads else { return }
    // SAFETY: a slot of the ring is below its size.
    unsafe usedHeads[slot] = head
  }

  /// The used index is about to go from `old` to `new`: what was completed is the last batch, all of it at once.
  ///
  /// The list is linked here, as nobody follows it before its head is stored.
  @_noAllocation @_noLocks
  mutating func prepare(_ old: UInt16, _ new: UInt16) {
    guard let region = unsafe region, let usedHeads = unsafe usedHeads else { return }
    let states = unsafe region + Self.statesOffset
    var place = Int(old & (size &- 1))
    // A lawful driver has no more chains in flight than the ring has descriptors.
    var left = Int(min(new &- old, size))
    var last = lastBatchHead
    while left > 0 {
      let end = min(place &+ left, Int(size))
      left &-= end &- place
      while place < end {
        // SAFETY: place < size. The heads are our own, below the ring's size, and the region has a state for each.
        let head = unsafe usedHeads[place]
        unsafe cring_store16(states + Int(head) &* Self.stateByteCount + Self.nextOffset, last)
        last = head
        place &+= 1
      }
      place = 0
    }
    lastBatchHead = last
    unsafe cring_store16(region + Self.lastBatchHeadOffset, last)
  }

  /// The used index has gone from `old` to `new`: what was completed is not in flight any more.
  @_noAllocation @_noLocks
  mutating func publish(_ old: UInt16, _ new: UInt16) {
    guard let region = unsafe region, let usedHeads = unsafe usedHeads else { return }
    let states = unsafe region + Self.statesOffset
    var place = Int(old & (size &- 1))
    var left = Int(min(new &- old, size))
    while left > 0 {
      let end = min(place &+ left, Int(size))
      left &-= end &- place
      while place < end {
        // SAFETY: as in `prepare`.
        unsafe cring_store8(states + Int(usedHeads[place]) &* Self.stateByteCount, 0)
        place &+= 1
      }
      place = 0
    }
    unsafe cring_store16(region + Self.usedIndexOffset, new)
  }
}
