import Foundation
import TestSupport
import Testing
import VhostUserFrontend

/// The stock Linux guest whose daemon is killed under it; `make kill-test-guest` does it more often.
@Suite("RealGuestRestarts", .serialized)
struct RealGuestRestarts {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// What run-restarts.sh ends with when no mirror gives it the QEMU that it needs (EX_TEMPFAIL).
  private static let notFetched: Int32 = 75

  @Test(arguments: ["packed", "split"])
  func noticesNothingWhenTheDaemonIsKilled(rings: String) throws {
    var environment = ProcessInfo.processInfo.environment
    environment["DAEMON"] = try DaemonProcess.executable("vhost-user-crypto")
    environment["TOOL"] = try DaemonProcess.executable("vhost-crypto")
    let result = try FinishedProgram.run(
      path: "/bin/bash",
      [Self.root + "/Tests/Guest/run-restarts.sh", "--kills", "4", "--rings", rings],
      environment: environment, milliseconds: 900_000)
    let words = "\(result.output)\(result.errorOutput)"
    if result.status == .status(Self.notFetched) {
      #expect(result.output.contains("run-restarts: NOT RUN"), "\(words)")
      let reason = result.errorLines.last { $0.hasPrefix("generic-qemu: ") } ?? ""
      print("RealGuestRestarts: NOT RUN: \(reason)")
      return
    }
    #expect(result.status == .status(0), "\(words)")
    for line in [
      "  ok    the daemon was killed 4 times", "  ok    none wrong, failed or lost",
      "  ok    no session is left that the guest does not know of",
      "  ok    each of the 4 daemons after the first gave the guest its sessions back",
      "\nrun-restarts: PASS",
    ] { #expect(result.output.contains(line), "\(line) in \(words)") }
    for line in result.output.split(separator: "\n")
    where line.contains("kills=") || line.contains("operations=") { print(line) }
  }
}
