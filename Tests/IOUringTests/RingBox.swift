import IOUring
import LinuxSystem

/// The ring under test in a reference, because expectations cannot hold noncopyable values.
///
/// Made, used and dropped by one thread: the kernel ties a ring to the thread that set it up, and a test without `async`
/// stays on its thread.
final class RingBox {
  private var ring: IOUring

  init(entries: UInt32 = 8) throws { ring = try IOUring(entries: entries) }

  func pollMultishot(_ event: borrowing EventFD, _ userData: UserData) -> Bool {
    ring.pollMultishot(fd: event.rawValue, userData: userData)
  }
  func pollMultishot(fd: Int32, _ userData: UserData) -> Bool {
    ring.pollMultishot(fd: fd, userData: userData)
  }
  func signal(fd: Int32, _ userData: UserData) -> Bool {
    ring.signal(fd: fd, userData: userData)
  }
  @discardableResult func submit() -> Int32 { ring.submit() }
  @discardableResult func submitAndWait() -> Int32 { ring.submitAndWait() }
  var submissions: SubmissionRing { ring.submissions }
  var hasPrepared: Bool { ring.hasPrepared }
  func nextCompletion() -> Completion? { ring.nextCompletion() }

  /// Waits for one completion.
  func completion() -> Completion? {
    if let ready = nextCompletion() { return ready }
    submitAndWait()
    return nextCompletion()
  }
}
