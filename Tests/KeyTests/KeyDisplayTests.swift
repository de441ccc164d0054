import CryptoTypes
import Foundation
import Glibc
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol

/// Where keys must never show: logs, errors, statistics, core dumps.
extension KeyTests {
  @Suite("Keys and what the daemon shows")
  struct KeyDisplayTests {
    /// What a stretch of a key looks like as bytes, hexadecimal, numbers in a list, or base 64.
    static func spellings(_ magic: [UInt8]) -> [[UInt8]] {
      let hexadecimal = magic.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
      let decimal = magic.map(String.init)
      let texts =
        ["", " ", ":"].map { hexadecimal.joined(separator: $0) }
        + [", ", ",", " "].map { decimal.joined(separator: $0) }
        + [hexadecimal.map { "0x" + $0 }.joined(separator: ", ")]
      let words = [magic, magic.reversed()].map { bytes in
        bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      }
      // Of the three ways to fall into groups of three bytes, the middle of each is the same wherever it stands.
      let base64 = (0..<3).map { skipped -> String in
        let whole = Array(magic.dropFirst(skipped).prefix((8 - skipped) / 3 * 3))
        return Data(whole).base64EncodedString()
      }
      return [magic]
        + (texts + texts.map { $0.uppercased() } + words.map(String.init) + base64)
        .map { Array($0.utf8) }
    }

    /// Whether a text holds a stretch of a key in one of the spellings.
    static func shows(_ text: Data, _ magic: [UInt8]) -> Bool {
      spellings(magic).contains { text.firstRange(of: Data($0)) != nil }
    }

    @Test func spellingsAreFound() {
      let magic: [UInt8] = [1, 2, 0xAB, 200, 31, 0xEF, 77, 9]
      let padded = [[], [5], [5, 6]].map { Data($0 + magic + [1, 2, 3]).base64EncodedString() }
      for text in ["x0102abc81fef4d09y", "[1, 2, 171, 200, 31, 239, 77, 9]"] + padded {
        #expect(Self.shows(Data(text.utf8), magic))
      }
      #expect(Self.shows(Data([0] + magic), magic))
      #expect(!Self.shows(Data("0102abc81fef4d00".utf8), magic))
    }

    @Test(arguments: engines, ["text", "json"])
    func noKeyIsLoggedOrCounted(_ engine: EngineUnderTest, _ format: String) throws {
      let stage = try KeyStage(
        engine, format: .stateless, arguments: ["--log-level=trace", "--log-format=\(format)"],
        servesStatistics: true)
      let identifiers = try stage.open()
      try stage.use(identifiers)
      try stage.use(nil)
      try provoke(stage)
      var shown = Data()
      for path in ["/stats", "/metrics", "/healthz", "/sessions", "/config"] {
        shown += try HTTPExchange.get(path, socketPath: stage.daemon.statsPath)
      }
      try stage.destroy(identifiers)
      let logs = stage.daemon.standardError + stage.daemon.standardOutput
      #expect(logs.contains("listening"), "the log is the daemon's")
      #expect(!shown.isEmpty && !Self.shows(shown, stage.marker.magic), "a key in the statistics")
      try stage.finish()
      let all = stage.daemon.standardError + stage.daemon.standardOutput
      #expect(!Self.shows(Data(all.utf8), stage.marker.magic), "a key in the log")
    }

