import Foundation
import StatsEndpoint
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("Profiles of real workers")
  struct ProfileTests {
    private static let onOpenSSL = """
      version: 1
      algorithms:
        cipher: { default: { engine: [openssl] } }
        hash: { default: { engine: [openssl] } }

      """

    /// Takes a profile while `work` is done again and again.
    private func profile(
      _ daemon: DaemonProcess, seconds: Int, while work: () throws -> Void
    ) throws -> ProfileSnapshot {
      let path = daemon.statsPath
      let box = AnswerBox()
      let thread = Thread {
        box.set(Result { try HTTPExchange.get("/profile?seconds=\(seconds)", socketPath: path) })
      }
      thread.start()
      while box.value == nil { try work() }
      let body = try #require(box.value).get()
      return try JSONDecoder().decode(ProfileSnapshot.self, from: body)
    }

    private final class AnswerBox: Sendable {
      private let answer = Mutex<Result<Data, any Error>?>(nil)
      func set(_ result: Result<Data, any Error>) { answer.withLock { $0 = result } }
      var value: Result<Data, any Error>? { answer.withLock { $0 } }
    }

    private func share(
      _ worker: WorkerProfile, _ stage: ProfileStage, _ engine: String? = nil
    ) -> Double {
      worker.stages.reduce(0) {
        $1.stage == stage && (engine == nil || $1.engine == engine) ? $0 + $1.share : $0
      }
    }

    private func expectWhole(_ profile: ProfileSnapshot, _ worker: WorkerProfile) {
      #expect(abs(worker.stages.reduce(0) { $0 + $1.share } - 1) < 0.001)
      let seconds = worker.stages.reduce(0) { $0 + Double($1.nanoseconds) } / 1e9
      #expect(abs(seconds / profile.seconds - 1) < 0.02, "\(seconds) of \(profile.seconds) s")
    }

    @Test(arguments: ["adaptive", "event", "always"])
    func aWorkerWithoutWorkIsIdle(mode: String) throws {
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\nworkers: { poll: { mode: \(mode) } }\n")
      let client = try daemon.client(dataQueueCount: 2)
      try client.expectService()
      usleep(100_000)
      let profile = try profile(daemon, seconds: 1) { usleep(10_000) }
      #expect(profile.seconds >= 1 && profile.seconds < 5)
      #expect(profile.workers.map(\.queue) == [0, 1])
      for worker in profile.workers {
        expectWhole(profile, worker)
        #expect(share(worker, .idle) > 0.98)
      }
      // Nobody watches any more.
      try client.expectService(queue: 1)
    }

    @Test func longHashesAreCrypto() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client()
      let hash = SessionSpec.hash(.sha512, resultByteCount: 64)
      let session = try client.openSession(hash)
      let carousel = try Carousel(
        client, [OperationSpec(hash, sessionID: session, source: Samples.bytes(16384))])
      let profile = try profile(daemon, seconds: 1) { try carousel.run(64) }
      let worker = try #require(profile.workers.first)
      expectWhole(profile, worker)
      let crypto = share(worker, .crypto, "openssl")
      #expect(crypto > 0.2)
      // A sanitizer makes everything longer but the library.
      let least = 0.9 / Double(sanitizerSlack)
      #expect(crypto > least * (1 - share(worker, .idle)), "\(worker.stages)")
      #expect(share(worker, .crypto) == crypto)
    }

    @Test func everyStageOfSmallRequestsTakesTime() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session, byteCount: 16)])
      let profile = try profile(daemon, seconds: 1) {
        try carousel.run(2000)
        try client.expectService()
      }
      let worker = try #require(profile.workers.first)
      expectWhole(profile, worker)
      for stage in ProfileStage.allCases { #expect(share(worker, stage) > 0, "\(stage)") }
      try carousel.expectRightAnswers()
    }

    @Test func copiesThroughBounceBuffersAreMemory() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let operation = Samples.encrypt(session, byteCount: 32768)
      func memory(_ plan: RequestPlan) throws -> Double {
        let carousel = try Carousel(client, [operation], plans: [plan], count: 32)
        defer { carousel.dispose() }
        let profile = try profile(daemon, seconds: 1) { try carousel.run(64) }
        let worker = try #require(profile.workers.first)
        expectWhole(profile, worker)
        return share(worker, .memory) / share(worker, .crypto)
      }
      var scattered = RequestPlan()
      scattered.source = .count(8)
      scattered.destination = .count(8)
      let whole = try memory(RequestPlan())
      let pieces = try memory(scattered)
      #expect(pieces > whole * 3, "\(pieces) of the engine's time, in one piece \(whole)")
      #expect(try daemon.device().queues[0].bounced > 0)
    }

    @Test func theToolDrawsAProfile() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client()
      try client.expectService()
      let arguments = ["stats", "--socket", daemon.statsPath, "--profile", "1"]
      let table = try FinishedProgram.run("vhost-crypto", arguments)
      #expect(table.status == .status(0))
      let lines = table.output.split(separator: "\n").map(String.init)
      #expect(lines.first?.hasPrefix("device vhost, queue 0, 1.") == true, "\(table.output)")
      for stage in ["idle", "ring", "parse", "memory", "crypto openssl", "completion", "notify"] {
        #expect(lines.contains { $0.hasPrefix("  \(stage) ") }, "\(stage)")
      }
      #expect(lines.contains { $0.hasPrefix("  idle ") && $0.contains("█████████") })
      let json = try FinishedProgram.run("vhost-crypto", arguments + ["--json"])
      let profile = try JSONDecoder().decode(ProfileSnapshot.self, from: Data(json.output.utf8))
      #expect(profile.workers.count == 1)
      let wrong = try FinishedProgram.run(
        "vhost-crypto", ["stats", "--socket", daemon.statsPath, "--profile", "61"])
      #expect(wrong.status == .status(64))
      #expect(wrong.errorOutput.contains("--profile 61 is not from 1 to 60 seconds"))
    }
  }
}
