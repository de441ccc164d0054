import CryptoTypes
import EngineContract
import HostEngines
import IOUring

/// An engine that only says that operations are done: what is left is the data path itself.
final class NullEngine: CryptoEngine {
  static let description = EngineDescription(
    name: "null", algorithms: Set(CryptoAlgorithm.symmetric))

  let version = "none"

  init(_ options: EngineOptions) throws(EngineError) {}

  func selfTest() -> [CryptoAlgorithm: SelfTestResult] { [:] }
}

struct NullLane: ~Copyable, EngineLane {
  init(engine: NullEngine, environment: LaneEnvironment) throws(EngineError) {}

  @inline(__always)
  mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    var index = 0
    while index < batch.count {
      // SAFETY: index is in bounds; the caller keeps operations alive.
      batch[index].pointee.disposition = .done
      batch[index].pointee.outcome = .ok
      index &+= 1
    }
  }

  @inline(__always) mutating func flush() {}
  @inline(__always) mutating func take(_ completion: Completion) {}
  @inline(__always)
  mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? { nil }
  var inFlightCount: Int { @inline(__always) get { 0 } }
  @inline(__always) mutating func forget(sessionIndex: UInt32) {}
  mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome { .ok }
}

/// The host's engines and one more, so that requests take the way through the same list.
typealias NullLanes = LaneList<NullLane, HostLanes>
