import CRingShims
public import GuestMemory

/// What a request's result is about to be written over, where that is the request itself.
///
/// A daemon that is killed while it writes such a result leaves neither source nor result. So before the first byte is
/// written, what stands in its place is saved here, in memory that the front-end keeps beside the record of requests in
/// flight, under the number that the record has for the chain. The next daemon puts all of it back before it takes anything
/// (`RequestProcessor.rollBack`): every request in flight whose source its result goes over is then one that was never begun.
///
/// There is room for one request with each bounce buffer, which the request holds until the driver has its result. As in the
/// record, what counts is the order of stores: a process that dies has made all that came before, and none of those after.
/// The front-end may write the memory, and spoils its own guest's buffers with that; what is read back is checked. Used by
/// one thread.
@safe
public struct UndoLog: ~Copyable {
  /// Bytes of the head, in which the entries are: a page.
  public static let headByteCount = 4096
  // The head: u64 magic, u64 bytes per request; from 64 on the entries: u64 number in the record (0: none), u64 bytes.
  private static var magic: UInt64 { @_noAllocation @_noLocks get { 0x3130_4F44_4E55_4356 } }
  private static var strideOffset: Int { 8 }
  private static var entriesOffset: Int { @_noAllocation @_noLocks get { 64 } }
  private static var entryByteCount: Int { @_noAllocation @_noLocks get { 16 } }

  public let isOn: Bool
  private let head: UnsafeMutablePointer<UInt8>
  private let data: UnsafeMutablePointer<UInt8>
  private let stride: Int
  /// By bounce buffer: what requests are saved, and which of these are finished, but may be unknown to the driver.
  private(set) var held: UInt64 = 0
  private(set) var finished: UInt64 = 0
  /// Numbers of requests that were put back.
  private let putBack: UnsafeMutablePointer<UInt64>
  private var putBackCount = 0

  /// Bytes that it needs behind its head for requests of up to `max_size` bytes.
  public static func dataByteCount(maximumRequestByteCount: Int) -> Int {
    BouncePool.bufferCount * stride(maximumRequestByteCount)
  }

  /// The longest result, and the status behind it.
  private static func stride(_ maximumRequestByteCount: Int) -> Int {
    BouncePool.outputByteCount(maximumRequestByteCount: maximumRequestByteCount) + 4096
  }

  /// Saves nothing.
  public init() {
    isOn = false
    // SAFETY: never dereferenced while nothing is saved.
    unsafe head = UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
    unsafe data = UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
    unsafe putBack = UnsafeMutablePointer(bitPattern: 16).unsafelyUnwrapped
    stride = 0
  }

  deinit {
    if isOn { unsafe putBack.deallocate() }
  }

  /// Goes on with what an earlier daemon has saved, or begins anew.
  ///
  /// It stays off where `data` is missing or too short, and where requests are in flight that an earlier daemon may have
  /// begun without saving anything. The memory belongs to whoever starts the queue, and has to outlive the log.
  ///
  /// - `head`: `headByteCount` bytes that every daemon finds at the same place; on a multiple of 8.
  /// - `resubmissionCount`: requests that the record has in flight.
  public init(
    head: GuestSlice, data: GuestSlice?, maximumRequestByteCount: Int, resubmissionCount: Int
  ) {
    self.init(
      head: head, data: data, stride: Self.stride(maximumRequestByteCount),
      resubmissionCount: resubmissionCount)
  }

  private init(head: GuestSlice, data: GuestSlice?, stride: Int, resubmissionCount: Int) {
    self.init()
    guard head.byteCount >= Self.headByteCount else { return }
    let place = unsafe head.pointer
    // SAFETY: the head has room for all entries, and is aligned.
    let goesOn =
      unsafe cring_load64(place) == Self.magic.littleEndian
      && cring_load64(place + Self.strideOffset) == UInt64(stride).littleEndian
    guard let data, data.byteCount >= BouncePool.bufferCount * stride,
      goesOn || resubmissionCount == 0
    else {
      // This daemon saves nothing, which the next one has to know.
      unsafe cring_store64(place, 0)
      return
    }
    if !goesOn {
      unsafe cring_store64(place, 0)
      unsafe cring_zero(
        place + Self.entriesOffset, BouncePool.bufferCount * Self.entryByteCount)
      unsafe cring_store64(place + Self.strideOffset, UInt64(stride).littleEndian)
      cring_fence_full()
      unsafe cring_store64(place, Self.magic.littleEndian)
    }
    unsafe self = UndoLog(place, unsafe data.pointer, stride)
  }

