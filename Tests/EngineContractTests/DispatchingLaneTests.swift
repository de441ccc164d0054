import CryptoTypes
import EngineContract
import IOUring
import Testing

private typealias ThreeLanes = LaneList<
  FakeLane<C>, LaneList<FakeLane<B>, LaneList<FakeLane<A>, NoLanes>>
>

/// A lane of three engines, `a` with the number 0, `b` 1 and `c` 2, on a ring of its own.
private final class Bench {
  let a: FakeScript
  let b: FakeScript
  let c: FakeScript
  let engines: ThreeLanes.Engines
  // Before the ring: what the lane holds goes first.
  var lane: DispatchingLane<ThreeLanes>
  var ring: IOUring
  /// What came back, by source length.
  private(set) var returned: [UInt32] = []

  init(
    a: FakeScript = FakeScript(), b: FakeScript = FakeScript(), c: FakeScript = FakeScript()
  ) throws {
    (self.a, self.b, self.c) = (a, b, c)
    engines = try FakeScript.$byName.withValue([A.name: a, B.name: b, C.name: c]) {
      try ThreeLanes.Engines(EngineOptions())
    }
    let ring = try IOUring(entries: 64)
    lane = try DispatchingLane(
      engines: engines,
      environment: LaneEnvironment(sessionCapacity: 7, ring: ring.submissions))
    self.ring = ring
  }

  func submit(_ operations: Operations) {
    var batch = operations.pointers
    batch.withUnsafeMutableBufferPointer { lane.submit($0) }
  }

  /// Finishes everything; what comes back is in `returned`.
  func finish() {
    collect()
    while lane.inFlightCount > 0 {
      lane.flush()
      collect()
      guard lane.inFlightCount > 0 else { break }
      if a.pace == .byRing || b.pace == .byRing || c.pace == .byRing { ring.submitAndWait() }
      while let completion = ring.nextCompletion() { lane.take(completion) }
      collect()
    }
  }

  func collect() {
    while let operation = lane.nextCompletion() {
      returned.append(operation.pointee.sourceByteCount)
    }
  }
}

private func route(_ engines: UInt8...) -> EngineRoute {
  EngineRoute(engines.map { EngineRoute.Stop(engine: $0) })
}

@Suite struct DispatchingLaneTests {
  // MARK: The list

