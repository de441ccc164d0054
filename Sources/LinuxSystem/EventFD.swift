import CLinuxShims
import Glibc

/// An eventfd of ours, non-blocking.
public struct EventFD: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  public init() throws(SystemError) {
    descriptor = FileDescriptor(
      owning: Int32(try checked("making an eventfd", Int(clinux_eventfd(0, 1)))))
  }

  public var rawValue: Int32 { descriptor.rawValue }

  /// Gives the descriptor away.
  public consuming func release() -> FileDescriptor { descriptor }

  /// Adds one; a full counter has been signalled already.
  public borrowing func signal() { try? descriptor.write(1) }

  /// Adds one to an eventfd that somebody else owns; -1 is nobody, and a full blocking one is left alone.
  public static func signal(_ rawValue: Int32) {
    var entry = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
    guard rawValue >= 0, unsafe poll(&entry, 1, 0) == 1, entry.revents & Int16(POLLOUT) != 0 else {
      return
    }
    var one: UInt64 = 1
    _ = try? retrying("signalling an eventfd") { unsafe write(rawValue, &one, 8) }
  }

  /// Sets the counter to zero; what it was.
  @discardableResult
  public borrowing func drain() -> UInt64 { Self.drain(descriptor.rawValue) }

  /// Sets an eventfd's counter to zero without waiting; what it was.
  ///
  /// It may be somebody else's, who can empty it at any time: a plain read could wait for ever.
  @discardableResult
  public static func drain(_ rawValue: Int32) -> UInt64 {
    var value: UInt64 = 0
    return unsafe clinux_read8_nowait(rawValue, &value) == 8 ? value : 0
  }
}
