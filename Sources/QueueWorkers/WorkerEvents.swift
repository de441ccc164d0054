import CRingShims
public import Counters
public import IOUring
public import LinuxSystem

/// A worker's io_uring and the eventfds around it: kicks in, calls out, wake-ups from the control side and from helpers.
///
/// Kick and wake eventfds are polled multishot and never read: each write to one raises a completion, whatever its
/// count. Calls are eight-byte writes that go out with the next submission, so that in the usual case a batch's call
/// and the wait for the next kick are one system call.
@safe
public struct WorkerEvents: ~Copyable {
  private enum Kind {
    static var kick: UInt8 { @_noAllocation @_noLocks get { 1 } }
    static var wake: UInt8 { @_noAllocation @_noLocks get { 2 } }
    static var call: UInt8 { @_noAllocation @_noLocks get { 3 } }
    static var attention: UInt8 { @_noAllocation @_noLocks get { 4 } }
    static var helper: UInt8 { @_noAllocation @_noLocks get { 5 } }
    static var log: UInt8 { @_noAllocation @_noLocks get { 6 } }
  }

  /// What a signal to a helper's eventfd completes with, if it fails.
  static var helperSignal: UserData {
    @_noAllocation @_noLocks get { UserData(kind: Kind.helper, index: 0) }
  }

  private var ring: IOUring
  private let kick: Int32
  private let wake: Int32
  private let call: Int32
  /// A blocking call eventfd takes a system call of its own.
  private let callIsNonBlocking: Bool
  private let log: Int32
  private let logIsNonBlocking: Bool
  private let attention: Int32
  private let stop: UnsafePointer<UInt64>
  private var kickIsArmed = false
  /// The kick cannot be polled: it is no eventfd, and would only keep the worker awake.
  private var kickIsDead = false
  private var wakeIsArmed = false
  /// - `kick`: the driver's eventfd, or -1 where the front-end gave none: then the worker must poll.
  /// - `call`: the eventfd that interrupts the guest, or -1.
  /// - `attention`: the eventfd that makes the control side look.
  /// - `log`: the eventfd that tells the front-end of dirty pages, or -1.
  /// - `stop`: becomes odd when the worker has to end; half of it is the number of a profile that somebody takes, or 0.
  ///
  /// Descriptors and `stop` belong to the caller and must outlive the value. Call it on the worker's own thread.
  public init(
    kick: Int32, call: Int32, wake: Int32, attention: Int32, stop: UnsafePointer<UInt64>,
    log: Int32 = -1
  ) throws(SystemError) {
    let ring = try IOUring(entries: 256)
    self.ring = ring
    self.kick = kick
    self.call = call
    callIsNonBlocking = IOUring.canSignal(fd: call)
    self.log = log
    logIsNonBlocking = IOUring.canSignal(fd: log)
    self.attention = attention
    self.wake = wake
    unsafe self.stop = stop
  }

  /// What the engines' lanes prepare their operations with; valid while the value lives.
  public var submissions: SubmissionRing { ring.submissions }

  /// What the control side wants now.
  public var wish: UInt64 {
    @_noAllocation @_noLocks get { unsafe cring_load64_acquire(stop) }
  }

  /// Queues a call to the guest; it leaves with the next `flush` or `wait`.
  @_noAllocation @_noLocks
  public mutating func signalCall() {
    guard call >= 0 else { return }
    if callIsNonBlocking { signal(call, Kind.call) } else { IOUring.signalNow(fd: call) }
  }

  /// Queues a signal that pages were logged, likewise.
  @_noAllocation @_noLocks
  public mutating func signalLog() {
    guard log >= 0 else { return }
    if logIsNonBlocking { signal(log, Kind.log) } else { IOUring.signalNow(fd: log) }
  }

  /// Queues a signal to the control side, likewise.
  @_noAllocation @_noLocks
  public mutating func signalAttention() { signal(attention, Kind.attention) }

  @_noAllocation @_noLocks
  private mutating func signal(_ descriptor: Int32, _ kind: UInt8) {
    let userData = UserData(kind: kind, index: 0)
    if !ring.signal(fd: descriptor, userData: userData) {
      // The submission queue is full: hand it over and try again.
      ring.submit()
      _ = ring.signal(fd: descriptor, userData: userData)
    }
  }

  /// Submits what is queued and what lanes have prepared, without waiting.
  @_noAllocation @_noLocks
  public mutating func flush() {
    // What the kernel has no room for now is submitted next time.
    if ring.hasPrepared { ring.submit() }
  }

  /// Submits, and sleeps until a kick, a wake-up or another completion.
  @_noAllocation @_noLocks
  public mutating func wait() {
    arm()
    ring.submitAndWait()
  }

  /// Submits, and sleeps until a wake-up, a completion, or the end of a time; kicks are not asked for.
  @_noAllocation @_noLocks
  public mutating func wait(nanoseconds: UInt64) {
    armWake()
    ring.submitAndWait(nanoseconds: nanoseconds)
  }

  /// Submits, and sleeps until something that is in flight completes, be it with a helper.
  @_noAllocation @_noLocks
  public mutating func waitForCompletion() {
    armWake()
    ring.submitAndWait()
  }

  /// Takes in completions that are there already; the next one that is a lane's, nil when there is none.
  @_noAllocation @_noLocks
  public mutating func nextLaneCompletion(_ counters: CounterBlock) -> Completion? {
    while let completion = ring.nextCompletion() {
      let kind = completion.userData.kind
      if kind >= UserData.firstLaneKind { return completion }
      switch kind {
      case Kind.kick:
        counters.add(.kicks, 1)
        if !completion.hasMore { kickIsArmed = false }
        if completion.result < 0 { kickIsDead = true }
      case Kind.wake:
        if !completion.hasMore { wakeIsArmed = false }
      default: break
      }
    }
    return nil
  }

  @_noAllocation @_noLocks
  private mutating func arm() {
    if !kickIsArmed, !kickIsDead, kick >= 0 {
      kickIsArmed = ring.pollMultishot(fd: kick, userData: UserData(kind: Kind.kick, index: 0))
    }
    armWake()
  }

  @_noAllocation @_noLocks
  private mutating func armWake() {
    if !wakeIsArmed {
      wakeIsArmed = ring.pollMultishot(fd: wake, userData: UserData(kind: Kind.wake, index: 0))
    }
  }
}
