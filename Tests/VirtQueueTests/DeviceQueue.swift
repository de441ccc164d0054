import GuestMemory
import VirtQueue

/// The queue under test in a reference, because expectations cannot hold noncopyable values.
final class DeviceQueue {
  var queue: SplitQueue
  var memory: MemoryView

  init(_ queue: consuming SplitQueue, memory: MemoryView) {
    self.queue = queue
    self.memory = memory
  }

  var nextAvailable: UInt16 { queue.nextAvailable }
  func availableCount() throws(QueueError) -> Int { try queue.availableCount() }
  func takeChain() throws(QueueError) -> DescriptorChain { try queue.takeChain(&memory) }
  func complete(head: UInt16, writtenByteCount: UInt32) {
    queue.complete(head: head, writtenByteCount: writtenByteCount)
  }
  func publish() -> Bool { queue.publish() }
  func suppressKicks() { queue.suppressKicks() }
  func armKicks() throws(QueueError) -> Bool { try queue.armKicks() }
}
