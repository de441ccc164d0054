import Glibc
import Synchronization

/// The processor time of a group of threads, of those that have ended, too.
public final class ThreadTimes: Sendable {
  private struct State {
    var endedNanoseconds: UInt64 = 0
    /// By thread.
    var clocks: [pthread_t: clockid_t] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  /// The calling thread counts from now on; its time so far does, too.
  public func threadBegins() {
    var clock = clockid_t()
    // SAFETY: one clock's number is written.
    guard unsafe pthread_getcpuclockid(pthread_self(), &clock) == 0 else { return }
    state.withLock { $0.clocks[pthread_self()] = clock }
  }

  /// The calling thread, which has begun, is about to end.
  public func threadEnds() {
    state.withLock { state in
      // Under the lock, so that nobody reads a clock whose thread is gone.
      guard let clock = state.clocks.removeValue(forKey: pthread_self()) else { return }
      state.endedNanoseconds &+= Self.read(clock)
    }
  }

  /// What all of them have used.
  public var seconds: Double {
    state.withLock { state in
      let total = state.clocks.values.reduce(state.endedNanoseconds) { $0 &+ Self.read($1) }
      return Double(total) / 1e9
    }
  }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    // SAFETY: the kernel writes one `timespec`.
    guard unsafe clock_gettime(clock, &time) == 0 else { return 0 }
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
