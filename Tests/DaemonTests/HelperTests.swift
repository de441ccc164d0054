import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension TheDaemon {
  /// Long operations run on helper threads: short ones behind them on the same ring finish first.
  @Suite("Helper threads")
  struct HelperTests {
    static let megabyte = 1 << 20
    static let polls = ["adaptive", "event", "always"]

    /// A daemon that has openssl do everything; one operation at a time keeps a thread busy.
    static func daemon(_ workers: String) throws -> DaemonProcess {
      try DaemonProcess.withStatistics(
        "version: 1\nworkers: { \(workers) }\n"
          + "algorithms: { cipher: { default: { engine: openssl } } }\n")
    }

    static func client(_ daemon: DaemonProcess, _ ring: RingKind = .usual) throws -> CryptoClient {
      var options = Frontend.Options()
      options.ring = ring
      return try CryptoClient.start(
        path: daemon.socketPath, options: options, memory: GuestRAM(byteCount: 128 << 20))
    }

    /// A text to cut operations from: making it takes tests that are built for debugging longer than encrypting it.
    private static let text = Samples.bytes(megabyte)

    static func encrypt(_ session: UInt64, byteCount: Int = megabyte, salt: Int = 0)
      -> OperationSpec
    {
      OperationSpec(
        Samples.encryption, sessionID: session, iv: Samples.bytes(16, salt),
        source: Array(text[..<byteCount]))
    }

    /// Names of helper threads, which are `vcrypto-hQUEUE.NUMBER`.
    static func helperNames(_ daemon: DaemonProcess) -> [String] {
      daemon.threadNames.filter { $0.hasPrefix("vcrypto-h") }.sorted()
    }

    /// Requests that are posted together, in this order.
    struct Volley {
      let client: CryptoClient
      let operations: [OperationSpec]
      let placed: [PlacedRequest]
      let heads: [UInt16]
      var queue: DriverQueue { client.dataQueues[0] }

      init(_ client: CryptoClient, _ operations: [OperationSpec]) throws {
        self.client = client
        self.operations = operations
        placed = try operations.map {
          try PlacedRequest(
            CryptoRequestBuilder.data($0, format: client.format), plan: RequestPlan(),
            in: client.memory)
        }
        heads = try placed.map {
          try client.dataQueues[0].reserve($0.buffers, indirect: true)
        }
      }

      func post() throws {
        queue.disableCalls()
        for head in heads { queue.post(head) }
        if queue.publish() { try queue.kick() }
      }

      /// Waits for all; their indices in the order in which they were finished.
      ///
      /// `count`: how many will be, if not all. `refusal`: what may be answered in place of the right result.
      func finish(
        _ count: Int? = nil, orWith refusal: VirtioCryptoStatus? = nil
      ) throws -> [Int] {
        var order: [Int] = []
        for _ in 0..<(count ?? heads.count) {
          let used = try queue.pollUsed(timeoutMilliseconds: 20000)
          let index = try #require(heads.firstIndex { UInt32($0) == used.head })
          order.append(index)
          let answer = try client.answer(placed[index], used)
          if let refusal, answer.status == refusal { continue }
          #expect(answer.status == .ok)
          let isRight = answer.output == ReferenceCrypto.answer(to: operations[index])?.output
          #expect(isRight, "request \(index)")
        }
        for head in heads { queue.release(head) }
        for request in placed { request.free(in: client.memory) }
        return order
      }
    }

    /// Sixteen long requests, and thirty-two short ones behind them.
    private static func mixed(_ client: CryptoClient) throws -> Volley {
      let session = try client.openSession(Samples.encryption)
      return try Volley(
        client,
        (0..<16).map { encrypt(session, salt: $0) }
          + (0..<32).map { encrypt(session, byteCount: 64, salt: $0) })
    }

    @Test(arguments: polls, [RingKind.split, .packed])
    func shortRequestsBehindLongOnesFinishFirst(poll: String, ring: RingKind) throws {
      let daemon = try Self.daemon("poll: { mode: \(poll) }")
      let client = try Self.client(daemon, ring)
      let volley = try Self.mixed(client)
      try volley.post()
      let order = try volley.finish()
      let lastShort = try #require(order.lastIndex { $0 >= 16 })
      // On a busy machine a helper may be through with one or two before the worker gets a processor.
      #expect(order[..<lastShort].count { $0 < 16 } <= 8, "\(order)")
      let queue = try daemon.device().queues[0]
      #expect(queue.helped == 16)
      #expect(queue.requests == 48 && queue.inFlight == 0)
      #expect(queue.inFlightMaximum == 16)
    }

    /// Helpers and worker finish in any order; where IN_ORDER is negotiated, the driver sees the order of its requests.
    @Test(arguments: polls, [RingKind.splitInOrder, .packedInOrder])
    func requestsAreGivenBackInOrderWhereThatIsNegotiated(poll: String, ring: RingKind) throws {
      let daemon = try Self.daemon("poll: { mode: \(poll) }")
      let client = try Self.client(daemon, ring)
      for _ in 0..<3 {
        let volley = try Self.mixed(client)
        try volley.post()
        #expect(try volley.finish() == Array(0..<48))
      }
      let queue = try daemon.device().queues[0]
      #expect(queue.helped == 48)
      #expect(queue.requests == 144 && queue.inFlight == 0)
    }

    @Test(arguments: ["helpers: 0", "helper-min-size: off", "helper-min-size: 2MiB"])
    func withoutHelpersTheWorkerDoesEverythingInOrder(workers: String) throws {
      let daemon = try Self.daemon(workers)
      let client = try Self.client(daemon)
      let volley = try Self.mixed(client)
      try volley.post()
      #expect(try volley.finish() == Array(0..<48))
      #expect(try daemon.device().queues[0].helped == 0)
      #expect(Self.helperNames(daemon).count == (workers == "helpers: 0" ? 0 : 2))
    }

    @Test func onlyLongOperationsAreHelped() throws {
      let daemon = try Self.daemon("helper-min-size: 8KiB")
      let client = try Self.client(daemon)
      let session = try client.openSession(Samples.encryption)
      for (byteCount, helped) in [(8176, 0), (8192, 1), (8208, 2), (16, 2)] {
        let volley = try Volley(client, [Self.encrypt(session, byteCount: byteCount)])
        try volley.post()
        _ = try volley.finish()
        #expect(try daemon.device().queues[0].helped == helped, "\(byteCount)")
      }
    }

    private static let hasKernel =
      (try? EngineUnderTest.all())?.contains { $0.name == "kernel" } ?? false

    @Test(.enabled(if: hasKernel, "this host's kernel does no crypto for programs"))
    func kernelDoesItsOwnWaiting() throws {
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\nworkers: { helper-min-size: 1KiB }\n"
          + "algorithms: { cipher: { aes-cbc: { engine: kernel } } }\n")
      let client = try Self.client(daemon)
      let session = try client.openSession(Samples.encryption)
      let volley = try Volley(client, [Samples.encrypt(session, byteCount: 4096)])
      try volley.post()
      _ = try volley.finish()
      #expect(try daemon.device().queues[0].helped == 0)
    }

    @Test func eachQueueHasItsHelpersWhileItRuns() throws {
      let daemon = try Self.daemon("helpers: 3")
      #expect(Self.helperNames(daemon).isEmpty)
      let client = try daemon.client(dataQueueCount: 2)
      let names = (0..<2).flatMap { queue in (0..<3).map { "vcrypto-h\(queue).\($0)" } }
      try waitUntil("six helpers") { Self.helperNames(daemon) == names }
      try client.frontend.setEnabled(0, false)
      try waitUntil("three helpers") { Self.helperNames(daemon) == Array(names[3...]) }
      client.frontend.disconnect()
      try waitUntil("the end of helpers") { Self.helperNames(daemon).isEmpty }
    }

    /// Stopping a queue waits for what helpers have: what was taken is finished, and what was not is not.
    @Test(
      arguments: zip(
        polls + polls,
        [.split, .packed, .splitInOrder, .packed, .packedInOrder, .split] as [RingKind]))
    func queueStopsWhenItsHelpersAreDone(poll: String, ring: RingKind) throws {
      let daemon = try Self.daemon("poll: { mode: \(poll) }")
      let client = try Self.client(daemon, ring)
      let session = try client.openSession(Samples.encryption)
      var taken = 0
      for round in 0..<8 {
        let volley = try Volley(
          client,
          (0..<8).map {
            Self.encrypt(session, byteCount: Self.megabyte / 2, salt: $0 + round)
          })
        let queue = volley.queue
        let first = queue.rawUsedIndex
        try volley.post()
        usleep(UInt32(round) * 300)
        let base = try client.frontend.stopQueue(0)
        let next = try #require(queue.index(ofBase: base))
        #expect(queue.rawUsedIndex == next)
        #expect(Self.helperNames(daemon).isEmpty)
        let count = Int(next &- first)
        #expect(Set(try volley.finish(count)) == Set(0..<count))
        taken += count
        // The new start leaves out what was not taken.
        queue.restart(at: queue.availableIndex)
        try client.frontend.startQueue(0, queue)
      }
      #expect(taken > 8)
      #expect(try daemon.device().queues[0].helped == taken)
    }

    @Test func frontEndMayLeaveWhileHelpersWork() throws {
      let daemon = try Self.daemon("poll: { mode: adaptive }")
      for _ in 0..<5 {
        let client = try Self.client(daemon)
        try Self.mixed(client).post()
        client.frontend.disconnect()
        try waitUntil("the end of helpers") { Self.helperNames(daemon).isEmpty }
      }
      try daemon.client().expectService()
      #expect(try daemon.terminate() == .status(0))
    }

    /// What was taken before the session went has its key; what was not is told that there is no session.
    @Test func sessionDestroyedWhileHelpersWorkFinishesWithItsKey() throws {
      let daemon = try Self.daemon("helpers: 2")
      let client = try Self.client(daemon)
      var inFlightCount = 0
      for round in 0..<5 {
        let session = try client.openSession(Samples.encryption)
        let volley = try Volley(
          client, (0..<16).map { Self.encrypt(session, salt: $0 + round) })
        let before = volley.queue.rawUsedIndex
        try volley.post()
        #expect(try client.destroySession(session, service: .cipher) == .ok)
        inFlightCount += 16 - Int(volley.queue.rawUsedIndex &- before)
        _ = try volley.finish(orWith: .invsess)
        // The index is used again, for another key.
        let other = SessionSpec.cipher(.aesCBC, .encrypt, key: Samples.bytes(16, 100 + round))
        let next = try client.openSession(other)
        let operation = OperationSpec(
          other, sessionID: next, iv: Samples.bytes(16), source: Self.text)
        let answers = try Volley(client, [operation, operation, operation])
        try answers.post()
        _ = try answers.finish()
        #expect(try client.destroySession(next, service: .cipher) == .ok)
      }
      #expect(inFlightCount > 20)
      #expect(try daemon.device().queues[0].helped > 15 + 20)
    }
  }
}
