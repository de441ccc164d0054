import CryptoTypes
import Foundation
import StatsEndpoint
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("Statistics of real traffic")
  struct StatisticsTests {
    private func row(
      _ device: DeviceSnapshot, _ algorithm: String, _ operation: String
    ) throws -> AlgorithmStatistics {
      try #require(
        device.algorithms.first { $0.algorithm == algorithm && $0.operation == operation })
    }

    /// One engine, so that its name is known, whatever else this host has.
    private static let onOpenSSL = """
      version: 1
      algorithms:
        cipher: { default: { engine: [openssl] } }
        hash: { default: { engine: [openssl] } }
        aead: { default: { engine: [openssl] } }

      """

    @Test func countersEqualTheTrafficExactly() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
      let hashSession = try client.openSession(hash)
      let aead = SessionSpec.aead(.gcm, .decrypt, key: Samples.bytes(16), tagByteCount: 16)
      let aeadSession = try client.openSession(aead)

      for queue in 0..<2 {
        let carousel = try Carousel(
          client, [Samples.encrypt(session, byteCount: 512)], queue: queue)
        try carousel.run(3000 + queue * 1000, batch: 8)
      }
      for _ in 0..<5 {
        let operation = OperationSpec(hash, sessionID: hashSession, source: Samples.bytes(100))
        #expect(try client.perform(operation).status == .ok)
      }
      // A tag that does not verify: BADMSG. A length that is no block's multiple: ERR.
      for _ in 0..<3 {
        let operation = OperationSpec(
          aead, sessionID: aeadSession, iv: Samples.bytes(12), source: Samples.bytes(48))
        #expect(try client.perform(operation).status == .badmsg)
      }
      for _ in 0..<4 {
        #expect(try client.perform(Samples.encrypt(session, byteCount: 17)).status == .err)
      }
      // No such session: no algorithm to count it under.
      for _ in 0..<6 { #expect(try client.perform(Samples.encrypt(12345)).status == .invsess) }
      #expect(try client.destroySession(hashSession, service: .hash) == .ok)
      #expect(try client.createSession(.cipher(.aesCBC, .encrypt, key: [1])).statusWord != 0)

      let device = try daemon.device()
      let encryption = try row(device, "aes-cbc", "encrypt")
      #expect(
        encryption.service == "cipher" && encryption.engine == "openssl")
      #expect(encryption.requests == 7004)
      #expect(encryption.errors == 4)
      #expect(encryption.statuses == ["ERR": 4])
      #expect(encryption.bytes == 7000 * 512)
      #expect(try row(device, "sha256", "hash").requests == 5)
      #expect(try row(device, "sha256", "hash").bytes == 500)
      #expect(try row(device, "sha256", "hash").errors == 0)
      #expect(try row(device, "aes-gcm", "decrypt").requests == 3)
      #expect(try row(device, "aes-gcm", "decrypt").statuses == ["BADMSG": 3])
      #expect(device.algorithms.count == 3)

      #expect(device.queues[0].requests == 3000 + 5 + 3 + 4 + 6)
      #expect(device.queues[0].requestsRefused == 6)
      #expect(device.queues[1].requests == 4000)
      #expect(device.queues[1].bytes == 4000 * 512)
      #expect(device.queues[2].requests == 0 && !device.queues[2].running)
      for queue in device.queues {
        #expect(queue.inFlight == 0 && queue.malformedRings == 0)
        #expect(queue.batchSizes.values.reduce(0, +) == queue.batches)
        #expect(queue.batchSizes.reduce(0) { $0 + UInt64($1.key) * $1.value } == queue.requests)
      }
      #expect(device.sessions.created == 3)
      #expect(device.sessions.destroyed == 1)
      #expect(device.sessions.refused == 1)
      #expect(device.sessions.open == 2)
      #expect(device.qemu.symEncryptOps == 7004 && device.qemu.symDecryptOps == 0)

      for statistics in device.algorithms {
        let latency = statistics.latencyNanoseconds
        #expect(latency.count == statistics.requests)
        #expect(latency.p50 > 0 && latency.p50 <= latency.p90 && latency.p90 <= latency.p99)
        #expect(latency.p99 <= latency.p999 && latency.p999 <= latency.max)
        #expect(latency.max < 5_000_000_000)
        #expect(latency.atMost.last?.count == statistics.requests)
      }
    }

    @Test func metricsAreStrictOpenMetricsAndAgreeWithStats() throws {
      let daemon = try DaemonProcess.withStatistics(Self.onOpenSSL)
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      try Carousel(client, [Samples.encrypt(session)]).run(2000)
      for _ in 0..<2 {
        #expect(try client.perform(Samples.encrypt(session, byteCount: 17)).status == .err)
      }
      let device = try daemon.device()
      let body = try HTTPExchange.get("/metrics", socketPath: daemon.statsPath)
      let metrics = try OpenMetricsText(String(decoding: body, as: UTF8.self))
      let queue = ["device": "vhost", "queue": "0"]
      let first = device.queues[0]
      for (name, value) in [
        ("requests", first.requests), ("bytes", first.bytes), ("kicks", first.kicks),
        ("calls_sent", first.callsSent), ("calls_suppressed", first.callsSuppressed),
        ("bounced", first.bounced), ("helped", first.helped),
      ] {
        #expect(
          metrics.value("vhost_crypto_queue_\(name)_total", queue) == Double(value), "\(name)")
      }
      #expect(
        metrics.value("vhost_crypto_queue_batch_size_count", queue) == Double(first.batches))
      var labels = [
        "device": "vhost", "service": "cipher", "algorithm": "aes-cbc", "operation": "encrypt",
        "engine": "openssl",
      ]
      #expect(metrics.value("vhost_crypto_bytes_total", labels) == 512_000)
      #expect(metrics.value("vhost_crypto_request_duration_seconds_count", labels) == 2002)
      labels["status"] = "OK"
      #expect(metrics.value("vhost_crypto_requests_total", labels) == 2000)
      labels["status"] = "ERR"
      #expect(metrics.value("vhost_crypto_requests_total", labels) == 2)
      #expect(metrics.value("vhost_crypto_sessions_open", ["device": "vhost"]) == 1)
      #expect(metrics.value("vhost_crypto_device_connected", ["device": "vhost"]) == 1)
      #expect(metrics.value("vhost_crypto_queue_starts_total", queue) == Double(first.starts))
      #expect(
        metrics.value(
          "vhost_crypto_queue_errors_total", queue.merging(["status": "ERR"]) { $1 }) == 2)
      // Another opinion, of the parser that will read it.
      let foreign = try PrometheusParser.samples(of: String(decoding: body, as: UTF8.self))
      #expect(foreign.count == metrics.samples.count && foreign.count > 100)
      for sample in foreign {
        #expect(metrics.value(sample.name, sample.labels) == sample.value, "\(sample)")
      }
    }

    @Test func theToolShowsATableAndJSON() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      try client.expectService()
      let arguments = ["stats", "--stats-socket=\(daemon.statsPath)"]
      let table = try FinishedProgram.run("vhost-crypto", arguments)
      #expect(table.status == .status(0))
      for word in ["device vhost", "connected", "aes-cbc", "encrypt", "openssl", "p99.9"] {
        #expect(table.output.contains(word), "\(word) in \(table.output)")
      }
      let json = try FinishedProgram.run("vhost-crypto", arguments + ["--json"])
      #expect(json.status == .status(0))
      let snapshot = try JSONDecoder().decode(DaemonSnapshot.self, from: Data(json.output.utf8))
      #expect(snapshot.devices.map(\.algorithms) == (try [daemon.device().algorithms]))
      try FinishedProgram.run("vhost-crypto", ["stats", "--stats-socket=/tmp/no-such-daemon.sock"])
        .expectComplaint(69, "/tmp/no-such-daemon.sock", from: "vhost-crypto: ")
    }

    @Test func processorTimeIsOfTheQueuesOwnThreads() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session, byteCount: 65536)])
      try carousel.run(20_000)
      let busy = try daemon.device().queues
      #expect(busy[0].cpuSeconds > 0.02, "20,000 times 64 KiB")
      #expect(busy[0].cpuSeconds > 5 * busy[1].cpuSeconds)
      #expect(try daemon.snapshot().process.cpuSeconds >= busy[0].cpuSeconds)
      // It stays when the thread ends, and goes on with the next one.
      carousel.dispose()
      client.frontend.disconnect()
      try waitUntil("the worker's end", milliseconds: 5000) {
        try !daemon.device().queues[0].running
      }
      let ended = try daemon.device().queues[0]
      #expect(ended.cpuSeconds >= busy[0].cpuSeconds && ended.starts >= 1)
      let next = try daemon.client(dataQueueCount: 2)
      try next.expectService()
      let again = try daemon.device().queues[0]
      #expect(again.cpuSeconds > ended.cpuSeconds && again.starts > ended.starts)
    }

    @Test func thousandsOfSessionsAreListedInPages() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
      var expected: Set<String> = []
      for index in 0..<3000 {
        let spec = index % 3 == 0 ? hash : Samples.encryption
        expected.insert("0x" + String(try client.openSession(spec), radix: 16))
      }
      var sessions: [SessionEntry] = []
      var next: Int? = 0
      while let offset = next {
        let body = try HTTPExchange.get(
          "/sessions?device=vhost&limit=700&offset=\(offset)", socketPath: daemon.statsPath)
        let page = try JSONDecoder().decode(SessionPage.self, from: body)
        #expect(page.open == 3000 && page.offset == offset && page.sessions.count <= 700)
        sessions += page.sessions
        next = page.next
      }
      #expect(sessions.count == 3000 && Set(sessions.map(\.id)) == expected)
      #expect(sessions.count { $0.algorithm == "sha256" && $0.service == "hash" } == 1000)
      #expect(
        sessions.count { $0.algorithm == "aes-cbc" && $0.operation == "encrypt" } == 2000)
      #expect(sessions.allSatisfy { !$0.engines.isEmpty && $0.ageSeconds < 60 })
    }

    @Test func listingSessionsDelaysNoControlRequest() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      for _ in 0..<5000 { _ = try client.openSession(Samples.encryption) }
      let isDone = Atomic(false)
      let pages = Atomic(0)
      let ended = DispatchSemaphore(value: 0)
      let path = daemon.statsPath
      Thread.detachNewThread {
        while !isDone.load(ordering: .relaxed) {
          guard
            (try? HTTPExchange.get("/sessions?limit=1000&offset=4000", socketPath: path)) != nil
          else { break }
          pages.add(1, ordering: .relaxed)
        }
        ended.signal()
      }
      try waitUntil("a page", milliseconds: 5000) { pages.load(ordering: .relaxed) > 0 }
      var slowest = Duration.zero
      for _ in 0..<500 {
        let start = ContinuousClock.now
        let session = try client.openSession(Samples.encryption)
        #expect(try client.destroySession(session, service: .cipher) == .ok)
        slowest = max(slowest, start.duration(to: .now))
      }
      isDone.store(true, ordering: .relaxed)
      #expect(ended.wait(timeout: .now() + 10) == .success)
      #expect(pages.load(ordering: .relaxed) > 10)
      // A page of a thousand takes milliseconds to write; a control request waits for none of that.
      #expect(slowest < .milliseconds(250), "\(slowest)")
    }

    @Test func theConfigurationIsServedAsItIsInForce() throws {
      let daemon = try DaemonProcess.withStatistics(
        """
        version: 1
        device: { queues: 3, max-request: 2MiB }
        algorithms:
          cipher: { default: off, aes-cbc: { engine: [openssl] } }
          hash: { default: off }
          mac: { default: off }
          aead: { default: off }
          akcipher: { default: off }

        """)
      let yaml = String(
        decoding: try HTTPExchange.get("/config?format=yaml", socketPath: daemon.statsPath),
        as: UTF8.self)
      // It is a capability file, and says what it came to.
      let directory = try TemporaryDirectory()
      let file = try directory.write(yaml, to: "again.yaml")
      let check = try FinishedProgram.run(
        "vhost-user-crypto", ["--config=\(file)", "--check-config"])
      #expect(check.status == .status(0), "\(check.errorOutput)")
      #expect(yaml.contains("# device vhost: crypto_services 0x1, cipher_algo 0x8, hash_algo 0x0"))
      #expect(yaml.contains("# cipher aes-cbc: openssl\n"))
      #expect(yaml.contains("# cipher aes-ctr: not advertised: switched off\n"))
      let body = try HTTPExchange.get("/config", socketPath: daemon.statsPath)
      let json = try #require(try JSONSerialization.jsonObject(with: body) as? [String: Any])
      let settings = try #require(json["settings"] as? [String: Any])
      let device = try #require((json["devices"] as? [[String: Any]])?.first)
      #expect(device["name"] as? String == "vhost")
      #expect(device["maximumDataQueues"] as? Int == 3)
      #expect(device["maximumRequestBytes"] as? Int == 2 << 20)
      #expect((device["masks"] as? [String: String])?["cipher_algo"] == "0x8")
      #expect((settings["stats"] as? [String: String])?["socket"] == daemon.statsPath)
      let ciphers = (settings["algorithms"] as? [String: [String: Any]])?["cipher"]
      #expect(ciphers?["aes-ctr"] as? String == "off")
      let algorithms = try #require(json["algorithms"] as? [[String: Any]])
      let offered = algorithms.filter { ($0["engines"] as? [[String: Any]])?.isEmpty == false }
      #expect(offered.compactMap { $0["algorithm"] as? String } == ["aes-cbc"])
      #expect((offered[0]["engines"] as? [[String: Any]])?[0]["engine"] as? String == "openssl")
    }

    // MARK: Readers during traffic

    @Test func hostileReadersChangeNothing() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, (0..<16).map { Samples.encrypt(session, salt: $0) })
      try carousel.run(5000)
      try carousel.expectRightAnswers()
      _ = try daemon.snapshot()
      let first = try daemon.snapshot()
      let before = first.process
      // Idle ones, ones that never read, and one that sends its request a byte at a time.
      let idle = try (0..<200).map { _ in try UnixSocket.connected(to: daemon.statsPath) }
      let deaf = try (0..<50).map { _ in
        try HTTPExchange("/metrics", socketPath: daemon.statsPath)
      }
      let trickle = try UnixSocket.connected(to: daemon.statsPath)
      var sent = 0
      for byte in "GET /stats HTTP/1.1\r\nX: ".utf8 {
        var byte = byte
        if send(trickle.descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 { sent += 1 }
        try carousel.run(500)
        try carousel.expectRightAnswers()
      }
      #expect(sent > 10)
      let start = ContinuousClock.now
      let after = try daemon.snapshot()
      #expect(start.duration(to: .now) < .seconds(2))
      #expect(after.devices[0].queues[0].requests == UInt64(5000 + 24 * 500))
      #expect(after.devices[0].queues[0].starts == first.devices[0].queues[0].starts)
      // Sixty-four connections and their answers, not 251.
      #expect(after.process.openFiles <= before.openFiles + 66)
      let growth = Int(after.process.residentBytes) - Int(before.residentBytes)
      #expect(growth < (24 << 20) * sanitizerSlack, "\(growth) bytes")
      withExtendedLifetime((idle, deaf, trickle)) {}
    }

    @Test func scrapingAHundredTimesASecondChangesNoResult() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let scraper = Scraper(daemon.statsPath)
      let carousel = try Carousel(
        client, (0..<16).map { Samples.encrypt(session, salt: $0) })
      var rounds: UInt64 = 0
      let end = ContinuousClock.now + .seconds(20 * sanitizerSlack)
      while scraper.count < 100, ContinuousClock.now < end {
        try carousel.run(1000)
        try carousel.expectRightAnswers()
        rounds += 1
      }
      #expect(scraper.finish() == nil)
      #expect(scraper.count >= 100)
      #expect(try daemon.device().queues[0].requests == rounds * 1000)
    }

    /// Asks for statistics and metrics in turn, and checks that counters never go back.
    private final class Scraper: Sendable {
      private let isStopped = Atomic(false)
      private let scraped = Atomic(0)
      private let failure = Mutex<String?>(nil)
      private let ended = DispatchSemaphore(value: 0)
      var count: Int { scraped.load(ordering: .relaxed) }

      init(_ path: String) {
        Thread.detachNewThread { [self] in
          do { try scrape(path) } catch { failure.withLock { $0 = "\(error)" } }
          ended.signal()
        }
      }

      private func scrape(_ path: String) throws {
        var last: UInt64 = 0
        while !isStopped.load(ordering: .relaxed) {
          let body = try HTTPExchange.get("/stats", socketPath: path)
          let requests = try JSONDecoder().decode(DaemonSnapshot.self, from: body)
            .devices[0].queues[0].requests
          guard requests >= last else { throw TestSupportError("\(requests) after \(last)") }
          last = requests
          let metrics = try HTTPExchange.get("/metrics", socketPath: path)
          _ = try OpenMetricsText(String(decoding: metrics, as: UTF8.self))
          scraped.add(1, ordering: .relaxed)
          usleep(5000)
        }
      }

      /// What went wrong, if anything.
      func finish() -> String? {
        isStopped.store(true, ordering: .relaxed)
        guard ended.wait(timeout: .now() + 20) == .success else { return "it hangs" }
        return failure.withLock { $0 }
      }
    }

    @Test func slowReadersDisturbNobody() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let slow = try (0..<8).map { _ in try HTTPExchange("/metrics", socketPath: daemon.statsPath) }
      // Half a request, and then silence.
      let silent = try UnixSocket.connected(to: daemon.statsPath)
      _ = send(silent.descriptor, "GET /st", 7, 0)
      for _ in 0..<5 {
        let carousel = try Carousel(client, [Samples.encrypt(session)])
        try carousel.run(2000)
        try carousel.expectRightAnswers()
        carousel.dispose()
        for reader in slow { try reader.readSome(10) }
        let start = ContinuousClock.now
        _ = try daemon.snapshot()
        #expect(start.duration(to: .now) < .seconds(2))
      }
      for reader in slow {
        _ = try OpenMetricsText(String(decoding: reader.body(), as: UTF8.self))
      }
      #expect(try daemon.device().queues[0].requests == 10_000)
      // A reader that is still there does not hold the end up.
      let start = ContinuousClock.now
      #expect(try daemon.terminate() == .status(0))
      #expect(start.duration(to: .now) < .seconds(3))
    }
  }
}
