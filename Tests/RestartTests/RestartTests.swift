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

  private func expectSessions(_ line: String) throws {
    #expect(line.contains(" invsess=0 "), "\(line)")
    let word = line.split(separator: " ").first { $0.hasPrefix("of-sessions=") }
    let count = try #require(word.flatMap { Int($0.dropFirst("of-sessions=".count)) })
    #expect(count > 0, "\(line)")
  }

  /// Made once, they serve requests of all daemons.
  @Test(arguments: RingKind.allCases)
  func requestsOfKeptSessionsAreAnsweredOnceAndRightOverKills(ring: RingKind) throws {
    let line = try drive(["--kills=3", "--ring=\(ring.rawValue)", "--sessions=kept"])
    expectAll(line, kills: 3)
    try expectSessions(line)
  }

  /// `systemctl restart` with socket activation, requests of sessions and others on their way; an upgrade, where the
  /// packaged build is there, too.
  @Test(arguments: RingKind.allCases)
  func restartInPlaceLosesNothing(ring: RingKind) throws {
    let packaged = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent(".build/static/release/vhost-user-crypto").path
    let others =
      FileManager.default.isExecutableFile(atPath: packaged) ? ["--daemon=\(packaged)"] : []
    let line = try drive(
      others + [
        "--kills=4", "--stop=term", "--ring=\(ring.rawValue)", "--sessions=mixed", "--activated",
      ])
    expectAll(line, kills: 4)
    try expectSessions(line)
  }

  /// The call that a daemon was killed before making: no later request would bring it.
  @Test(arguments: RingKind.allCases)
  func theNextDaemonMakesTheCallThatWasLost(ring: RingKind) throws {
    let service = try StoringService()
    let options = Frontend.Options(format: .stateless, ring: ring)
    let memory = try GuestRAM(byteCount: 1 << 20)
    var frontend = try Frontend.connect(path: service.socketPath, options: options)
    try frontend.negotiate()
    let area = try frontend.inflightArea(queueCount: 1, queueSize: 64)
    try frontend.setInflightArea(area)
    try frontend.shareMemory(memory)
    let control = Int(try frontend.readConfiguration().maxDataQueues)
    let queues = [0: try frontend.makeQueue(size: 64), control: try frontend.makeQueue(size: 64)]
    for (index, queue) in queues { try frontend.startQueue(index, queue) }
    let client = CryptoClient(
      frontend: frontend, memory: memory, dataQueues: [try #require(queues[0])],
      control: .queue(try #require(queues[control])))
    let session = SessionSpec.cipher(.aesCBC, .encrypt, key: [UInt8](repeating: 1, count: 16))
    let operation = OperationSpec(
      session, sessionID: try client.openSession(session), iv: [UInt8](repeating: 2, count: 16),
      source: [UInt8](repeating: 3, count: 64))
    #expect(try client.perform(operation).status == .ok)
    for queue in queues.values { _ = queue.enableCalls() }
    try service.end()
    for queue in queues.values { _ = try queue.callEvent.drain() }
    try service.start()
    frontend = try Frontend.connect(path: service.socketPath, options: options)
    try frontend.resume(area, memory: memory, queues: queues)
    for queue in queues.values { #expect(try queue.callEvent.wait(milliseconds: 5000)) }
  }
}
