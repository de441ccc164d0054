import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What a hostile guest can do to a daemon that serves other guests too.
///
/// All tests share one daemon with two devices: the first is attacked, the second has a guest of
/// good will whose requests must stay right. When all have run, the daemon must be as it was.
@Suite("A hostile guest", .serialized, StageTrait())
struct HostileGuest {}

/// Starts the daemon before the suite, and judges it afterwards.
struct StageTrait: SuiteTrait, TestScoping {
  var isRecursive: Bool { false }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let stage = try Stage()
    try await Stage.$shared.withValue(stage) { try await function() }
    try stage.expectNothingIsLeft()
    try stage.expectCleanEnd()
  }
}

/// The daemon under attack, and the bystander on its second device.
final class Stage: @unchecked Sendable {
  @TaskLocal static var shared: Stage?

  /// The stage of the suite that runs.
  static func current() throws -> Stage {
    guard let shared else { throw TestSupportError("no stage: the test is outside of the suite") }
    return shared
  }

  let daemon: DaemonProcess
  let statsSocket: String
  /// A guest of the other device, connected all the time.
  let bystander: Guest
  private let directory: TemporaryDirectory
  private let start = ContinuousClock.now
  private var idle: Footprint?

  init() throws {
    directory = try TemporaryDirectory()
    let other = directory.file("other.sock")
    statsSocket = directory.file("stats.sock")
    daemon = try DaemonProcess(
      arguments: ["--socket-path=\(other)", "--stats-socket=\(statsSocket)"])
    bystander = try Guest(path: other, format: .revision1, bystander: nil)
    // The first guest, and the first question for statistics, leave things behind that stay:
    // threads of the runtime's pools, libraries, arenas.
    let first = try Guest(path: daemon.socketPath, format: .legacy, bystander: bystander)
    try first.expectAllIsWell()
    _ = try statistics()
    // The first request with a time limit makes a timer, which stays.
    _ = try HTTPExchange.get("/healthz", socketPath: statsSocket)
    first.leave()
    idle = try settledFootprint()
  }

  /// A new guest of the attacked device.
  func guest(
    _ format: RequestFormat = .revision1, ring: RingKind = .usual,
    options: Frontend.Options? = nil
  ) throws -> Guest {
    try Guest(
      path: daemon.socketPath, format: format,
      options: options ?? Frontend.Options(format: format, ring: ring), bystander: bystander)
  }

  // MARK: What is left

  /// What a front-end's visit must not change.
  struct Footprint: Hashable {
    var fileDescriptors: Int
    var threads: Int
    var guestMappings: Int
    var openSessions: Int
  }

  func footprint() throws -> Footprint {
    let sessions = try device()["sessions"] as? [String: Any]
    // The daemon's own threads: those of the runtime's pools come and go as they like.
    let threads = daemon.threadNames.count { $0.hasPrefix("vcrypto") }
    return Footprint(
      fileDescriptors: daemon.fileDescriptorCount, threads: threads,
      guestMappings: daemon.guestMappingCount, openSessions: sessions?["open"] as? Int ?? -1)
  }

  /// The footprint once two looks in a row agree.
  private func settledFootprint() throws -> Footprint {
    var last = try footprint()
    try waitUntil("a footprint that stays", milliseconds: 5000) {
      usleep(50000)
      let next = try footprint()
      defer { last = next }
      return next == last && next.openSessions == 0
    }
    return last
  }

  /// Without a guest on the attacked device, the daemon holds what it held at the start.
  func expectNothingIsLeft(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let idle = try #require(idle)
    var now = try footprint()
    let end = ContinuousClock.now + .seconds(5)
    while now != idle, ContinuousClock.now < end {
      usleep(20000)
      now = try footprint()
    }
    #expect(now == idle, sourceLocation: sourceLocation)
  }

  /// The daemon still serves, ends with status 0, and has said little about all of this.
  func expectCleanEnd() throws {
    let last = try guest(.legacy)
    try last.expectAllIsWell()
    last.leave()
    bystander.leave()
    #expect(try daemon.terminate() == .status(0))
    let text = daemon.standardError
    for word in ["Fatal error", "AddressSanitizer", "rash", "runtime error", "LeakSanitizer"] {
      #expect(!text.contains(word), "\(text.suffix(4000))")
    }
    // Each device and its server may log ten lines in five seconds, whatever the guest does.
    let periods = Int(start.duration(to: .now).components.seconds) / 5 + 2
    let lines = text.split(separator: "\n").count
    #expect(lines <= 50 * periods, "\(lines) lines of log")
    #expect(lines > 0, "corrupt rings were logged")
    #expect(!text.contains(Guest.keyText), "a key is in the log")
  }

  // MARK: Statistics

  /// The daemon's statistics, as `vhost-crypto stats --json` prints them.
  func statistics() throws -> [String: Any] {
    let output = directory.file("stats.json")
    let tool = try ChildProcess(
      program: DaemonProcess.executable("vhost-crypto"),
      arguments: ["stats", "--json", "--stats-socket", statsSocket], standardOutputPath: output)
    guard tool.wait(milliseconds: 10000) == .status(0) else {
      throw TestSupportError("vhost-crypto stats failed")
    }
    let data = try Data(contentsOf: URL(fileURLWithPath: output))
    return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
  }

  /// The statistics of the attacked device.
  func device() throws -> [String: Any] {
    let devices = try statistics()["devices"] as? [[String: Any]] ?? []
    return try #require(devices.first { $0["socket"] as? String == daemon.socketPath })
  }

  /// A counter of one queue of the attacked device.
  func counter(_ name: String, queue: Int = 0) throws -> Int {
    let queues = try device()["queues"] as? [[String: Any]] ?? []
    return try #require(queues[queue][name] as? Int)
  }

  // MARK: Secrets

  /// Whether the daemon's own memory (not the guests') has these bytes anywhere.
  func daemonHolds(_ secret: [UInt8]) throws -> Bool {
    let maps = DaemonProcess.text("/proc/\(daemon.pid)/maps")
    let file = open("/proc/\(daemon.pid)/mem", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw TestSupportError("no access to the daemon's memory") }
    defer { close(file) }
    var chunk = [UInt8](repeating: 0, count: 4 << 20)
    for line in maps.split(separator: "\n") where !line.contains("memfd:") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      let ends = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      // Larger ones are reservations (a sanitizer's, say) that nobody could read to the end.
      guard words[1].hasPrefix("rw"), ends.count == 2, ends[1] - ends[0] <= 1 << 30 else {
        continue
      }
      var position = ends[0]
      while position < ends[1] {
        let wanted = min(chunk.count, Int(ends[1] - position))
        let count = pread(file, &chunk, wanted, off_t(position))
        guard count > 0 else { break }
        if Self.contains(chunk[..<count], secret) { return true }
        // Chunks overlap, so that a secret at a border is found.
        if count <= secret.count { break }
        position += UInt64(
          count == wanted && position + UInt64(count) == ends[1] ? count : count - secret.count)
      }
    }
    return false
  }

  private static func contains(_ bytes: ArraySlice<UInt8>, _ secret: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { bytes in
      guard var next = bytes.baseAddress else { return false }
      let end = next + bytes.count
      while end - next >= secret.count,
        let found = memchr(next, Int32(secret[0]), end - next - secret.count + 1)
      {
        if memcmp(found, secret, secret.count) == 0 { return true }
        next = UnsafeRawPointer(found) + 1
      }
      return false
    }
  }
}
