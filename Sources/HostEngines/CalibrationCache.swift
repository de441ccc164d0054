public import Capabilities
import CryptoTypes
import EngineContract
import Foundation
import Glibc

/// Where measured speeds are kept between starts: one file, valid for one processor, kernel and set of libraries.
public struct CalibrationCache: Sendable {
  /// The file; nil: nowhere.
  public var path: String?

  public init(path: String?) { self.path = path }

  /// The usual place: systemd's `CacheDirectory=`, root's `/var/cache`, or somebody's own cache folder.
  ///
  /// Spec: XDG Base Directory Specification, `$XDG_CACHE_HOME`.
  public static func usualPath(_ environment: [String: String], isRoot: Bool) -> String? {
    let file = "calibration.json"
    if let given = environment["CACHE_DIRECTORY"]?.split(separator: ":").first {
      return "\(given)/\(file)"
    }
    if isRoot { return "/var/cache/vhost-user-crypto/\(file)" }
    if let given = environment["XDG_CACHE_HOME"], given.hasPrefix("/") {
      return "\(given)/vhost-user-crypto/\(file)"
    }
    return environment["HOME"].map { "\($0)/.cache/vhost-user-crypto/\(file)" }
  }

  /// The usual place for this process.
  public static var usual: CalibrationCache {
    CalibrationCache(
      path: usualPath(ProcessInfo.processInfo.environment, isRoot: geteuid() == 0))
  }

  /// What is written: speeds by `service/algorithm`, engine and size.
  private struct Content: Codable {
    var fingerprint: [String]
    var sizes: [Int]
    var bytesPerSecond: [String: [String: [Double]]]
  }

  /// A file that is longer is none of ours.
  private static let mostBytes = 1 << 20

  private static func key(_ algorithm: CryptoAlgorithm) -> String {
    "\(algorithm.service)/\(algorithm.name)"
  }

  /// What was measured under the same circumstances; nil if nothing was, or the file is damaged.
  func load(fingerprint: [String]) -> Calibration? {
    guard let path, let file = FileHandle(forReadingAtPath: path),
      let data = try? file.read(upToCount: Self.mostBytes + 1), data.count <= Self.mostBytes,
      let content = try? JSONDecoder().decode(Content.self, from: data),
      content.fingerprint == fingerprint, content.sizes == Calibration.sizes
    else { return nil }
    let algorithms = Dictionary(
      uniqueKeysWithValues: CryptoAlgorithm.allCases.map { (Self.key($0), $0) })
    var calibration = Calibration()
    for (name, engines) in content.bytesPerSecond {
      guard let algorithm = algorithms[name],
        engines.values.allSatisfy({ list in
          list.count == Calibration.sizes.count && list.allSatisfy { $0.isFinite && $0 >= 0 }
        })
      else { return nil }
      calibration.speeds[algorithm] = engines
    }
    return calibration
  }

  /// Replaces the file as a whole; why that failed, nil when it did not.
  func store(_ calibration: Calibration, fingerprint: [String]) -> String? {
    guard let path else { return nil }
    let content = Content(
      fingerprint: fingerprint, sizes: Calibration.sizes,
      bytesPerSecond: Dictionary(
        uniqueKeysWithValues: calibration.speeds.map { (Self.key($0.key), $0.value) }))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      let url = URL(filePath: path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try encoder.encode(content).write(to: url, options: .atomic)
      return nil
    } catch { return "\(path): \(error.localizedDescription)" }
  }
}

extension HostEngines {
  /// What speeds depend on: processor, kernel, libraries and what the configuration says of them.
  private func fingerprint(_ configuration: Configuration) -> [String] {
    let processor = Self.lines(of: "/proc/cpuinfo").prefix { !$0.isEmpty }
      .filter { line in
        ["model name", "flags", "Features", "CPU part"].contains { line.hasPrefix($0) }
      }
    let drivers = configuration.algorithms.drivers.flatMap { engine, drivers in
      drivers.map { "\(engine) \($0.key.service)/\($0.key.name) \($0.value)" }
    }
    // The number goes up when lanes learn to be faster.
    return ["lanes 2"] + processor + Self.lines(of: "/proc/sys/kernel/osrelease").prefix(1)
      + versions.map { "\($0.name) \($0.version)" } + drivers.sorted()
      + [
        "providers \(configuration.engines.opensslProviders?.joined(separator: ",") ?? "auto")",
        "query \(configuration.engines.opensslPropertyQuery ?? "")",
        "in-flight \(configuration.engines.kernelInFlightCount)",
      ]
  }

