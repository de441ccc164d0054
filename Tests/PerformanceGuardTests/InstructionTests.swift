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

  /// Whether what was recorded can be counted here: an optimised x86-64 build with both engines.
  ///
  /// In CI it has to be, whatever is missing.
  private static let canCount: Bool = {
    #if arch(x86_64)
      let environment = ProcessInfo.processInfo.environment
      if environment["CI"] == "true" { return true }
      #if IPSEC_MB
        return environment["VHOST_CRYPTO_BIN"] != nil
          && FileManager.default.isExecutableFile(atPath: "/usr/bin/valgrind")
      #else
        return false
      #endif
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
    var record = try JSONDecoder().decode(
      [String: [String: Double]].self, from: Data(contentsOf: URL(fileURLWithPath: Self.record)))
    let names = record.keys.sorted()
    try #require(names.count > 4)
    record[names[0]]?["instructions"]? /= 1.04
    record[names[1]]?["instructions"]? *= 1.07
    record[names[2]]?["libraryCalls"]? -= 1
    record[names[3]] = nil
    let directory = try TemporaryDirectory()
    let path = directory.file("record.json")
    try JSONEncoder().encode(record).write(to: URL(fileURLWithPath: path))
    let outcome = try count(against: path)
    #expect(outcome.exit == .status(1))
    let lines = outcome.complaint.split(separator: "\n").filter { $0.contains("make record") }
    #expect(lines.count == 4, "\(outcome.complaint)")
    let wanted = [
      (names[0] + ": ", "instructions per request"), (names[0] + ": ", ": a regression"),
      (names[1] + ": ", ": better"), (names[2] + ": ", "calls of libraries per request"),
      (path, "is of other scenarios"),
    ]
    for (beginning, words) in wanted {
      #expect(
        lines.contains { $0.hasPrefix(beginning) && $0.contains(words) },
        "\(words): \(outcome.complaint)")
    }
  }

  /// `make bench-recording-off` compares with a build of these sources that is patched.
  @Test func thePatchWithoutRecordingFitsTheSources() throws {
    let root = URL(fileURLWithPath: Self.record).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().path
    let directory = try TemporaryDirectory()
    let process = try ChildProcess(
      program: "/usr/bin/git",
      arguments: [
        "-C", root, "apply", "--check", "--verbose",
        "\(root)/Tests/Benchmarks/without-recording.patch",
      ],
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: 60_000)
    let told = DaemonProcess.text(directory.file("err"))
    #expect(exit == .status(0), "\(told)")
    // What it does not touch would pass any check.
    #expect(told.contains("SplitRecorder.swift") && told.contains("UndoLog.swift"), "\(told)")
  }
}
