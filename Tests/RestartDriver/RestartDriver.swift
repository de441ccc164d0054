// restart-driver: plays a guest whose daemon is killed (or told to end) again and again under load and started anew, for
// RestartTests, `make kill-test` and `make upgrade-test`. A program of its own because it is built optimised, as tests are
// not.
//
//   restart-driver --daemon=PROGRAM… [--kills=20] [--stop=kill|term] [--ring=split] [--queues=3] [--depth=32] [--seed=N]
//     [--client|--activated] [--sessions=none|lost|kept|mixed] [--no-inflight]
//
// RING is split, packed, split-in-order or packed-in-order. With --client the daemon connects to us, with --activated its
// service manager listens for it. --stop=term is what `systemctl restart` does; several daemons take turns, which is an
// upgrade. Sessions that are lost with the daemon are made anew, and INVSESS is an answer; such as are kept are made once
// and must never give one; mixed: every other request is stateless. --no-inflight leaves the record out, to see what the
// test can see.
//
// One line on standard output; status 1 where anything was lost, wrong, duplicated, or of no session.

import Foundation
import VhostUserFrontend

@main
enum RestartDriver {
  static func main() {
    do {
      let settings = try DriverSettings(Array(CommandLine.arguments.dropFirst()))
      let report = try KillRun(settings).run()
      print(report.line)
      exit(report.isClean ? 0 : 1)
    } catch {
      FileHandle.standardError.write(Data("restart-driver: \(error)\n".utf8))
      exit(2)
    }
  }
}

/// What went wrong around the test, in a sentence.
struct DriverError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// The checked command line.
struct DriverSettings {
  enum Sessions: String {
    case none, lost, kept, mixed

    /// Whether the service manager keeps them from one daemon to the next.
    var areKept: Bool { self == .kept || self == .mixed }
  }

  /// They take turns.
  var daemons: [String] = []
  /// What ends them.
  var signal = SIGKILL
  var kills = 20
  var ring = RingKind.split
  var queueCount = 3
  var depth = 32
  var seed = UInt64.random(in: 0...UInt64.max)
  var isClient = false
  var isActivated = false
  var sessions = Sessions.none
  var usesInflight = true

  init(_ words: [String]) throws {
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      let value = parts.count > 1 ? parts[1] : ""
      switch parts[0] {
      case "--daemon": daemons.append(value)
      case "--stop":
        guard let number = ["kill": SIGKILL, "term": SIGTERM][value] else {
          throw DriverError("what is \(word)?")
        }
        signal = number
      case "--kills": kills = try Self.number(word, value)
      case "--queues": queueCount = try Self.number(word, value)
      case "--depth": depth = try Self.number(word, value)
      case "--seed": seed = UInt64(try Self.number(word, value))
      case "--client": isClient = true
      case "--activated": isActivated = true
      case "--no-inflight": usesInflight = false
      case "--ring":
        guard let kind = RingKind(rawValue: value) else {
          throw DriverError("no such ring: \(word)")
        }
        ring = kind
      case "--sessions":
        guard let kind = Sessions(rawValue: value) else { throw DriverError("what is \(word)?") }
        sessions = kind
      default: throw DriverError("what is \(word)?")
      }
    }
    guard !daemons.isEmpty else { throw DriverError("--daemon=PROGRAM is missing") }
    guard !isClient || !isActivated else {
      throw DriverError("--client and --activated exclude each other")
    }
  }

  private static func number(_ word: String, _ value: String) throws -> Int {
    guard let number = Int(value), number >= 0 else { throw DriverError("no number: \(word)") }
    return number
  }
}

/// What came of a run.
struct KillReport {
  var ring: RingKind
  var kills = 0
  var requests = 0
  /// Those of them that were of a session.
  var sessionRequests = 0
  /// Those whose result was to be written over their source.
  var inPlace = 0
  /// Requests that were in flight when the daemon had ended, over all kills, and those of them in place.
  var inFlight = 0
  var inPlaceInFlight = 0
  var lost = 0
  var wrong = 0
  var duplicated = 0
  var invalidSessions = 0
  /// Whether the test has to do with sessions that are gone.
  var mayLoseSessions = false
  /// From each signal to the first answer of the next daemon in the queue that had to wait longest, in nanoseconds.
  var waits: [UInt64] = []

  var isClean: Bool {
    lost == 0 && wrong == 0 && duplicated == 0 && (mayLoseSessions || invalidSessions == 0)
  }

  var line: String {
    let sorted = waits.sorted()
    func milliseconds(_ index: Int) -> String {
      guard sorted.indices.contains(index) else { return "-" }
      return String(format: "%.1f", Double(sorted[index]) / 1e6)
    }
    return "ring=\(ring.rawValue) kills=\(kills) requests=\(requests) "
      + "of-sessions=\(sessionRequests) in-place=\(inPlace) "
      + "in-flight=\(inFlight) in-place-in-flight=\(inPlaceInFlight) "
      + "lost=\(lost) wrong=\(wrong) "
      + "duplicated=\(duplicated) invsess=\(invalidSessions) "
      + "wait-median-ms=\(milliseconds(sorted.count / 2)) "
      + "wait-worst-ms=\(milliseconds(sorted.count - 1))"
  }
}
