import Capabilities
import CryptoDevice
import CryptoTypes
import EngineContract
import HostEngines
import LinuxSystem
import Synchronization
import VhostUserFrontend

/// What the engines of this host do in this process, with no device in front of them: the ceiling of what a daemon
/// can reach.
final class BenchCeiling: Sendable {
  private let engines: HostEngines
  private let table: AlgorithmTable
  /// The engine that was asked for.
  private let engine: String?

  /// Starts the engines.
  ///
  /// `engine` nil: those that a daemon without a capability file takes, by the same measurements.
  init(engine: String?) throws(BenchFailure) {
    self.engine = engine
    let configuration = Configuration()
    do throws(EngineError) {
      engines = try HostEngines(configuration)
    } catch {
      throw BenchFailure(message: "\(error)", status: BenchFailure.unavailable)
    }
    guard let engine else {
      let calibration = engines.calibrate(configuration, cache: .usual).calibration
      table = AlgorithmTable(
        offered: HostEngines.routes(
          engines.advertisement(configuration, calibration: calibration, fileName: "(defaults)")))
      return
    }
    guard let index = HostEngines.names.firstIndex(of: engine) else {
      throw .usage(
        "--raw-engine \(engine) is unknown; engines are \(HostEngines.names.joined(separator: ", "))"
      )
    }
    let route = EngineRoute([.init(engine: UInt8(truncatingIfNeeded: index))])
    table = AlgorithmTable(
      offered: Dictionary(uniqueKeysWithValues: engines.algorithms(of: engine).map { ($0, route) }))
  }

  /// Runs batches of `settings.depth` operations for `settings.seconds` on a processor.
  func measure(
    _ operation: BenchOperation, byteCount: Int, settings: BenchSettings, processor: Int?
  ) throws -> BenchSample {
    let result = Mutex<Result<BenchSample, any Error>?>(nil)
    let thread = try PinnedThread(name: "bench-raw", cpu: processor) { [self] in
      let measured = Result {
        try run(operation, byteCount: byteCount, settings: settings)
      }
      result.withLock { $0 = measured }
    }
    thread.join()
    if let failure = thread.pinningFailure { throw BenchFailure.usage(failure) }
    guard let sample = try result.withLock({ try $0?.get() }) else {
      throw BenchFailure(message: "the raw measurement did not end", status: BenchFailure.wrong)
    }
    return sample
  }

  private func run(
    _ operation: BenchOperation, byteCount: Int, settings: BenchSettings
  ) throws -> BenchSample {
    var random = SeededRandom(seed: 0x5EED)
    let requests = (0..<settings.depth).compactMap { _ in
      operation.request(byteCount: byteCount, sessionID: 0, random: &random)
    }
    let expectations = requests.map { settings.verifies ? operation.expectation(of: $0) : nil }
    guard
      let batch = BenchBatch(operation.session, requests: requests, expectations: expectations)
    else {
      throw BenchFailure.usage("--raw does not measure public keys such as \(operation.name)")
    }
    let route = table.route(for: batch.parameters)
    guard !route.isEmpty else {
      throw BenchFailure(
        message: "no engine here does \(operation.name)" + (engine.map { " (\($0))" } ?? ""),
        status: BenchFailure.unavailable)
    }
    batch.use(route)
    let engines = engines
    var runner = try LaneRunner<HostLane>(
      sessionCapacity: 1, operationCapacity: settings.depth, maximumByteCount: byteCount + 4096
    ) { environment throws(EngineError) in try engines.makeLane(environment) }

    // Keys are expanded and caches filled before the time counts.
    // SAFETY: `batch` outlives the runner's use of it.
    unsafe runner.run(batch.batch)
    let start = TickClock.monotonicNanoseconds()
    let end = start &+ UInt64(settings.seconds * 1e9)
    var now = start
    var count: UInt64 = 0
    while now < end {
      unsafe runner.run(batch.batch)
      count &+= UInt64(settings.depth)
      now = TickClock.monotonicNanoseconds()
    }
    return BenchSample(
      side: .raw, requestsPerSecond: Double(count) / (Double(now &- start) / 1e9),
      verified: settings.verifies ? UInt64(batch.matchedCount) : 0,
      compared: settings.verifies ? UInt64(settings.depth) : 0,
      engine: HostEngines.names[Int(batch.engineIndex)])
  }
}
