import CExitWatch
import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend

/// The daemon as a service manager starts it: with listening sockets, and a socket to report to.
private final class Service {
  let directory: TemporaryDirectory
  let manager: ManagerSocket
  let process: ChildProcess
  private let listeners: [OwnedFile]

  func path(_ name: String) -> String { directory.file(name) }
  var log: String { DaemonProcess.text(path("stderr")) }

  /// Starts it.
  ///
  /// - `sockets`: names, as `FileDescriptorName=` has them; each listens at `NAME.sock`.
  /// - `variables`: beside the ones of the protocol, or in their place; an empty one is left out.
  /// - `descriptors`: in place of the listening sockets'.
  init(
    sockets: [String] = [], arguments: [String] = [], variables: [String: String] = [:],
    descriptors: [Int32]? = nil, isAbstract: Bool = false
  ) throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    manager = try ManagerSocket(directory, isAbstract: isAbstract)
    listeners = try sockets.map {
      try UnixSocket.listening(at: directory.file("\($0).sock"), isInherited: true)
    }
    let given = descriptors ?? listeners.map(\.descriptor)
    // Their numbers begin with 3, and LISTEN_PID is the daemon's: the shell becomes it. First all are moved out of the way.
    let moves = given.enumerated().map { "\(100 + $0.offset)<&\($0.element)" }
    let places = given.indices.map { "\(3 + $0)<&\(100 + $0) \(100 + $0)<&-" }
    let script = """
      exec \(moves.joined(separator: " "))
      exec \(places.joined(separator: " "))
      if [ "${LISTEN_PID-}" = own ]; then export LISTEN_PID=$$; fi
      exec "$@"
      """
    var environment = DaemonProcess.inheritedEnvironment
    environment["NOTIFY_SOCKET"] = manager.address
    if !given.isEmpty {
      environment["LISTEN_PID"] = "own"
      environment["LISTEN_FDS"] = "\(given.count)"
      environment["LISTEN_FDNAMES"] = sockets.joined(separator: ":")
    }
    environment.merge(variables) { $1 }
    process = try ChildProcess(
      program: "/bin/bash",
      arguments: ["-c", script, "bash", DaemonProcess.executable("vhost-user-crypto")]
        + arguments + DaemonProcess.rights,
      environment: environment.filter { !$0.value.isEmpty }.map { "\($0.key)=\($0.value)" },
      standardErrorPath: directory.file("stderr"))
  }

  func ready() throws { #expect(try manager.next().hasPrefix("READY=1\nSTATUS=Serving ")) }

  func stop() throws {
    // A socket holds ten datagrams; the last ones need room.
    while manager.poll(milliseconds: 0) != nil {}
    process.send(signal: SIGTERM)
    #expect(process.wait(milliseconds: 5000) == .status(0), "\(log)")
  }

  /// One line, and the status of a configuration that is wrong.
  func expectComplaint(
    _ status: Int32 = 78, _ words: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      process.wait(milliseconds: 10000) == .status(status), "\(log)",
      sourceLocation: sourceLocation)
    #expect(log.split(separator: "\n").count == 1, "\(log)", sourceLocation: sourceLocation)
    #expect(log.contains(words) && log.contains(";"), "\(log)", sourceLocation: sourceLocation)
  }
}

extension TheDaemon {
  @Suite("Under a service manager")
  struct ServiceTests {
    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    // MARK: Notifications

    @Test(arguments: [true, false])
    func readyComesWhenAllSocketsListenAndStoppingWithTheSignal(isAbstract: Bool) throws {
      let directory = try TemporaryDirectory()
      let paths = ["device.sock", "stats.sock"].map(directory.file)
      let service = try Service(
        arguments: ["--socket-path=\(paths[0])", "--stats-socket=\(paths[1])"],
        isAbstract: isAbstract)
      #expect(
        try service.manager.next() == "READY=1\nSTATUS=Serving 1 device, 0 front-ends connected")
      // At once, without another try.
      #expect(
        try HTTPExchange.get("/healthz", socketPath: paths[1])
          == Data((#"{"reasons":[],"status":"ok"}"# + "\n").utf8))
      try CryptoClient.start(path: paths[0]).expectService()
      service.process.send(signal: SIGTERM)
      var last = ""
      while let text = service.manager.poll(milliseconds: 2000) { last = text }
      #expect(last == "STOPPING=1\nSTATUS=Stopping")
      #expect(service.process.wait(milliseconds: 5000) == .status(0))
    }

    @Test func theStatusLineCountsFrontEnds() throws {
      let service = try Service(sockets: ["vm1", "vm2"])
      #expect(
        try service.manager.next() == "READY=1\nSTATUS=Serving 2 devices, 0 front-ends connected")
      let client = try CryptoClient.start(path: service.path("vm1.sock"))
      #expect(try service.manager.next() == "STATUS=Serving 2 devices, 1 front-end connected")
      // Front-ends can come and go as often as they like: one line a second.
      for _ in 0..<50 {
        try CryptoClient.start(path: service.path("vm2.sock")).frontend.disconnect()
      }
      client.frontend.disconnect()
      var lines: [String] = []
      while let text = service.manager.poll(milliseconds: 1500) { lines.append(text) }
      #expect(lines.last == "STATUS=Serving 2 devices, 0 front-ends connected")
      #expect(lines.count <= 6, "\(lines)")
      try service.stop()
    }

