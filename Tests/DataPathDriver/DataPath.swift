import Counters
import CryptoDevice
import CryptoTypes
import Dispatch
import EngineContract
import HostEngines
import IOUring
import LinuxSystem
import QueueWorkers
import VhostUserFrontend
import VirtQueue

/// What was measured.
struct Measurement: Encodable {
  var scenario: String
  var requests: Int
  /// Of the rounds: the time in the worker's turns, divided by the requests.
  var nanosecondsPerRequest: Double
  var fastestNanosecondsPerRequest: Double
}

/// A device without its process: sessions, engines, a ring and the worker's loop over it, and the guest that fills it.
struct DataPath<Lanes: LaneSet & ~Copyable> {
  typealias Lane = DispatchingLane<Lanes>

  private let scenario: Scenario
  private let depth: Int
  private let engines: Lanes.Engines
  private let synchronousEngines: UInt32
  private let computes: Bool

  /// - `depth`: requests in the ring at once.
  init(_ scenario: Scenario, depth: Int) throws {
    self.scenario = scenario
    self.depth = depth
    computes = scenario.engine != NullEngine.description.name
    engines = try Lanes.Engines(EngineOptions())
    synchronousEngines = Lanes.Engines.descriptions.enumerated().reduce(UInt32(0)) {
      $1.element.isAsynchronous ? $0 : $0 | 1 << UInt32($1.offset)
    }
  }

  private var engineIndex: Int {
    get throws {
      let index = Lanes.Engines.descriptions.firstIndex { $0.name == scenario.engine }
      guard let index else { throw DriverError("this build has no engine \(scenario.engine)") }
      if case .absent(let reason) = engines.states[index] {
        throw DriverError("\(scenario.engine): \(reason)")
      }
      return index
    }
  }

  private func offer() throws -> DeviceOffer {
    let route = EngineRoute([.init(engine: UInt8(try engineIndex))])
    // The daemon's defaults.
    return DeviceOffer(
      dataQueueCount: 1, sessionCapacity: 4096, maximumRequestByteCount: 1 << 20,
      algorithms: AlgorithmTable(
        offered: Dictionary(uniqueKeysWithValues: CryptoAlgorithm.symmetric.map { ($0, route) })),
      statelessServices: [])
  }

  private func makeLane(_ ring: SubmissionRing, sessionCapacity: Int) throws -> Lane {
    try Lane(
      engines: engines,
      environment: LaneEnvironment(
        sessionCapacity: sessionCapacity, operationCapacity: 1024, maximumByteCount: 1 << 20,
        ring: ring))
  }

  /// Makes the session as a guest does, by a control request.
  private func openSession(_ core: DeviceCore) throws -> UInt64 {
    let request = CryptoRequestBuilder.createSession(scenario.session, format: GuestSide.format)
    let outcome = (request.fixed.bytes + request.keys).withUnsafeBytes {
      core.perform($0, outcomeByteCount: request.writableByteCount)
    }
    // The identifier, then the status.
    guard let outcome, outcome.byteCount == request.writableByteCount,
      UInt32(truncatingIfNeeded: UInt64(littleEndian: outcome.words.1)) == 0
    else {
      throw DriverError("\(scenario.engine) refuses the session of \(scenario.operation)")
    }
    return UInt64(littleEndian: outcome.words.0)
  }

