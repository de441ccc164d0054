public import CryptoTypes
public import IOUring
import LinuxSystem

/// A lane with an io_uring of its own, for those who want results at once: self-tests, measurements, key checks.
///
/// Used by one thread, that which runs the first operation.
@safe
public struct LaneRunner<Lane: CryptoLane & ~Copyable>: ~Copyable {
  // Before the ring: what the lane holds goes first.
  public var lane: Lane
  @usableFromInline internal var ring: IOUring

  /// `makeLane` makes the lane for the environment that it is given.
  ///
  /// - Throws: `EngineError` if the host gives no memory or no io_uring.
  public init(
    sessionCapacity: Int, operationCapacity: Int = 64, maximumByteCount: Int = 1 << 20,
    makeLane: (LaneEnvironment) throws(EngineError) -> Lane
  ) throws(EngineError) {
    let ring: IOUring
    do throws(SystemError) {
      ring = try IOUring(entries: 64)
    } catch { throw EngineError("\(error)") }
    lane = try makeLane(
      LaneEnvironment(
        sessionCapacity: sessionCapacity, operationCapacity: operationCapacity,
        maximumByteCount: maximumByteCount, ring: ring.submissions))
    self.ring = ring
  }

  /// Runs one operation to its end.
  public mutating func run(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    var operation = unsafe operation
    // SAFETY: the batch is the one pointer, on this stack.
    unsafe withUnsafeMutablePointer(to: &operation) {
      unsafe run(UnsafeMutableBufferPointer(start: $0, count: 1))
    }
  }

  /// Runs operations, at most `operationCapacity`, to their ends.
  ///
  /// Inlinable, so that those who measure lanes do not measure calls through their protocol.
  @inlinable
  public mutating func run(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    // SAFETY: the caller keeps operations and what they point to alive.
    unsafe lane.submit(batch)
    while true {
      lane.flush()
      while unsafe lane.nextCompletion() != nil {}
      guard lane.inFlightCount > 0 else { return }
      ring.submitAndWait()
      while let completion = ring.nextCompletion() { lane.take(completion) }
    }
  }
}

extension LaneRunner where Lane: EngineLane & ~Copyable {
  /// A runner of one engine's lane.
  ///
  /// - Throws: `EngineError` if the host gives no memory or no io_uring.
  public init(
    engine: Lane.Engine, sessionCapacity: Int, operationCapacity: Int = 64,
    maximumByteCount: Int = 1 << 20
  ) throws(EngineError) {
    try self.init(
      sessionCapacity: sessionCapacity, operationCapacity: operationCapacity,
      maximumByteCount: maximumByteCount
    ) { environment throws(EngineError) in
      try Lane(engine: engine, environment: environment)
    }
  }
}