  private static func lines(of path: String) -> [String] {
    // Files of /proc have no size, so they are read to their end in pieces.
    guard let file = FileHandle(forReadingAtPath: path),
      let data = try? file.read(upToCount: 1 << 16)
    else { return [] }
    return String(decoding: data, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false
    ).map(String.init)
  }

  /// What came of calibrating.
  public struct CalibrationReport: Sendable {
    public var calibration: Calibration
    /// How long measuring took; nil: nothing was measured now.
    public var duration: Duration?
    /// Why the cache could not be written.
    public var complaint: String?
  }

  /// The speeds that `auto` decides by: from the cache, or measured now and cached.
  ///
  /// Measures only what there is a choice of: algorithms with `auto` that several engines can do.
  ///
  /// - Parameters:
  ///   - configuration: the one that the engines were started with.
  ///   - cache: where speeds are kept.
  ///   - known: what this process has measured already; the cache is then only written.
  ///   - force: measure though the cache knows.
  ///   - durationPerEngine: how long measuring may take.
  /// - Returns: speeds, and how they came about.
  public func calibrate(
    _ configuration: Configuration, cache: CalibrationCache, known: Calibration? = nil,
    force: Bool = false, durationPerEngine: Duration = .seconds(3)
  ) -> CalibrationReport {
    let fingerprint = fingerprint(configuration)
    var calibration = known ?? (force ? nil : cache.load(fingerprint: fingerprint)) ?? Calibration()
    var wanted: [String: [CryptoAlgorithm]] = [:]
    for algorithm in CryptoAlgorithm.allCases
    where configuration.algorithms.policy(for: algorithm) == .auto {
      let able = Self.names.filter { selfTests[$0]?[algorithm] == .passed }
      guard able.count > 1, calibration.speeds[algorithm] == nil else { continue }
      for name in able { wanted[name, default: []].append(algorithm) }
    }
    guard !wanted.isEmpty else { return CalibrationReport(calibration: calibration) }
    // A very slow host gets round to the rest at the next starts; until then that goes by the usual order.
    let duration = ContinuousClock().measure {
      let measured = measure(wanted, durationPerEngine: durationPerEngine)
      calibration.speeds.merge(measured.speeds) { $1 }
    }
    return CalibrationReport(
      calibration: calibration, duration: duration,
      complaint: cache.store(calibration, fingerprint: fingerprint))
  }

  /// Measures everything that the engines can do, for people: more thoroughly than a start has time for.
  ///
  /// `names`: the algorithms to measure; all if it is empty.
  public func measureAll(only names: [String] = []) -> Calibration {
    measure(
      Dictionary(
        uniqueKeysWithValues: Self.names.map { engine in
          (engine, algorithms(of: engine).filter { names.isEmpty || names.contains($0.name) })
        }), nanosecondsPerSize: 5_000_000)
  }

  /// 0.3 ms each: some 60 ms an engine and 50 algorithms.
  ///
  /// What was not measured on all engines that it was wanted of is left out.
  private func measure(
    _ wanted: [String: [CryptoAlgorithm]], nanosecondsPerSize: UInt64 = 300_000,
    durationPerEngine: Duration = .seconds(3600)
  ) -> Calibration {
    var trial = SpeedTrial(
      wanted: wanted, nanosecondsPerSize: nanosecondsPerSize, durationPerEngine: durationPerEngine)
    visit(&trial)
    return Calibration(
      speeds: trial.speeds.filter { algorithm, engines in
        wanted.allSatisfy { !$1.contains(algorithm) || engines[$0] != nil }
      })
  }
}
