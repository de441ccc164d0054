import CLinuxShims

/// Mappings of files that somebody else may truncate under us.
///
/// Touching a page that the file no longer has is a SIGBUS, which would end the process and with it every guest. A
/// watched mapping is replaced by zeros instead, all of it, and is lost from then on: what the thread reads are zeros, what
/// it writes nobody sees, and its owner has to look (`isLost`) and stop using it. `MappedMemory` watches what it shares;
/// `register` is for mappings that are made in another way.
public enum LostMappings {
  /// How many mappings were lost so far, whosever they were: whoever watches one looks at it when this has changed.
  public static var count: UInt64 { @_noAllocation @_noLocks get { clinux_lost_count() } }

  /// Whether a mapping's memory was replaced; `number` is a `Registration`'s, or -1 for none.
  @_noAllocation @_noLocks
  public static func isLost(_ number: Int32) -> Bool { clinux_mapping_is_lost(number) != 0 }

  /// Watches a mapping until the value that it gives ends, which is before the mapping does.
  ///
  /// - `base`: page aligned, as `mmap` gave it. `byteCount`: whole pages of its kind.
  /// - Throws: `ENOSPC` where 16384 mappings are watched already.
  public static func register(
    base: UnsafeMutableRawPointer, byteCount: Int
  ) throws(SystemError) -> Registration {
    Registration(number: unsafe try watch(base, byteCount: byteCount))
  }

  static func watch(
    _ base: UnsafeMutableRawPointer, byteCount: Int
  ) throws(SystemError) -> Int32 {
    // SAFETY: the handler touches the mapping only when somebody else has, and faulted.
    Int32(try checked("watching a mapping", unsafe Int(clinux_watch_mapping(base, byteCount))))
  }

  static func unwatch(_ number: Int32) { clinux_unwatch_mapping(number) }

  /// A watched mapping's place in the table.
  public struct Registration: ~Copyable, Sendable {
    /// For `LostMappings.isLost`; another mapping's once this value has ended.
    public let number: Int32

    fileprivate init(number: Int32) { self.number = number }

    public var isLost: Bool { LostMappings.isLost(number) }

    deinit { clinux_unwatch_mapping(number) }
  }
}
