import LinuxSystem

/// A running worker, as its control side holds it: a thread, and the words shared with it.
///
/// Starting waits until the worker has what it needs; stopping waits until nothing of its ring is in flight.
public final class QueueWorker: Sendable {
  /// What the worker tells its control side while it starts and when it ends.
  public struct Context: Sendable {
    public let shared: WorkerShared
    fileprivate let report: StartReport

    /// Everything is in place: the worker serves from now on.
    public func started() { report.finish(nil) }
    /// The worker cannot run, in a sentence; its body returns at once.
    public func failed(_ reason: String) { report.finish(reason) }
  }

  private let thread: PinnedThread
  private let shared: WorkerShared

  /// Starts a thread that runs `body`, and waits for it to call `started` or `failed`, which it must.
  ///
  /// - `name`: the thread's name, at most 15 bytes.
  /// - `cpu`: the CPU to pin it to, or nil.
  public init(
    name: String, cpu: Int?, body: @escaping @Sendable (Context) -> Void
  ) throws(WorkerStartError) {
    let report = StartReport()
    do {
      let shared = try WorkerShared()
      self.shared = shared
      let context = Context(shared: shared, report: report)
      thread = try PinnedThread(name: name, cpu: cpu) { body(context) }
    } catch { throw WorkerStartError(description: "starting a worker: \(error)") }
    if let reason = report.wait() {
      thread.join()
      throw WorkerStartError(description: reason)
    }
  }

  /// Whether the pinning that was asked for was refused; the worker runs all the same.
  public var pinningFailure: String? { thread.pinningFailure }

  /// The ring's fault, if it has stopped the queue.
  public var fault: String? { shared.fault }

  /// Ends the worker once what it has taken is finished; where the queue goes on, as `GET_VRING_BASE` has it.
  public func stop() -> UInt32 {
    shared.requestStop()
    thread.join()
    return shared.base
  }

  /// Has the worker keep account of its time for a profile, in its queue's counters; 0: not any more.
  ///
  /// From any thread.
  public func profile(_ number: UInt64) { shared.requestProfile(number) }

  /// Interrupts a sleeping worker, so that it looks at the log of retired sessions.
  public func wake() { shared.wake() }
}

/// Why a worker could not be started.
public struct WorkerStartError: Error, CustomStringConvertible, Sendable {
  public var description: String
}
