// QueueWorkersTests: helper threads without a daemon: a lane that takes its time, and a thread that plays the worker.

import CryptoTypes
import EngineContract
import IOUring
import Synchronization

/// What the lanes of a test were asked; shared by their threads.
final class FakeLog: Sendable {
  let forgotten = Mutex<[UInt32]>([])
  let lanesAlive = Atomic(0)
  let operationCount = Atomic(0)
}

/// Finishes operations at once, or when it is flushed; the outcome says so.
struct FakeLane: ~Copyable, CryptoLane {
  private let log: FakeLog
  private let finishesAtFlush: Bool
  private var waiting: [UnsafeMutablePointer<CryptoOperation>] = []
  private var finished: [UnsafeMutablePointer<CryptoOperation>] = []

  init(_ log: FakeLog, finishesAtFlush: Bool) {
    self.log = log
    self.finishesAtFlush = finishesAtFlush
    log.lanesAlive.add(1, ordering: .relaxed)
  }

  deinit { log.lanesAlive.subtract(1, ordering: .relaxed) }

  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    for operation in batch {
      log.operationCount.add(1, ordering: .relaxed)
      operation.pointee.outcome = .tagMismatch
      operation.pointee.disposition = finishesAtFlush ? .submitted : .done
      if finishesAtFlush { waiting.append(operation) }
    }
  }

  mutating func flush() {
    finished += waiting
    waiting = []
  }

  mutating func take(_ completion: Completion) {}

  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? { finished.popLast() }

  var inFlightCount: Int { waiting.count + finished.count }

  mutating func forget(sessionIndex: UInt32) {
    log.forgotten.withLock { $0.append(sessionIndex) }
  }
}
