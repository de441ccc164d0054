// Counters: what the workers count, and plain values to read it out.
//
// A queue's counters are one block of raw memory with one writer, its worker. Writing is a relaxed load and a relaxed
// store, so a worker never waits and takes no lock; reading from any other thread costs the worker nothing. The room
// knows no crypto words: what an operation is called is a dense row number here (StatisticsRow gives them names).
// Formatting belongs to StatsEndpoint.

/// A number of one queue that only grows.
@frozen
public enum QueueCounter: CaseIterable, Sendable {
  /// Chains taken from the ring and answered, whatever the answer.
  case requests
  /// Source bytes of those requests.
  case bytes
  /// Batches taken from the available ring; `CounterBlock.recordBatch` counts them.
  case batches
  /// Wake-ups by the guest's notification.
  case kicks
  /// Interrupts sent to the guest.
  case callsSent
  /// Used-index publications after which the guest did not want an interrupt.
  case callsSuppressed
  /// Times that the worker began to spin for work.
  case spins
  /// Times that the worker went to sleep.
  case sleeps
  /// Chains without a writable status byte: used with length 0.
  case requestsWithoutStatus
  /// Requests answered with an error before they had a row: no such session, unknown opcode, malformed header.
  case requestsRefused
  /// Faults of the ring that stopped the queue.
  case malformedRings
  /// Requests copied through a bounce buffer, as their memory was in pieces.
  case bounced
  /// Operations that helper threads did.
  case helped

  /// The counter's place in the block.
  ///
  /// A `rawValue` would be out of line, and this is the data path.
  @usableFromInline internal var word: Int {
    @_noAllocation @_noLocks @inlinable get {
      switch self {
      case .requests: 0
      case .bytes: 1
      case .batches: 2
      case .kicks: 3
      case .callsSent: 4
      case .callsSuppressed: 5
      case .spins: 6
      case .sleeps: 7
      case .requestsWithoutStatus: 8
      case .requestsRefused: 9
      case .malformedRings: 10
      case .bounced: 11
      case .helped: 12
      }
    }
  }
}

/// A number of one queue that goes up and down.
@frozen
public enum QueueGauge: CaseIterable, Sendable {
  /// Requests taken and not answered yet.
  case inFlight
  /// The most that `inFlight` has been since the queue was started.
  case inFlightMaximum

  /// The gauge's place behind the counters.
  @usableFromInline internal var word: Int {
    @_noAllocation @_noLocks @inlinable get {
      switch self {
      case .inFlight: 0
      case .inFlightMaximum: 1
      }
    }
  }
}
