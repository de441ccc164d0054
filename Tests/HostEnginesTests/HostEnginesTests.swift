import Capabilities
import CryptoTypes
import EngineContract
import Foundation
import IOUring
import TestSupport
import Testing

@testable import HostEngines

/// The engines of this build on this host.
@Suite(.serialized) struct HostEnginesTests {
  private let engines: HostEngines
  private let directory: TemporaryDirectory

  init() throws {
    engines = try HostEngines(Configuration())
    directory = try TemporaryDirectory()
  }

  // MARK: What they can do

  @Test func everyEngineHasStartedOrSaysWhyNot() {
    let started = engines.versions.map(\.name)
    for description in HostEngines.descriptions {
      let name = description.name
      #expect(started.contains(name) != (engines.absences[name] != nil), "\(name)")
      #expect((engines.selfTests[name] == nil) == (engines.absences[name] != nil), "\(name)")
      if let reason = engines.absences[name] {
        #expect(!reason.isEmpty && !reason.contains("\n"))
        #expect(engines.algorithms(of: name).isEmpty)
      }
    }
    #expect(Set(HostEngines.descriptions.map(\.name)).count == HostEngines.descriptions.count)
    #expect(started.contains("openssl"))
    #expect(engines.versions.allSatisfy { !$0.version.isEmpty })
  }

  @Test func nothingFailsItsSelfTest() {
    for (engine, results) in engines.selfTests {
      #expect(Set(results.keys) == Set(CryptoAlgorithm.allCases))
      for (algorithm, result) in results {
        if case .failed(let reason) = result {
          Issue.record("\(engine) \(algorithm.service)/\(algorithm.name): \(reason)")
        }
      }
    }
  }

  /// What a capability file may name an engine for is what its self-test proves, where the library has it all; of the
  /// kernel's algorithms a host may lack some.
  @Test func descriptionsAreWhatSelfTestsProve() {
    for description in HostEngines.descriptions where engines.absences[description.name] == nil {
      let proved = Set(engines.algorithms(of: description.name))
      if description.name == "kernel" {
        #expect(proved.isSubset(of: description.algorithms))
      } else {
        #expect(proved == description.algorithms, "\(description.name)")
      }
    }
  }

