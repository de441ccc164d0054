import Foundation
import TestSupport
import VhostUserFrontend

/// The daemon's side: starts it with the fault injector, kills it, asks it for its counts.
final class Host {
  /// Guests that stay have one device each; the last one is for those that come and go.
  static let deviceCount = 3
  private let directory: TemporaryDirectory
  private let injector: String
  private let seed: UInt64
  let faults: Faults
  private(set) var daemon: DaemonProcess
  /// What the daemon has told already.
  private var counted: [String: [String: Int]] = [:]

  init(injector: String, seed: UInt64, leaks: [Faults.Kind: UInt64]) throws {
    directory = try TemporaryDirectory()
    self.injector = injector
    self.seed = seed
    faults = try Faults(path: directory.file("faults"), standing: leaks)
    daemon = try Self.start(directory, injector, seed)
    try faults.begin()
  }

  /// Where the front-ends of a device connect.
  func path(_ device: Int) -> String { directory.file("device\(device).sock") }
  var strangersPath: String { path(Self.deviceCount - 1) }

  /// Starts a daemon in which nothing is made to fail or leak yet: one with a thread too many does not give up its rights,
  /// and ends.
  ///
  /// Its sockets are there before it has started; once it answers, it has.
  private static func start(
    _ directory: TemporaryDirectory, _ injector: String, _ seed: UInt64
  ) throws -> DaemonProcess {
    let daemon = try DaemonProcess(
      arguments: (0..<deviceCount).map { "--socket-path=\(directory.file("device\($0).sock"))" }
        + ["--calibration-cache=none"],
      configuration: configuration,
      environment: [
        "LD_PRELOAD": injector, "FAULT_INJECTOR_FILE": directory.file("faults"),
        "FAULT_INJECTOR_SEED": "\(seed)",
      ], servesStatistics: true)
    do {
      _ = try HTTPExchange.get("/healthz", socketPath: daemon.statsPath)
    } catch {
      throw DriverError(
        "the daemon does not start (\(error)): \(daemon.standardError.suffix(1500))")
    }
    return daemon
  }

  /// Every algorithm, several of them on two engines by size; helpers, too.
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
      hash:
        default: { engine: [openssl, kernel] }
        sha1: { engine: [ipsec-mb, openssl] }
        sha512: { engine: [ipsec-mb, openssl] }
      mac:
        default: { engine: [openssl, ipsec-mb, kernel] }
        hmac-sha256: { engine: [ipsec-mb, openssl] }
      aead:
        default: { engine: [openssl, ipsec-mb, kernel] }
        aes-gcm: { engine: [ { ipsec-mb: { max-size: 2048 } }, openssl ] }

    """

  /// Ends the process in the middle of whatever it does; when this returns it does nothing any more.
  func kill() throws {
    daemon.send(signal: SIGKILL)
    let exit = try daemon.waitForExit()
    guard exit == .signal(SIGKILL) else {
      throw DriverError("the daemon was gone (\(exit)) before it was killed: \(lastWords)")
    }
    counted = [:]
  }

  func restart() throws {
    faults.pause()
    daemon = try Self.start(directory, injector, seed)
    faults.none()
  }

  /// The daemon's end, as it has to be.
  func end() throws {
    let exit = try daemon.terminate()
    guard exit == .status(0) else {
      throw DriverError("the daemon ended with \(exit): \(lastWords)")
    }
  }

  /// Why the daemon has ended by itself; nil while it runs.
  var sudden: String? { daemon.isRunning ? nil : "the daemon has ended: \(lastWords)" }

  private var lastWords: String { String(daemon.standardError.suffix(1500)) }

  /// The requests that the daemon has counted since it was last asked, by service and engine, then by status.
  func newCounts() throws -> [String: [String: Int]] {
    let body = try HTTPExchange.get("/stats", socketPath: daemon.statsPath)
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
