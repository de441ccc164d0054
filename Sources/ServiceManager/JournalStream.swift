internal import Glibc

/// Whether what a process writes ends up in the journal.
///
/// Spec: systemd.exec(5), "$JOURNAL_STREAM"
public enum JournalStream {
  /// Whether standard error is connected to journald, rather than sent elsewhere since.
  public static var isStandardError: Bool {
    // SAFETY: the value is copied before anything can change the environment.
    guard let value = unsafe getenv("JOURNAL_STREAM") else { return false }
    return matches(unsafe String(cString: value), descriptor: 2)
  }

  /// `stream`: device and inode in decimal, with a colon between.
  static func matches(_ stream: String, descriptor: Int32) -> Bool {
    var information = stat()
    // SAFETY: the kernel fills the structure during the call.
    guard unsafe fstat(descriptor, &information) == 0 else { return false }
    return stream == "\(UInt64(information.st_dev)):\(UInt64(information.st_ino))"
  }
}
