import CUring

/// The submission side of somebody else's ring: engines prepare operations with it, the owner submits them.
///
/// A plain value that keeps nothing alive, used by the owner's thread.
@safe
public struct SubmissionRing {
  private let ring: OpaquePointer

  init(_ ring: OpaquePointer) { unsafe self.ring = ring }

  /// Whether a send that succeeds makes no completion, and one that fails the only one.
  public var sendsSilently: Bool {
    @_noAllocation @_noLocks get { unsafe curing_sends_silently(ring) }
  }

  /// Makes room for a chain of linked operations, which one submission must hold whole; false if there is none now.
  ///
  /// Submits what is prepared if that is in the way.
  @_noAllocation @_noLocks
  public func reserve(_ count: UInt32) -> Bool { unsafe curing_reserve(ring, count) }

  /// Prepares the addition of one to a non-blocking eventfd; false if there is no room now, nor after a submission.
  ///
  /// Only a failure gives a completion (on kernels before 5.17 success does, too).
  @_noAllocation @_noLocks
  public func signal(fd: Int32, userData: UserData) -> Bool {
    guard reserve(1) else { return false }
    return unsafe curing_signal(ring, fd, userData.rawValue)
  }

  /// Prepares `sendmsg` with a following `readv` on one socket: the second starts when the first has ended well.
  ///
  /// Two operations, for which `reserve` has made room. The read completes with `userData`. The send completes with
  /// `sendUserData`: if it fails, and then nothing is heard of the read (`sendsSilently`); on kernels before 5.17 always,
  /// and the read completes as well.
  ///
  /// `message`, a `struct msghdr`, and `vector`, `struct iovec`s, stay valid and unchanged until the last completion.
  /// `sendsInThread` and `readsInThread` leave the work to the kernel's own threads at once, as it takes long; the second
  /// means something only with the first.
  @_noAllocation @_noLocks
  public func sendThenRead(
    fd: Int32, message: UnsafeRawPointer, vector: UnsafeRawPointer, vectorCount: UInt32,
    userData: UserData, sendUserData: UserData, sendsInThread: Bool, readsInThread: Bool
  ) {
    unsafe curing_send_then_read(
      ring, fd, message, vector, vectorCount, userData.rawValue, sendUserData.rawValue,
      sendsInThread, readsInThread)
  }
}
