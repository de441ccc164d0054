// PerformanceGuardTests: what a request costs in instructions and allocations, which is repeatable, unlike time.

import Foundation
import TestSupport
import Testing
import VhostUserFrontend

/// By the data-path-driver, which runs itself under Callgrind, against the record beside it.
@Suite("Performance guard", .serialized)
struct InstructionTests {
  private static let record = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("DataPathDriver/instructions.json").path

  /// Recorded with both engines on x86-64, and of an optimised build. In CI all of that is there, and not a reason.
  private static let canCount: Bool = {
    let environment = ProcessInfo.processInfo.environment
    if environment["CI"] == "true" { return true }
    #if arch(x86_64) && IPSEC_MB
      return environment["VHOST_CRYPTO_BIN"] != nil
        && FileManager.default.isExecutableFile(atPath: "/usr/bin/valgrind")
    #else
      return false
    #endif
  }()

  private struct Outcome {
    var exit: ChildProcess.Exit?
    var output: String
    var complaint: String
  }

  private func count(against record: String) throws -> Outcome {
    let directory = try TemporaryDirectory()
    let process = try ChildProcess(
      program: try DaemonProcess.executable("data-path-driver"),
      arguments: ["instructions", record],
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: 600_000)
    if exit == nil { process.send(signal: SIGTERM) }
    return Outcome(
      exit: exit, output: DaemonProcess.text(directory.file("out")),
      complaint: DaemonProcess.text(directory.file("err")))
  }

  private static let canCountText =
    "needs valgrind, and the optimised x86-64 build with ipsec-mb that VHOST_CRYPTO_BIN names"

  @Test(.enabled(if: canCount, Comment(rawValue: canCountText)))
  func requestsTakeNoMoreInstructionsThanRecordedAndAllocateNothing() throws {
    let outcome = try count(against: Self.record)
    print(outcome.output)
    #expect(outcome.exit == .status(0), "\(outcome.complaint)")
  }

  /// The same program against records that it must not accept.
  @Test(.enabled(if: canCount, Comment(rawValue: canCountText)))
  func aRecordThatIsExceededOrOldOrIncompleteIsRefused() throws {
    typealias Record = [String: [String: Double]]
    var record = try JSONDecoder().decode(
      Record.self, from: Data(contentsOf: URL(fileURLWithPath: Self.record)))
    var figures = try #require(record["instructionsPerRequest"])
    let names = figures.keys.sorted()
    try #require(names.count > 3)
    figures[names[0]]? /= 1.04
    figures[names[1]]? *= 1.07
    figures[names[2]] = nil
    record["instructionsPerRequest"] = figures
    let directory = try TemporaryDirectory()
    let path = directory.file("record.json")
    try JSONEncoder().encode(record).write(to: URL(fileURLWithPath: path))
    let outcome = try count(against: path)
    #expect(outcome.exit == .status(1))
    let lines = outcome.complaint.split(separator: "\n")
    #expect(lines.contains { $0.hasPrefix("\(names[0]): ") && $0.contains("a regression") })
    #expect(lines.contains { $0.hasPrefix("\(names[1]): ") && $0.contains("more than 5 % below") })
    #expect(
      lines.contains {
        $0.hasSuffix("is of other scenarios; record anew: make record-instructions")
      })
    // And nothing else.
    #expect(lines.count { $0.contains("instructions per request") } == 2, "\(outcome.complaint)")
  }
}
