import CLinuxShims
import Counters
import CryptoTypes
import Foundation
import IOUring
import LinuxSystem
import QueueWorkers
import Synchronization
import Testing

@Suite struct HelperCrewTests {
  /// A worker's side: its io_uring, its wake eventfd, and operations to give away.
  ///
  /// Used by the thread that made it.
  private struct Worker: ~Copyable {
    let log: FakeLog
    let crew: HelperCrew
    var links: HelperLinks
    var ring: IOUring
    let wake: EventFD
    let counters: QueueCounters
    let operations: UnsafeMutablePointer<CryptoOperation>
    let parameters: UnsafeMutablePointer<SessionParameters>
    var wakeIsArmed = false
    static let operationCount = 64

    init(helperCount: Int, spinMicroseconds: Int = 0, finishesAtFlush: Bool = false) throws {
      let log = FakeLog()
      let wake = try EventFD()
      let ring = try IOUring(entries: 64)
      let crew = try HelperCrew(
        name: "helper", cpus: Array(repeating: nil, count: helperCount),
        operationCapacity: Self.operationCount, sessionCapacity: 5000, workerWake: wake.rawValue
      ) { context in
        guard let own = try? IOUring(entries: 8) else { return context.failed("no io_uring") }
        var settings = WorkerSettings()
        settings.spinMicroseconds = spinMicroseconds
        var loop = HelperLoop(
          context, lane: FakeLane(log, finishesAtFlush: finishesAtFlush), ring: own,
          settings: settings, ticksPerMicrosecond: TickClock.ticksPerMicrosecond)
        context.started()
        loop.run()
      }
      let counters = try QueueCounters(rowCount: 1)
      self.log = log
      self.crew = crew
      self.counters = counters
      links = HelperLinks(
        crew, policy: HelperPolicy(), ring: ring.submissions, counters: counters.block)
      self.wake = wake
      self.ring = ring
      parameters = .allocate(capacity: 1)
      parameters.initialize(to: SessionParameters())
      operations = .allocate(capacity: Self.operationCount)
      for index in 0..<Self.operationCount {
        (operations + index).initialize(
          to: CryptoOperation(
            session: parameters,
            placeholder: UnsafeMutableRawPointer(operations).assumingMemoryBound(to: UInt8.self)))
      }
    }

    deinit {
      crew.stop()
      operations.deallocate()
      parameters.deallocate()
    }

    /// Sleeps as a worker does.
    mutating func sleep() {
      if !wakeIsArmed {
        wakeIsArmed = ring.pollMultishot(fd: wake.rawValue, userData: UserData(kind: 2, index: 0))
      }
      if links.prepareToSleep() { ring.submitAndWait() } else { ring.submit() }
      links.endSleep()
      while let completion = ring.nextCompletion() {
        if completion.userData.kind == 2, !completion.hasMore { wakeIsArmed = false }
      }
    }

    /// Takes everything back.
    mutating func finish() {
      while links.areBusy {
        while let operation = links.nextCompletion() {
          #expect(operation.pointee.outcome == .tagMismatch)
        }
        if links.areBusy { sleep() }
      }
    }
  }

  /// Fails the process where a lost wake-up would hang it.
  private func withAlarm<Result>(
    _ seconds: UInt32 = 60, _ body: () throws -> Result
  ) rethrows -> Result {
    alarm(seconds)
    defer { alarm(0) }
    return try body()
  }

  @Test(arguments: [0, 5], [false, true])
  func everythingComesBackAlthoughBothSidesSleep(spin: Int, atFlush: Bool) throws {
    try withAlarm {
      var worker = try Worker(
        helperCount: 2, spinMicroseconds: spin, finishesAtFlush: atFlush)
      var given = 0
      for round in 0..<3000 {
        let count = 1 + round % 5
        for index in 0..<count { worker.links.give(worker.operations + index) }
        given += count
        let outside = worker.links.operationCount
        #expect(outside == count)
        // The worker's own work meanwhile, of any length.
        for _ in 0..<(round * 7 % 200) { _ = clinux_ticks() }
        worker.finish()
      }
      let (log, counters) = (worker.log, worker.counters)
      #expect(log.operationCount.load(ordering: .relaxed) == given)
      #expect(counters.snapshot()[.helped] == given)
    }
  }