    @Test func aStartThatFailsIsToldToTheManager() throws {
      let service = try Service(arguments: ["--socket-path=/nonexistent/vm.sock"])
      let text = try service.manager.next()
      #expect(text.hasPrefix("STATUS=") && text.contains("/nonexistent/vm.sock"))
      #expect(text.hasSuffix("\nERRNO=2"), "\(text)")
      #expect(service.process.wait(milliseconds: 5000) == .status(73))
    }

    @Test func withoutAManagerThatListensTheDaemonServesAllTheSame() throws {
      let daemon = try DaemonProcess(environment: ["NOTIFY_SOCKET": "/nonexistent/notify"])
      try daemon.client().expectService()
      try waitUntil("a complaint") {
        daemon.standardError.contains("the service manager was not told")
      }
      #expect(try daemon.terminate() == .status(0))
    }

    /// Ten datagrams fill the socket.
    @Test func aManagerThatDoesNotReadIsComplainedOfOnceAndHoldsNothingUp() throws {
      let service = try Service(sockets: ["vm1"], variables: ["WATCHDOG_USEC": "100000"])
      try waitUntil("a complaint", milliseconds: 10000) { service.log.contains("was not told") }
      try CryptoClient.start(path: service.path("vm1.sock")).expectService()
      usleep(300_000)
      service.process.send(signal: SIGTERM)
      #expect(service.process.wait(milliseconds: 4000) == .status(0))
      #expect(service.log.split(separator: "\n").count { $0.contains("was not told") } == 1)
    }

    // MARK: Watchdog

    /// Datagrams with their times in milliseconds, for so long.
    private func watch(_ service: Service, milliseconds: Int) -> [(time: Int, text: String)] {
      let start = ContinuousClock.now
      var result: [(Int, String)] = []
      while case let passed = Int(start.duration(to: .now) / .milliseconds(1)),
        passed < milliseconds
      {
        if let text = service.manager.poll(milliseconds: Int32(milliseconds - passed)) {
          result.append((Int(start.duration(to: .now) / .milliseconds(1)), text))
        }
      }
      return result
    }

    @Test func theWatchdogIsFedAtHalfItsTime() throws {
      let service = try Service(
        sockets: ["vm1", "stats"], variables: ["WATCHDOG_USEC": "1000000", "WATCHDOG_PID": ""])
      try service.ready()
      let signs = watch(service, milliseconds: 4300)
      #expect(signs.allSatisfy { $0.text == "WATCHDOG=1" })
      // One at once, and one every 500 ms.
      #expect((8...10).contains(signs.count), "\(signs)")
      for (sign, next) in zip(signs, signs.dropFirst()) {
        #expect(next.time - sign.time < 1000, "\(signs)")
      }
      try service.stop()
    }

    /// Nothing but the thread that serves front-ends can feed it.
    @Test func aDeviceThatHangsFeedsNoWatchdog() throws {
      let service = try Service(
        sockets: ["vm1", "vm2"], variables: ["WATCHDOG_USEC": "400000"])
      try service.ready()
      try waitUntil("the first sign") { service.manager.poll(milliseconds: 1000) == "WATCHDOG=1" }
      let tasks = "/proc/\(service.process.pid)/task"
      let threads = try FileManager.default.contentsOfDirectory(atPath: tasks).filter {
        DaemonProcess.text("\(tasks)/\($0)/comm") == "vcrypto-ctl\n"
      }
      #expect(threads.count == 2)
      var hold = exit_watch()
      let thread = try #require(threads.first.flatMap { Int32($0) })
      #expect(thread_hold_start(thread, &hold) == 0)
      while service.manager.poll(milliseconds: 0) != nil {}
      // An answer may have been on its way.
      let held = watch(service, milliseconds: 1500)
      #expect(held.count <= 1, "\(held)")
      exit_watch_finish(&hold)
      let free = watch(service, milliseconds: 1100)
      #expect(free.count >= 4, "\(free)")
      try service.stop()
    }

