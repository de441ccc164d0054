/// What a completion is about, packed into the 64 bits that io_uring carries along.
@frozen
public struct UserData: Hashable, Sendable {
  /// The kind in the highest byte, the index in the low 32 bits.
  public var rawValue: UInt64

  @_noAllocation @_noLocks
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  @_noAllocation @_noLocks
  @inlinable public init(kind: UInt8, index: UInt32) {
    rawValue = UInt64(kind) << 56 | UInt64(index)
  }

  /// Kinds from here on are those of engines' lanes, lower ones the worker's own.
  public static var firstLaneKind: UInt8 { @_noAllocation @_noLocks @inlinable get { 0x80 } }

  public var kind: UInt8 {
    @_noAllocation @_noLocks @inlinable get { UInt8(truncatingIfNeeded: rawValue >> 56) }
  }
  public var index: UInt32 {
    @_noAllocation @_noLocks @inlinable get { UInt32(truncatingIfNeeded: rawValue) }
  }
}