  @Test func listNamesItsEnginesByTheirNumbers() throws {
    let bench = try Bench()
    #expect(ThreeLanes.Engines.descriptions.map(\.name) == ["a", "b", "c"])
    #expect(ThreeLanes.engineCount == 3)
    #expect(
      bench.engines.states == [
        .started(version: "a 1.0"), .started(version: "b 1.0"), .started(version: "c 1.0"),
      ])
  }

  private struct Names: EngineVisitor {
    var seen: [String] = []
    mutating func visit<Lane: EngineLane & ~Copyable>(
      _ engine: Lane.Engine, index: UInt8, lanes: Lane.Type
    ) {
      seen.append("\(index) \(engine.name)")
    }
  }

  @Test func engineThatTheHostLacksIsLeftOutWithItsReason() throws {
    let bench = try Bench(b: FakeScript { $0.start = .absent })
    #expect(bench.engines.states[1] == .absent(reason: "this host has no b"))
    #expect(bench.engines.states[0] == .started(version: "a 1.0"))
    var names = Names()
    bench.engines.visit(&names)
    #expect(names.seen == ["0 a", "2 c"])
    #expect(bench.b.environment == nil)
    // An operation for it has nobody.
    let operations = Operations(engines: [0, 1, 2])
    bench.submit(operations)
    #expect(operations.outcomes == [.ok, .unsupported, .ok])
    #expect(operations.dispositions == [.done, .done, .done])
    #expect(bench.b.batches.isEmpty)
  }

  @Test(arguments: [0, 1, 2])
  func mistakeOfOneEngineStopsTheStart(_ position: Int) {
    let scripts = (0..<3).map { index in
      FakeScript { $0.start = index == position ? .mistake : .started }
    }
    let error = #expect(throws: EngineError.self) {
      _ = try Bench(a: scripts[0], b: scripts[1], c: scripts[2])
    }
    #expect(error?.isMistake == true)
    #expect(error?.description == "\(["a", "b", "c"][position]) has no such provider")
    #expect(scripts.allSatisfy { $0.enginesAlive.load(ordering: .relaxed) == 0 })
  }

  @Test func lanesKeepTheirEnginesAndGoTogether() throws {
    let scripts = (0..<3).map { _ in FakeScript() }
    do {
      let bench = try Bench(a: scripts[0], b: scripts[1], c: scripts[2])
      #expect(scripts.map(\.lanesAlive) == [1, 1, 1])
      _ = bench
    }
    #expect(scripts.map(\.lanesAlive) == [0, 0, 0])
    #expect(scripts.allSatisfy { $0.enginesAlive.load(ordering: .relaxed) == 0 })
  }

  @Test func laneThatCannotBeMadeIsAnErrorAndLeavesNoOther() {
    let scripts = (0..<3).map { index in FakeScript { $0.hasMemory = index != 1 } }
    let error = #expect(throws: EngineError.self) {
      _ = try Bench(a: scripts[0], b: scripts[1], c: scripts[2])
    }
    #expect(error?.description == "b: no memory for a lane")
    #expect(scripts.map(\.lanesAlive) == [0, 0, 0])
  }

  @Test func everyLaneHasTheEnvironmentAndAKindOfItsOwn() throws {
    let bench = try Bench()
    let environments = [bench.a, bench.b, bench.c].compactMap(\.environment)
    #expect(environments.map(\.sessionCapacity) == [7, 7, 7])
    let first = UserData.firstLaneKind
    #expect(environments.map(\.completionKind) == [first, first + 1, first + 2])
  }

  // MARK: Operations

  @Test func neighboursOfOneEngineGoToItTogether() throws {
    let bench = try Bench()
    let operations = Operations(engines: [2, 2, 0, 0, 0, 2, 1])
    bench.submit(operations)
    #expect(bench.a.batches == [[2, 3, 4]])
    #expect(bench.b.batches == [[6]])
    #expect(bench.c.batches == [[0, 1], [5]])
    #expect(operations.outcomes.allSatisfy { $0 == .ok })
    bench.submit(Operations([]))
    #expect(bench.c.batches.count == 2)
  }

  @Test func submittedOperationsComeBackOnce() throws {
    let bench = try Bench(
      a: FakeScript { $0.pace = .byRing }, c: FakeScript { $0.pace = .atFlush })
    let operations = Operations(engines: [0, 1, 2, 0, 2, 1, 0])
    bench.submit(operations)
    #expect(
      operations.dispositions == [
        .submitted, .done, .submitted, .submitted, .submitted, .done, .submitted,
      ])
    #expect(bench.lane.inFlightCount == 5)
    #expect(bench.lane.nextCompletion() == nil)
    bench.finish()
    #expect(bench.returned.sorted() == [0, 2, 3, 4, 6])
    #expect(bench.lane.inFlightCount == 0)
    #expect(bench.lane.nextCompletion() == nil)
  }

  @Test func completionsGoToTheLaneOfTheirKind() throws {
    let bench = try Bench(
      a: FakeScript { $0.pace = .byRing }, b: FakeScript { $0.pace = .byRing },
      c: FakeScript { $0.pace = .byRing })
    let operations = Operations(engines: [0, 1, 1, 2, 2, 2])
    bench.submit(operations)
    bench.finish()
    #expect(bench.returned.sorted() == [0, 1, 2, 3, 4, 5])
    for (number, script) in [bench.a, bench.b, bench.c].enumerated() {
      #expect(script.completions.count == number + 1)
      #expect(
        script.completions.allSatisfy {
          $0.userData.kind == UserData.firstLaneKind + UInt8(number) && $0.result == 1
        })
    }
  }

  @Test func forgettingIsForEveryLane() throws {
    let bench = try Bench()
    bench.lane.forget(sessionIndex: 5)
    #expect([bench.a, bench.b, bench.c].allSatisfy { $0.forgotten == [5] })
  }

  // MARK: What an engine cannot do

  @Test(arguments: [CryptoOutcome.unsupported, .exhausted])
  func operationThatAnEngineLeavesToOthersMovesOn(outcome: CryptoOutcome) throws {
    let bench = try Bench(c: FakeScript { $0.compute = { _ in outcome } })
    let operations = Operations([route(2, 0, 1), route(2, 1), route(0, 2), route(2)])
    bench.submit(operations)
    #expect(operations.outcomes == [.ok, .ok, .ok, outcome])
    #expect(operations.engines == [0, 1, 0, 2])
    #expect(bench.c.batches == [[0, 1], [3]])
    #expect(bench.a.batches.flatMap(\.self).sorted() == [0, 2])
    #expect(bench.b.batches == [[1]])
  }

  @Test func operationThatNobodyCanDoIsTriedOnceByEach() throws {
    let scripts = (0..<3).map { _ in FakeScript { $0.compute = { _ in .unsupported } } }
    let bench = try Bench(a: scripts[0], b: scripts[1], c: scripts[2])
    let twice = EngineRoute([
      EngineRoute.Stop(engine: 1, byteCounts: 0...10), EngineRoute.Stop(engine: 0),
      EngineRoute.Stop(engine: 1, byteCounts: 11...20), EngineRoute.Stop(engine: 2),
    ])
    let operations = Operations([twice])
    bench.submit(operations)
    #expect(operations.outcomes == [.unsupported])
    #expect(operations.dispositions == [.done])
    #expect(scripts.map(\.batches) == [[[0]], [[0]], [[0]]])
  }

  @Test func otherOutcomesAreFinal() throws {
    for outcome in [CryptoOutcome.failed, .tagMismatch] {
      let bench = try Bench(a: FakeScript { $0.compute = { _ in outcome } })
      let operations = Operations([route(0, 1)])
      bench.submit(operations)
      #expect(operations.outcomes == [outcome])
      #expect(bench.b.batches.isEmpty)
    }
  }

  @Test func engineThatIsAbsentOrAfterTheAskedOneIsPassedOver() throws {
    let bench = try Bench(b: FakeScript { $0.start = .absent })
    let operations = Operations([route(1, 2), route(1, 0), route(1)])
    bench.submit(operations)
    #expect(operations.outcomes == [.ok, .ok, .unsupported])
    // A request of a length that is for a later engine comes back to the earlier ones, too.
    let last = Operations([route(0, 2)])
    last.pointers[0].pointee.engineIndex = 2
    bench.c.compute = { _ in .unsupported }
    bench.submit(last)
    #expect(last.outcomes == [.ok] && last.engines == [0])
  }

  /// The next engine may be one that finishes later.
  @Test(arguments: [FakeScript.Pace.atFlush, .byRing])
  func movedOperationMayBeSubmitted(_ pace: FakeScript.Pace) throws {
    let bench = try Bench(
      a: FakeScript { $0.pace = pace }, c: FakeScript { $0.compute = { _ in .unsupported } })
    let operations = Operations([route(2, 0)])
    bench.submit(operations)
    #expect(operations.dispositions == [.submitted])
    #expect(bench.lane.inFlightCount == 1)
    bench.finish()
    #expect(bench.returned == [0])
    #expect(operations.outcomes == [.ok])
  }

  /// An engine may find out late that it cannot do something.
  @Test(arguments: [FakeScript.Pace.atFlush, .byRing])
  func submittedOperationMovesOnWhenItComesBackUnsupported(_ pace: FakeScript.Pace) throws {
    let bench = try Bench(
      b: FakeScript { $0.pace = .atFlush },
      c: FakeScript {
        $0.pace = pace
        $0.compute = { _ in .unsupported }
      })
    let operations = Operations([route(2, 0), route(2, 1), route(2)])
    bench.submit(operations)
    #expect(operations.dispositions.allSatisfy { $0 == .submitted })
    bench.finish()
    #expect(bench.returned.sorted() == [0, 1, 2])
    #expect(operations.outcomes == [.ok, .ok, .unsupported])
    #expect(operations.engines == [0, 1, 2])
    #expect(bench.lane.inFlightCount == 0)
  }

  // MARK: Keys

  private func validate(
    _ bench: Bench, _ route: EngineRoute
  ) -> (outcome: CryptoOutcome, left: [UInt8]) {
    var session = SessionParameters()
    session.route = route
    let outcome = bench.lane.validate(&session)
    return (outcome, session.route.stops.map(\.engine))
  }

  @Test func routeIsNarrowedToEnginesThatCanUseTheKeys() throws {
    let bench = try Bench(b: FakeScript { $0.validation = .unsupported })
    let result = validate(bench, route(2, 1, 0))
    #expect(result.outcome == .ok && result.left == [2, 0])
    #expect([bench.a, bench.b, bench.c].map(\.validationCount) == [1, 1, 1])
    // Engines that are not of the route are not asked.
    let alone = validate(bench, route(0))
    #expect(alone.outcome == .ok && alone.left == [0])
    #expect([bench.a, bench.b, bench.c].map(\.validationCount) == [2, 1, 1])
  }

  @Test func badKeysAreToldFromUnsupportedOnes() throws {
    let bench = try Bench(
      a: FakeScript { $0.validation = .unsupported }, b: FakeScript { $0.validation = .failed })
    #expect(validate(bench, route(0)).outcome == .unsupported)
    #expect(validate(bench, route(1)).outcome == .failed)
    #expect(validate(bench, route(0, 1)).outcome == .failed)
    #expect(validate(bench, route(1, 0)).outcome == .failed)
    let rest = validate(bench, route(1, 0, 2))
    #expect(rest.outcome == .ok && rest.left == [2])
    #expect(validate(bench, EngineRoute()).outcome == .unsupported)
  }

  @Test func absentEngineLeavesTheRoute() throws {
    let bench = try Bench(a: FakeScript { $0.start = .absent })
    #expect(validate(bench, route(0)).outcome == .unsupported)
    let result = validate(bench, route(0, 1))
    #expect(result.outcome == .ok && result.left == [1])
  }
}
