internal import Glibc
internal import LinuxSystem

// What the front-end needs of the host, beside its socket.

/// Nanoseconds of the monotonic clock.
public func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  // SAFETY: the kernel fills the structure during the call.
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
    &+ UInt64(truncatingIfNeeded: time.tv_nsec)
}

/// Processor time of the calling thread.
public func threadProcessorNanoseconds() -> UInt64 {
  var time = timespec()
  // SAFETY: the kernel fills the structure during the call.
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
    &+ UInt64(truncatingIfNeeded: time.tv_nsec)
}

/// A point in time to be done by, on the monotonic clock.
struct Deadline {
  private let end: ContinuousClock.Instant

  init(milliseconds: Int) { end = .now + .milliseconds(milliseconds) }

  var hasPassed: Bool { ContinuousClock.now >= end }

  /// At least 0, rounded up, for `poll`.
  var remainingMilliseconds: Int {
    let left = ContinuousClock.now.duration(to: end).components
    let milliseconds =
      left.seconds * 1000 + (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    return Int(clamping: max(0, milliseconds))
  }
}

/// Lets another thread have the processor.
public func yieldProcessor() { sched_yield() }

/// Runs a call again while a signal interrupts it; its result, or the errno in a thrown error.
func retrying<Result: FixedWidthInteger>(
  _ doing: String, _ call: () -> Result
) throws(FrontendError) -> Result {
  while true {
    let result = call()
    if result >= 0 { return result }
    let code = errno
    if code != EINTR { throw .system(doing: doing, errno: code) }
  }
}

/// Waits until a descriptor has something; false when the time is over.
func waitUntilReadable(_ descriptor: Int32, milliseconds: Int) throws(FrontendError) -> Bool {
  var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  let count = Int32(clamping: milliseconds)
  // SAFETY: one entry, our own, for the length of the call.
  let ready = try retrying("poll") { unsafe poll(&entry, 1, count) }
  return ready > 0
}

/// An owned file descriptor, closed when the last reference goes.
public final class OwnedFile: Sendable {
  public let descriptor: Int32

  /// Takes over an open descriptor.
  public init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// A memfd of `byteCount` zero bytes.
  public static func memory(byteCount: Int, name: String = "guest-ram") throws(FrontendError)
    -> OwnedFile
  {
    do throws(SystemError) {
      let file = try MemoryFile.make(name: name, byteCount: byteCount)
      return OwnedFile(descriptor: file.release())
    } catch {
      throw .system(doing: error.call, errno: error.code)
    }
  }
}

/// An eventfd: a kick, a call or an error signal.
public final class EventFile: Sendable {
  public let file: OwnedFile
  public var descriptor: Int32 { file.descriptor }

  public init() throws(FrontendError) {
    do throws(SystemError) {
      file = OwnedFile(descriptor: try EventFD().release().release())
    } catch {
      throw .system(doing: error.call, errno: error.code)
    }
  }

  /// Adds 1 to the counter.
  public func signal() throws(FrontendError) {
    var one: UInt64 = 1
    // SAFETY: eight bytes of our own, for the length of the call.
    _ = try retrying("writing an eventfd") { unsafe write(descriptor, &one, 8) }
  }

  /// Waits until the counter is not 0; false when the time is over.
  public func wait(milliseconds: Int) throws(FrontendError) -> Bool {
    try waitUntilReadable(descriptor, milliseconds: milliseconds)
  }

  /// Takes the counter, which is 0 then; 0 when it was.
  public func drain() throws(FrontendError) -> UInt64 {
    var value: UInt64 = 0
    while true {
      // SAFETY: `value` is ours for the length of the call.
      if unsafe read(descriptor, &value, 8) == 8 { return value }
      let code = errno
      if code == EAGAIN { return 0 }
      if code != EINTR { throw .system(doing: "reading an eventfd", errno: code) }
    }
  }
}

/// Accepts a connection, whose calls wait; as `accept` returns.
func acceptBlocking(_ descriptor: Int32) -> Int32 {
  let connection = accept(descriptor, nil, nil)
  if connection >= 0 { _ = fcntl(connection, F_SETFD, FD_CLOEXEC) }
  return connection
}
