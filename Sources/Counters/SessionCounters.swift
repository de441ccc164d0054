import Synchronization

/// What a device's control side counts about sessions.
///
/// Any thread may call; none of them is on the data path.
public final class SessionCounters: Sendable {
  private let state = Mutex(SessionSnapshot())

  public init() {}

  /// Counts a session that a guest created.
  public func recordCreated() { state.withLock { $0.created &+= 1 } }

  /// Counts sessions that ended: destroyed by the guest, or with its connection.
  public func recordDestroyed(_ count: Int = 1) {
    state.withLock { $0.destroyed &+= UInt64(clamping: count) }
  }

  /// Counts a creation that was refused.
  public func recordRefused() { state.withLock { $0.refused &+= 1 } }

  /// Takes over the totals of somebody who counts himself.
  public func update(created: UInt64, destroyed: UInt64, refused: UInt64) {
    state.withLock { state in
      state.created = created
      state.destroyed = destroyed
      state.refused = refused
    }
  }

  public func snapshot() -> SessionSnapshot { state.withLock { $0 } }
}

/// A device's session counts at one moment.
public struct SessionSnapshot: Codable, Equatable, Sendable {
  public var created: UInt64 = 0
  public var destroyed: UInt64 = 0
  public var refused: UInt64 = 0

  public init() {}

  /// Sessions that exist now.
  public var open: UInt64 { created > destroyed ? created - destroyed : 0 }
}