  @Test func everyAlgorithmHasAnEngineThatIsDescribedForIt() {
    for algorithm in CryptoAlgorithm.allCases where algorithm != .mac(.gmacTwofish) {
      #expect(
        HostEngines.descriptions.contains { $0.algorithms.contains(algorithm) },
        "\(algorithm.name)")
    }
  }

  @Test func providerThatIsMissingStopsTheStart() {
    var configuration = Configuration()
    configuration.engines.opensslProviders = ["default", "no-such-provider"]
    let error = #expect(throws: EngineError.self) { _ = try HostEngines(configuration) }
    #expect(error?.isMistake == true)
    #expect(error?.description.contains("'no-such-provider'") == true)
  }

  @Test func advertisedAlgorithmsHaveRoutesOfStartedEngines() {
    let advertisement = engines.advertisement(
      Configuration(), calibration: Calibration(), fileName: "f.yaml")
    let routes = HostEngines.routes(advertisement)
    #expect(Set(routes.keys) == Set(advertisement.offers.keys))
    for (algorithm, route) in routes {
      let names = route.stops.map { HostEngines.names[Int($0.engine)] }
      #expect(names == advertisement.offers[algorithm]?.map(\.engine))
      for name in names { #expect(engines.selfTests[name]?[algorithm] == .passed) }
    }
    // Nobody asked for the engines that are not here.
    #expect(advertisement.warnings.isEmpty)
  }

  /// Known answers by the lane that workers have, whichever engine of the route is asked first.
  @Test func theWorkersLaneServesWhatIsAdvertised() throws {
    let routes = HostEngines.routes(
      engines.advertisement(Configuration(), calibration: Calibration(), fileName: "f.yaml"))
    let ring = try IOUring(entries: 64)
    var lane = try engines.makeLane(LaneEnvironment(sessionCapacity: 1, ring: ring.submissions))
    for (algorithm, route) in routes {
      guard case .hash(let hash) = algorithm, route.stops.count > 1 else { continue }
      var results: Set<[UInt8]> = []
      for stop in route.stops where HostEngines.names[Int(stop.engine)] != "kernel" {
        var session = SessionParameters()
        session.service = .hash
        session.hash = hash
        session.route = route
        #expect(lane.validate(&session) == .ok)
        #expect(session.route == route)
        results.insert(Self.hash(&session, by: stop.engine, on: &lane))
      }
      #expect(results.count == 1, "\(algorithm.name)")
    }
  }

  private static func hash(
    _ session: inout SessionParameters, by engine: UInt8, on lane: inout HostLane
  ) -> [UInt8] {
    var text: [UInt8] = Array("abc".utf8)
    var result = [UInt8](repeating: 0, count: 16)
    withUnsafePointer(to: &session) { session in
      text.withUnsafeMutableBufferPointer { text in
        result.withUnsafeMutableBufferPointer { result in
          guard let source = text.baseAddress, let digest = result.baseAddress else { return }
          var operation = CryptoOperation(session: session, placeholder: digest)
          operation.source = UnsafePointer(source)
          operation.sourceByteCount = 3
          operation.resultByteCount = 16
          operation.engineIndex = engine
          withUnsafeMutablePointer(to: &operation) { pointer in
            var batch = pointer
            withUnsafeMutablePointer(to: &batch) {
              lane.submit(UnsafeMutableBufferPointer(start: $0, count: 1))
            }
            lane.flush()
            while lane.nextCompletion() != nil {}
            #expect(pointer.pointee.outcome == .ok && pointer.pointee.engineIndex == engine)
          }
        }
      }
    }
    return result
  }

  // MARK: How fast they are

  /// Algorithms that two engines can do here.
  private var contested: [CryptoAlgorithm] {
    CryptoAlgorithm.allCases.filter { algorithm in
      HostEngines.names.count { engines.selfTests[$0]?[algorithm] == .passed } > 1
    }
  }

  /// Everything off but these, which are as given.
  private func configuration(_ policies: [CryptoAlgorithm: AlgorithmPolicy]) -> Configuration {
    var configuration = Configuration()
    for algorithm in CryptoAlgorithm.allCases {
      configuration.algorithms.set(policies[algorithm] ?? .off, for: algorithm)
    }
    return configuration
  }

  private func calibrate(
    _ configuration: Configuration, force: Bool = false
  ) -> HostEngines.CalibrationReport {
    engines.calibrate(
      configuration, cache: CalibrationCache(path: directory.file("c.json")), force: force,
      durationPerEngine: .seconds(60))
  }

  @Test func onlyWhatThereIsAChoiceOfIsMeasured() throws {
    try #require(contested.count >= 2, "this host has one engine")
    let all = calibrate(Configuration())
    #expect(Set(all.calibration.speeds.keys) == Set(contested))
    let one = contested[0]
    let named = contested[1]
    let alone = try #require(
      CryptoAlgorithm.allCases.first { algorithm in
        HostEngines.names.count { engines.selfTests[$0]?[algorithm] == .passed } == 1
      })
    let few = calibrate(
      configuration([
        one: .auto, named: .engines([EngineChoice(engine: "openssl")]), alone: .auto,
      ]), force: true)
    #expect(Array(few.calibration.speeds.keys) == [one])
    #expect(few.duration != nil && few.complaint == nil)
    for (_, engines) in all.calibration.speeds {
      #expect(engines.count > 1)
      for (_, speeds) in engines {
        #expect(speeds.count == Calibration.sizes.count)
        #expect(speeds.allSatisfy { $0 > 0 && $0.isFinite })
      }
    }
  }

  @Test func nothingIsMeasuredOrWrittenWhereThereIsNoChoice() throws {
    let report = calibrate(configuration([:]), force: true)
    #expect(report.calibration == Calibration())
    #expect(report.duration == nil && report.complaint == nil)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }

  @Test func theCacheSparesTheSecondStartAndForceMeasuresAgain() throws {
    try #require(contested.count >= 2, "this host has one engine")
    let configuration = configuration([contested[0]: .auto])
    let first = calibrate(configuration)
    #expect(first.duration != nil)
    let second = calibrate(configuration)
    #expect(second.duration == nil)
    #expect(second.calibration == first.calibration)
    let third = calibrate(configuration, force: true)
    #expect(third.duration != nil)
    let fourth = calibrate(configuration)
    #expect(fourth.duration == nil)
    #expect(fourth.calibration == third.calibration)
    // What the file does not know is measured.
    let more = self.configuration([contested[0]: .auto, contested[1]: .auto])
    #expect(calibrate(more).duration != nil)
    #expect(calibrate(more).duration == nil)
    // Fewer algorithms are in it; engines that were told something else are others.
    #expect(calibrate(configuration).duration == nil)
    var told = configuration
    told.engines.opensslPropertyQuery = "?provider=default"
    #expect(calibrate(told).duration != nil)
  }

  @Test func aCacheThatCannotBeWrittenIsAComplaintAndNothingMore() throws {
    try #require(contested.count >= 2, "this host has one engine")
    _ = try directory.write("", to: "file")
    let bad = directory.file("file/c.json")
    let report = engines.calibrate(
      configuration([contested[0]: .auto]), cache: CalibrationCache(path: bad))
    #expect(report.complaint?.hasPrefix(bad) == true)
    #expect(!report.calibration.speeds.isEmpty && report.duration != nil)
  }

  @Test func measuringIsQuickEnoughForAStart() throws {
    let report = engines.calibrate(Configuration(), cache: CalibrationCache(path: nil))
    // Debug builds, on hosts that do other things as well; the daemon's own takes a fraction of it.
    if let duration = report.duration {
      #expect(duration < .seconds(5 * sanitizerSlack), "\(duration)")
    }
  }

  @Test func reportsNameEveryAlgorithmAndEngine() throws {
    let measured = engines.measureAll(only: ["aes-cbc", "sha256"])
    let reports = engines.reports(measured)
    #expect(reports.count == CryptoAlgorithm.allCases.count)
    for report in reports {
      #expect(report.engines.map(\.engine) == HostEngines.descriptions.map(\.name))
      let isMeasured = ["aes-cbc", "sha256"].contains(report.algorithm)
      for engine in report.engines {
        #expect(engine.isUsable == (engine.selfTest == "passed"))
        #expect(
          engine.gigabytesPerSecond.count
            == (isMeasured && engine.isUsable ? Calibration.sizes.count : 0))
      }
      let automatic = report.engines.flatMap(\.automaticSizes).sorted()
      #expect(automatic == (isMeasured ? Calibration.sizes : []))
    }
  }
}
