import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// From claimed lengths to pointers: the payload in place where it is contiguous, else through a bounce buffer.
extension RequestProcessor {
  /// Whether the claimed lengths are within `max_size`.
  @_noAllocation @_noLocks
  func fits(_ lengths: RequestLengths) -> Bool {
    let most = UInt64(layout.maximumRequestByteCount)
    return UInt64(lengths.source) + UInt64(lengths.aad) <= most
      && UInt64(lengths.destination) <= most + UInt64(Self.destinationSlack)
  }

  /// Copies the IV (at most 16 bytes, checked by the caller) into the operation.
  @_noAllocation @_noLocks
  mutating func readIV(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.ivByteCount = UInt8(truncatingIfNeeded: byteCount)
    guard byteCount > 0 else { return true }
    guard byteCount <= 16 else { return false }
    // SAFETY: 16 bytes of the slot's own memory.
    if byteCount == 16, let source = unsafe chain.takeReadable(16) {
      unsafe cring_copy16(&slot.pointee.operation.iv, source)
      return true
    }
    return unsafe try chain.copyReadable(
      into: &slot.pointee.operation.iv, byteCount: Int(byteCount), &memory) == Int(byteCount)
  }

  /// Copies the expected tag (at most 16 bytes, checked by the caller) into the operation.
  @_noAllocation @_noLocks
  mutating func readTag(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.tagByteCount = UInt8(truncatingIfNeeded: byteCount)
    guard byteCount <= 16 else { return false }
    // SAFETY: 16 bytes of the slot's own memory.
    return unsafe try chain.copyReadable(
      into: &slot.pointee.operation.tag, byteCount: Int(byteCount), &memory) == Int(byteCount)
  }

  /// The next readable bytes as the operation's source.
  @_noAllocation @_noLocks
  mutating func readSource(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.sourceByteCount = byteCount
    guard byteCount > 0 else { return true }
    if let pointer = unsafe chain.takeReadable(Int(byteCount)) {
      unsafe slot.pointee.operation.source = UnsafePointer(pointer)
      return true
    }
    guard let pointer = unsafe try readRun(byteCount, bounceOffset: 0, &chain, &memory, slot)
    else { return false }
    unsafe slot.pointee.operation.source = UnsafePointer(pointer)
    return true
  }

  /// The next readable bytes as associated data; in a bounce buffer they lie behind `bounceOffset` bytes of source.
  @_noAllocation @_noLocks
  mutating func readAAD(
    _ byteCount: UInt32, bounceOffset: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.aadByteCount = byteCount
    guard byteCount > 0 else { return true }
    guard
      let pointer = unsafe try readRun(
        byteCount, bounceOffset: Int(bounceOffset), &chain, &memory, slot)
    else { return false }
    unsafe slot.pointee.operation.aad = UnsafePointer(pointer)
    return true
  }

  /// The next readable bytes as one run: in place if they are one, else copied; nil if the chain has fewer.
  ///
  /// `byteCount + bounceOffset` is at most `max_size`, which `fits` has checked: that is a bounce buffer's input.
  @_noAllocation @_noLocks
  private mutating func readRun(
    _ byteCount: UInt32, bounceOffset: Int, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> UnsafeMutablePointer<UInt8>? {
    inputSpans.removeAll()
    guard
      try chain.collectReadable(byteCount: Int(byteCount), into: &inputSpans, &memory)
    else { return nil }
    if let run = inputSpans.contiguous { return unsafe run.pointer }
    let copy = unsafe bounces.input(bounce(of: slot)) + bounceOffset
    unsafe inputSpans.gather(into: copy)
    return unsafe copy
  }

  /// The slot's bounce buffer, taken when it is first needed.
  @_noAllocation @_noLocks
  mutating func bounce(of slot: UnsafeMutablePointer<RequestSlot>) -> Int16 {
    if unsafe slot.pointee.bounce < 0 { unsafe slot.pointee.bounce = bounces.take() }
    return unsafe slot.pointee.bounce
  }

  /// The first writable bytes as destination, and the result right behind it.
  ///
  /// Call it last: where source and destination overlap without being the same, the source is moved out of the way.
  @_noAllocation @_noLocks
  mutating func writeTo(
    destination: UInt32, result: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    let byteCount = Int(destination) &+ Int(result)
    unsafe slot.pointee.operation.resultByteCount = result
    guard byteCount > 0 else { return true }
    let start: UnsafeMutablePointer<UInt8>
    if let run = unsafe chain.takeWritable(byteCount) {
      unsafe slot.pointee.outputByteCount = UInt32(truncatingIfNeeded: byteCount)
      unsafe separateSource(slot, from: run, byteCount: byteCount)
      unsafe slot.pointee.operation.destination = run
      unsafe slot.pointee.operation.result = run + Int(destination)
      return true
    }
    outputSpans.removeAll()
    guard try chain.collectWritable(byteCount: byteCount, into: &outputSpans, &memory) else {
      return false
    }
    unsafe slot.pointee.outputByteCount = UInt32(truncatingIfNeeded: byteCount)
    if let run = outputSpans.contiguous {
      unsafe start = run.pointer
      unsafe separateSource(slot, from: start, byteCount: byteCount)
    } else {
      let index = unsafe bounce(of: slot)
      bounces.keep(outputSpans, for: index)
      unsafe slot.pointee.isOutputBounced = true
      unsafe start = bounces.output(index)
    }
    unsafe slot.pointee.operation.destination = start
    unsafe slot.pointee.operation.result = start + Int(destination)
    return true
  }

  /// Copies a source that overlaps the destination at another address, which no engine could work on.
  @_noAllocation @_noLocks
  private mutating func separateSource(
    _ slot: UnsafeMutablePointer<RequestSlot>, from start: UnsafeMutablePointer<UInt8>,
    byteCount: Int
  ) {
    let sourceCount = unsafe Int(slot.pointee.operation.sourceByteCount)
    let source = unsafe slot.pointee.operation.source
    let sourceAddress = UInt(bitPattern: source)
    let startAddress = UInt(bitPattern: start)
    guard sourceCount > 0, sourceAddress != startAddress,
      sourceAddress < startAddress &+ UInt(byteCount),
      startAddress < sourceAddress &+ UInt(sourceCount)
    else { return }
    // The input half is free here: a source that was bounced lies outside guest memory and overlaps nothing.
    let copy = unsafe bounces.input(bounce(of: slot))
    unsafe cring_copy(copy, source, sourceCount)
    unsafe slot.pointee.operation.source = UnsafePointer(copy)
  }
}
