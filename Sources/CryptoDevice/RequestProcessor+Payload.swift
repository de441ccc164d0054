import CRingShims
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

// From claimed lengths to pointers: the payload in place where it is contiguous, else through a bounce buffer.
extension RequestProcessor {
  /// Whether the claimed lengths are within `max_size`.
  @_noAllocation @_noLocks
  @inline(__always)
  func fits(_ lengths: RequestLengths) -> Bool {
    let most = UInt64(layout.maximumRequestByteCount)
    return UInt64(lengths.source) &+ UInt64(lengths.aad) <= most
      && UInt64(lengths.destination) <= most &+ UInt64(Self.destinationSlack)
  }

  /// Copies the IV (at most 16 bytes, checked by the caller) into the operation.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func readIV(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.ivByteCount = UInt8(truncatingIfNeeded: byteCount)
    // SAFETY: 16 bytes of the slot's own memory.
    if byteCount == 16, let source = unsafe chain.takeReadable(16) {
      unsafe cring_copy16(&slot.pointee.operation.iv, source)
      return true
    }
    return unsafe try readAnyIV(byteCount, &chain, &memory, slot)
  }

  @_noAllocation @_noLocks
  @inline(never)
  private mutating func readAnyIV(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    guard byteCount > 0 else { return true }
    guard byteCount <= 16 else { return false }
    // SAFETY: 16 bytes of the slot's own memory.
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
  @inline(__always)
  mutating func readSource(
    _ byteCount: UInt32, _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.sourceByteCount = byteCount
    guard byteCount > 0 else { return true }
    var pointer = unsafe chain.takeReadable(Int(byteCount))
    if unsafe pointer == nil {
      unsafe pointer = try readRun(byteCount, bounceOffset: 0, &chain, &memory, slot)
    }
    guard let pointer = unsafe pointer else { return false }
    unsafe slot.pointee.operation.source = UnsafePointer(pointer)
    return true
  }

  /// The next readable bytes as associated data; in a bounce buffer they lie behind `bounceOffset` bytes of source.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func readAAD(
    _ byteCount: UInt32, bounceOffset: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.aadByteCount = byteCount
    guard byteCount > 0 else { return true }
    var pointer = unsafe chain.takeReadable(Int(byteCount))
    if unsafe pointer == nil {
      unsafe pointer = try readRun(
        byteCount, bounceOffset: Int(bounceOffset), &chain, &memory, slot)
    }
    guard let pointer = unsafe pointer else { return false }
    unsafe slot.pointee.operation.aad = UnsafePointer(pointer)
    return true
  }

  /// The next readable bytes as one run: in place if they are one, else copied; nil if the chain has fewer.
  ///
  /// `byteCount + bounceOffset` is at most `max_size`, which `fits` has checked: that is a bounce buffer's input.
  @_noAllocation @_noLocks
  @inline(never)
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
    let start = copies.start()
    unsafe inputSpans.gather(into: copy)
    copies.add(since: start)
    return unsafe copy
  }

  /// The slot's bounce buffer, taken when it is first needed.
  @_noAllocation @_noLocks
  mutating func bounce(of slot: UnsafeMutablePointer<RequestSlot>) -> Int16 {
    if unsafe slot.pointee.bounce < 0 {
      unsafe slot.pointee.bounce = bounces.take()
      unsafe slot.pointee.mayWriteOverSource = true
    }
    return unsafe slot.pointee.bounce
  }

  /// The first writable bytes as destination, and the next as the result.
  ///
  /// Call it last: where source and destination overlap without being the same, the source is moved out of the way.
  @_noAllocation @_noLocks
  @inline(__always)
  mutating func writeTo(
    destination: UInt32, result: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    unsafe slot.pointee.operation.resultByteCount = result
    let place = chain.place
    if destination > 0 {
      guard let run = unsafe chain.takeWritable(Int(destination)) else {
        return unsafe try writeToPieces(destination, result, &chain, &memory, slot)
      }
      unsafe slot.pointee.operation.destination = run
      unsafe separateSource(slot, from: run, byteCount: destination)
    }
    if result > 0 {
      guard let run = unsafe chain.takeWritable(Int(result)) else {
        chain.goBack(to: place)
        return unsafe try writeToPieces(destination, result, &chain, &memory, slot)
      }
      unsafe slot.pointee.operation.result = run
      unsafe slot.pointee.mayWriteOverSource = true
    }
    unsafe slot.pointee.outputByteCount = destination &+ result
    return true
  }

  /// Output in more pieces than destination and result: in place if it is one run, else through a bounce buffer.
  @_noAllocation @_noLocks
  @inline(never)
  private mutating func writeToPieces(
    _ destination: UInt32, _ result: UInt32, _ chain: inout DescriptorChain,
    _ memory: inout MemoryView, _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> Bool {
    let byteCount = Int(destination) &+ Int(result)
    outputSpans.removeAll()
    guard try chain.collectWritable(byteCount: byteCount, into: &outputSpans, &memory) else {
      return false
    }
    unsafe slot.pointee.outputByteCount = UInt32(truncatingIfNeeded: byteCount)
    let start: UnsafeMutablePointer<UInt8>
    if let run = outputSpans.contiguous {
      unsafe start = run.pointer
      unsafe slot.pointee.mayWriteOverSource = true
      unsafe separateSource(slot, from: start, byteCount: destination)
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
  ///
  /// A result that overlaps the source is written when the source has been read.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func separateSource(
    _ slot: UnsafeMutablePointer<RequestSlot>, from start: UnsafeMutablePointer<UInt8>,
    byteCount: UInt32
  ) {
    let sourceCount = unsafe UInt(slot.pointee.operation.sourceByteCount)
    let source = UInt(bitPattern: unsafe slot.pointee.operation.source)
    let distance = UInt(bitPattern: start) &- source
    // Wrapping: from the source's start to the destination's, or the other way round.
    guard distance < sourceCount || 0 &- distance < UInt(byteCount) else { return }
    if distance == 0 {
      unsafe slot.pointee.mayWriteOverSource = true
    } else {
      unsafe moveSource(slot)
    }
  }

  @_noAllocation @_noLocks
  @inline(never)
  private mutating func moveSource(_ slot: UnsafeMutablePointer<RequestSlot>) {
    let sourceCount = unsafe Int(slot.pointee.operation.sourceByteCount)
    guard sourceCount > 0 else { return }
    // The input half is free here: a source that was bounced lies outside guest memory and overlaps nothing.
    let copy = unsafe bounces.input(bounce(of: slot))
    let start = copies.start()
    unsafe cring_copy(copy, slot.pointee.operation.source, sourceCount)
    copies.add(since: start)
    unsafe slot.pointee.operation.source = UnsafePointer(copy)
  }
}
