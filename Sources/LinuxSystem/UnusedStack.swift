import CLinuxShims

/// The stack of functions that have returned.
public enum UnusedStack {
  /// Wipes what the functions that the caller has called left on the thread's stack.
  ///
  /// Libraries that expand keys, and registers that were saved in between, leave pieces of keys there.
  public static func wipe() { clinux_wipe_stack() }
}
