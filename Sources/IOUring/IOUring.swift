// IOUring: an io_uring as an owned value: submit, reap, eventfd polls and writes.
//
// It wraps liburing, and knows neither virtqueues nor crypto.

import CUring
public import LinuxSystem

/// One completion.
@frozen
public struct Completion {
  public let userData: UserData
  /// What the operation returned, or -errno.
  public let result: Int32
  /// A multishot operation goes on.
  public let hasMore: Bool

  @_noAllocation @_noLocks
  init(userData: UserData, result: Int32, hasMore: Bool) {
    self.userData = userData
    self.result = result
    self.hasMore = hasMore
  }
}

/// An io_uring, used by the one thread that made it.
@safe
public struct IOUring: ~Copyable {
  private let ring: OpaquePointer

  /// Sets up a ring with room for `entries` prepared operations.
  public init(entries: UInt32) throws(SystemError) {
    var error: Int32 = 0
    guard let made = unsafe curing_make(entries, &error) else {
      throw SystemError(call: "setting up io_uring", code: -error)
    }
    unsafe ring = made
  }

  deinit { unsafe curing_free(ring) }

  /// Prepares a poll that completes each time the descriptor gets input; false when the queue is full.
  ///
  /// An eventfd need not be read: every write to it is a completion.
  @_noAllocation @_noLocks
  public mutating func pollMultishot(fd: Int32, userData: UserData) -> Bool {
    unsafe curing_poll_multishot(ring, fd, userData.rawValue)
  }

  /// Prepares the addition of one to a non-blocking eventfd; false when the queue is full.
  ///
  /// Only a failure gives a completion (on kernels before 5.17 success does, too).
  @_noAllocation @_noLocks
  public mutating func signal(fd: Int32, userData: UserData) -> Bool {
    unsafe curing_signal(ring, fd, userData.rawValue)
  }

  /// Whether `signal` can serve a descriptor: whether it is non-blocking.
  public static func canSignal(fd: Int32) -> Bool { curing_is_nonblocking(fd) }

  /// Adds one to any eventfd at once, by a system call of its own.
  @_noAllocation @_noLocks
  public static func signalNow(fd: Int32) { curing_signal_now(fd) }

  /// What engines' lanes prepare operations with; valid while the ring lives.
  public var submissions: SubmissionRing { unsafe SubmissionRing(ring) }

  /// Whether operations are prepared and not submitted.
  public var hasPrepared: Bool {
    @_noAllocation @_noLocks get { unsafe curing_prepared(ring) > 0 }
  }

  /// Submits what is prepared, without waiting; how much, or -errno.
  @_noAllocation @_noLocks
  @discardableResult
  public mutating func submit() -> Int32 { unsafe curing_submit(ring) }

  /// Submits what is prepared, and waits for a completion; -errno where that failed.
  @_noAllocation @_noLocks
  @discardableResult
  public mutating func submitAndWait() -> Int32 { unsafe curing_submit_and_wait(ring) }

  /// The same, for so long at most.
  @_noAllocation @_noLocks
  @discardableResult
  public mutating func submitAndWait(nanoseconds: UInt64) -> Int32 {
    unsafe curing_submit_and_wait_for(ring, nanoseconds)
  }

  /// The next completion that has come in.
  ///
  /// Costs a system call only where the kernel says that completions wait for one.
  @_noAllocation @_noLocks
  public mutating func nextCompletion() -> Completion? {
    var userData: UInt64 = 0
    var result: Int32 = 0
    var hasMore = false
    guard unsafe curing_next(ring, &userData, &result, &hasMore) else { return nil }
    return Completion(
      userData: UserData(rawValue: userData), result: result, hasMore: hasMore)
  }
}