  private init(
    _ head: UnsafeMutablePointer<UInt8>, _ data: UnsafeMutablePointer<UInt8>, _ stride: Int
  ) {
    isOn = true
    unsafe self.head = head
    unsafe self.data = data
    self.stride = stride
    unsafe putBack = .allocate(capacity: BouncePool.bufferCount)
  }

  @_noAllocation @_noLocks
  private func entry(_ index: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe head + Self.entriesOffset + index &* Self.entryByteCount
  }

  /// Room for what is saved with a bounce buffer.
  @_noAllocation @_noLocks
  private func bytes(_ index: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe data + index &* stride
  }

  // MARK: - Saving

  /// Begins to save what is there with a bounce buffer; where its bytes go, those of the longest result and one more.
  @_noAllocation @_noLocks
  mutating func begin(_ index: Int16) -> UnsafeMutablePointer<UInt8> {
    let index = Int(index)
    held |= 1 << UInt64(truncatingIfNeeded: index)
    // SAFETY: a bounce buffer's index is below their number.
    unsafe cring_store64(entry(index), 0)
    cring_fence_full()
    return unsafe bytes(index)
  }

  /// From the last store on it counts.
  @_noAllocation @_noLocks
  func end(_ index: Int16, number: UInt64, byteCount: Int) {
    // SAFETY: as above.
    let entry = unsafe entry(Int(index))
    unsafe cring_store64(entry + 8, UInt64(truncatingIfNeeded: byteCount).littleEndian)
    // Keeps the bytes, which are plain stores to the compiler, in front of the number.
    cring_fence_full()
    unsafe cring_store64(entry, number.littleEndian)
  }

  @_noAllocation @_noLocks
  func holds(_ index: Int16) -> Bool { held & 1 << UInt64(truncatingIfNeeded: index) != 0 }

  /// The request is answered; what was saved is needed until the driver knows.
  @_noAllocation @_noLocks
  mutating func finish(_ index: Int16) { finished |= 1 << UInt64(truncatingIfNeeded: index) }

  /// Whether there are such.
  public var hasFinished: Bool { @_noAllocation @_noLocks get { finished != 0 } }

  /// The driver knows of all that are finished; their bounce buffers.
  @_noAllocation @_noLocks
  mutating func takeFinished() -> UInt64 {
    let taken = finished
    held &= ~taken
    finished = 0
    return taken
  }

  // MARK: - Putting back

  /// What was saved under a number; nil: nothing was, or not all of it.
  @_noAllocation @_noLocks
  func saved(_ number: UInt64) -> GuestSlice? {
    guard isOn, number != 0 else { return nil }
    for index in 0..<BouncePool.bufferCount {
      // SAFETY: below the number of entries.
      let entry = unsafe entry(index)
      guard unsafe UInt64(littleEndian: cring_load64(entry)) == number else { continue }
      let byteCount = unsafe UInt64(littleEndian: cring_load64(entry + 8))
      guard byteCount > 0, byteCount <= UInt64(stride) else { return nil }
      return unsafe GuestSlice(pointer: bytes(index), byteCount: Int(byteCount))
    }
    return nil
  }

  /// Nothing was put back yet.
  @_noAllocation @_noLocks
  mutating func beginPuttingBack() { putBackCount = 0 }

  /// A request was put back as it was.
  @_noAllocation @_noLocks
  mutating func notePutBack(_ number: UInt64) {
    guard isOn, putBackCount < BouncePool.bufferCount else { return }
    // SAFETY: there is room for as many.
    unsafe putBack[putBackCount] = number
    putBackCount &+= 1
  }

  /// Whether it was.
  @_noAllocation @_noLocks
  func wasPutBack(_ number: UInt64) -> Bool {
    for index in 0..<putBackCount {
      // SAFETY: below the count.
      if unsafe putBack[index] == number { return true }
    }
    return false
  }

  /// All of it was put back.
  @_noAllocation @_noLocks
  func clear() {
    cring_fence_full()
    for index in 0..<BouncePool.bufferCount {
      // SAFETY: below the number of entries.
      unsafe cring_store64(entry(index), 0)
    }
  }
}
