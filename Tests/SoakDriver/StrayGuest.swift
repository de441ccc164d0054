import Foundation
import VhostUserFrontend

/// A guest in a process of its own, made to be killed.
struct StrayGuest {
  /// Plays the guest until somebody kills it; returns only where something is wrong.
  ///
  /// The file of counts is 8 bytes: answers so far.
  static func run(_ words: [String]) throws {
    guard words.count == 4, let seed = UInt64(words[1]), let slowness = Int(words[3]) else {
      throw DriverError("usage: soak-driver guest SOCKET SEED COUNTS SLOWNESS")
    }
    let ledger = Ledger()
    let kinds = RingKind.allCases
    let guest = try Guest(
      path: words[0],
      .init(
        name: "stray", ring: kinds[Int(seed % UInt64(kinds.count))], slowness: slowness, seed: seed),
      ledger)
    try guest.addRiders()
    let file = open(words[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    while ledger.isCleanSoFar {
      if try guest.turn() {
        var count = UInt64(ledger.answered)
        guard pwrite(file, &count, 8, 0) == 8 else { throw DriverError("no room for counts") }
      } else {
        yieldProcessor()
      }
    }
    throw DriverError("a stray guest saw: \(ledger.report)")
  }

  private let process: ChildProcess
  private let counts: String
  private let errors: String

  init(path: String, seed: UInt64, slowness: Int, counts: String) throws {
    self.counts = counts
    errors = counts + ".err"
    try? FileManager.default.removeItem(atPath: counts)
    process = try ChildProcess(
      program: "/proc/self/exe", arguments: ["guest", path, "\(seed)", counts, "\(slowness)"],
      standardErrorPath: errors)
  }

  /// How many answers it has had.
  var answeredCount: Int {
    guard let data = FileManager.default.contents(atPath: counts), data.count == 8 else { return 0 }
    return Int(data.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
  }

  var isRunning: Bool { process.isRunning }

  /// Kills it, whatever it is in the middle of.
  func kill() throws {
    process.send(signal: SIGKILL)
    guard let exit = process.wait(milliseconds: 10000) else {
      throw DriverError("no end of a guest")
    }
    guard exit == .signal(SIGKILL) else {
      let words = FileManager.default.contents(atPath: errors) ?? Data()
      throw DriverError("a guest ended with \(exit): \(String(decoding: words, as: UTF8.self))")
    }
  }
}
