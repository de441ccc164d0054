// RestartTests: the daemon is killed under load and started again, and the guest notices nothing but a pause. The guest is
// played by the restart-driver.

import Foundation
import TestSupport
import Testing
import VhostUserFrontend

@Suite("Restarts", .serialized)
struct RestartTests {
  /// Runs the driver to its end; its line.
  private func drive(_ arguments: [String]) throws -> String {
    let directory = try TemporaryDirectory()
    var seed = SeededRandom.printed()
    let process = try ChildProcess(
      program: try DaemonProcess.executable("restart-driver"),
      arguments: [
        "--daemon=\(try DaemonProcess.executable("vhost-user-crypto"))",
        "--seed=\(seed.next() >> 1)",
      ] + arguments,
      environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: 200_000)
    if exit == nil { process.send(signal: SIGKILL) }
    let line = DaemonProcess.text(directory.file("out"))
    #expect(exit == .status(0), "\(line) \(DaemonProcess.text(directory.file("err")))")
    print(line)
    return line
  }

  private func expectAll(_ line: String, kills: Int) {
    #expect(line.contains(" kills=\(kills) "), "\(line)")
    #expect(line.contains(" lost=0 wrong=0 duplicated=0 "), "\(line)")
  }

  @Test(arguments: RingKind.allCases)
  func everyRequestIsAnsweredOnceAndRightOverKills(ring: RingKind) throws {
    expectAll(try drive(["--kills=4", "--ring=\(ring.rawValue)"]), kills: 4)
  }

  /// The daemon looks for a front-end that listens, and finds it again.
  @Test(arguments: [RingKind.split, .packed])
  func daemonThatConnectsComesBack(ring: RingKind) throws {
    expectAll(try drive(["--kills=2", "--ring=\(ring.rawValue)", "--client"]), kills: 2)
  }

  /// Requests of sessions that are gone are answered, too, once.
  @Test func requestsOfLostSessionsAreAnswered() throws {
    expectAll(try drive(["--kills=2", "--ring=packed", "--sessions=lost"]), kills: 2)
  }
}
