import CLinuxShims
import Glibc

/// What the process may do, and giving it up for ever.
public enum Rights {
  /// The user that the process acts as.
  public static var user: UInt32 { geteuid() }
  public static var group: UInt32 { getegid() }

  /// Ends what sanitizers run beside us, in builds with them.
  public static func endSanitizerThreads() { clinux_end_sanitizer_threads() }

  /// How many threads the process has.
  ///
  /// Rights are a thread's own, so that giving them up means something only as long as there is one.
  public static func threadCount() throws(SystemError) -> Int {
    guard let directory = unsafe opendir("/proc/self/task") else {
      throw .last("counting threads in /proc/self/task")
    }
    defer { unsafe closedir(directory) }
    var count = 0
    // SAFETY: the directory is open, and its entry is looked at before the next call.
    while let entry = unsafe readdir(directory) {
      if unsafe entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { count += 1 }
    }
    return count
  }

  /// Becomes somebody else in all threads, and proves that there is no way back.
  public static func become(
    user: UInt32, group: UInt32, groups: [UInt32]
  ) throws(SystemError) {
    _ = try checked(
      "changing to user \(user)",
      unsafe Int(clinux_become(user, group, groups, groups.count)))
  }

  /// Does without one capability: `CAP_NET_ADMIN` is 12.
  public static func forgo(capability: Int32) throws(SystemError) {
    _ = try checked(
      "giving up capability \(capability)", Int(clinux_forgo_capability(capability)))
  }

  /// Keeps programs that the process starts from having capabilities.
  ///
  /// Throws `EPERM` for a process that may not even do that, and has little to pass on.
  public static func boundCapabilities() throws(SystemError) {
    _ = try checked("emptying the bounding set", Int(clinux_bound_capabilities()))
  }

  /// Does without all capabilities.
  public static func dropCapabilities() throws(SystemError) {
    _ = try checked("giving up capabilities", Int(clinux_drop_capabilities()))
  }

  /// Programs that the process starts get no more rights than it has.
  public static func forbidNewPrivileges() throws(SystemError) {
    _ = try checked("forbidding new privileges", Int(clinux_no_new_privileges()))
  }

  /// Whether files can be made and removed in a file's directory.
  public static func canRemove(_ path: String) -> Bool {
    let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    return unsafe access(directory, W_OK | X_OK) == 0
  }
}

/// The system calls that are left to the process; everything that it does not need any more is forbidden.
public enum SyscallFilter {
  /// What happens to other calls.
  public enum Mode: String, CaseIterable, Sendable {
    /// They end the process (SIGSYS), and the kernel's log says which it was.
    case kill
    /// The kernel's log says which it was, and they are carried out.
    case log
    /// There is no filter.
    case none
  }

  /// Installs the filter in all threads, for ever.
  ///
  /// New privileges are forbidden already.
  public static func install(_ mode: Mode) throws(SystemError) {
    guard mode != .none else { return }
    _ = try checked(
      "installing the filter of system calls", Int(clinux_filter_syscalls(mode == .kill ? 1 : 0)))
  }
}
