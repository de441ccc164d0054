/// What a worker is doing, for a profile.
@frozen
public struct WorkerStage: Sendable {
  /// Its place among a block's stages.
  public let number: Int

  @_noAllocation @_noLocks
  @inlinable init(number: Int) { self.number = number }

  /// How many there are.
  @inlinable public static var count: Int { @_noAllocation @_noLocks get { 10 } }

  /// Waiting or spinning for work.
  @inlinable public static var idle: Self { @_noAllocation @_noLocks get { Self(number: 0) } }
  /// Looking at the ring and taking chains.
  @inlinable public static var ring: Self { @_noAllocation @_noLocks get { Self(number: 1) } }
  /// Reading and checking headers, and finding the session.
  @inlinable public static var parse: Self { @_noAllocation @_noLocks get { Self(number: 2) } }
  /// Reading descriptors and translating them, and copying through bounce buffers.
  @inlinable public static var memory: Self { @_noAllocation @_noLocks get { Self(number: 3) } }
  /// Writing results and used entries.
  @inlinable public static var completion: Self { @_noAllocation @_noLocks get { Self(number: 4) } }
  /// Calling the guest.
  @inlinable public static var notify: Self { @_noAllocation @_noLocks get { Self(number: 5) } }
  /// In an engine: 0…3, higher ones count as the last.
  @_noAllocation @_noLocks
  @inlinable public static func crypto(engine: UInt8) -> Self {
    Self(number: 6 &+ Int(truncatingIfNeeded: Swift.min(engine, 3)))
  }
}