  /// Runs so many rounds with one kind of ring, the results of the first and of one after the last compared with libcrypto's.
  ///
  /// `turn`: the worker's turn that was made for this kind of ring and these lanes.
  func measure<Queue: VirtQueueRing & ~Copyable>(
    rounds: Int, makeRing: (GuestSide, InflightRecord?) throws -> Queue,
    turn: (inout WorkerLoop<Lane, Queue>) throws(QueueError) -> Bool
  ) throws -> Measurement {
    let guest = try GuestSide(ring: scenario.ring)
    let offer = try offer()
    let most = Int(offer.maximumRequestByteCount)
    let kept = try KeptMemory(
      records: scenario.isRecorded, logs: scenario.isLogged, maximumRequestByteCount: most)
    let validationRing = try IOUring(entries: 4)
    var validation = try makeLane(validationRing.submissions, sessionCapacity: 1)
    let core = DeviceCore(offer: offer) { validation.validate($0) }
    try guest.place(
      scenario.requests(count: depth, sessionID: try openSession(core)), plan: scenario.plan,
      computes: computes)

    let counters = try QueueCounters(rowCount: StatisticsRow.count)
    let shared = try WorkerShared()
    let attention = try EventFD()
    let events = try WorkerEvents(
      kick: guest.queue.kickEvent.descriptor, call: guest.queue.callEvent.descriptor,
      wake: shared.wakeDescriptor.rawValue, attention: attention.rawValue,
      stop: shared.stopPointer)
    let end = DispatchSemaphore(value: 0)
    let crew = try idleHelpers(until: end, shared, sessionCapacity: core.sessions.slotCount)
    defer {
      end.signal()
      crew.stop()
    }
    var policy = HelperPolicy()
    policy.engines = synchronousEngines
    policy.minimumByteCount = 256 << 10
    let limits = LimitBlock(queueCount: 1, nanosecondsPerTick: TickClock.nanosecondsPerTick)
    var loop = WorkerLoop(
      queue: try makeRing(guest, kept.record(capacity: guest.queue.size)), memory: guest.map.view,
      processor: try RequestProcessor(
        layout: offer.layout(features: 0), sessions: core.sessions.view, table: offer.algorithms,
        slotCount: Int(guest.queue.size), dirty: kept.dirtyPages(of: guest),
        undo: kept.undoLog(maximumRequestByteCount: most)),
      lane: try makeLane(events.submissions, sessionCapacity: core.sessions.slotCount),
      helpers: HelperLinks(
        crew, policy: policy, ring: events.submissions, counters: counters.block),
      retirements: core.sessions.retirements.join(worker: 0), events: events,
      limiter: limits.limiter(queue: 0), counters: counters.block, settings: WorkerSettings(),
      ticksPerMicrosecond: TickClock.ticksPerMicrosecond)

    try checkedRound(&loop, guest, turn)
    // Whatever is done once is done now.
    var times = [UInt64](repeating: 0, count: max(8, rounds / 10))
    let roundCount = rounds + times.count + 2
    try countedRounds(&loop, guest, turn, &times)
    times = [UInt64](repeating: 0, count: rounds)
    try countedRounds(&loop, guest, turn, &times)
    try checkedRound(&loop, guest, turn)
    let snapshot = counters.snapshot()
    let expected = UInt64(roundCount * depth)
    guard snapshot[.requests] == expected, snapshot[.helped] == 0 else {
      throw DriverError(
        "the worker counted \(snapshot[.requests]) requests instead of \(expected)")
    }
    // The worker's views keep none of them alive.
    withExtendedLifetime(guest) {}
    withExtendedLifetime(kept) {}
    withExtendedLifetime(core) {}
    withExtendedLifetime(attention) {}
    withExtendedLifetime(limits) {}
    times.sort()
    return Measurement(
      scenario: "\(scenario)", requests: rounds * depth,
      nanosecondsPerRequest: Double(times[rounds / 2]) / Double(depth),
      fastestNanosecondsPerRequest: Double(times[0]) / Double(depth))
  }

  /// As many as the daemon has by default, and nothing here is long enough for them.
  ///
  /// They only wait for the end: Valgrind runs one thread at a time, and lets no other run while one sleeps in an io_uring.
  private func idleHelpers(
    until end: DispatchSemaphore, _ shared: WorkerShared, sessionCapacity: Int
  ) throws -> HelperCrew {
    try HelperCrew(
      name: "helper", cpus: [nil, nil], operationCapacity: 1024, sessionCapacity: sessionCapacity,
      workerWake: shared.wakeDescriptor.rawValue
    ) { context in
      context.started()
      end.wait()
      end.signal()
    }
  }

  // MARK: Rounds

