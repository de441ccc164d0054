// EngineTestSupport: what the tests of every engine need: a lane played as a worker plays it, published vectors, random
// requests, other code's answers, and a search of memory for keys. Tests of one engine add what is its own.

import CryptoTypes
import EngineContract
import IOUring
import Testing

/// A lane with an io_uring of its own, for one test, which stays on its thread.
open class LaneHarness<Lane: EngineLane & ~Copyable> {
  public static var sessionCapacity: Int { 64 }
  /// How many operations may be in flight at once.
  public static var operationCapacity: Int { 4096 }

  public let engine: Lane.Engine
  // Before the ring: what the lane holds goes first.
  public var lane: Lane
  private var ring: IOUring
  private var generation: UInt32 = 0
  /// Operations that came back `submitted`, and have not been given back.
  public private(set) var waiting: Set<UnsafeMutablePointer<CryptoOperation>> = []

  /// Whether every operation has to be done when `submit` returns.
  open var isSynchronous: Bool { false }

  public init(engine: Lane.Engine) throws {
    self.engine = engine
    let ring = try IOUring(entries: 256)
    lane = try Lane(
      engine: engine,
      environment: LaneEnvironment(
        sessionCapacity: Self.sessionCapacity, operationCapacity: Self.operationCapacity,
        maximumByteCount: 8 << 20, ring: ring.submissions))
    self.ring = ring
  }

  /// With an engine of the usual options.
  public convenience init() throws { try self.init(engine: Lane.Engine(EngineOptions())) }

  /// A generation that no session of this harness has had.
  public func nextGeneration() -> UInt32 {
    generation += 1
    return generation
  }

  /// Runs one request, as session 0 of a new generation unless said otherwise.
  public func run(
    _ request: Request, sessionIndex: UInt32 = 0, generation: UInt32? = nil, inPlace: Bool = false
  ) -> Response {
    let prepared = PreparedRequest(request, inPlace: inPlace)
    defer { prepared.release() }
    prepared.operation.pointee.sessionIndex = sessionIndex
    prepared.operation.pointee.sessionGeneration = generation ?? nextGeneration()
    run(prepared)
    return prepared.response(of: request)
  }

  /// Runs one request in a session and stateless, in place and out of place, and expects one response.
  public func runAllWays(_ request: Request) -> Response {
    let response = run(request)
    #expect(run(request, inPlace: true) == response)
    #expect(run(request, sessionIndex: CryptoOperation.transientSession) == response)
    #expect(
      run(request, sessionIndex: CryptoOperation.transientSession, inPlace: true) == response)
    return response
  }

  /// Runs one request to its end.
  public func run(_ prepared: PreparedRequest) {
    var operation = prepared.operation
    withUnsafeMutablePointer(to: &operation) {
      lane.submit(UnsafeMutableBufferPointer(start: $0, count: 1))
    }
    note(operation)
    if !waiting.isEmpty { finish() }
  }

  /// Submits requests as one batch, and leaves what is not done in flight.
  public func submit(_ prepared: [PreparedRequest]) {
    var batch = prepared.map(\.operation)
    batch.withUnsafeMutableBufferPointer { lane.submit($0) }
    for operation in batch { note(operation) }
    #expect(lane.inFlightCount == waiting.count)
  }

  private func note(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    guard operation.pointee.disposition == .submitted else { return }
    if isSynchronous { Issue.record("an operation is not done when submit returns") }
    if !waiting.insert(operation).inserted { Issue.record("an operation is in flight twice") }
  }

  /// Collects what is completed, without waiting; nothing may come that does not wait.
  public func collect() {
    ring.submit()
    takeCompletions()
    #expect(lane.inFlightCount == waiting.count)
  }

  /// Finishes and collects everything that is in flight.
  public func finish() {
    while true {
      lane.flush()
      takeCompletions()
      guard lane.inFlightCount > 0 else { break }
      guard ring.submitAndWait() >= 0 else {
        Issue.record("waiting for completions failed")
        break
      }
    }
    #expect(waiting.isEmpty)
  }

  private func takeCompletions() {
    while let completion = ring.nextCompletion() { lane.take(completion) }
    while let operation = lane.nextCompletion() {
      if waiting.remove(operation) == nil { Issue.record("an operation came back unasked") }
    }
  }

  public func validate(_ request: Request) -> CryptoOutcome {
    let prepared = PreparedRequest(request, inPlace: false)
    defer { prepared.release() }
    return lane.validate(prepared.session)
  }
}
