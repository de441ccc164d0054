import GuestMemory
import VirtQueue

/// A driver's program: writes to guest memory, between what the device does with its ring.
///
/// Input: how the ring is (4 bytes), then steps of one byte each, the low half what to do, the high half a detail, with
/// operands behind.
final class ChainsEntry: FuzzEntry {
  private let isPacked: Bool
  private let memory: ScriptedMemory

  static let tableAddress = ScriptedMemory.start
  static let availableAddress = ScriptedMemory.start + 0x800
  static let usedAddress = ScriptedMemory.start + 0xA00
  static let maximumSize = 128

  init(isPacked: Bool) throws {
    self.isPacked = isPacked
    memory = try ScriptedMemory()
  }

  func run(_ input: inout FuzzInput) throws {
    memory.reset()
    let flags = input.byte()
    let eventIndex = flags & 1 != 0
    let inOrder = flags & 2 != 0
    let skips = flags & 4 != 0
    let sizeByte = input.byte()
    let base = UInt32(input.word16())
    if isPacked {
      let size = 1 + Int(sizeByte) % Self.maximumSize
      let layout: PackedQueueLayout
      do {
        layout = try PackedQueueLayout(
          size: size, base: flags & 8 != 0 ? base | base << 16 : base ^ 0x8000,
          descriptorRing: memory.slice(Self.tableAddress, 16 * size),
          driverEvent: memory.slice(Self.availableAddress, 4),
          deviceEvent: memory.slice(Self.usedAddress, 4))
      } catch is LayoutError {
        return
      }
      let ring = try PackedQueue(layout: layout, eventIndex: eventIndex)
      if inOrder {
        try play(InOrderQueue(ring, size: size, skipsEntries: skips), &input)
      } else {
        try play(ring, &input)
      }
    } else {
      let size = 1 << (Int(sizeByte) % 8)
      let layout = try SplitQueueLayout(
        size: size, descriptorTable: memory.slice(Self.tableAddress, 16 * size),
        availableRing: memory.slice(Self.availableAddress, 6 + 2 * size),
        usedRing: memory.slice(Self.usedAddress, 6 + 8 * size))
      memory.write16(UInt16(truncatingIfNeeded: base), at: Self.availableAddress + 2)
      memory.write16(UInt16(truncatingIfNeeded: base), at: Self.usedAddress + 2)
      let ring = try SplitQueue(
        layout: layout, eventIndex: eventIndex, nextAvailable: UInt16(truncatingIfNeeded: base))
      if inOrder {
        try play(InOrderQueue(ring, size: size, skipsEntries: skips), &input)
      } else {
        try play(ring, &input)
      }
    }
  }

  private func play<Queue: VirtQueueRing & ~Copyable>(
    _ queue: consuming Queue, _ input: inout FuzzInput
  ) throws {
    var device = try ScriptedDevice(queue: queue, isPacked: isPacked, memory: memory)
    // What is wrong with the ring ends the queue, as it does in the daemon.
    do {
      while !input.isAtEnd {
        let step = input.byte()
        try device.perform(step & 15, detail: step >> 4, &input)
      }
      try device.finish()
    } catch is QueueError {}
  }
}

