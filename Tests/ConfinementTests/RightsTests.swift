import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheConfinement {
  /// What the kernel says of the running daemon, and that it serves.
  @Suite("Rights of the running daemon")
  struct RightsTests {
    /// A directory in which the daemon may make and remove its sockets whoever it becomes.
    private func daemon(
      _ options: [String], configuration: String? = nil, environment: [String: String] = [:]
    ) throws -> DaemonProcess {
      try DaemonProcess(
        arguments: options, configuration: configuration, environment: environment,
        servesStatistics: true)
    }

    private func serve(_ daemon: DaemonProcess, dataQueueCount: Int = 1) throws {
      let client = try daemon.client(dataQueueCount: dataQueueCount)
      for queue in 0..<dataQueueCount {
        let session = try client.openSession(Samples.encryption)
        let operation = Samples.encrypt(session)
        let answer = try client.perform(operation, queue: queue)
        #expect(answer.status == .ok)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
    }

    static let cases: [(options: [String], user: String, group: String, groups: String?)] = [
      ([], "0 0 0 0", "0 0 0 0", nil),
      (["--user=root"], "0 0 0 0", "0 0 0 0", "0"),
      (["--user=nobody"], "65534 65534 65534 65534", "65534 65534 65534 65534", "65534"),
      (["--user=nobody:daemon"], "65534 65534 65534 65534", "1 1 1 1", "1"),
      (["--user=54321:12345"], "54321 54321 54321 54321", "12345 12345 12345 12345", "12345"),
    ]

    @Test(arguments: cases.indices)
    func noThreadKeepsRights(index: Int) throws {
      let expected = Self.cases[index]
      let daemon = try daemon(expected.options)
      let client = try daemon.client(dataQueueCount: 2)
      let session = try client.openSession(Samples.encryption)
      #expect(try client.perform(Samples.encrypt(session), queue: 1).status == .ok)
      _ = try HTTPExchange.get("/stats", socketPath: daemon.statsPath)
      let threads = try threads(of: daemon)
      // Two workers with helpers, their device's thread, and those of the statistics.
      #expect(threads.count >= 8)
      for thread in threads {
        let name = thread["Name", default: "?"]
        // The environment may have every daemon of the tests become somebody.
        if !expected.options.isEmpty || DaemonProcess.user == nil {
          #expect(thread["Uid"] == expected.user, "\(name)")
          #expect(thread["Gid"] == expected.group, "\(name)")
          #expect(thread["Groups"] == expected.groups ?? ownGroups, "\(name)")
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
          #expect(thread[set] == "0000000000000000", "\(name): \(set)")
        }
        #expect(thread["NoNewPrivs"] == "1", "\(name)")
        #expect(thread["Seccomp"] == "2", "\(name)")
      }
      let limits = DaemonProcess.text("/proc/\(daemon.pid)/limits").split(separator: "\n")
      let core = try #require(limits.first { $0.hasPrefix("Max core file size") })
      #expect(core.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"], "\(core)")
      // A process that must not be dumped belongs to root in /proc, whoever it is.
      var status = stat()
      #expect(stat("/proc/\(daemon.pid)/mem", &status) == 0 && status.st_uid == 0)
      #expect(try daemon.terminate() == .status(0))
      #expect(!FileManager.default.fileExists(atPath: daemon.socketPath))
      #expect(!FileManager.default.fileExists(atPath: daemon.statsPath))
    }

    private var ownGroups: String {
      let lines = DaemonProcess.text("/proc/self/status").split(separator: "\n")
      let line = lines.first { $0.hasPrefix("Groups:") } ?? ""
      return line.split { $0.isWhitespace }.dropFirst().joined(separator: " ")
    }

    @Test(arguments: [("log", "2"), ("none", "0"), ("kill", "2")])
    func filterIsOptional(mode: String, state: String) throws {
      let daemon = try daemon(["--seccomp=\(mode)"])
      try serve(daemon)
      for thread in try threads(of: daemon) { #expect(thread["Seccomp"] == state) }
      #expect(daemon.standardError.contains("confined"))
      #expect(daemon.standardError.contains("seccomp=\(mode)"))
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func coreDumpsCanBePermitted() throws {
      let daemon = try daemon(["--user=nobody", "--core-dumps"])
      try serve(daemon)
      var status = stat()
      #expect(stat("/proc/\(daemon.pid)/mem", &status) == 0 && status.st_uid == nobody)
      func limit(_ path: String) -> Substring? {
        DaemonProcess.text(path).split(separator: "\n").first { $0.hasPrefix("Max core file") }
      }
      #expect(limit("/proc/\(daemon.pid)/limits") == limit("/proc/self/limits"))
      #expect(try daemon.terminate() == .status(0))
    }

    @Test func everyEngineServesWithoutRights() throws {
      let engines = try EngineUnderTest.all()
      #expect(!engines.isEmpty)
      for engine in engines {
        let daemon = try daemon(
          ["--user=nobody"], configuration: "version: 1\n" + engine.algorithms)
        try serve(daemon, dataQueueCount: 2)
        #expect(try daemon.terminate() == .status(0), "\(engine)")
      }
    }

    /// Members of the group get in, others do not, whatever the umask says.
    @Test(arguments: ["000", "077", "777"])
    func socketsAreForTheGroup(umask: String) throws {
      let directory = try TemporaryDirectory()
      chmod(directory.path, 0o711)
      chown(directory.path, nobody, nobody)
      let (device, statistics) = (directory.file("d.sock"), directory.file("s.sock"))
      let program = try DaemonProcess.executable("vhost-user-crypto")
      let process = try ChildProcess(
        program: "/bin/sh",
        arguments: [
          "-c", "umask \(umask); exec \"$@\"", "sh", program, "--socket-path=\(device)",
          "--stats-socket=\(statistics)", "--user=nobody", "--socket-group=12345",
          "--stats-socket-group=23456", "--stats-socket-mode=0620",
        ], environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
        standardErrorPath: directory.file("err"))
      try waitUntil("the sockets", milliseconds: 30000) {
        DaemonProcess.text(directory.file("err")).contains("statistics are served")
      }
      for (path, group, mode) in [(device, 12345, 0o660), (statistics, 23456, 0o620)] {
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_uid == nobody && status.st_gid == group, "\(path)")
        #expect(status.st_mode & 0o777 == mode, "\(path)")
        // A member of the group; somebody else; the owner.
        #expect(try confined("connect", path, "54321", "\(group)") == .status(0))
        #expect(try confined("connect", path, "54321", "54321") == .status(EACCES))
        #expect(try confined("connect", path, "\(nobody)", "54321") == .status(0))
      }
      process.send(signal: SIGTERM)
      #expect(process.wait(milliseconds: 10000) == .status(0))
      #expect(!FileManager.default.fileExists(atPath: device))
    }

    /// Where the directory is root's, the file stays, which is said; the next start replaces it.
    @Test func socketThatCannotBeRemovedIsReplaced() throws {
      let directory = try TemporaryDirectory()
      chmod(directory.path, 0o755)
      chown(directory.path, 0, 0)
      let socket = directory.file("d.sock")
      for round in 0..<2 {
        let error = directory.file("err\(round)")
        let process = try ChildProcess(
          program: try DaemonProcess.executable("vhost-user-crypto"),
          arguments: ["--socket-path=\(socket)", "--user=nobody"],
          environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
          standardErrorPath: error)
        try waitUntil("the socket", milliseconds: 30000) {
          DaemonProcess.text(error).contains("listening")
        }
        let client = try CryptoClient.start(path: socket, options: .init(), dataQueueCount: 1)
        let session = try client.openSession(Samples.encryption)
        #expect(try client.perform(Samples.encrypt(session)).status == .ok)
        #expect(DaemonProcess.text(error).contains("will be left behind"))
        process.send(signal: SIGTERM)
        #expect(process.wait(milliseconds: 10000) == .status(0))
        #expect(FileManager.default.fileExists(atPath: socket))
      }
    }
  }
}