    @Test func anotherProcessesWatchdogIsLeftAlone() throws {
      let service = try Service(
        sockets: ["vm1"], variables: ["WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"])
      try service.ready()
      #expect(service.manager.poll(milliseconds: 700) == nil)
      try service.stop()
    }

    /// The library that waits for signals looks around once a second.
    @Test func withoutAWatchdogNothingElseWakesTheDaemon() throws {
      func wakeups(_ variables: [String: String]) throws -> Int {
        let service = try Service(sockets: ["vm1"], variables: variables)
        try service.ready()
        usleep(300_000)
        let before = switches(service)
        usleep(1_500_000)
        let count = switches(service) - before
        try service.stop()
        return count
      }
      #expect(try wakeups([:]) <= 2)
      #expect(try wakeups(["WATCHDOG_USEC": "200000"]) >= 14)
    }

    /// How often threads of the daemon began to wait.
    private func switches(_ service: Service) -> Int {
      let tasks = "/proc/\(service.process.pid)/task"
      let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
      return threads.reduce(0) { sum, thread in
        let lines = DaemonProcess.text("\(tasks)/\(thread)/status").split(separator: "\n")
        let line = lines.first { $0.hasPrefix("voluntary_ctxt_switches:") }
        return sum + (line?.split(separator: "\t").last.flatMap { Int($0) } ?? 0)
      }
    }

    // MARK: Socket activation

    @Test func aGuestEncryptsThroughSocketsOfTheManager() throws {
      let service = try Service(sockets: ["vm1", "stats"])
      // Whoever comes early waits in the socket, not in vain.
      let client = try CryptoClient.start(path: service.path("vm1.sock"))
      try client.expectService()
      try service.ready()
      let body = try HTTPExchange.get("/stats", socketPath: service.path("stats.sock"))
      let devices = try JSONDecoder().decode(DaemonSnapshot.self, from: body).devices
      #expect(devices.map(\.name) == ["vm1"])
      #expect(devices.map(\.socket) == [service.path("vm1.sock")])
      #expect(devices[0].queues[0].requests == 1)
      client.frontend.disconnect()
      try CryptoClient.start(path: service.path("vm1.sock")).expectService()
      try service.stop()
      // They are the manager's to remove.
      #expect(exists(service.path("vm1.sock")) && exists(service.path("stats.sock")))
    }

    @Test func manyReadersOfAnActivatedStatisticsSocketAreServed() throws {
      let service = try Service(sockets: ["vm1", "stats"])
      try service.ready()
      let exchanges = try (0..<40).map { _ in
        try HTTPExchange("/metrics", socketPath: service.path("stats.sock"))
      }
      for exchange in exchanges {
        let text = String(decoding: try exchange.body(), as: UTF8.self)
        #expect(text.hasSuffix("# EOF\n"))
      }
      try service.stop()
    }

    @Test func socketsAreKnownByTheirPathsToo() throws {
      let service = try Service(
        sockets: ["b", "a", "s"], arguments: ["--config=\(pathsFile)"],
        variables: ["LISTEN_FDNAMES": "unit.socket:unit.socket:unit.socket"],
        descriptors: listeners.map(\.descriptor))
      try service.ready()
      let body = try HTTPExchange.get("/stats", socketPath: directory.file("s.sock"))
      let devices = try JSONDecoder().decode(DaemonSnapshot.self, from: body).devices
      #expect(devices.map(\.name) == ["first", "second", "third"])
      try CryptoClient.start(path: directory.file("b.sock"), dataQueueCount: 2).expectService()
      // The third is nobody's but the daemon's, which removes it.
      try CryptoClient.start(path: directory.file("c.sock")).expectService()
      try service.stop()
      #expect(exists(directory.file("a.sock")) && !exists(directory.file("c.sock")))
    }

    private let directory: TemporaryDirectory
    private let pathsFile: String
    private let listeners: [OwnedFile]

