import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

extension TheDaemon {
  @Suite("Reload")
  struct ReloadTests {
    private static let withoutCBC =
      "version: 1\nalgorithms: { cipher: { aes-cbc: off } }\n"

    private func rewrite(_ daemon: DaemonProcess, _ text: String) throws {
      _ = try daemon.directory.write(text, to: "capabilities.yaml")
      daemon.send(signal: SIGHUP)
    }

    private func reload(_ daemon: DaemonProcess, _ text: String) throws {
      let before = count("is reloaded", daemon)
      try rewrite(daemon, text)
      try waitUntil("the reload") { count("is reloaded", daemon) > before }
    }

    private func count(_ words: String, _ daemon: DaemonProcess) -> Int {
      daemon.standardError.split(separator: "\n").count { $0.contains(words) }
    }

    private func configuration(_ daemon: DaemonProcess) throws -> String {
      String(
        decoding: try HTTPExchange.get("/config?format=yaml", socketPath: daemon.statsPath),
        as: UTF8.self)
    }

    private static var optionsWithChannel: Frontend.Options {
      var options = Frontend.Options()
      options.protocolFeatures =
        Frontend.Options.allProtocolFeatures | ProtocolFeature.backendRequests
      return options
    }

    /// Gives the back-end a way to its front-end; our end of it.
    private func openChannel(_ frontend: Frontend) throws -> Int32 {
      var ends: [Int32] = [-1, -1]
      guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
      else { throw TestSupportError("no socket pair: errno \(errno)") }
      defer { close(ends[1]) }
      try frontend.command(.setBackendRequestDescriptor, descriptors: [ends[1]])
      return ends[0]
    }

    /// Whether a configuration change is announced in time.
    private func isTold(_ channel: Int32, milliseconds: Int32 = 5000) throws -> Bool {
      var entry = pollfd(fd: channel, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, milliseconds) == 1 else { return false }
      var bytes = [UInt8](repeating: 0, count: MessageHeader.byteCount)
      guard read(channel, &bytes, bytes.count) == bytes.count else { return false }
      return try MessageHeader(parsing: bytes.span).code == BackendRequest.configChange.rawValue
    }

    /// The filter of system calls, which ends a process that writes files, is on.
    @Test func whatAReloadMeasuresIsNotWritten() throws {
      let directory = try TemporaryDirectory()
      let cache = directory.file("speeds.json")
      let named = ["cipher", "hash", "mac", "aead"].map {
        "  \($0): { default: { engine: [openssl] } }\n"
      }
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\nalgorithms:\n" + named.joined(),
        arguments: ["--calibration-cache=\(cache)"])
      #expect(count("engines measured", daemon) == 0)
      for _ in 0..<2 { try reload(daemon, "version: 1\n") }
      try daemon.client().expectService()
      #expect(!FileManager.default.fileExists(atPath: cache))
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func changedMasksReachTheGuestAndSessionsLiveOn() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client(options: Self.optionsWithChannel)
      let channel = try openChannel(client.frontend)
      defer { close(channel) }
      let session = try client.openSession(Samples.encryption)
      let cbc = UInt64(1) << 3
      #expect(try client.frontend.readConfiguration().cipherAlgorithms & cbc != 0)
      #expect(try !isTold(channel, milliseconds: 50))

      try reload(daemon, Self.withoutCBC)
      #expect(try isTold(channel))
      #expect(try client.frontend.readConfiguration().cipherAlgorithms & cbc == 0)
      #expect(try configuration(daemon).contains("# cipher aes-cbc: not advertised: switched off"))
      #expect(try configuration(daemon).contains("    aes-cbc: off\n"))
      #expect(count("what the device offers has changed", daemon) == 1)
      // The session keeps its engine; there are no new ones.
      let operation = Samples.encrypt(session)
      #expect(
        try client.perform(operation).output == ReferenceCrypto.answer(to: operation)?.output)
      #expect(try client.createSession(Samples.encryption).status == .notsupp)

