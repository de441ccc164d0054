import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension TheDaemon {
  @Suite("Limits")
  struct LimitTests {
    private func daemon(_ device: String, poll: String = "adaptive") throws -> DaemonProcess {
      try DaemonProcess(
        configuration: """
          version: 1
          device: { \(device) }
          workers: { poll: { mode: \(poll) } }

          """, servesStatistics: true, servesControl: true)
    }

    private func limit(_ daemon: DaemonProcess, _ arguments: String...) throws -> FinishedProgram {
      try FinishedProgram.run(
        "vhost-crypto",
        ["limit", "--socket", daemon.statsPath, "--control-socket", daemon.controlPath]
          + arguments)
    }

    private func seconds(_ work: () throws -> Void) rethrows -> Double {
      try ContinuousClock().measure { try work() } / .seconds(1)
    }

    /// Requests a second, one after the other and without a limit, on the machine as it is.
    private func roundTrips() throws -> Int {
      let daemon = try daemon("queues: 1")
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session)])
      let time = try seconds { try carousel.run(2000, limit: 1) }
      #expect(try daemon.terminate() == .status(0))
      return Int(2000 / time)
    }

    @Test("A rate is held within 2 % over ten seconds", arguments: [1, 64])
    func operationsAreHeld(inFlight: Int) throws {
      // A busy machine has not got through 2000 round trips a second, which nobody can hold then.
      let rate = inFlight > 1 ? 10_000 : max(100, min(2000, try roundTrips() / 4))
      let daemon = try daemon("limits: { operations-per-second: \(rate) }")
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session)])
      let time = try seconds { try carousel.run(rate * 10, limit: inFlight) }
      #expect((9.8...10.2).contains(time), "\(time) s for \(rate * 10)")
      try carousel.expectRightAnswers()
      let queue = try daemon.device().queues[0]
      #expect(queue.throttledWaits > 100)
      #expect(queue.throttledSeconds < time)
      // One request at a time leaves the ring dry in between, and needs kicks.
      if inFlight > 1 {
        #expect(queue.throttledSeconds > time / 2)
        #expect(queue.kicks < 20_000, "kicks are suppressed while requests wait")
      }
    }

    @Test func bytesAreHeldAcrossQueues() throws {
      let daemon = try daemon("limits: { bytes-per-second: 16MiB, burst-ms: 20 }")
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      let carousels = try (0..<2).map {
        try Carousel(client, [Samples.encrypt(session, byteCount: 65536)], count: 8, queue: $0)
      }
      // In turn, so that both queues always have some.
      let time = try seconds {
        for _ in 0..<8 { for carousel in carousels { try carousel.run(32) } }
      }
      // 512 times 64 KiB are two seconds' worth, less what is saved up whenever the test does nothing.
      #expect((1.8...2.2).contains(time), "\(time) s")
      for carousel in carousels { try carousel.expectRightAnswers() }
    }

    @Test("A guest that waits costs nothing, and goes on as soon as the limit does")
    func waitingCostsNothing() throws {
      for poll in ["adaptive", "event", "always"] {
        let daemon = try daemon("limits: { operations-per-second: 1 }", poll: poll)
        let client = try daemon.client()
        let session = try client.openSession(Samples.encryption)
        let carousel = try Carousel(client, [Samples.encrypt(session)])
        let worker = Worker { try carousel.run(40, seconds: 60) }
        try waitUntil("waiting") { try daemon.device().queues[0].throttledWaits > 0 }
        usleep(200_000)
        let before = daemon.processorTicks
        let switches = daemon.standardError.count
        usleep(2_000_000)
        #expect(daemon.processorTicks - before <= 1, "\(poll)")
        #expect(daemon.standardError.count == switches)
        #expect(!worker.isDone)
        let freed = try limit(daemon, "--none")
        #expect(freed.status == .status(0), "\(freed.errorOutput)")
        #expect(freed.output.contains("unlimited"))
        try waitUntil("the rest", milliseconds: 2000) { worker.isDone }
        try worker.result()
        try carousel.expectRightAnswers()
      }
    }

    @Test func aQueueStopsThoughItsRequestsWait() throws {
      let daemon = try daemon("limits: { operations-per-second: 1 }")
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let queue = client.dataQueues[0]
      let carousel = try Carousel(client, [Samples.encrypt(session)])
      let worker = Worker { try? carousel.run(20, seconds: 2) }
      try waitUntil("waiting") { try daemon.device().queues[0].throttledWaits > 0 }
      var base: UInt32 = 0
      let time = try seconds { base = try client.frontend.stopQueue(0) }
      #expect(time < 0.5, "\(time) s")
      // What waited is left in the ring.
      #expect(base >= 1 && base < 20, "\(base)")
      try waitUntil("the driver's patience", milliseconds: 5000) { worker.isDone }
      #expect(queue.size == 256)
    }

    @Test func limitsAreShownAndSetAndRefused() throws {
      let daemon = try daemon("max-sessions: 1000, max-request: 64KiB")
      let control = daemon.controlPath
      let mode = try FileManager.default.attributesOfItem(atPath: control)[.posixPermissions]
      #expect(mode as? Int == 0o600)

      let shown = try limit(daemon)
      #expect(shown.status == .status(0))
      #expect(shown.output.contains("unlimited") && shown.output.contains("64KiB"))
      let set = try limit(
        daemon, "--device", "vhost", "--operations", "10k", "--bytes", "100MiB", "--burst", "50",
        "--sessions", "10", "--max-request", "8KiB", "--max-cipher-key", "16", "--max-auth-key",
        "20", "--json")
      #expect(set.status == .status(0), "\(set.errorOutput)")
      var expected = DeviceLimits()
      expected.operationsPerSecond = 10_000
      expected.bytesPerSecond = 100 << 20
      expected.burstMilliseconds = 50
      expected.sessions = 10
      expected.requestBytes = 8192
      expected.cipherKeyBytes = 16
      expected.authKeyBytes = 20
      #expect(
        try JSONDecoder().decode([NamedLimits].self, from: Data(set.output.utf8))
          == [NamedLimits(device: "vhost", limits: expected)])
      #expect(try daemon.device().limits == expected)
      let configuration = try HTTPExchange.get(
        "/config?format=yaml", socketPath: daemon.statsPath)
      #expect(
        String(decoding: configuration, as: UTF8.self).contains("operations-per-second: 10000"))

      let name = "vhost-crypto"
      try limit(daemon, "--sessions", "1001").expectComplaint(
        65, "max-sessions 1001 is more than the 1000 of the start", from: name)
      try limit(daemon, "--max-request", "1MiB").expectComplaint(
        65, "max-request 1MiB is more than the 64KiB of the start", from: name)
      try limit(daemon, "--device", "vm7", "--operations", "1").expectComplaint(
        65, "there is no device 'vm7'; there are: vhost", from: name)
      try limit(daemon, "--device", "vm7").expectComplaint(
        65, "there is no device 'vm7'", from: name)
      try limit(daemon, "--operations", "many").expectComplaint(
        64, "--operations 'many' is no limit; write 10000, 10k or 2M", from: name)
      try limit(daemon, "--burst", "0").expectComplaint(64, "write 1 to 60000", from: name)
      try limit(daemon, "--none", "--bytes", "1").expectComplaint(64, "--none", from: name)
      #expect(try daemon.device().limits == expected)
      try FinishedProgram.run(
        "vhost-crypto", ["limit", "--control-socket", "/nowhere", "--none"]
      ).expectComplaint(69, "/nowhere", from: name)
    }

    @Test func theStatisticsSocketSetsNothing() throws {
      let daemon = try daemon("queues: 1")
      let answer = try HTTPExchange("/limits", socketPath: daemon.statsPath).answer()
      #expect(answer.status == 404)
      try FinishedProgram.run(
        "vhost-crypto", ["limit", "--control-socket", daemon.statsPath, "--none"]
      ).expectComplaint(69, from: "vhost-crypto")
      #expect(try daemon.device().limits.operationsPerSecond == 0)
    }

    @Test func sessionsKeysAndSizesAreRefusedAsTheyAreLimited() throws {
      let daemon = try daemon("queues: 1")
      let client = try daemon.client()
      let long = SessionSpec.cipher(.aesCBC, .encrypt, key: Samples.bytes(32))
      let session = try client.openSession(Samples.encryption)
      #expect(try client.perform(Samples.encrypt(session, byteCount: 8192)).status == .ok)
      let set = try limit(
        daemon, "--max-request", "4KiB", "--max-cipher-key", "16", "--sessions", "3")
      #expect(set.status == .status(0), "\(set.errorOutput)")
      let configuration = try client.frontend.readConfiguration()
      #expect(configuration.maxRequestByteCount == 4096)
      #expect(configuration.maxCipherKeyByteCount == 16)
      #expect(configuration.maxAuthKeyByteCount == 512)
      // The worker's next batch knows.
      #expect(try client.perform(Samples.encrypt(session, byteCount: 8192)).status == .err)
      #expect(try client.perform(Samples.encrypt(session, byteCount: 4096)).status == .ok)
      #expect(try client.createSession(long).status == .notsupp)
      for _ in 0..<2 { _ = try client.openSession(Samples.encryption) }
      // Without REVISION_1 there is no NOSPC.
      #expect(try client.createSession(Samples.encryption).status == .err)
      #expect(try client.destroySession(session, service: .cipher) == .ok)
      _ = try client.openSession(Samples.encryption)
      let reset = try limit(
        daemon, "--max-request", "1MiB", "--max-cipher-key", "256", "--sessions", "65536")
      #expect(reset.status == .status(0), "\(reset.errorOutput)")
      _ = try client.openSession(long)
    }

    @Test func statelessRequestsHaveTheSameLimits() throws {
      let daemon = try daemon("max-cipher-key: 16")
      let options = Frontend.Options(
        format: RequestFormat(isRevision1: true, statelessServices: [.cipher]))
      let client = try daemon.client(options: options)
      #expect(client.frontend.features & VirtioFeature.cryptoCipherStateless != 0)
      func status(keyByteCount: Int) throws -> VirtioCryptoStatus {
        let spec = SessionSpec.cipher(.aesCBC, .encrypt, key: Samples.bytes(keyByteCount))
        return try client.perform(
          OperationSpec(
            spec, sessionID: nil, iv: Samples.bytes(16), source: Samples.bytes(64))
        ).status
      }
      #expect(try status(keyByteCount: 16) == .ok)
      #expect(try status(keyByteCount: 32) == .notsupp)
      #expect(try limit(daemon, "--max-cipher-key", "32").status == .status(0))
      #expect(try status(keyByteCount: 32) == .ok)
      // With REVISION_1 a full table says so.
      #expect(try limit(daemon, "--sessions", "1").status == .status(0))
      _ = try client.openSession(Samples.encryption)
      #expect(try client.createSession(Samples.encryption).status == .nospc)
    }
  }
}

/// Work on a thread of its own.
final class Worker: @unchecked Sendable {
  // Unchecked: `outcome` is behind the lock; the work's own things belong to its thread until it is done.
  private let lock = NSLock()
  private var outcome: Result<Void, any Error>?

  init(_ work: @escaping () throws -> Void) {
    nonisolated(unsafe) let work = work
    Thread.detachNewThread { [self] in
      let result = Result { try work() }
      lock.withLock { outcome = result }
    }
  }

  var isDone: Bool { lock.withLock { outcome != nil } }

  /// Throws what the work has thrown.
  func result() throws { try lock.withLock { outcome }?.get() }
}
