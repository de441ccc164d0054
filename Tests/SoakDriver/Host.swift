import Foundation
import TestSupport
import VhostUserFrontend

/// The daemon's side: starts it with the fault injector, kills it, asks it for its counts.
final class Host {
  /// Guests that stay have one device each; the last one is for those that come and go.
  static let deviceCount = 3
  private let directory: TemporaryDirectory
  private let settings: DriverSettings
  private let service: StoringService
  let faults: Faults
  private var nextHearing: UInt64 = 0
  /// What the daemon has told already.
  private var counted: [String: [String: Int]] = [:]

  /// Starts a daemon in which nothing is made to fail or leak yet: one with a thread too many does not give up its rights,
  /// and ends.
  init(_ settings: DriverSettings) throws {
    directory = try TemporaryDirectory()
    self.settings = settings
    faults = try Faults(path: directory.file("faults"), standing: settings.leaks)
    service = try StoringService(
      devices: (0..<Self.deviceCount).map { "device\($0)" },
      arguments: ["--calibration-cache=none"],
      environment: [
        "LD_PRELOAD": settings.injector, "FAULT_INJECTOR_FILE": directory.file("faults"),
        "FAULT_INJECTOR_SEED": "\(settings.seed)",
      ], configuration: Self.configuration)
    try faults.begin()
  }

  var daemon: ChildProcess { service.process }

  /// Whether there is a service manager that keeps the daemon's sessions.
  var isManaged: Bool { service.isManaged }

  /// Where the front-ends of a device connect.
  func path(_ device: Int) -> String { service.socketPath(of: service.devices[device]) }
  var strangersPath: String { path(Self.deviceCount - 1) }

  /// Every algorithm, several of them on two engines by size; helpers, too.
  ///
  /// Of each service some are the kernel's, where it has them; elsewhere they go to the next engine of the list.
  private static let configuration = """
    version: 1
    device:
      queues: 2
      queue-size: 1024
      max-sessions: 4096
      stateless: [cipher, hash, mac, aead, akcipher]
    workers:
      poll: { mode: adaptive, spin-us: 20 }
      helpers: 1
    algorithms:
      cipher:
        default: { engine: [ipsec-mb, openssl, kernel] }
        aes-cbc: { engine: [ { openssl: { max-size: 1024 } }, ipsec-mb ] }
        aes-ctr: { engine: [ { ipsec-mb: { max-size: 512 } }, openssl ] }
        aes-ecb: { engine: [kernel, openssl] }
        aes-xts: { engine: [ { kernel: { max-size: 4096 } }, openssl ] }
        aes-f8: { engine: [kernel, openssl] }
        3des-cbc: { engine: [kernel, openssl] }
      hash:
        default: { engine: [openssl, kernel] }
        sha1: { engine: [ipsec-mb, openssl] }
        sha512: { engine: [ipsec-mb, openssl] }
        sha256: { engine: [kernel, openssl] }
        sha3-256: { engine: [ { kernel: { min-size: 256 } }, openssl ] }
      mac:
        default: { engine: [openssl, ipsec-mb, kernel] }
        hmac-sha256: { engine: [ipsec-mb, openssl] }
        hmac-sha512: { engine: [kernel, openssl] }
        cmac-aes: { engine: [kernel, openssl] }
      aead:
        default: { engine: [openssl, ipsec-mb, kernel] }
        aes-gcm: { engine: [ { ipsec-mb: { max-size: 2048 } }, openssl ] }
        aes-ccm: { engine: [kernel, openssl] }
        chacha20-poly1305: { engine: [ { kernel: { max-size: 2048 } }, openssl ] }

    """

  /// Ends the process in the middle of whatever it does; when this returns it does nothing any more.
  func kill() throws {
    try service.end(SIGKILL)
    counted = [:]
  }

  /// Starts the next daemon.
  ///
  /// - `isManaged`: under a service manager, which keeps its sessions; else they will end with it.
  /// - `kept`: devices whose sessions it gets, where the one before had a manager, too.
  func restart(isManaged: Bool, keeping kept: Set<Int>) throws {
    faults.pause()
    service.isManaged = isManaged
    let names = settings.losesSessions ? [] : kept.map { service.devices[$0] }
    service.forgetSessions(except: Set(names))
    try service.start(waitsUntilReady: false)
    try service.waitUntilReady(milliseconds: 30_000 * settings.slowness)
    faults.none()
  }

  /// Takes what the daemon tells its manager, now and then: it would wait for somebody to read it.
  func listen() {
    let now = monotonicNanoseconds()
    guard now >= nextHearing else { return }
    nextHearing = now + 100_000_000
    service.listen()
  }

  /// The daemon's end, as it has to be.
  func end() throws { try service.end(SIGTERM) }

  /// Why the daemon has ended by itself; nil while it runs.
  var sudden: String? { daemon.isRunning ? nil : "the daemon has ended: \(lastWords)" }

  private var lastWords: String { String(service.log.suffix(1500)) }

  /// The requests that the daemon has counted since it was last asked, by service and engine, then by status.
  func newCounts() throws -> [String: [String: Int]] {
    let body = try HTTPExchange.get("/stats", socketPath: service.statsPath)
    let snapshot = try JSONDecoder().decode(Snapshot.self, from: body)
    var all: [String: [String: Int]] = [:]
    for row in snapshot.devices.flatMap(\.algorithms) {
      let name = "\(row.service) by \(row.engine)"
      all[name, default: [:]]["OK", default: 0] += row.requests - row.errors
      for (status, count) in row.statuses { all[name]?[status, default: 0] += count }
    }
    defer { counted = all }
    var new = all
    for (name, statuses) in counted {
      for (status, count) in statuses { new[name]?[status, default: 0] -= count }
    }
    return new
  }

  /// What is read of `/stats`.
  private struct Snapshot: Decodable {
    struct Row: Decodable {
      var service: String
      var engine: String
      var requests: Int
      var errors: Int
      var statuses: [String: Int]
    }
    struct Device: Decodable { var algorithms: [Row] }
    var devices: [Device]
  }
}
