// QueueWorkers: one pinned thread and one io_uring per data queue: wait for a kick, drain, publish, arm.
//
// It knows requests only through CryptoDevice's processor, and engines only as lanes; which lanes there are is settled
// by the wiring, for which the loop is generic. Control-side objects start and stop workers; nothing here is shared
// between two workers but the session table and the log of retired sessions, which are read without locks.

/// How a worker waits for work.
public enum PollMode: Sendable {
  /// Spins for a while after the last work, then arms the kick and sleeps.
  case adaptive
  /// Sleeps as soon as the ring is dry.
  case event
  /// Never sleeps.
  case always
}

/// What an operator chooses for a worker.
public struct WorkerSettings: Sendable {
  public var pollMode = PollMode.adaptive
  /// How long an adaptive worker spins after the last work, in microseconds.
  public var spinMicroseconds = 50
  /// The CPU to run on; nil: wherever the scheduler likes.
  public var cpu: Int?
  /// Who runs long operations.
  public var helpers = HelperSettings()

  /// Requests taken from the ring before their results are published.
  @inlinable public static var batchCapacity: Int { 64 }

  public init() {}
}
