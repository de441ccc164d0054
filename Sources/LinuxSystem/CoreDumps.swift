import CLinuxShims

/// Whether the process's memory can end up in a file or in a crash report.
public enum CoreDumps {
  /// Forbids core files, crash reports, and reading the process's memory to everybody but root.
  ///
  /// Guests' keys are in that memory. Where it is refused, `EPERM` or the like says so.
  public static func forbid() throws(SystemError) {
    let result = clinux_forbid_dumps()
    guard result == 0 else { throw SystemError(call: "forbidding core dumps", code: -result) }
  }

  /// Permits what changing to another user has forbidden.
  public static func permit() throws(SystemError) {
    _ = try checked("permitting core dumps", Int(clinux_permit_dumps()))
  }
}
