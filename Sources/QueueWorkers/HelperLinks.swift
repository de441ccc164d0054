public import Counters
public import CryptoTypes
public import IOUring
import LinuxSystem

/// A worker's end of what it shares with its helpers: gives long operations away, and takes finished ones back.
///
/// An operation that was given away is the helper's alone until it comes back: the worker must not even look at it. So
/// this is no lane, whose `submit` would say what has become of each.
@safe
public struct HelperLinks: ~Copyable {
  /// One helper, as its worker sees it.
  @safe
  struct Link {
    let mailbox: HelperMailbox
    let wakeDescriptor: Int32
    /// The sessions that the helper may hold keys of, one bit each.
    let knownSessions: UnsafeMutablePointer<UInt64>
    /// Words given to it, and taken back.
    var given: UInt64 = 0
    var taken: UInt64 = 0
  }

  /// How many sessions may be on their way out at once; more wait for the first to be confirmed.
  static var forgetCapacity: Int { @_noAllocation @_noLocks get { 512 } }

  private let links: UnsafeMutablePointer<Link>
  @usableFromInline let count: Int
  @usableFromInline let policy: HelperPolicy
  private let sessionCapacity: UInt32
  private let workerSleep: SleepWord?
  private let ring: SubmissionRing
  private let counters: CounterBlock
  /// Operations that helpers have.
  public internal(set) var operationCount = 0
  /// Sessions whose keys helpers have yet to wipe.
  public internal(set) var pendingForgetCount = 0

  /// - `crew`: outlives the value; nil where there are no helpers.
  /// - `ring`: the worker's, through which helpers are woken.
  public init(
    _ crew: HelperCrew?, policy: HelperPolicy, ring: SubmissionRing, counters: CounterBlock
  ) {
    count = crew?.helperCount ?? 0
    unsafe links = .allocate(capacity: max(count, 1))
    for index in 0..<count {
      if let crew { unsafe (links + index).initialize(to: crew.link(index)) }
    }
    sessionCapacity = UInt32(clamping: crew?.sessionCapacity ?? 0)
    workerSleep = crew?.workerSleep
    self.policy = policy
    self.ring = ring
    self.counters = counters
  }

  deinit { unsafe links.deallocate() }

  /// Whether there are helpers at all.
  @inlinable public var exist: Bool { @_noAllocation @_noLocks get { count > 0 } }

  /// Whether anything will come back.
  @inlinable public var areBusy: Bool {
    @_noAllocation @_noLocks get { operationCount &+ pendingForgetCount > 0 }
  }

  /// Whether an operation is one for a helper.
  @_noAllocation @_noLocks
  @inlinable public func help(_ operation: UnsafeMutablePointer<CryptoOperation>) -> Bool {
    unsafe policy.helps(operation)
  }

  /// Gives an operation to the helper that has the fewest; it comes back through `nextCompletion`.
  @_noAllocation @_noLocks
  public mutating func give(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    var least = 0
    var index = 1
    while index < count {
      // SAFETY: least and index are below the count.
      if unsafe links[index].given &- links[index].taken
        < links[least].given &- links[least].taken
      {
        least = index
      }
      index &+= 1
    }
    let session = unsafe operation.pointee.sessionIndex
    if session < sessionCapacity {
      // SAFETY: there is a bit for each session below the capacity.
      unsafe links[least].knownSessions[Int(session >> 6)] |= 1 << UInt64(session & 63)
    }
    operationCount &+= 1
    unsafe put(HelperWord.operation(operation), least)
  }

  @_noAllocation @_noLocks
  private mutating func put(_ word: UInt64, _ index: Int) {
    // SAFETY: index is below the count. The ring has room: it holds as many words as there are request slots and
    // sessions on their way out.
    unsafe links[index].mailbox.operations.put(word, at: links[index].given)
    unsafe links[index].given &+= 1
    if unsafe links[index].mailbox.helperSleep.claim() {
      let descriptor = unsafe links[index].wakeDescriptor
      // It leaves with the worker's next submission.
      if !ring.signal(fd: descriptor, userData: WorkerEvents.helperSignal) {
        IOUring.signalNow(fd: descriptor)
      }
    }
  }

  /// An operation that a helper has finished, with its `outcome`; nil if there is none yet.
  @_noAllocation @_noLocks
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    var index = 0
    while areBusy, index < count {
      // SAFETY: index is below the count.
      while let word = unsafe links[index].mailbox.results.take(at: links[index].taken) {
        unsafe links[index].taken &+= 1
        // SAFETY: an even word is the address of an operation that `give` was given.
        if word & 1 == 0 {
          operationCount &-= 1
          counters.add(.helped, 1)
          return unsafe UnsafeMutablePointer(bitPattern: UInt(word))
        }
        pendingForgetCount &-= 1
      }
      index &+= 1
    }
    return nil
  }

  /// Whether another session can be forgotten now.
  public var canForget: Bool {
    @_noAllocation @_noLocks get { pendingForgetCount < Self.forgetCapacity }
  }

  /// Has the helpers that may hold a session's keys wipe them; none of its operations is in flight.
  ///
  /// They are wiped when `pendingForgetCount` is 0 again.
  @_noAllocation @_noLocks
  public mutating func forget(sessionIndex: UInt32) {
    guard sessionIndex < sessionCapacity else { return }
    let place = Int(sessionIndex >> 6)
    let bit = UInt64(1) << UInt64(sessionIndex & 63)
    var index = 0
    while index < count {
      // SAFETY: index is below the count, and there is a bit for each session below the capacity.
      if unsafe links[index].knownSessions[place] & bit != 0 {
        unsafe links[index].knownSessions[place] &= ~bit
        pendingForgetCount &+= 1
        put(HelperWord.forget(sessionIndex: sessionIndex), index)
      }
      index &+= 1
    }
  }

  /// Asks helpers to wake the worker from now on; false if something has come back already, and it must not sleep.
  ///
  /// Call `endSleep` afterwards, whatever the answer.
  @_noAllocation @_noLocks
  public func prepareToSleep() -> Bool {
    guard areBusy, let workerSleep else { return true }
    workerSleep.announce()
    var index = 0
    while index < count {
      // SAFETY: index is below the count.
      if unsafe links[index].mailbox.results.hasWord(at: links[index].taken) { return false }
      index &+= 1
    }
    return true
  }

  @_noAllocation @_noLocks
  public func endSleep() { if let workerSleep { workerSleep.end() } }
}
