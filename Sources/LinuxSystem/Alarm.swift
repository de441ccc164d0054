import CLinuxShims

/// A descriptor that becomes readable after a time, once.
public struct Alarm: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  public init(seconds: Int) throws(SystemError) {
    descriptor = FileDescriptor(
      owning: Int32(try checked("making a timer", Int(clinux_alarm(UInt32(clamping: seconds))))))
  }

  public var rawValue: Int32 { descriptor.rawValue }
}
