import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  /// How workers and helpers wait for each other.
  @Suite("Helpers and waiting")
  struct HelperWaitingTests {
    private static let key = Samples.bytes(32)

    /// Sessions of several kinds: what helpers do must be what the worker does.
    private static let specs: [(SessionSpec, ivByteCount: Int)] = [
      (Samples.encryption, 16), (Samples.decryption, 16),
      (.cipher(.aesCTR, .encrypt, key: key), 16),
      (.hash(.sha256, resultByteCount: 32), 0),
      (.mac(.hmacSHA256, key: key, resultByteCount: 32), 0),
      (.aead(.gcm, .encrypt, key: key, tagByteCount: 16, aadByteCount: 0), 12),
    ]

    /// Random sizes around the threshold, random pauses around the time that both sides spin: a wake-up that got lost
    /// would leave requests behind for ever.
    @Test(
      arguments: [
        "mode: adaptive, spin-us: 20", "mode: adaptive, spin-us: 0", "mode: event", "mode: always",
      ], [nil, "openssl"])
    func nothingIsLostBetweenSleepers(poll: String, engine: String?) throws {
      var random = SeededRandom.printed()
      let rules = engine.map { name in
        "algorithms: { "
          + ["cipher", "hash", "mac", "aead"].map { "\($0): { default: { engine: \(name) } }" }
          .joined(separator: ", ") + " }\n"
      }
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\nworkers: { poll: { \(poll) }, helper-min-size: 4KiB }\n" + (rules ?? ""))
      let client = try daemon.client()
      var sessions: [UInt64] = []
      for (spec, _) in Self.specs { sessions.append(try client.openSession(spec)) }
      let end = ContinuousClock.now + .seconds(3)
      var count = 0
      while ContinuousClock.now < end {
        let operations = (0..<24).map { index in
          let kind = Int.random(in: 0..<Self.specs.count, using: &random)
          let byteCount = 16 * Int.random(in: 1...512, using: &random)
          return OperationSpec(
            Self.specs[kind].0, sessionID: sessions[kind],
            iv: Samples.bytes(Self.specs[kind].ivByteCount, index),
            source: Samples.bytes(byteCount, index))
        }
        let carousel = try Carousel(client, operations, count: operations.count)
        for _ in 0..<40 {
          let some = Int.random(in: 1...24, using: &random)
          try carousel.run(some, batch: Int.random(in: 1...8, using: &random), seconds: 10)
          count += some
          usleep(UInt32.random(in: 0...60, using: &random))
        }
        try carousel.expectRightAnswers()
        carousel.dispose()
      }
      let queue = try daemon.device().queues[0]
      #expect(queue.requests == count)
      #expect(queue.helped > count / 4 && queue.helped < count)
      #expect(queue.inFlight == 0)
      #expect((queue.sleeps == 0) == poll.hasPrefix("mode: always"))
    }

    /// Nobody polls: each long request is waited for with an interrupt.
    @Test(arguments: HelperTests.polls)
    func guestIsCalledForWhatHelpersFinish(poll: String) throws {
      let daemon = try HelperTests.daemon("poll: { mode: \(poll) }, helper-min-size: 4KiB")
      let client = try daemon.client()
      client.polls = false
      let session = try client.openSession(Samples.encryption)
      for round in 0..<300 {
        let operation = Samples.encrypt(session, byteCount: 4096 + 16 * (round % 7), salt: round)
        let answer = try client.perform(operation)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
      #expect(try daemon.device().queues[0].helped == 300)
    }

    @Test(arguments: ["mode: adaptive", "mode: event"])
    func workerSleepsWhileHelpersWork(poll: String) throws {
      let daemon = try HelperTests.daemon("poll: { \(poll) }")
      let client = try HelperTests.client(daemon)
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(
        client, [HelperTests.encrypt(session)], count: 8)
      try carousel.run(400)
      try carousel.expectRightAnswers()
      let worker = try #require(IdleTests.task("vcrypto-q0", of: daemon))
      let helpers = try (0..<2).map {
        try #require(IdleTests.task("vcrypto-h0.\($0)", of: daemon))
      }
      let busy = helpers.reduce(0) { $0 + Self.ticks($1) }
      #expect(Self.ticks(worker) * 4 < busy, "\(Self.ticks(worker)) of \(busy) ticks")
      #expect(helpers.allSatisfy { Self.ticks($0) > 0 }, "both have worked")
      usleep(100_000)
      let before = daemon.processorTicks
      usleep(1_000_000)
      #expect(daemon.processorTicks - before <= 1, "an idle daemon")
      #expect(try daemon.device().queues[0].sleeps > 0)
    }

    @Test func helpersOfAPollingWorkerSleep() throws {
      let daemon = try HelperTests.daemon("poll: { mode: always }")
      let client = try HelperTests.client(daemon)
      let session = try client.openSession(Samples.encryption)
      try Carousel(
        client, [HelperTests.encrypt(session)], count: 4
      ).run(20)
      usleep(50_000)
      let helper = try #require(IdleTests.task("vcrypto-h0.0", of: daemon))
      let before = Self.ticks(helper)
      usleep(500_000)
      #expect(Self.ticks(helper) - before <= 1)
    }

    @Test func helpersRunOnTheirProcessors() throws {
      let allowed = try #require(IdleTests.allowedProcessors("/proc/self/status"))
      let list = allowed.split { $0 == "," || $0 == "-" }.compactMap { Int($0) }
      let (first, last) = (try #require(list.first), try #require(list.last))
      try #require(first != last, "needs two processors")
      for (workers, cpus) in [
        ("cpus: [\(first)], helper-cpus: [\(last), \(first)]", ["\(last)", "\(first)"]),
        ("cpus: [\(first), \(last)]", ["\(last)", "\(first)"]),
        ("helper-cpus: [\(last)]", ["\(last)", "\(last)"]),
        ("cpus: [\(last)], helper-cpus: []", [allowed, allowed]),
        ("helpers: 2", [allowed, allowed]),
      ] {
        let daemon = try HelperTests.daemon(workers)
        let client = try daemon.client()
        try client.expectService()
        for (index, cpu) in cpus.enumerated() {
          let task = try #require(IdleTests.task("vcrypto-h0.\(index)", of: daemon))
          #expect(IdleTests.allowedProcessors(task + "/status") == cpu, "\(workers)")
        }
      }
    }

    /// Processor time of a thread, in ticks of 10 ms.
    private static func ticks(_ task: String) -> Int {
      let fields =
        DaemonProcess.text(task + "/stat").split(separator: ")").last?.split(separator: " ") ?? []
      guard fields.count > 12 else { return 0 }
      return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
    }
  }
}