  /// What Callgrind has counted is written down when this returns: first after the warm-up, then after what is measured
  /// (InstructionProfile.swift knows the name).
  @inline(never)
  private func countedRounds<Queue: VirtQueueRing & ~Copyable>(
    _ loop: inout WorkerLoop<Lane, Queue>, _ guest: GuestSide,
    _ turn: (inout WorkerLoop<Lane, Queue>) throws(QueueError) -> Bool, _ times: inout [UInt64]
  ) throws {
    for index in times.indices { times[index] = try round(&loop, guest, turn) }
  }

  /// All requests once; the nanoseconds that the worker took.
  @inline(__always)
  private func round<Queue: VirtQueueRing & ~Copyable>(
    _ loop: inout WorkerLoop<Lane, Queue>, _ guest: GuestSide,
    _ turn: (inout WorkerLoop<Lane, Queue>) throws(QueueError) -> Bool
  ) throws -> UInt64 {
    guest.postAll()
    var finished = 0
    var nanoseconds: UInt64 = 0
    while finished < depth {
      let start = TickClock.monotonicNanoseconds()
      let worked = try turn(&loop)
      nanoseconds &+= TickClock.monotonicNanoseconds() &- start
      finished += try guest.takeFinished()
      guard worked || finished == depth else {
        throw DriverError("the worker has nothing to do after \(finished) of \(depth) requests")
      }
    }
    return nanoseconds
  }

  private func checkedRound<Queue: VirtQueueRing & ~Copyable>(
    _ loop: inout WorkerLoop<Lane, Queue>, _ guest: GuestSide,
    _ turn: (inout WorkerLoop<Lane, Queue>) throws(QueueError) -> Bool
  ) throws {
    try guest.spoilAnswers()
    _ = try round(&loop, guest, turn)
    try guest.checkAnswers()
  }
}

extension DataPath where Lanes == HostLanes {
  func measure(rounds: Int) throws -> Measurement {
    let size = 1024
    switch scenario.ring {
    case .split:
      return try measure(rounds: rounds, makeRing: { try $0.splitRing($1) }) {
        (loop) throws(QueueError) in try countedTurn(split: &loop)
      }
    case .packed:
      return try measure(rounds: rounds, makeRing: { try $0.packedRing($1) }) {
        (loop) throws(QueueError) in try countedTurn(packed: &loop)
      }
    case .splitInOrder:
      return try measure(
        rounds: rounds,
        makeRing: { InOrderQueue(try $0.splitRing($1), size: size, skipsEntries: true) }
      ) { (loop) throws(QueueError) in try countedTurn(splitInOrder: &loop) }
    case .packedInOrder:
      return try measure(
        rounds: rounds,
        makeRing: { InOrderQueue(try $0.packedRing($1), size: size, skipsEntries: true) }
      ) { (loop) throws(QueueError) in try countedTurn(packedInOrder: &loop) }
    }
  }
}

extension DataPath where Lanes == NullLanes {
  func measure(rounds: Int) throws -> Measurement {
    let size = 1024
    switch scenario.ring {
    case .split:
      return try measure(rounds: rounds, makeRing: { try $0.splitRing($1) }) {
        (loop) throws(QueueError) in try countedTurn(nullSplit: &loop)
      }
    case .packed:
      return try measure(rounds: rounds, makeRing: { try $0.packedRing($1) }) {
        (loop) throws(QueueError) in try countedTurn(nullPacked: &loop)
      }
    case .splitInOrder:
      return try measure(
        rounds: rounds,
        makeRing: { InOrderQueue(try $0.splitRing($1), size: size, skipsEntries: true) }
      ) { (loop) throws(QueueError) in try countedTurn(nullSplitInOrder: &loop) }
    case .packedInOrder:
      return try measure(
        rounds: rounds,
        makeRing: { InOrderQueue(try $0.packedRing($1), size: size, skipsEntries: true) }
      ) { (loop) throws(QueueError) in try countedTurn(nullPackedInOrder: &loop) }
    }
  }
}