    init() throws {
      let directory = try TemporaryDirectory()
      self.directory = directory
      listeners = try ["b", "a", "s"].map {
        try UnixSocket.listening(at: directory.file("\($0).sock"), isInherited: true)
      }
      let devices = [("first", "a"), ("second", "b"), ("third", "c")].map { name, socket in
        "  - { name: \(name), socket: \(directory.file("\(socket).sock")), device: { queues: 2 } }\n"
      }
      pathsFile = try directory.write(
        "version: 1\ndevices:\n\(devices.joined())stats: { socket: \(directory.file("s.sock")) }\n",
        to: "paths.yaml")
    }

    @Test func anActivatedSocketMayBeNamedByFd() throws {
      let service = try Service(sockets: ["unit", "stats"], arguments: ["--fd=3"])
      try service.ready()
      try CryptoClient.start(path: service.path("unit.sock")).expectService()
      _ = try HTTPExchange.get("/healthz", socketPath: service.path("stats.sock"))
      try service.stop()
    }

    @Test func wrongSocketsAreOneLineAndStatus78() throws {
      let device = "--socket-path=/tmp/vm7.sock"
      try Service(sockets: ["vm1"], arguments: [device])
        .expectComplaint(78, "must be one of vm7, stats")
      try Service(sockets: ["vm1", "other"], variables: ["LISTEN_FDNAMES": "vm1:vm1"])
        .expectComplaint(78, "a second socket for device 'vm1'")
      try Service(sockets: ["vm1", "stats"], variables: ["LISTEN_FDNAMES": "stats:stats"])
        .expectComplaint(78, "a second socket for the statistics")
      try Service(sockets: ["vm1"], variables: ["LISTEN_PID": "1"])
        .expectComplaint(78, "LISTEN_PID is 1")
      try Service(sockets: ["vm1"], variables: ["LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"])
        .expectComplaint(78, "descriptor 4 ('b')")
      try Service(sockets: ["vm1"], variables: ["LISTEN_FDS": "x"])
        .expectComplaint(78, "LISTEN_FDS is 'x'")
      let (connected, _) = try UnixSocket.pair()
      try Service(sockets: ["vm1"], descriptors: [connected.descriptor])
        .expectComplaint(78, "Accept=no")
      try Service(sockets: ["vm1"], arguments: ["--client"]).expectComplaint(64, "--client")
      try Service(sockets: ["stats"]).expectComplaint(64, "no socket")
    }

    // MARK: The log

    @Test func theJournalGetsPrioritiesAndNoTimes() throws {
      let directory = try TemporaryDirectory()
      let error = directory.file("journal")
      // What systemd does: standard error is made first, and described by its inode.
      let script = """
        exec 2>"$1"; shift
        export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
        exec "$@"
        """
      let daemon = try ChildProcess(
        program: "/bin/bash",
        arguments: [
          "-c", script, "bash", error, DaemonProcess.executable("vhost-user-crypto"),
          "--socket-path=\(directory.file("vm1.sock"))",
        ], environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" })
      try waitUntil("the daemon", milliseconds: 10000) {
        DaemonProcess.text(error).contains("listening")
      }
      try CryptoClient.start(path: directory.file("vm1.sock")).expectService()
      daemon.send(signal: SIGTERM)
      #expect(daemon.wait(milliseconds: 5000) == .status(0))
      let lines = DaemonProcess.text(error).split(separator: "\n")
      #expect(lines.contains("<6>listening device=vm1 socket=\(directory.file("vm1.sock"))"))
      for line in lines {
        #expect(line.wholeMatch(of: /<[2-7]>[a-z].*/) != nil, "\(line)")
        #expect(line.firstMatch(of: /[0-9]{2}:[0-9]{2}:[0-9]{2}/) == nil, "\(line)")
      }
    }

    /// A log that was sent elsewhere has times again.
    @Test func theJournalsVariableAloneChangesNothing() throws {
      let daemon = try DaemonProcess(environment: ["JOURNAL_STREAM": "1:2"])
      #expect(try daemon.terminate() == .status(0))
      #expect(daemon.standardError.split(separator: "\n").allSatisfy { $0.first?.isNumber == true })
      let told = try DaemonProcess(arguments: ["--log-format=journal"])
      #expect(try told.terminate() == .status(0))
      #expect(told.standardError.split(separator: "\n").allSatisfy { $0.hasPrefix("<") })
    }
  }
}
