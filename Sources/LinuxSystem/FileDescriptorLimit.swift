import Glibc

/// How many descriptors the process may have open.
public enum FileDescriptorLimit {
  /// Raises the soft limit to the hard one.
  ///
  /// A running ring takes some eight descriptors, so that two devices of 64 queues, or one of 128, go beyond the usual soft limit. Where it
  /// is refused, starting a ring says what is missing.
  public static func raise() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    unsafe _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
