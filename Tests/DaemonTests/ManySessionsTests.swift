import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("Sessions by the hundred thousand")
  struct ManySessionsTests {
    private static let count = 100_000

    private static func configuration(engine: String? = nil) -> String {
      var text = "version: 1\ndevice: { queues: 4, max-sessions: \(count) }\n"
      if let engine {
        text += "algorithms: { cipher: { aes-cbc: { engine: [\(engine)] } } }\n"
      }
      return text
    }

    private func connect(_ daemon: DaemonProcess, queues: Int = 1) throws -> CryptoClient {
      try CryptoClient.start(
        path: daemon.socketPath, dataQueueCount: queues, controlQueueSize: 256)
    }

    /// Encrypts under the key of a session's number; whether the result is that key's.
    private func encryptsRightly(
      _ client: CryptoClient, _ identifier: UInt64, _ number: Int, queue: Int = 0
    ) throws -> Bool {
      let operation = OperationSpec(
        SessionPipeline.spec(Samples.encryption, number: number), sessionID: identifier,
        iv: Samples.bytes(16, number), source: Samples.bytes(64, number))
      let answer = try client.perform(operation, queue: queue)
      return answer.status == .ok
        && answer.output == ReferenceCrypto.answer(to: operation)?.output
    }

    @Test(arguments: ["ipsec-mb", "openssl"])
    func aHundredThousandComeWorkAndGo(engine: String) throws {
      var random = SeededRandom.printed()
      let daemon = try DaemonProcess.withStatistics(Self.configuration(engine: engine))
      let client = try connect(daemon)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 32)
      // The first ones bring what the daemon needs only once.
      let first = try pipeline.create(0..<1000)
      for number in 0..<1000 {
        #expect(try encryptsRightly(client, first[number], number))
      }
      try pipeline.destroy(first)
      usleep(100_000)
      let before = try daemon.privateByteCount()

      let identifiers = try pipeline.create(0..<Self.count)
      #expect(Set(identifiers).count == Self.count)
      #expect(try daemon.device().sessions.open == UInt64(Self.count))
      let full = try daemon.privateByteCount()
      #expect(
        full - before <= Self.count * 1024 * sanitizerSlack,
        "\((full - before) / Self.count) each")
      #expect(full - before >= Self.count * 100, "the measure itself works")
      // One more is one too many.
      #expect(try client.createSession(Samples.encryption).status != .ok)

      let sample = (0..<Self.count).shuffled(using: &random).prefix(5000)
      for number in sample {
        try #require(
          try encryptsRightly(client, identifiers[number], number), "session \(number)")
      }
      // The keys of those are expanded now.
      let used = try daemon.privateByteCount()
      #expect(used - full >= sample.count * 200, "the measure itself works")

      try pipeline.destroy(identifiers)
      for number in sample.prefix(100) {
        let operation = Samples.encrypt(identifiers[number])
        #expect(try client.perform(operation).status == .invsess)
      }
      #expect(try daemon.device().sessions.open == 0)
      // What they took goes back: all of it but a few MiB of tables that stay ready.
      try waitUntil("the memory's return") {
        try daemon.privateByteCount() < before + (8 << 20) * sanitizerSlack
      }

      // And the device works as before.
      let again = try pipeline.create(0..<10)
      for number in 0..<10 { #expect(try encryptsRightly(client, again[number], number)) }
      try pipeline.destroy(again)
      pipeline.dispose()
    }

    /// Sessions with the longest keys of each kind.
    private static let kinds: [SessionSpec] = [
      .cipher(.aesCBC, .encrypt, key: Samples.bytes(32)),
      .cipher(.aesXTS, .decrypt, key: Samples.bytes(64)),
      .hash(.sha512, resultByteCount: 64),
      .mac(.hmacSHA512, key: Samples.bytes(512), resultByteCount: 64),
      .aead(.gcm, .encrypt, key: Samples.bytes(32), tagByteCount: 16),
      .chain(
        SessionSpec.Chain(
          .aesCBC, .encrypt, key: Samples.bytes(32), order: .cipherThenHash,
          second: .authenticated(.hmacSHA512, key: Samples.bytes(512)))),
    ]

    @Test(arguments: kinds.indices)
    func aSessionTakesAtMostAKibibyte(kind: Int) throws {
      let count = 20_000
      let daemon = try DaemonProcess(configuration: Self.configuration())
      let client = try connect(daemon)
      var pipeline = try SessionPipeline.over(
        client, template: Self.kinds[kind], depth: 64, batch: 32)
      _ = try pipeline.create(0..<1000)
      let before = try daemon.privateByteCount()
      let identifiers = try pipeline.create(1000..<1000 + count)
      #expect(Set(identifiers).count == count)
      let each = (try daemon.privateByteCount() - before) / count
      print("bytes per session of kind \(kind): \(each)")
      #expect((100...1024 * sanitizerSlack).contains(each), "\(each) bytes each")
      pipeline.dispose()
    }

    @Test func waitingWithAHundredThousandCostsNothing() throws {
      let daemon = try DaemonProcess(configuration: Self.configuration())
      let client = try connect(daemon, queues: 4)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 32)
      let identifiers = try pipeline.create(0..<Self.count)
      for number in 0..<400 {
        #expect(
          try encryptsRightly(client, identifiers[number], number, queue: number % 4))
      }
      // Ending some sends the workers their news, which must come to an end.
      try pipeline.destroy(Array(identifiers[400..<800]))
      usleep(1_000_000)
      let before = daemon.processorNanoseconds
      #expect(before > 1_000_000, "the measure itself works")
      usleep(2_000_000)
      let spent = daemon.processorNanoseconds - before
      #expect(spent < 1_000_000, "\(spent) ns in two idle seconds")
      #expect(try encryptsRightly(client, identifiers[0], 0))
      pipeline.dispose()
    }

    @Test func sessionsThatComeAndGoAtOnceNeverPileUp() throws {
      let daemon = try DaemonProcess.withStatistics(Self.configuration())
      let client = try connect(daemon, queues: 4)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 32)
      try pipeline.createAndDestroy(20_000)
      usleep(100_000)
      let before = try daemon.privateByteCount()
      try pipeline.createAndDestroy(200_000)
      // Those that workers had still to let go of are not counted as open, but they go, too.
      try waitUntil("the memory's return") {
        try daemon.privateByteCount() < before + (8 << 20) * sanitizerSlack
      }
      let sessions = try daemon.device().sessions
      #expect(sessions.created == 220_000 && sessions.destroyed == 220_000)
      #expect(sessions.open == 0)
      pipeline.dispose()
    }

    // MARK: The tool

    private struct Row: Decodable {
      struct Rate: Decodable {
        var operations: Int
        var operationsPerSecond: Double
        var daemonNanosecondsPerOperation: Double?
      }
      var type: String
      var count: Int
      var create: Rate
      var destroy: Rate
      var pairs: Rate
      var bytesPerSession: Double?
      var verified: Int
      var compared: Int
    }

    @Test(arguments: ["split", "packed"], ["aes-128-cbc-encrypt", "hmac-sha256"])
    func theToolMeasuresAndVerifies(ring: String, operation: String) throws {
      let daemon = try DaemonProcess.withStatistics()
      let result = try FinishedProgram.run(
        "vhost-crypto",
        [
          "bench-sessions", "--socket-path=\(daemon.socketPath)", "--count=5000", "--sample=50",
          "--queues=2", "--ring=\(ring)", "--op=\(operation)", "--json",
        ])
      #expect(result.status == .status(0), "\(result.errorOutput)")
      let rows = try result.jsonLines(Row.self)
      let row = try #require(rows.first)
      #expect(rows.count == 1 && row.type == "sessions" && row.count == 5000)
      // Distinct identifiers, 50 right answers, 50 refusals.
      #expect(row.verified == 101 && row.compared == 101)
      #expect(row.create.operations == 5000 && row.pairs.operations == 10_000)
      for rate in [row.create, row.destroy, row.pairs] {
        #expect(rate.operationsPerSecond > 0)
        #expect(rate.daemonNanosecondsPerOperation.map { $0 > 0 } == true)
      }
      let sessions = try daemon.device().sessions
      #expect(sessions.created == 10_001 && sessions.open == 0)
    }

    @Test func moreSessionsThanThereMayBeAreStatus69() throws {
      let daemon = try DaemonProcess(
        configuration: "version: 1\ndevice: { max-sessions: 100 }\n")
      try FinishedProgram.run(
        "vhost-crypto",
        ["bench-sessions", "--socket-path=\(daemon.socketPath)", "--count=101", "--sample=1"]
      ).expectComplaint(69, "max-sessions", from: "vhost-crypto bench-sessions: ")
    }

    @Test(arguments: [
      [], ["--socket-path=/tmp/x", "--count=0"], ["--socket-path=/tmp/x", "--depth=513"],
      ["--socket-path=/tmp/x", "--op=rsa-2048-sign"], ["--socket-path=/tmp/x", "--ring=odd"],
      ["--socket-path=/tmp/x", "--engine=openssl"], ["--socket-path=/tmp/x", "--queues=0"],
    ])
    func wrongFlagsAreOneLineAndStatus64(arguments: [String]) throws {
      try FinishedProgram.run("vhost-crypto", ["bench-sessions"] + arguments)
        .expectComplaint(64, from: "vhost-crypto bench-sessions: ")
    }
  }
}
