import CryptoTypes
import EngineContract
import EngineOpenSSL
import Testing

/// Runs random requests, many in flight at once, and compares them with what other code gives.
public struct RandomComparison<Lane: EngineLane & ~Copyable> {
  private let harness: LaneHarness<Lane>

  public init(_ harness: LaneHarness<Lane>) { self.harness = harness }

  /// Runs requests in batches of random size, with flushes in between.
  ///
  /// `seed`: is told where a request's result is wrong.
  public func run(
    _ name: String, seed: UInt64, count: Int, reference: (Request) -> Response,
    make: (inout RandomRequests) -> Request
  ) {
    var random = RandomRequests(seed: seed)
    var done = 0
    var open: [(Request, PreparedRequest)] = []
    func settle() {
      harness.finish()
      for (request, prepared) in open {
        if prepared.response(of: request) != reference(request) {
          Issue.record("\(name), seed \(seed): \(request.session), \(request.source.count) bytes")
        }
        prepared.release()
      }
      open = []
    }
    while done < count {
      var batch: [PreparedRequest] = []
      for _ in 0..<1 + random.below(64) {
        let request = make(&random)
        let prepared = PreparedRequest(request, inPlace: random.below(2) == 0)
        // A session's index is used once between two settlements, as nothing may be in flight when it changes.
        let sessionIndex = open.count
        let isStateless =
          sessionIndex >= LaneHarness<Lane>.sessionCapacity || random.below(3) == 0
        prepared.operation.pointee.sessionIndex =
          isStateless ? CryptoOperation.transientSession : UInt32(sessionIndex)
        prepared.operation.pointee.sessionGeneration = harness.nextGeneration()
        open.append((request, prepared))
        batch.append(prepared)
      }
      harness.submit(batch)
      if random.below(3) == 0 { harness.lane.flush() }
      harness.collect()
      done += batch.count
      if random.below(3) == 0 || open.count > LaneHarness<Lane>.operationCapacity / 2 { settle() }
    }
    settle()
  }
}

/// The openssl engine's lane, to compare other engines with.
public final class ReferenceLane {
  private let harness: LaneHarness<OpenSSLLane>

  public init() throws { harness = try LaneHarness() }

  public func run(_ request: Request) -> Response {
    harness.run(request, sessionIndex: CryptoOperation.transientSession)
  }
}