    /// What the daemon complains about, with keys in it.
    private func provoke(_ stage: KeyStage) throws {
      let key = stage.marker.key(2000, 512)
      let wrong: [SessionSpec] = [
        .cipher(.aesCBC, .encrypt, key: Array(key.prefix(33))),
        .mac(.hmacSHA1, key: key, resultByteCount: 99),
        .aead(.gcm, .encrypt, key: Array(key.prefix(40)), tagByteCount: 16),
      ]
      for spec in wrong { #expect(try stage.client.createSession(spec).status != .ok) }
      for spec in wrong {
        let operation = OperationSpec(spec, sessionID: nil, source: key, aad: key)
        #expect(try stage.client.perform(operation).status != .ok)
      }
      // A front-end of its own, because its messages end the connection.
      let spec = SessionSpec.mac(.hmacSHA1, key: key, resultByteCount: 20)
      let payload = try #require(spec.message(.current).encoded)
      for request in [FrontendRequest.createCryptoSession, .setVringNum, .setMemoryTable] {
        let second = try DaemonProcess(
          arguments: ["--log-level=trace"], configuration: nil)
        let client = try second.client()
        let header = MessageHeader(
          request, needsReply: true, payloadByteCount: payload.count - 1)
        try client.frontend.sendRaw(header.encoded + payload.dropLast())
        #expect(
          try client.frontend.isClosedByBackend(timeoutMilliseconds: 300)
            || request != .createCryptoSession)
        client.frontend.disconnect()
        try second.terminate()
        let log = Data(second.standardError.utf8)
        #expect(log.firstRange(of: Data("refused".utf8)) != nil, "\(request)")
        #expect(!Self.shows(log, stage.marker.magic), "a key in the log of \(request)")
      }
    }

    // MARK: Core dumps

    /// Keys are in memory while sessions live, so a crash must leave no core, whoever would read it.
    @Test func crashLeavesNoCore() throws {
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
      let before = limit
      limit.rlim_cur = limit.rlim_max
      setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
      defer {
        var before = before
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &before)
      }
      // Whether this host leaves cores at all, a process that allows it shows. Cores land beside where one was started.
      let directory = try TemporaryDirectory()
      func start(_ command: String) throws -> ChildProcess {
        try ChildProcess(
          program: "/bin/sh", arguments: ["-c", "cd \(directory.path) && exec \(command)"])
      }
      let other = try start("sleep 100")
      let path = directory.file("crash.sock")
      let daemon = try start(
        "\(DaemonProcess.executable("vhost-user-crypto")) --socket-path=\(path) "
          + DaemonProcess.rights.joined())
      try waitUntil("the daemon's socket", milliseconds: 10000) {
        FileManager.default.fileExists(atPath: path)
      }
      let hostLeavesCores = try Self.leavesCore(other)
      let limits = DaemonProcess.text("/proc/\(daemon.pid)/limits").split(separator: "\n")
      let core = limits.first { $0.hasPrefix("Max core file size") } ?? ""
      let words = core.split(separator: " ").dropFirst(4).prefix(2)
      #expect(words.elementsEqual(["0", "0"]), "the daemon may leave a core: \(core)")
      // Handlers that cores are piped to do not ask for the limit: the process itself must forbid it.
      let leavesCore = try Self.leavesCore(daemon)
      #expect(!leavesCore || !hostLeavesCores, "the daemon left a core")
    }

    /// Crashes a process; whether the kernel wrote its core.
    private static func leavesCore(_ process: ChildProcess) throws -> Bool {
      var information = siginfo_t()
      for _ in 0..<100 {
        // A handler that only reports the first one goes on behind it.
        process.send(signal: SIGABRT)
        usleep(100_000)
        // The process stays to be waited for by its owner.
        let result = waitid(
          P_PID, id_t(process.pid), &information, WEXITED | WNOWAIT | WNOHANG)
        guard result == 0 else { throw TestSupportError("waiting for a crash: errno \(errno)") }
        if information.si_signo == SIGCHLD { return information.si_code == CLD_DUMPED }
      }
      throw TestSupportError("the process does not crash")
    }

    /// A crash report with registers, and the memory that they point to, would put keys into the log.
    @Test(arguments: [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT])
    func crashReportShowsNoMemory(_ signal: Int32) throws {
      let daemon = try DaemonProcess()
      daemon.send(signal: signal)
      // By its first signal: a handler in between would also be a thread that goes on after the fault.
      let exit = daemon.process.wait(milliseconds: 1500)
      #expect(exit == .signal(signal), "the daemon did not end by the signal")
      let showsRegisters = daemon.standardError.contains("Registers:")
      #expect(!showsRegisters, "a crash report shows memory")
    }
  }
}
