import Glibc
import IOUring
import LinuxSystem
import RingProbe
import Synchronization
import Testing

@Suite struct IOUringTests {
  private let kick = UserData(kind: 1, index: 5)
  private let call = UserData(kind: 2, index: 9)

  @Test func freshRingHasNoCompletions() throws {
    let ring = try RingBox()
    #expect(ring.nextCompletion()?.userData == nil)
    ring.submit()
    #expect(ring.nextCompletion()?.userData == nil)
  }

  @Test func ringWithoutEntriesIsRefused() {
    #expect(throws: SystemError(call: "setting up io_uring", code: EINVAL)) {
      _ = try RingBox(entries: 0)
    }
  }

  /// What a filter of system calls would not see.
  @Test func ringTakesOnlyWhatWorkersDo() {
    #expect(ring_probe_read() == 8)
    #expect(ring_probe_open() == -EACCES)
    #expect(ring_probe_register() == -EACCES)
  }

  /// The counter is never read, so it stays above zero: every write must be told all the same.
  @Test func everyKickCompletesThePollWithoutBeingRead() throws {
    let ring = try RingBox()
    let event = try EventFD()
    let prepared = ring.pollMultishot(event, kick)
    #expect(prepared)
    ring.submit()
    #expect(ring.nextCompletion()?.userData == nil)
    for round in 0..<5 {
      event.signal()
      let completion = try #require(ring.completion(), "kick \(round)")
      #expect(completion.userData == kick)
      #expect(completion.result & Int32(POLLIN) != 0)
      #expect(completion.hasMore)
      #expect(ring.nextCompletion()?.userData == nil, "kick \(round)")
    }
    let count = event.drain()
    #expect(count == 5)
  }

  /// As a spinning worker looks: it never waits, so what the kernel holds back must be fetched by looking.
  @Test func kickIsSeenByLookingAlone() throws {
    let ring = try RingBox()
    let event = try EventFD()
    _ = ring.pollMultishot(event, kick)
    ring.submit()
    for round in 0..<3 {
      event.signal()
      var seen: UserData?
      let deadline = TickClock.monotonicNanoseconds() + 2_000_000_000
      while seen == nil, TickClock.monotonicNanoseconds() < deadline {
        seen = ring.nextCompletion()?.userData
      }
      #expect(seen == kick, "round \(round)")
    }
  }

  @Test func kickBeforeThePollIsSeen() throws {
    let ring = try RingBox()
    let event = try EventFD()
    event.signal()
    _ = ring.pollMultishot(event, kick)
    ring.submit()
    let completion = try #require(ring.completion())
    #expect(completion.userData == kick)
  }

  @Test func pollsAreToldApart() throws {
    let ring = try RingBox()
    let first = try EventFD()
    let second = try EventFD()
    _ = ring.pollMultishot(first, UserData(kind: 1, index: 1))
    _ = ring.pollMultishot(second, UserData(kind: 1, index: 2))
    ring.submit()
    second.signal()
    #expect(ring.completion()?.userData.index == 2)
    first.signal()
    #expect(ring.completion()?.userData.index == 1)
  }

  @Test func signalsReachTheEventfdWithoutACompletion() throws {
    let ring = try RingBox()
    let event = try EventFD()
    for _ in 0..<3 {
      let prepared = ring.signal(fd: event.rawValue, call)
      #expect(prepared)
    }
    let submitted = ring.submit()
    #expect(submitted == 3)
    let count = event.drain()
    #expect(count == 3)
    #expect(ring.nextCompletion()?.userData == nil)
  }

  /// A call of one ring is the kick of another: the whole way of a notification.
  @Test func signalOfOneRingWakesThePollOfAnother() throws {
    let driver = try RingBox()
    let device = try RingBox()
    let event = try EventFD()
    _ = device.pollMultishot(event, kick)
    device.submit()
    for round in 0..<3 {
      _ = driver.signal(fd: event.rawValue, call)
      driver.submit()
      #expect(device.completion()?.userData == kick, "round \(round)")
    }
    #expect(driver.nextCompletion()?.userData == nil)
  }

  @Test func errorsArriveAsCompletions() throws {
    let ring = try RingBox()
    _ = ring.pollMultishot(fd: -1, kick)
    _ = ring.signal(fd: -1, call)
    var results: [UserData: Completion] = [:]
    while results.count < 2 {
      guard let completion = ring.completion() else { break }
      results[completion.userData] = completion
    }
    for userData in [kick, call] {
      let completion = try #require(results[userData])
      #expect(completion.result == -EBADF)
      // What tells the worker that a poll must be armed anew, or given up.
      #expect(!completion.hasMore)
    }
  }

  @Test func fullSubmissionQueueIsReportedAndFreedBySubmitting() throws {
    let ring = try RingBox(entries: 4)
    let events = try (0..<5).map { _ in Event(try EventFD()) }
    for index in 0..<4 {
      let prepared = ring.pollMultishot(fd: events[index].rawValue, kick)
      #expect(prepared)
    }
    let fifth = ring.pollMultishot(fd: events[4].rawValue, kick)
    #expect(!fifth)
    let submitted = ring.submit()
    #expect(submitted == 4)
    let again = ring.pollMultishot(fd: events[4].rawValue, kick)
    #expect(again)
  }

  /// More completions than the completion queue has room for are kept by the kernel, not lost.
  @Test func completionsBeyondTheQueueAreNotLost() throws {
    let ring = try RingBox(entries: 4)
    // Four at a time, 64 in all: eight fit, since the completion queue has twice the entries. Each fails, because a
    // signal that succeeds gives none.
    for batch in 0..<16 as Range<UInt32> {
      for index in 4 * batch..<4 * batch + 4 {
        let prepared = ring.signal(fd: -1, UserData(kind: 3, index: index))
        #expect(prepared)
      }
      // A failing entry ends its submission on kernels that do not go on: submit until all four are gone.
      for _ in 0..<4 { ring.submit() }
    }
    var seen: Set<UInt32> = []
    while let completion = seen.count < 64 ? ring.completion() : nil {
      #expect(completion.result == -EBADF)
      seen.insert(completion.userData.index)
    }
    #expect(seen == Set(0..<64))
  }

  /// As the worker sleeps: on a thread of its own, woken from another, without using the CPU in between.
  @Test func sleepingRingIsWokenFromAnotherThreadAndUsesNoCPU() throws {
    let event = try EventFD()
    let raw = event.rawValue
    let outcome = SharedOutcome()
    let thread = try PinnedThread(name: "ring-test") {
      guard let ring = try? RingBox() else { return }
      guard ring.pollMultishot(fd: raw, UserData(kind: 1, index: 7)) else { return }
      var indices: [UInt32] = []
      let start = cpuNanosecondsOfThisThread()
      while indices.count < 3, let completion = ring.completion() {
        indices.append(completion.userData.index)
      }
      outcome.set(indices, cpuNanosecondsOfThisThread() - start)
    }
    for _ in 0..<3 {
      usleep(100_000)
      event.signal()
    }
    thread.join()
    let (indices, cpuNanoseconds) = outcome.value
    #expect(indices == [7, 7, 7])
    // 300 ms pass; a ring that spins would use most of them.
    #expect(cpuNanoseconds < 50_000_000)
  }
}

/// An eventfd that an array can hold.
private final class Event {
  private let event: EventFD
  init(_ event: consuming EventFD) { self.event = event }
  var rawValue: Int32 { event.rawValue }
}

private final class SharedOutcome: Sendable {
  private let stored = Mutex<([UInt32], UInt64)>(([], 0))
  func set(_ indices: [UInt32], _ nanoseconds: UInt64) {
    stored.withLock { $0 = (indices, nanoseconds) }
  }
  var value: ([UInt32], UInt64) { stored.withLock { $0 } }
}

private func cpuNanosecondsOfThisThread() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
