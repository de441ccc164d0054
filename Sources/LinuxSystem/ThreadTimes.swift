import CLinuxShims
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
    locked { $0.clocks[pthread_self()] = clock }
  }

  /// The calling thread, which has begun, is about to end.
  public func threadEnds() {
    locked { state in
      // Under the lock, so that nobody reads a clock whose thread is gone.
      guard let clock = state.clocks.removeValue(forKey: pthread_self()) else { return }
      state.endedNanoseconds &+= Self.read(clock)
    }
  }

  /// What all of them have used.
  public var seconds: Double {
    locked { state in
      let total = state.clocks.values.reduce(state.endedNanoseconds) { $0 &+ Self.read($1) }
      return Double(total) / 1e9
    }
  }

  /// Threads of a crew begin and end at the same time, and so often wait here.
  private func locked<Result>(_ body: (inout sending State) -> sending Result) -> sending Result {
    state.withLock { state in
      clinux_lock_is_held()
      defer { clinux_lock_is_given_up() }
      return body(&state)
    }
  }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    // SAFETY: the kernel writes one `timespec`.
    guard unsafe clock_gettime(clock, &time) == 0 else { return 0 }
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
