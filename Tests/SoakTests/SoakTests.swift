// SoakTests: half a minute of the soak-driver, whose minutes are `make soak`, and runs that have to fail.

import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@Suite("Soak", .serialized)
struct SoakTests {
  /// Runs the driver to its end: how it ended, and its report.
  private func drive(
    _ arguments: [String], seconds: Int
  ) throws -> (exit: ChildProcess.Exit?, report: String) {
    let directory = try TemporaryDirectory()
    var seed = SeededRandom.printed()
    let process = try ChildProcess(
      program: try DaemonProcess.executable("soak-driver"),
      arguments: [
        "--injector=\(try DaemonProcess.besideTests("libFaultInjector.so"))",
        "--seconds=\(seconds)", "--seed=\(seed.next() >> 1)",
      ] + arguments,
      environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: 200_000)
    if exit == nil { process.send(signal: SIGKILL) }
    let report = DaemonProcess.text(directory.file("out"))
    print(report)
    return (exit, report + DaemonProcess.text(directory.file("err")))
  }

  @Test func nothingIsLostWrongOrGrownWhileEverythingFails() throws {
    let (exit, report) = try drive([], seconds: 25)
    #expect(exit == .status(0), "\(report)")
    #expect(report.contains(" lost=0 wrong=0 duplicated=0 unaccounted=0"), "\(report)")
    // Sessions of some daemons went on with the next, with requests in flight.
    #expect(report.contains(/kept=[1-9][0-9]* \(in flight meanwhile: [1-9]/), "\(report)")
    // Every service was asked for, and everything that can be made to fail did.
    for word in ["cipher:", "hash:", "mac:", "aead:", "chain:", "akcipher:"] {
      #expect(report.contains("\n  \(word) "), "no \(word) in \(report)")
    }
    let lines = report.split(separator: "\n").drop { $0 != "faults injected:" }.dropFirst()
    var counts: [String: Int] = [:]
    for line in lines {
      let words = line.split(whereSeparator: { " :".contains($0) })
      if words.count == 5, words[2] == "of" { counts[String(words[0])] = Int(words[1]) }
    }
    for kind in ["libcrypto", "allocation", "uring-call", "interrupt"] {
      #expect(counts[kind, default: 0] > 0, "no \(kind) in \(report)")
    }
    // Of these there are few calls, and not each of them has to fail within seconds.
    let setUp = ["mmap", "memfd", "eventfd", "accept", "thread", "uring-setup"]
    #expect(setUp.allSatisfy { counts[$0] != nil }, "\(report)")
    #expect(setUp.compactMap { counts[$0] }.reduce(0, +) > 5, "\(report)")
  }

  /// Nor does one that has lost the sessions which its guests were to keep.
  @Test func lostSessionsAreSeen() throws {
    let (exit, report) = try drive(["--leak=sessions"], seconds: 5)
    #expect(exit == .status(1), "\(report)")
    #expect(report.contains("INVSESS instead of OK"), "\(report)")
  }

  /// A daemon that leaks does not pass.
  @Test(arguments: ["memory", "fd", "thread"])
  func aLeakIsSeen(of what: String) throws {
    let (exit, report) = try drive(["--leak=\(what)"], seconds: 10)
    #expect(exit == .status(1), "\(report)")
    #expect(report.contains("VIOLATION:") && report.contains(": grown from "), "\(report)")
  }
}
