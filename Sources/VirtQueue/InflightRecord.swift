public import GuestMemory

/// Where one queue's record of requests in flight is: memory that the front-end keeps and gives to the next daemon.
///
/// The front-end may write it at any time. It is written as requests come and go, and read once, when a queue starts.
@safe
public struct InflightRecord {
  public let slice: GuestSlice
  /// Descriptors that it has states for, at least as many as the ring has descriptors.
  public let capacity: UInt16

  public init(slice: GuestSlice, capacity: UInt16) {
    self.slice = slice
    self.capacity = capacity
  }

  /// `version` of a region that somebody has begun; 0 is one that nobody has.
  static var version: UInt16 { 1 }
}

/// Why a record cannot be believed; the queue does not start.
public enum InflightError: Error, Hashable, Sendable {
  /// The region is shorter than its states, or has fewer of them than the ring has descriptors.
  case tooShort
  /// A layout that we do not know.
  case version(UInt16)
  /// The region says another number of states than the message that it came with.
  case stateCount(UInt16)
  /// A state or a place in the ring that does not exist.
  case indexOutOfRange(UInt16)
  /// Two requests share a state, or the free states run in a circle.
  case sharedState(UInt16)
  /// The requests in flight have more descriptors, or the states add up to fewer, than there are.
  case counts
}

/// A request that a record says is in flight.
struct RecordedRequest {
  /// Head descriptor of a split ring's; index of the first state of a packed one's.
  var state: UInt16
  var counter: UInt64
}

extension [RecordedRequest] {
  /// In the order in which they were taken.
  mutating func sortByAge() {
    sort { ($0.counter, $0.state) < ($1.counter, $1.state) }
  }
}
