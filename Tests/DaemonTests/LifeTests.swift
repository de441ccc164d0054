import Foundation
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("Life of a process")
  struct LifeTests {
    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    // MARK: The end

    @Test(arguments: [SIGTERM, SIGINT])
    func signalsEndItWithStatus0AndNoSocketsLeft(signal: Int32) throws {
      let daemon = try DaemonProcess.withStatistics()
      #expect(exists(daemon.socketPath) && exists(daemon.statsPath))
      daemon.send(signal: signal)
      #expect(try daemon.waitForExit(milliseconds: 5000) == .status(0))
      #expect(!exists(daemon.socketPath))
      #expect(!exists(daemon.statsPath))
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func signalsEndItWhileRequestsAreInFlight(signal: Int32) throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      let driver = try Traffic(client, session)
      try waitUntil("traffic") { try daemon.device().queues[0].requests > 1000 }
      daemon.send(signal: signal)
      #expect(try daemon.waitForExit(milliseconds: 5000) == .status(0))
      #expect(!exists(daemon.socketPath))
      #expect(!exists(daemon.statsPath))
      #expect(try client.frontend.isClosedByBackend(timeoutMilliseconds: 2000))
      driver.stop()
    }

    /// Requests without end on queue 0, from a thread of its own.
    private final class Traffic: Sendable {
      private let isStopped = Atomic(false)
      private let ended = DispatchSemaphore(value: 0)

      private final class Box: @unchecked Sendable {
        // Unchecked: the thread alone uses it.
        let carousel: Carousel
        init(_ carousel: Carousel) { self.carousel = carousel }
      }

      init(_ client: CryptoClient, _ session: UInt64) throws {
        let box = Box(try Carousel(client, [Samples.encrypt(session)]))
        Thread.detachNewThread { [self] in
          while !isStopped.load(ordering: .relaxed) {
            // The daemon leaves in the middle: the last round never ends by itself.
            if (try? box.carousel.run(1000, seconds: 1)) == nil { break }
          }
          ended.signal()
        }
      }

      func stop() {
        isStopped.store(true, ordering: .relaxed)
        #expect(ended.wait(timeout: .now() + 10) == .success)
      }
    }

    @Test func signalsDuringTheStartLeaveNoSockets() throws {
      let program = try DaemonProcess.executable("vhost-user-crypto")
      let directory = try TemporaryDirectory()
      for delay in 0..<25 {
        let paths = ["device.sock", "stats.sock"].map(directory.file)
        let daemon = try ChildProcess(
          program: program,
          arguments: ["--socket-path=\(paths[0])", "--stats-socket=\(paths[1])"]
            + DaemonProcess.rights)
        let end = ContinuousClock.now + .seconds(10)
        while !exists(paths[0]), ContinuousClock.now < end { yieldProcessor() }
        usleep(UInt32(delay * 200))
        daemon.send(signal: delay % 2 == 0 ? SIGTERM : SIGINT)
        #expect(daemon.wait(milliseconds: 5000) == .status(0), "after \(delay * 200) us")
        for path in paths { #expect(!exists(path), "after \(delay * 200) us") }
      }
    }

    // MARK: Front-ends come and go

    @Test func frontEndsInTurnLeaveNoThreadsDescriptorsOrMappings() throws {
      let daemon = try DaemonProcess()
      func serveOne(_ round: Int) throws {
        let client = try daemon.client(dataQueueCount: 1 + round % 4)
        for queue in client.dataQueues.indices { try client.expectService(queue: queue) }
        // Some say good-bye to their rings, some just go, with sessions open.
        if round % 2 == 0 { try client.frontend.stopQueue(0) }
        _ = try client.openSession(Samples.encryption)
        client.frontend.disconnect()
        try waitUntil("the end of the workers") { daemon.workerNames.isEmpty }
      }
      for round in 0..<4 { try serveOne(round) }
      try waitUntil("the end of the mappings") { daemon.guestMappingCount == 0 }
      let descriptors = daemon.fileDescriptorCount
      let threads = daemon.threadCount
      for round in 0..<20 { try serveOne(round) }
      try waitUntil("equal counts (\(descriptors), \(threads))") {
        daemon.fileDescriptorCount == descriptors && daemon.threadCount == threads
          && daemon.guestMappingCount == 0
      }
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func socketsOfADeadDaemonAreReplaced() throws {
      let directory = try TemporaryDirectory()
      let paths = ["device.sock", "stats.sock"].map(directory.file)
      // A bound socket whose owner is gone leaves its file.
      for path in paths { _ = try UnixSocket.listening(at: path) }
      for path in paths { #expect(exists(path)) }
      let daemon = try DaemonProcess(
        arguments: ["--socket-path=\(paths[0])", "--stats-socket=\(paths[1])"])
      try CryptoClient.start(path: paths[0]).expectService()
      #expect(
        try HTTPExchange.get("/healthz", socketPath: paths[1])
          == Data((#"{"reasons":[],"status":"ok"}"# + "\n").utf8))
      #expect(try daemon.terminate() == .status(0))
      for path in paths { #expect(!exists(path)) }
    }

    // MARK: Other ways to meet

    private func start(_ arguments: [String]) throws -> ChildProcess {
      try ChildProcess(
        program: DaemonProcess.executable("vhost-user-crypto"),
        arguments: arguments + DaemonProcess.rights)
    }

    @Test func anInheritedConnectionIsServedUntilThePeerLeaves() throws {
      let (theirs, ours) = try UnixSocket.pair()
      let daemon = try start(["--fd=\(theirs.descriptor)"])
      let client = try CryptoClient.start(Frontend(socket: ours))
      try client.expectService()
      #expect(daemon.isRunning)
      client.frontend.disconnect()
      #expect(daemon.wait(milliseconds: 5000) == .status(0))
    }

    @Test func anInheritedListenerIsServedAndItsFileLeftAlone() throws {
      let directory = try TemporaryDirectory()
      let path = directory.file("activated.sock")
      let listener = try UnixSocket.listening(at: path, isInherited: true)
      let daemon = try start(["--fd=\(listener.descriptor)"])
      for _ in 0..<3 {
        let client = try CryptoClient.start(path: path)
        try client.expectService()
        client.frontend.disconnect()
      }
      daemon.send(signal: SIGTERM)
      #expect(daemon.wait(milliseconds: 5000) == .status(0))
      #expect(exists(path))
    }

    @Test func aClientConnectsAndReconnects() throws {
      let directory = try TemporaryDirectory()
      let path = directory.file("vmm.sock")
      // The daemon is there first: it must wait for the front-end.
      let daemon = try start(["--client", "--socket-path=\(path)"])
      usleep(300_000)
      #expect(daemon.isRunning)
      let listener = try UnixSocket.listening(at: path)
      // Whoever the daemon is.
      chmod(path, 0o666)
      for _ in 0..<3 {
        let frontend = Frontend(socket: try UnixSocket.accepted(listener))
        let client = try CryptoClient.start(frontend)
        try client.expectService()
        frontend.disconnect()
      }
      daemon.send(signal: SIGTERM)
      #expect(daemon.wait(milliseconds: 5000) == .status(0))
      #expect(exists(path), "the front-end's socket is the front-end's")
    }

    // MARK: Several devices

    @Test func devicesOfOneProcessShareNothing() throws {
      let directory = try TemporaryDirectory()
      let web = directory.file("web.sock")
      let vm = directory.file("vm.sock")
      let configuration = """
        version: 1
        device: { queues: 2 }
        devices:
          - { name: web, socket: \(web), device: { queues: 3, max-sessions: 2 } }
        """
      let daemon = try DaemonProcess.withStatistics(
        configuration, arguments: ["--socket-path=\(vm)"])
      #expect(try daemon.snapshot().devices.map(\.name) == ["web", "vhost", "vm"])
      #expect(try daemon.snapshot().devices.map(\.queues.count) == [3, 2, 2])
      let first = try CryptoClient.start(path: web, dataQueueCount: 3)
      let second = try CryptoClient.start(path: vm, dataQueueCount: 2)
      // Ids of one device mean nothing in another.
      let foreign = try first.openSession(Samples.encryption)
      #expect(try second.perform(Samples.encrypt(foreign)).status == .invsess)
      #expect(try second.destroySession(foreign, service: .cipher) == .invsess)
      #expect(try first.perform(Samples.encrypt(foreign)).status == .ok)
      // A full table is the device's own trouble.
      _ = try first.openSession(Samples.encryption)
      #expect(try first.createSession(Samples.encryption).statusWord != 0)
      try second.expectService(queue: 1)
      // So is the end of a front-end.
      first.frontend.disconnect()
      try waitUntil("the end of the first") { try !daemon.device("web").connected }
      try second.expectService()
      let devices = try daemon.snapshot().devices
      #expect(devices.map(\.connected) == [false, false, true])
      #expect(devices.map { $0.queues.reduce(0) { $0 + $1.requests } } == [1, 0, 3])
      #expect(devices.map(\.sessions.created) == [2, 0, 2])
      #expect(devices.map(\.sessions.refused) == [1, 0, 0])
      #expect(devices.map(\.sessions.open) == [0, 0, 0])
      #expect(try daemon.terminate() == .status(0))
      for path in [web, vm, daemon.socketPath] { #expect(!exists(path)) }
    }
  }
}