/// The device's end of the ring, moved step by step.
private struct ScriptedDevice<Queue: VirtQueueRing & ~Copyable>: ~Copyable {
  private var queue: Queue
  private var view: MemoryView
  private let isPacked: Bool
  private let memory: ScriptedMemory
  private var chain = DescriptorChain()
  private var hasChain = false
  /// Nothing of the chain was read yet.
  private var isUnread = false
  private var place: DescriptorChain.Place?
  private var taken: [(ticket: ChainTicket, writableByteCount: UInt32)] = []
  private var spans: SpanList
  private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)

  init(queue: consuming Queue, isPacked: Bool, memory: ScriptedMemory) throws {
    spans = try SpanList()
    self.isPacked = isPacked
    self.queue = queue
    self.memory = memory
    view = memory.map.view
  }

  deinit { room.deallocate() }

  mutating func perform(_ step: UInt8, detail: UInt8, _ input: inout FuzzInput) throws {
    switch step {
    case 0: write(input.word16(), above: ScriptedMemory.start, &input)
    case 1: write(input.word16(), above: ScriptedMemory.high, &input)
    case 2: describe(detail, &input)
    case 3: try take()
    case 4:
      if hasChain {
        place = nil
        try chain.readAhead(&view)
        // As the daemon looks for requests that have to be saved, before it reads anything.
        if isUnread, detail & 1 == 0 { try lookForOverlap(ofBeginning: detail & 2 != 0) }
      }
    case 5: try takeRun(isWritable: detail & 1 != 0, Int(input.word16() & 0x3FFF) + 1)
    case 6: try copy(Int(input.word16()) % 4097)
    case 7: try collect(isWritable: detail & 1 != 0, Int(input.word16()) << Int(detail >> 1))
    case 8: if hasChain { place = chain.place }
    case 9: if hasChain, let place { chain.goBack(to: place) }
    case 10: try finishChain()
    case 11: complete(Int(input.byte()), written: input.word16())
    case 12: _ = queue.publish()
    case 13:
      _ = try queue.armKicks()
    case 14: queue.suppressKicks()
    default: _ = queue.base
    }
  }

  /// Everything that was taken comes back.
  mutating func finish() throws {
    try finishChain()
    while !taken.isEmpty { complete(0, written: 1) }
    _ = queue.publish()
    _ = try queue.armKicks()
  }

  /// Looking changes nothing that is read afterwards.
  private mutating func lookForOverlap(ofBeginning: Bool) throws {
    let (isLong, before) = (chain.isLong, chain.writableByteCount)
    if chain.writesOverWhatItReads(&view) {
      if ofBeginning, !isLong { _ = chain.writesOverItsBeginning(byteCount: 72, &view) }
    } else if ofBeginning, !isLong {
      try require(
        !chain.writesOverItsBeginning(byteCount: 72, &view), "an overlap of a part alone")
    }
    try require(before == chain.writableByteCount, "a look has changed the chain")
  }

  // MARK: The driver

  private func write(_ offset: UInt16, above start: UInt64, _ input: inout FuzzInput) {
    memory.write(input.take(Int(input.byte() & 63) + 1), at: start + UInt64(offset))
  }

  /// A descriptor in one go; `detail`: where its buffer is, and a packed ring's two highest flags.
  private func describe(_ detail: UInt8, _ input: inout FuzzInput) {
    let index = input.byte()
    let address: UInt64
    switch detail & 3 {
    case 0: address = ScriptedMemory.start + UInt64(input.word16())
    case 1: address = ScriptedMemory.high + UInt64(input.word16())
    case 2: address = input.word64()
    default: address = ScriptedMemory.border &- 64 &+ UInt64(input.byte())
    }
    let byteCount = input.word16()
    let flags = UInt16(input.byte()) | UInt16(detail & 4) << 5 | UInt16(detail & 8) << 12
    let at = ScriptedMemory.start + UInt64(index) * 16
    memory.write64(address, at: at)
    // Of a packed descriptor the identifier comes first, then flags.
    let word = UInt64(byteCount) | UInt64(flags) << 32 | UInt64(input.byte()) << 48
    let packed = UInt64(byteCount) | UInt64(input.byte()) << 32 | UInt64(flags) << 48
    memory.write64(isPacked ? packed : word, at: at + 8)
  }

  // MARK: The device

  private mutating func take() throws {
    try finishChain()
    guard try queue.look() else { return }
    try queue.takeChain(into: &chain, &view)
    hasChain = true
    isUnread = true
    place = nil
  }

  private mutating func takeRun(isWritable: Bool, _ count: Int) throws {
    guard hasChain else { return }
    isUnread = false
    let run = isWritable ? chain.takeWritable(count) : chain.takeReadable(count)
    if let run { try require(memory.holds(run, count), "a run outside of guest memory") }
  }

  private mutating func copy(_ count: Int) throws {
    guard hasChain, let start = room.baseAddress else { return }
    isUnread = false
    place = nil
    let copied = try chain.copyReadable(into: start, byteCount: count, &view)
    try require((0...count).contains(copied), "\(copied) bytes copied where \(count) were wanted")
  }

  private mutating func collect(isWritable: Bool, _ count: Int) throws {
    guard hasChain else { return }
    isUnread = false
    place = nil
    spans.removeAll()
    let isWhole =
      isWritable
      ? try chain.collectWritable(byteCount: count, into: &spans, &view)
      : try chain.collectReadable(byteCount: count, into: &spans, &view)
    var sum = 0
    for index in 0..<spans.count {
      let slice = spans.slice(index)
      try require(
        slice.byteCount > 0 && memory.holds(slice.pointer, slice.byteCount),
        "a span outside of guest memory")
      sum += slice.byteCount
    }
    try require(sum == spans.totalByteCount && sum <= count, "spans of \(sum) bytes for \(count)")
    try require(!isWhole || sum == count, "a whole of \(sum) bytes for \(count)")
  }

  private mutating func finishChain() throws {
    guard hasChain else { return }
    hasChain = false
    place = nil
    if let last = try chain.lastWritableByte(&view) {
      try require(memory.holds(last, 1), "a last byte outside of guest memory")
      try require(chain.writableByteCount > 0, "a last byte of no bytes")
    }
    taken.append((chain.ticket, chain.ticket.writableByteCount))
  }

  private mutating func complete(_ index: Int, written: UInt16) {
    guard !taken.isEmpty else { return }
    let (ticket, most) = taken.remove(at: index % taken.count)
    queue.complete(ticket, writtenByteCount: min(UInt32(written), most))
  }
}
