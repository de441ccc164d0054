public import CryptoTypes
import IOUring
import LinuxSystem

/// A lane with an io_uring of its own, for those who want results at once: self-tests, measurements, key checks.
///
/// Used by one thread, that which runs the first operation.
@safe
public struct LaneRunner<Lane: EngineLane & ~Copyable>: ~Copyable {
  // Before the ring: what the lane holds goes first.
  public var lane: Lane
  private var ring: IOUring

  /// - Throws: `EngineError` if the host gives no memory or no io_uring.
  public init(
    engine: Lane.Engine, sessionCapacity: Int, operationCapacity: Int = 64,
    maximumByteCount: Int = 1 << 20
  ) throws(EngineError) {
    let ring: IOUring
    do throws(SystemError) {
      ring = try IOUring(entries: 64)
    } catch { throw EngineError("\(error)") }
    lane = try Lane(
      engine: engine,
      environment: LaneEnvironment(
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
