import GuestMemory
import VirtQueue

/// A queue under test in a reference, because expectations cannot hold noncopyable values.
final class RingUnderTest<Ring: VirtQueueRing & ~Copyable> {
  var ring: Ring
  var memory: MemoryView

  init(_ ring: consuming Ring, memory: MemoryView) {
    self.ring = ring
    self.memory = memory
  }

  var base: UInt32 { ring.base }
  func look() throws(QueueError) -> Bool { try ring.look() }
  func hasMore() -> Bool { ring.hasMore() }
  func takeChain() throws(QueueError) -> DescriptorChain { try ring.takeChain(&memory) }
  func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
    ring.complete(ticket, writtenByteCount: writtenByteCount)
  }
  func publish() -> Bool { ring.publish() }
  func suppressKicks() { ring.suppressKicks() }
  func armKicks() throws(QueueError) -> Bool { try ring.armKicks() }

  /// Takes what `look` or `hasMore` has seen, and walks it to its end, as every user does before completing.
  func takeWhole() throws(QueueError) -> ChainTicket {
    var chain = try takeChain()
    _ = try chain.lastWritableByte(&memory)
    return chain.ticket
  }

  /// Takes all there is.
  func takeAll() throws(QueueError) -> [ChainTicket] {
    var tickets: [ChainTicket] = []
    var more = try look()
    while more {
      tickets.append(try takeWhole())
      more = hasMore()
    }
    return tickets
  }
}

typealias DeviceQueue = RingUnderTest<SplitQueue>
typealias PackedDeviceQueue = RingUnderTest<PackedQueue>

extension RingUnderTest where Ring == SplitQueue {
  var nextAvailable: UInt16 { ring.nextAvailable }
  func availableCount() throws(QueueError) -> Int { try ring.availableCount() }
  func complete(head: UInt16, writtenByteCount: UInt32) {
    complete(ChainTicket(id: head, slotCount: 1), writtenByteCount: writtenByteCount)
  }
}
