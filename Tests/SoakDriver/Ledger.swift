import Foundation
import VhostUserFrontend
import VirtioSpec

/// Everything that the guests have sent and what became of it.
final class Ledger {
  private let start = monotonicNanoseconds()
  var sent = 0
  var answered = 0
  /// Never answered.
  var lost = 0
  /// Answered without being in flight.
  var duplicated = 0
  /// In flight when their front-end went away.
  var abandoned = 0
  private(set) var wrong = 0
  /// By service, then by status; those answers that are as they have to be.
  private(set) var right: [String: [String: Int]] = [:]
  /// By service, then by status; errors that a fault has caused, or the loss of a session.
  private(set) var failed: [String: [String: Int]] = [:]

  var kills = 0
  var inFlightAtKills = 0
  /// Sessions that went on with the next daemon, and requests of them that were in flight meanwhile.
  var keptSessions = 0
  var keptInFlight = 0
  /// Answers to requests whose result goes over their source.
  var inPlace = 0
  var deadFrontends = 0
  var deadRequests = 0
  var visits = 0
  var refusedSteps = 0
  var sessions = 0
  var refusedSessions = 0
  /// In the daemons' own words: by service and engine, then by status.
  private(set) var engines: [String: [String: Int]] = [:]
  /// What must not have happened, the first of each kind in words.
  private(set) var violations: [String] = []

  func count(_ wish: Wish, _ status: VirtioCryptoStatus, _ verdict: Verdict, guest: String) {
    answered += 1
    switch verdict {
    case .right: right[wish.service, default: [:]]["\(status)", default: 0] += 1
    case .failed: failed[wish.service, default: [:]]["\(status)", default: 0] += 1
    case .wrong(let reason):
      wrong += 1
      if wrong <= 10 { violate("\(guest): \(wish): \(reason)") }
    }
  }

  func violate(_ sentence: String) {
    let seconds = Double(monotonicNanoseconds() &- start) / 1e9
    violations.append(String(format: "%.1f s: ", seconds) + sentence)
  }

  /// Adds the requests that a daemon has counted since it was last asked.
  func countEngines(_ counts: [String: [String: Int]]) {
    for (row, statuses) in counts {
      for (status, count) in statuses { engines[row, default: [:]][status, default: 0] += count }
    }
  }

  var failedCount: Int { failed.values.flatMap(\.values).reduce(0, +) }

  /// Whether nothing has happened that must not; requests may be in flight.
  var isCleanSoFar: Bool { violations.isEmpty && wrong == 0 && lost == 0 && duplicated == 0 }

  /// The same at the end, when all that was sent has to add up.
  var isClean: Bool { isCleanSoFar && unaccounted == 0 }

  /// Requests of which nothing is known; 0, once nothing is in flight.
  var unaccounted: Int { sent - answered - lost - abandoned }

  var report: String {
    var lines = [
      "requests: sent=\(sent) answered=\(answered) abandoned=\(abandoned) lost=\(lost) "
        + "wrong=\(wrong) duplicated=\(duplicated) unaccounted=\(unaccounted)",
      "  in place: \(inPlace)",
    ]
    for service in right.keys.sorted() {
      let failures = failed[service].map { "; failed: " + Self.list($0) } ?? ""
      lines.append("  \(service): " + Self.list(right[service] ?? [:]) + failures)
    }
    lines.append("engines, as the daemons counted until they were last asked:")
    for row in engines.keys.sorted() {
      lines.append("  \(row): " + Self.list(engines[row] ?? [:]))
    }
    lines.append("daemons: kills=\(kills) in-flight=\(inFlightAtKills)")
    lines.append(
      "front-ends: dead=\(deadFrontends) (their requests: \(deadRequests)) visits=\(visits) "
        + "refused-steps=\(refusedSteps)")
    lines.append(
      "sessions: opened=\(sessions) refused=\(refusedSessions) kept=\(keptSessions) "
        + "(in flight meanwhile: \(keptInFlight))")
    lines += violations.map { "VIOLATION: \($0)" }
    return lines.joined(separator: "\n")
  }

  private static func list(_ counts: [String: Int]) -> String {
    counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }
}
