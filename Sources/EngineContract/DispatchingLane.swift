public import CryptoTypes
public import IOUring

/// All of a worker's lanes as one: each operation goes to the engine that it names, and to the next of its session's
/// route where that one cannot do it.
@safe
public struct DispatchingLane<Lanes: LaneSet & ~Copyable>: ~Copyable, CryptoLane {
  @usableFromInline internal var lanes: Lanes
  /// Room for a batch of one.
  @usableFromInline internal let single: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>>

  public init(
    engines: Lanes.Engines, environment: LaneEnvironment
  ) throws(EngineError) {
    lanes = try Lanes(engines: engines, environment: environment)
    unsafe single = .allocate(capacity: 1)
  }

  deinit { unsafe single.deallocate() }

  @inlinable
  public mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    // Neighbours of one engine go to it together.
    var start = 0
    while start < batch.count {
      // SAFETY: start < end <= count; the caller keeps operations and their sessions alive.
      let engine = unsafe batch[start].pointee.engineIndex
      var end = start &+ 1
      while end < batch.count, unsafe batch[end].pointee.engineIndex == engine { end &+= 1 }
      unsafe lanes.submit(
        UnsafeMutableBufferPointer(rebasing: batch[start..<end]), toEngine: engine)
      start = end
    }
    start = 0
    while start < batch.count {
      let operation = unsafe batch[start]
      if unsafe operation.pointee.outcome != .ok && operation.pointee.disposition == .done
        && operation.pointee.outcome.isLeftToOthers
      {
        unsafe submitElsewhere(operation)
      }
      start &+= 1
    }
  }

  /// Gives an operation to the other engines of its session's route, until one takes it.
  @inlinable
  internal mutating func submitElsewhere(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    // SAFETY: as for submit; the room for the batch is the lane's own. (A closure over the pointer's place would retain in
    // debug builds.)
    while unsafe operation.pointee.disposition == .done
      && operation.pointee.outcome.isLeftToOthers
    {
      unsafe operation.pointee.triedEngines |= 1 << UInt32(operation.pointee.engineIndex)
      let next = unsafe operation.pointee.session.pointee.route.engine(
        besides: operation.pointee.triedEngines)
      guard next != EngineRoute.none else { return }
      unsafe operation.pointee.engineIndex = next
      unsafe operation.pointee.outcome = .ok
      unsafe single.initialize(to: operation)
      unsafe lanes.submit(UnsafeMutableBufferPointer(start: single, count: 1), toEngine: next)
    }
  }

  @inlinable public mutating func flush() { lanes.flush() }

  @inlinable public mutating func take(_ completion: Completion) { lanes.take(completion) }

  @inlinable
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    while let operation = unsafe lanes.nextCompletion() {
      guard unsafe operation.pointee.outcome.isLeftToOthers else { return unsafe operation }
      // It was submitted, and is finished only now.
      unsafe operation.pointee.disposition = .done
      unsafe submitElsewhere(operation)
      if unsafe operation.pointee.disposition == .done { return unsafe operation }
      // Alone, it must not wait for others to fill a batch: the worker may be about to sleep.
      lanes.flush()
    }
    return nil
  }

  @inlinable public var inFlightCount: Int { lanes.inFlightCount }

  @inlinable
  public mutating func forget(sessionIndex: UInt32) { lanes.forget(sessionIndex: sessionIndex) }

  /// Control side, at session creation: tries the keys in every engine of the session's route, and takes those out that
  /// cannot use them.
  ///
  /// `ok` if any is left; else `failed` if an engine found the keys bad, or `unsupported`.
  public mutating func validate(
    _ session: UnsafeMutablePointer<SessionParameters>
  ) -> CryptoOutcome {
    // SAFETY: the caller keeps the session alive, and nobody else sees it yet.
    let route = unsafe session.pointee.route
    var refused: UInt32 = 0
    var worst = CryptoOutcome.unsupported
    for index in 0..<route.count {
      let engine = route.engine(at: index)
      let outcome = unsafe lanes.validate(session, byEngine: engine)
      guard outcome != .ok else { continue }
      refused |= 1 << UInt32(engine)
      if outcome != .unsupported { worst = .failed }
    }
    unsafe session.pointee.route = route.excluding(refused)
    return unsafe session.pointee.route.isEmpty ? worst : .ok
  }
}
