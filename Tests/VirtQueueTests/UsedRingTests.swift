import GuestMemory
import Testing
import VirtQueue

/// Completing, publishing and notification suppression.
@Suite struct UsedRingTests {
  /// Takes `count` one-byte chains that the driver offers at heads 0, 1, ….
  private func take(
    _ count: Int, _ driver: DriverQueue, _ queue: DeviceQueue
  ) throws -> [UInt16] {
    for index in 0..<count {
      try driver.put(.writable(DriverQueue.free, 1), at: index)
      try driver.offer(UInt16(index))
    }
    let available = try queue.availableCount()
    #expect(available == count)
    return try (0..<count).map { _ in try queue.takeChain().head }
  }

  @Test func completedChainsAreInvisibleUntilPublished() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let heads = try take(3, driver, queue)
    for head in heads { queue.complete(head: head, writtenByteCount: 7) }
    #expect(try driver.usedIndex == 0)
    #expect(queue.publish())
    #expect(try driver.usedIndex == 3)
  }

  @Test func chainsAreCompletedInAnyOrder() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let heads = try take(4, driver, queue)
    for head in heads.reversed() {
      queue.complete(head: head, writtenByteCount: 100 + UInt32(head))
    }
    _ = queue.publish()
    for index in 0..<4 as Range<UInt16> {
      let entry = try driver.usedEntry(index)
      #expect(entry.head == 3 - UInt32(index))
      #expect(entry.byteCount == 103 - UInt32(index))
    }
  }

  @Test func indicesWrapAround() throws {
    let driver = try DriverQueue(size: 8, startIndex: 65530)
    let queue = try driver.makeQueue(eventIndex: true)
    for round in 0..<40 as Range<UInt16> {
      let head = round % 8
      try driver.put(.writable(DriverQueue.free + UInt64(round), 1), at: Int(head))
      // The driver wants to hear of exactly this one.
      try driver.setUsedEvent(65530 &+ round)
      try driver.offer(head)
      #expect(try queue.availableCount() == 1)
      var chain = try queue.takeChain()
      #expect(chain.head == head)
      let last = try chain.lastWritableByte(&queue.memory).map { UInt(bitPattern: $0) }
      #expect(try last == driver.host(DriverQueue.free + UInt64(round)))
      queue.complete(head: head, writtenByteCount: UInt32(round))
      #expect(queue.publish())
      #expect(try driver.usedIndex == 65531 &+ round)
      #expect(try driver.usedEntry(65530 &+ round).byteCount == UInt32(round))
      #expect(queue.nextAvailable == 65531 &+ round)
    }
  }

  @Test func wholeRingIsTakenAcrossTheWrap() throws {
    let driver = try DriverQueue(size: 16, startIndex: 65528)
    let queue = try driver.makeQueue()
    #expect(try take(16, driver, queue) == Array(0..<16))
    #expect(try queue.availableCount() == 0)
    #expect(queue.nextAvailable == 8)
  }

  @Test func usedRingGoesOnWhereItsIndexSays() throws {
    let driver = try DriverQueue(size: 8, startIndex: 5)
    let queue = try driver.makeQueue()
    let heads = try take(1, driver, queue)
    queue.complete(head: heads[0], writtenByteCount: 9)
    _ = queue.publish()
    #expect(try driver.usedIndex == 6)
    #expect(try driver.usedEntry(5).byteCount == 9)
  }

  // MARK: - Calls

  @Test func noInterruptFlagSuppressesTheCall() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    let heads = try take(2, driver, queue)
    try driver.setAvailableFlags(1)
    queue.complete(head: heads[0], writtenByteCount: 1)
    #expect(!queue.publish())
    try driver.setAvailableFlags(0)
    queue.complete(head: heads[1], writtenByteCount: 1)
    #expect(queue.publish())
  }

  @Test func flagIsNotLookedAtUnderEventIndex() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue(eventIndex: true)
    let heads = try take(1, driver, queue)
    try driver.setAvailableFlags(1)
    try driver.setUsedEvent(0)
    queue.complete(head: heads[0], writtenByteCount: 1)
    #expect(queue.publish())
  }

  /// A batch that starts at `start`, and the events that lie inside it: the first entry up to the last, no other.
  @Test(arguments: [0, 100, 65530, 65535] as [UInt16])
  func eventAnywhereInTheBatchCalls(start: UInt16) throws {
    let batch: UInt16 = 5
    for distance in -3..<9 {
      let driver = try DriverQueue(size: 16, startIndex: start)
      let queue = try driver.makeQueue(eventIndex: true)
      for head in try take(Int(batch), driver, queue) {
        queue.complete(head: head, writtenByteCount: 1)
      }
      try driver.setUsedEvent(start &+ UInt16(truncatingIfNeeded: distance))
      let expected = distance >= 0 && distance < Int(batch)
      let called = queue.publish()
      #expect(called == expected, "start \(start), event \(distance) behind it")
    }
  }

  /// The driver has been called for an event: batches behind it are none of its concern.
  @Test func eventOfAnEarlierBatchDoesNotCallAgain() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue(eventIndex: true)
    try driver.setUsedEvent(0)
    let heads = try take(4, driver, queue)
    queue.complete(head: heads[0], writtenByteCount: 1)
    #expect(queue.publish())
    queue.complete(head: heads[1], writtenByteCount: 1)
    queue.complete(head: heads[2], writtenByteCount: 1)
    #expect(!queue.publish())
    try driver.setUsedEvent(3)
    queue.complete(head: heads[3], writtenByteCount: 1)
    #expect(queue.publish())
  }

  @Test func publishingNothingUnderEventIndexCallsNobody() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue(eventIndex: true)
    try driver.setUsedEvent(0)
    #expect(!queue.publish())
    try driver.setUsedEvent(65535)
    #expect(!queue.publish())
  }

  // MARK: - Kicks

  @Test func suppressedKicksSetTheFlagAndLeaveTheEventBehind() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    #expect(try !queue.armKicks())
    #expect(try driver.availableEvent == 0)
    queue.suppressKicks()
    #expect(try driver.usedFlags == 1)
    _ = try take(3, driver, queue)
    #expect(try driver.availableEvent == 0)
  }

  @Test func suppressingTwiceStoresOnce() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    queue.suppressKicks()
    // The driver overwrites what is the device's: only a second store would bring the flag back.
    try driver.guest.write([0, 0], at: DriverQueue.usedRing)
    queue.suppressKicks()
    #expect(try driver.usedFlags == 0)
  }

  @Test(arguments: [false, true])
  func armedKicksClearTheFlagAndNameTheNextChain(eventIndex: Bool) throws {
    let driver = try DriverQueue(size: 16, startIndex: 65534)
    let queue = try driver.makeQueue(eventIndex: eventIndex)
    queue.suppressKicks()
    _ = try take(4, driver, queue)
    #expect(try !queue.armKicks())
    #expect(try driver.usedFlags == 0)
    // Both are written, because the front-end may not have told which of them the guest uses.
    #expect(try driver.availableEvent == 2)
  }

  @Test func kicksCanBeSuppressedAgainAfterArming() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    queue.suppressKicks()
    _ = try queue.armKicks()
    queue.suppressKicks()
    #expect(try driver.usedFlags == 1)
  }

  @Test func armingFindsWhatCameMeanwhile() throws {
    let driver = try DriverQueue()
    let queue = try driver.makeQueue()
    _ = try take(2, driver, queue)
    try driver.put(.writable(DriverQueue.free, 1), at: 2)
    try driver.offer(2)
    #expect(try queue.armKicks())
  }

  @Test func armingReportsAJump() throws {
    let driver = try DriverQueue(size: 16)
    let queue = try driver.makeQueue()
    try driver.setAvailableIndex(40)
    var refusal: QueueError?
    do throws(QueueError) { _ = try queue.armKicks() } catch { refusal = error }
    #expect(refusal == .availableIndexJump(from: 0, to: 40))
  }
}
