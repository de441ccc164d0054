import CRingShims
import CryptoTypes
import GuestMemory
import LinuxSystem
import VirtQueue

/// A worker's buffers for payloads that are not contiguous in our address space.
///
/// Each holds one request's input and output and the spans its output goes to. The memory is reserved when the worker
/// starts and takes no page until it is used.
@safe
struct BouncePool: ~Copyable {
  /// Requests with scattered payloads that can be in flight at once; further ones wait for the batch to finish.
  static var bufferCount: Int { @_noAllocation @_noLocks get { 64 } }
  /// Descriptors in the longest chain, so spans in the longest list.
  static let spanCapacity = SpanList.capacity

  let inputByteCount: Int
  let outputByteCount: Int
  private let stride: Int
  private let spansPerBuffer: Int
  /// Payloads; asymmetric keys pass through here, too.
  private let memory: MappedMemory
  /// Where outputs go.
  private let spanLists: MappedMemory
  private var freeMask = UInt64.max
  private var spanCounts = InlineArray<64, Int32>(repeating: 0)

  private static func rounded(_ count: Int) -> Int { (count + 4095) / 4096 * 4096 }

  /// Room for the longest result: one of an asymmetric request has lengths in front.
  static func outputByteCount(maximumRequestByteCount: Int) -> Int {
    rounded(maximumRequestByteCount + RequestProcessor.destinationSlack + 65536)
  }

  /// For requests of up to `max_size` bytes.
  init(maximumRequestByteCount: Int) throws(SystemError) {
    inputByteCount = Self.rounded(
      maximumRequestByteCount + AsymmetricComponents.headerByteCount)
    outputByteCount = Self.outputByteCount(maximumRequestByteCount: maximumRequestByteCount)
    let stride = inputByteCount + outputByteCount
    let payloads = try MappedMemory(reserving: stride * Self.bufferCount)
    let lists = try MappedMemory(
      reserving: Self.spanCapacity * MemoryLayout<GuestSlice>.stride * Self.bufferCount)
    payloads.holdSecrets()
    self.stride = stride
    spansPerBuffer = Self.spanCapacity
    memory = payloads
    spanLists = lists
  }

  var isEmpty: Bool { @_noAllocation @_noLocks get { freeMask == 0 } }

  /// Takes a buffer; the caller has seen that the pool is not empty.
  @_noAllocation @_noLocks
  mutating func take() -> Int16 {
    let index = freeMask.trailingZeroBitCount
    freeMask &= freeMask &- 1
    return Int16(truncatingIfNeeded: index)
  }

  @_noAllocation @_noLocks
  mutating func release(_ index: Int16) { freeMask |= 1 << UInt64(truncatingIfNeeded: index) }

  /// Gives back those whose bits are set.
  @_noAllocation @_noLocks
  mutating func release(all mask: UInt64) { freeMask |= mask }

  /// `inputByteCount` bytes.
  @_noAllocation @_noLocks
  func input(_ index: Int16) -> UnsafeMutablePointer<UInt8> {
    unsafe (memory.base + Int(index) &* stride).assumingMemoryBound(to: UInt8.self)
  }

  /// `outputByteCount` bytes.
  @_noAllocation @_noLocks
  func output(_ index: Int16) -> UnsafeMutablePointer<UInt8> {
    unsafe input(index) + inputByteCount
  }

  @_noAllocation @_noLocks
  private func spans(_ index: Int16) -> UnsafeMutablePointer<GuestSlice> {
    unsafe spanLists.base.assumingMemoryBound(to: GuestSlice.self)
      + Int(index) &* spansPerBuffer
  }

  /// Keeps where the output goes, until the engine is done.
  @_noAllocation @_noLocks
  mutating func keep(_ list: borrowing SpanList, for index: Int16) {
    let count = list.count
    let table = unsafe spans(index)
    for position in 0..<count { unsafe table[position] = list.slice(position) }
    spanCounts[Int(index)] = Int32(truncatingIfNeeded: count)
  }

  /// Copies the first bytes of the finished output, at most those that were kept room for, into the guest's buffers.
  @_noAllocation @_noLocks
  func scatter(_ index: Int16, byteCount: Int) {
    var left = byteCount
    let table = unsafe spans(index)
    var from = unsafe output(index)
    for position in 0..<Int(spanCounts[Int(index)]) {
      let slice = unsafe table[position]
      let count = min(left, slice.byteCount)
      unsafe cring_copy(slice.pointer, from, count)
      unsafe from += count
      left &-= count
    }
  }

  /// Copies what the first bytes of the output will be written over, at most those that were kept room for.
  @_noAllocation @_noLocks
  func gather(_ index: Int16, byteCount: Int, into destination: UnsafeMutablePointer<UInt8>) {
    var left = byteCount
    let table = unsafe spans(index)
    var to = unsafe destination
    for position in 0..<Int(spanCounts[Int(index)]) {
      let slice = unsafe table[position]
      let count = min(left, slice.byteCount)
      unsafe cring_copy(to, slice.pointer, count)
      unsafe to += count
      left &-= count
    }
  }

  /// Notes what `scatter` has written.
  @_noAllocation @_noLocks
  func note(_ index: Int16, byteCount: Int, in dirty: inout DirtyPages) {
    var left = byteCount
    let table = unsafe spans(index)
    var position = 0
    while left > 0, position < Int(spanCounts[Int(index)]) {
      let slice = unsafe table[position]
      let count = min(left, slice.byteCount)
      unsafe dirty.note(slice.pointer, byteCount: count)
      left &-= count
      position &+= 1
    }
  }
}