  @Test func sessionsAreForgottenByThoseThatKnowThemAndConfirmed() throws {
    try withAlarm {
      var worker = try Worker(helperCount: 3)
      let log = worker.log
      // Nobody knows it: there is nothing to wait for.
      worker.links.forget(sessionIndex: 7)
      worker.links.forget(sessionIndex: .max)
      var areBusy = worker.links.areBusy
      #expect(!areBusy)
      worker.operations.pointee.sessionIndex = 7
      worker.links.give(worker.operations)
      worker.finish()
      worker.links.forget(sessionIndex: 7)
      let pending = worker.links.pendingForgetCount
      #expect(pending == 1)
      worker.finish()
      #expect(log.forgotten.withLock { $0 } == [7])
      worker.links.forget(sessionIndex: 7)
      areBusy = worker.links.areBusy
      #expect(!areBusy)
    }
  }

  /// More sessions than can be on their way at once, while every slot is with a helper.
  @Test func ringsNeverFill() throws {
    try withAlarm {
      var worker = try Worker(helperCount: 1)
      for index in 0..<3000 {
        worker.operations.pointee.sessionIndex = UInt32(index)
        worker.links.give(worker.operations)
        worker.finish()
      }
      for index in 0..<Worker.operationCount {
        worker.operations[index].sessionIndex = CryptoOperation.transientSession
        worker.links.give(worker.operations + index)
      }
      var next: UInt32 = 0
      while next < 3000 {
        while next < 3000, worker.links.canForget {
          worker.links.forget(sessionIndex: next)
          next += 1
        }
        worker.finish()
      }
      let log = worker.log
      #expect(log.forgotten.withLock { $0 } == Array(0..<3000))
    }
  }

  @Test func operationsGoToTheHelperWithTheFewest() throws {
    try withAlarm {
      var worker = try Worker(helperCount: 4)
      // Nothing is taken back meanwhile, so that each has what it was given.
      for index in 0..<8 {
        worker.operations[index].sessionIndex = UInt32(index)
        worker.links.give(worker.operations + index)
      }
      worker.finish()
      // Session 0 and 4 are known to the first only, and so on: each is forgotten once.
      for index in 0..<8 { worker.links.forget(sessionIndex: UInt32(index)) }
      let (pending, log) = (worker.links.pendingForgetCount, worker.log)
      #expect(pending == 8)
      worker.finish()
      #expect(log.forgotten.withLock { $0.sorted() } == Array(0..<8))
    }
  }

  @Test func lanesEndWithTheirThreads() throws {
    let log: FakeLog
    do {
      let worker = try Worker(helperCount: 5)
      log = worker.log
      #expect(log.lanesAlive.load(ordering: .relaxed) == 5)
    }
    #expect(log.lanesAlive.load(ordering: .relaxed) == 0)
  }

  @Test func oneThatCannotStartLeavesNoneRunning() throws {
    let wake = try EventFD()
    let log = FakeLog()
    let number = Atomic(0)
    let error = #expect(throws: WorkerStartError.self) {
      try HelperCrew(
        name: "helper", cpus: [nil, nil, nil], operationCapacity: 4, sessionCapacity: 4,
        workerWake: wake.rawValue
      ) { context in
        guard number.add(1, ordering: .relaxed).newValue != 2,
          let own = try? IOUring(entries: 8)
        else { return context.failed("no memory for a lane") }
        var loop = HelperLoop(
          context, lane: FakeLane(log, finishesAtFlush: false), ring: own,
          settings: WorkerSettings(), ticksPerMicrosecond: 1000)
        context.started()
        loop.run()
      }
    }
    #expect(error?.description == "starting a helper thread: no memory for a lane")
    #expect(log.lanesAlive.load(ordering: .relaxed) == 0)
  }
}