      // The same again is no change.
      try reload(daemon, Self.withoutCBC)
      #expect(try !isTold(channel, milliseconds: 50))
      try reload(daemon, "version: 1\n")
      #expect(try isTold(channel))
      try client.expectService()
    }

    @Test func newSessionsTakeNewRoutes() throws {
      func text(_ engine: String) -> String {
        "version: 1\nalgorithms: { cipher: { aes-cbc: { engine: [\(engine)] } } }\n"
      }
      let daemon = try DaemonProcess.withStatistics(text("openssl"))
      let client = try daemon.client()
      let old = try client.openSession(Samples.encryption)
      try reload(daemon, text("ipsec-mb"))
      let new = try client.openSession(Samples.encryption)
      for _ in 0..<3 { #expect(try client.perform(Samples.encrypt(old)).status == .ok) }
      for _ in 0..<2 { #expect(try client.perform(Samples.encrypt(new)).status == .ok) }
      let rows = try daemon.device().algorithms
      #expect(rows.first { $0.engine == "openssl" }?.requests == 3)
      #expect(rows.first { $0.engine == "ipsec-mb" }?.requests == 2)
    }

    @Test func aBadFileIsRefusedWithItsLineAndTheOldOneStays() throws {
      let daemon = try DaemonProcess.withStatistics(Self.withoutCBC)
      let before = try configuration(daemon)
      try rewrite(daemon, "version: 1\ndevice:\n  quues: 4\n")
      try waitUntil("the refusal") { count("is refused", daemon) == 1 }
      let line = try #require(
        daemon.standardError.split(separator: "\n").first { $0.contains("is refused") })
      #expect(
        line.contains(
          "capabilities.yaml:3:3: unknown key \"quues\" in device; did you mean \"queues\"?"),
        "\(line)")
      #expect(try configuration(daemon) == before)
      try FileManager.default.removeItem(atPath: daemon.directory.file("capabilities.yaml"))
      daemon.send(signal: SIGHUP)
      try waitUntil("the second refusal") { count("is refused", daemon) == 2 }
      #expect(try configuration(daemon) == before)
      try reload(daemon, "version: 1\n")
      try daemon.client().expectService()
    }

    @Test func whatCannotChangeIsToldInALineEach() throws {
      let daemon = try DaemonProcess.withStatistics("version: 1\ndevice: { max-sessions: 100 }\n")
      try reload(
        daemon,
        """
        version: 1
        device: { queues: 2, dialect: draft-v15, max-sessions: 200, max-request: 64KiB }
        workers: { helpers: 0 }
        log: { level: debug }
        stats: { socket: /run/x.sock }

        """)
      let lines = daemon.standardError.split(separator: "\n")
        .filter { $0.contains("a change needs a restart") }
      for words in [
        "device.queues", "device.dialect", "workers", "log", "stats.socket",
        "max-sessions 200 is more than the 100 of the start",
      ] {
        #expect(lines.count { $0.contains(words) } == 1, "\(words) in \(lines)")
      }
      #expect(lines.count == 6, "\(lines)")
      #expect(try daemon.device().limits.requestBytes == 65536)
      let client = try daemon.client()
      #expect(try client.frontend.readConfiguration().maxDataQueues == 4)
      #expect(try client.frontend.readConfiguration().maxRequestByteCount == 65536)
      try client.expectService()
    }

    @Test func withoutAFileThereIsNothingToReload() throws {
      let daemon = try DaemonProcess()
      daemon.send(signal: SIGHUP)
      try waitUntil("the answer") { count("there is nothing to reload", daemon) == 1 }
      try daemon.client().expectService()
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func limitsOfTheFileAreTakenOver() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session)])
      try carousel.run(2000)
      try reload(daemon, "version: 1\ndevice: { limits: { operations-per-second: 2000 } }\n")
      let time = try ContinuousClock().measure { try carousel.run(4000) } / .seconds(1)
      #expect((1.8...2.2).contains(time), "\(time) s")
      try reload(daemon, "version: 1\n")
      let free = try ContinuousClock().measure { try carousel.run(4000) } / .seconds(1)
      #expect(free < 0.5, "\(free) s")
    }

    @Test func reloadsUnderTrafficHarmNoRequest() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      let carousels = try (0..<2).map {
        try Carousel(client, [Samples.encrypt(session)], queue: $0)
      }
      let worker = Worker {
        for _ in 0..<40 { for carousel in carousels { try carousel.run(5000) } }
      }
      var reloads = 0
      while !worker.isDone {
        try reload(daemon, reloads % 2 == 0 ? Self.withoutCBC : "version: 1\n")
        reloads += 1
      }
      try worker.result()
      #expect(reloads > 5)
      for carousel in carousels { try carousel.expectRightAnswers() }
      let device = try daemon.device()
      #expect(device.queues.reduce(0) { $0 + $1.requests } == 400_000)
      #expect(device.algorithms.allSatisfy { $0.errors == 0 })
    }

    @Test func aReloadThatRacesWithAConnectionIsNotMissed() throws {
      let daemon = try DaemonProcess.withStatistics()
      let cbc = UInt64(1) << 3
      for round in 0..<40 {
        let wanted = round % 2 == 0 ? 0 : cbc
        let reloads = count("is reloaded", daemon)
        _ = try daemon.directory.write(
          wanted == 0 ? Self.withoutCBC : "version: 1\n", to: "capabilities.yaml")
        daemon.send(signal: SIGHUP)
        // Another moment of the connection each time.
        usleep(UInt32(round % 8) * 300)
        let client = try daemon.client(options: Self.optionsWithChannel)
        var masks = try client.frontend.readConfiguration().cipherAlgorithms
        let channel = try openChannel(client.frontend)
        defer { close(channel) }
        if masks & cbc != wanted {
          // Read before the reload: then it has to be told.
          #expect(try isTold(channel), "round \(round)")
          masks = try client.frontend.readConfiguration().cipherAlgorithms
        }
        #expect(masks & cbc == wanted, "round \(round)")
        try waitUntil("the reload") { count("is reloaded", daemon) > reloads }
        client.frontend.disconnect()
      }
    }

    @Test func theServiceManagerHearsOfReloads() throws {
      let directory = try TemporaryDirectory()
      let manager = try ManagerSocket(directory)
      let daemon = try DaemonProcess(
        configuration: "version: 1\n", environment: ["NOTIFY_SOCKET": manager.address])
      #expect(try manager.next().contains("READY=1"))
      try rewrite(daemon, Self.withoutCBC)
      let begin = try manager.next()
      #expect(begin.contains("RELOADING=1\n") && begin.contains("MONOTONIC_USEC="))
      let end = try manager.next()
      #expect(end.contains("READY=1") && end.contains("STATUS=Reloaded"))
      try rewrite(daemon, "version: 2\n")
      #expect(try manager.next().contains("RELOADING=1"))
      let refused = try manager.next()
      #expect(refused.contains("READY=1"))
      #expect(refused.contains("STATUS=Reload refused: ") && refused.contains(":1:10: "))
    }
  }
}
