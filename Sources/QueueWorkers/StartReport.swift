import Dispatch
import Synchronization

/// The outcome of starting a thread, handed over once.
final class StartReport: Sendable {
  private let ready = DispatchSemaphore(value: 0)
  private let reason = Mutex<String?>(nil)

  func finish(_ reason: String?) {
    self.reason.withLock { $0 = reason }
    ready.signal()
  }

  /// Waits for the outcome: why the thread cannot run, nil if it does.
  func wait() -> String? {
    ready.wait()
    return reason.withLock { $0 }
  }
}
