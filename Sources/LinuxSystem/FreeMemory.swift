import CLinuxShims

/// Memory that the C library's allocator holds and nobody uses.
public enum FreeMemory {
  /// Gives it back to the system; takes milliseconds where there is much.
  public static func giveBack() { clinux_trim_heaps() }
}
