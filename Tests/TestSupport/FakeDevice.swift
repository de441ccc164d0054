import CRingShims
import Foundation
import Synchronization
import VhostUserFrontend

/// A device for tests of the front-end itself: it serves one split ring by plain reads of guest
/// memory, with none of the daemon's code.
public final class FakeDevice: @unchecked Sendable {
  /// A chain as the device sees it.
  public struct Request {
    /// Head descriptor.
    public let head: UInt16
    /// Everything device-readable, one byte after the other.
    public let readable: [UInt8]
    /// The device-writable segments, in order.
    public let writable: [ChainBuffer]
    let memory: GuestRAM

    public var writableByteCount: Int { writable.reduce(0) { $0 + Int($1.byteCount) } }

    /// Writes bytes at an offset of the writable part; what does not fit is dropped.
    public func write(_ bytes: [UInt8], at offset: Int = 0) throws {
      var rest = bytes[...]
      var skipped = offset
      for segment in writable where !rest.isEmpty {
        let count = Int(segment.byteCount)
        if skipped >= count {
          skipped -= count
          continue
        }
        let part = rest.prefix(count - skipped)
        try memory.write(part, at: segment.guestAddress + UInt64(skipped))
        rest = rest.dropFirst(part.count)
        skipped = 0
      }
    }
  }

  let queue: DriverQueue
  private let memory: GuestRAM
  private let size: Int
  private var nextAvailable: UInt16
  private var usedIndex: UInt16
  /// Finish the chains of a batch in reverse order.
  public var reversesBatches = false
  /// Ask for no kicks at all.
  public var suppressesKicks = false
  public private(set) var callCount = 0
  public private(set) var suppressedCallCount = 0
  public private(set) var kickCount = 0
  private let answer: (Request) throws -> Int
  private let shouldStop = Atomic(false)

  /// Serves the ring of `queue`.
  ///
  /// `answer` writes a request's result and gives the used length.
  public init(_ queue: DriverQueue, answer: @escaping (Request) throws -> Int) {
    self.queue = queue
    memory = queue.memory
    size = Int(queue.size)
    nextAvailable = queue.availableIndex
    usedIndex = queue.availableIndex
    self.answer = answer
  }

  /// Serves everything that is available now; how many chains that were.
  @discardableResult
  public func serve() throws -> Int {
    let available = try memory.pointer(at: queue.layout.available, byteCount: 6 + 2 * size)
    let used = try memory.pointer(at: queue.layout.used, byteCount: 6 + 8 * size)
    cring_store16(used, suppressesKicks ? 1 : 0)
    let end = cring_load16_acquire(available + 2)
    var heads: [UInt16] = []
    while nextAvailable != end {
      heads.append(cring_load16(available + 4 + 2 * (Int(nextAvailable) % size)))
      nextAvailable &+= 1
    }
    guard !heads.isEmpty else { return 0 }
    let before = usedIndex
    for head in reversesBatches ? heads.reversed() : heads {
      let length = try answer(request(head))
      let entry = used + 4 + 8 * (Int(usedIndex) % size)
      cring_store32(entry, UInt32(head))
      cring_store32(entry + 4, UInt32(length))
      usedIndex &+= 1
    }
    cring_store16_release(used + 2, usedIndex)
    if !suppressesKicks { cring_store16(used + 4 + 8 * size, nextAvailable) }
    cring_fence_full()
    let wantsCall =
      queue.hasEventIndex
      ? usedIndex &- cring_load16(available + 4 + 2 * size) &- 1 < usedIndex &- before
      : cring_load16(available) & 1 == 0
    if wantsCall {
      callCount += 1
      try queue.callEvent.signal()
    } else {
      suppressedCallCount += 1
    }
    return heads.count
  }

  private func request(_ head: UInt16) throws -> Request {
    var readable: [UInt8] = []
    var writable: [ChainBuffer] = []
    var table = queue.layout.descriptorTable
    var index = head
    for _ in 0..<65536 {
      let bytes = try memory.read(table + 16 * UInt64(index), byteCount: 16)
      guard let entry = RingDescriptor(bytes: bytes) else { break }
      if entry.flags & DriverQueue.DescriptorFlag.indirect != 0 {
        table = entry.guestAddress
        index = 0
        continue
      }
      if entry.flags & DriverQueue.DescriptorFlag.write != 0 {
        writable.append(
          ChainBuffer(
            guestAddress: entry.guestAddress, byteCount: entry.byteCount, isWritable: true))
      } else {
        readable += try memory.read(entry.guestAddress, byteCount: Int(entry.byteCount))
      }
      guard entry.flags & DriverQueue.DescriptorFlag.next != 0 else { break }
      index = entry.next
    }
    return Request(head: head, readable: readable, writable: writable, memory: memory)
  }

  /// Serves on a thread of its own until `stop`; it sleeps on the kick.
  public func start() {
    Thread.detachNewThread { [self] in
      do {
        while !shouldStop.load(ordering: .acquiring) {
          while try serve() > 0 {}
          if try queue.kickEvent.wait(milliseconds: suppressesKicks ? 1 : 50) {
            kickCount += Int(try queue.kickEvent.drain())
          }
        }
      } catch {
        print("the fake device ended: \(error)")
      }
      shouldStop.store(false, ordering: .releasing)
    }
  }

  /// Ends the thread and waits for that.
  public func stop() throws {
    shouldStop.store(true, ordering: .releasing)
    try waitUntil("the fake device's end") { !shouldStop.load(ordering: .acquiring) }
  }
}
