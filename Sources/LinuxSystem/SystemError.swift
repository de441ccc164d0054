// LinuxSystem: thin throwing wrappers over system calls. It knows no protocol and keeps no state.
//
// `errno` is read on the line after the call, and `EINTR` is retried here and nowhere else.

import Glibc

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was being attempted, such as `opening /run/x.sock`.
  public var call: String
  /// The `errno` value.
  public var code: Int32

  public init(call: String, code: Int32) {
    self.call = call
    self.code = code
  }

  /// The failure of the call that was made just now.
  static func last(_ call: String) -> SystemError { SystemError(call: call, code: errno) }

  /// `opening /run/x.sock: No such file or directory`.
  public var description: String {
    // SAFETY: strerror gives a valid string; it is copied at once.
    "\(call): \(unsafe String(cString: strerror(code)))"
  }
}

/// Repeats a call as long as a signal interrupts it.
func retrying(_ call: String, _ body: () -> Int) throws(SystemError) -> Int {
  while true {
    let result = body()
    if result >= 0 { return result }
    let code = errno
    if code != EINTR { throw SystemError(call: call, code: code) }
  }
}

/// Gives the result of a shim that returns `-errno`.
func checked(_ call: String, _ result: Int) throws(SystemError) -> Int {
  if result < 0 { throw SystemError(call: call, code: Int32(truncatingIfNeeded: -result)) }
  return result
}
