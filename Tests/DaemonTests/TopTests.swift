import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend

@testable import VhostCryptoTool

@Suite("top, on paper")
struct TopScreenTests {
  private func algorithm(
    _ name: String, requests: UInt64, bytes: UInt64 = 0, errors: UInt64 = 0,
    buckets: [(UInt64, UInt64)] = []
  ) throws -> AlgorithmStatistics {
    let latency: [String: Any] = [
      "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0, "mean": 0, "atMost": [Any](),
      "count": requests, "total": 0,
      "buckets": buckets.map { ["nanoseconds": $0.0, "count": $0.1] },
    ]
    let row: [String: Any] = [
      "algorithm": name, "service": "cipher", "operation": "encrypt", "engine": "openssl",
      "requests": requests, "bytes": bytes, "errors": errors, "statuses": [String: Int](),
      "latencyNanoseconds": latency,
    ]
    return try JSONDecoder().decode(
      AlgorithmStatistics.self, from: JSONSerialization.data(withJSONObject: row))
  }

  private func queue(
    _ index: Int, requests: UInt64, bytes: UInt64, batches: UInt64, cpuSeconds: Double,
    fault: String? = nil
  ) throws -> QueueStatistics {
    var queue: [String: Any] = [
      "index": index, "running": fault == nil, "starts": 1, "cpuSeconds": cpuSeconds,
      "helperCPUSeconds": 0, "requests": requests, "bytes": bytes, "statuses": ["ERR": 3],
      "inFlight": 5, "inFlightMaximum": 9, "batches": batches, "batchSizes": [String: Int](),
      "kicks": 0, "callsSent": 0, "callsSuppressed": 0, "spins": 0, "sleeps": 0, "bounced": 0,
      "throttledWaits": 0, "throttledSeconds": 0,
      "helped": 0, "requestsWithoutStatus": 0, "requestsRefused": 0, "malformedRings": 0,
    ]
    queue["fault"] = fault
    return try JSONDecoder().decode(
      QueueStatistics.self, from: JSONSerialization.data(withJSONObject: queue))
  }

  private func snapshot(
    uptime: Double, devices: [String: ([QueueStatistics], [AlgorithmStatistics])]
  ) throws -> DaemonSnapshot {
    var process = ProcessStatistics()
    process.pid = 7
    process.cpuSeconds = uptime / 2
    process.residentBytes = 45 << 20
    process.openFiles = 33
    var qemu: [String: Int] = [:]
    for kind in ["sym-encrypt", "sym-decrypt"]
      + ["encrypt", "decrypt", "sign", "verify"].map({ "asym-" + $0 })
    {
      qemu[kind + "-ops"] = 0
      qemu[kind + "-bytes"] = 0
    }
    let encoded = try devices.sorted { $0.key < $1.key }.map { name, parts in
      let device: [String: Any] = [
        "name": name, "socket": "/run/\(name).sock", "connected": true, "features": 0,
        "sessions": ["open": 3, "created": 3, "destroyed": 0, "refused": 0],
        "limits": try JSONSerialization.jsonObject(with: JSONEncoder().encode(DeviceLimits())),
        "queues": try JSONSerialization.jsonObject(with: JSONEncoder().encode(parts.0)),
        "algorithms": try JSONSerialization.jsonObject(with: JSONEncoder().encode(parts.1)),
        "qemu": qemu,
      ]
      return try JSONDecoder().decode(
        DeviceSnapshot.self, from: JSONSerialization.data(withJSONObject: device))
    }
    return DaemonSnapshot(
      version: "0.1.0", uptimeSeconds: uptime, process: process, engines: [], devices: encoded)
  }

  /// Two seconds in which vm1 did 2000 of one and 400 of another.
  private func model(interval: Double = 2) throws -> TopModel {
    var model = TopModel(socketPath: "/run/s.sock", intervalSeconds: interval)
    let before = try snapshot(
      uptime: 10,
      devices: [
        "vm1": (
          [try queue(0, requests: 100, bytes: 1000, batches: 10, cpuSeconds: 1)],
          [
            try algorithm("aes-cbc", requests: 100, bytes: 1000, buckets: [(1000, 100)]),
            try algorithm("aes-xts", requests: 0),
          ]
        )
      ])
    let after = try snapshot(
      uptime: 12,
      devices: [
        "vm1": (
          [
            try queue(0, requests: 2500, bytes: 4_001_000, batches: 110, cpuSeconds: 2.5),
            try queue(
              1, requests: 0, bytes: 0, batches: 0, cpuSeconds: 0, fault: "a descriptor loop"),
          ],
          [
            try algorithm(
              "aes-cbc", requests: 2100, bytes: 3_001_000, errors: 4,
              buckets: [(1000, 1100), (2000, 980), (900_000, 20)]),
            try algorithm("aes-xts", requests: 400, bytes: 1_000_000, buckets: [(5_000_000, 400)]),
          ]
        )
      ])
    model.take(before, at: 100)
    model.take(after, at: 102)
    return model
  }

  @Test func ratesAreOfTheInterval() throws {
    let rates = try #require(try model().rates)
    #expect(rates.intervalSeconds == 2 && rates.processShare == 0.5)
    let device = rates.devices[0]
    #expect(device.operations == 1200 && device.bytes == 2_000_000 && device.isFaulty)
    let queue = device.queues[0]
    #expect(queue.workerShare == 0.75 && queue.batchSize == 24 && queue.inFlight == 5)
    #expect(queue.errors == 0, "the three errors were there before")
    let cbc = rates.algorithms[0]
    #expect(cbc.operations == 1000 && cbc.bytes == 1_500_000 && cbc.errors == 2)
    // Of 2000 new ones, 1000 took 1 us, 980 took 2 us and 20 took 900 us: the early 100 do not count.
    #expect(cbc.p50 == 1000 && cbc.p99 == 2000)
    #expect(rates.algorithms[1].p50 == 5_000_000)
  }

  @Test func percentilesOfDifferences() {
    func bucket(_ nanoseconds: UInt64, _ count: UInt64) -> LatencyStatistics.Bucket {
      .init(nanoseconds: nanoseconds, count: count)
    }
    let nothing = LatencyDifference(from: [bucket(5, 3)], to: [bucket(5, 3)])
    #expect(nothing.percentile(0.5) == nil)
    let some = LatencyDifference(
      from: [bucket(5, 3)], to: [bucket(5, 4), bucket(7, 98), bucket(90, 1)])
    #expect(some.percentile(0) == 5)
    #expect(some.percentile(0.5) == 7)
    #expect(some.percentile(0.99) == 7)
    #expect(some.percentile(1) == 90)
  }

  @Test func theOrderIsAsAsked() throws {
    var model = try model()
    func first() -> String? {
      model.rates.flatMap { model.order.sorted($0.algorithms).first?.name }
    }
    for (key, name) in [
      ("o", "aes-cbc"), ("b", "aes-cbc"), ("l", "aes-xts"), ("e", "aes-cbc"), ("n", "aes-cbc"),
    ] {
      #expect(model.press(Character(key)) == .redraw)
      #expect(first() == name, "\(key)")
    }
  }

  @Test func keysChangeTheModel() throws {
    var model = try model(interval: 40)
    #expect(model.press("+") == .restartTimer && model.intervalSeconds == 60)
    #expect(model.press("+") == .none)
    #expect(model.press("-") == .restartTimer && model.intervalSeconds == 30)
    #expect(model.press("x") == .none)
    #expect(model.press("p") == .redraw && model.isPaused)
    let frozen = model.rates
    model.take(try snapshot(uptime: 14, devices: [:]), at: 104)
    #expect(model.rates == frozen)
    #expect(model.press("p") == .redraw)
    model.take(try snapshot(uptime: 15, devices: [:]), at: 105)
    // What happened while it paused is part of the next interval.
    #expect(model.rates?.devices == [] && model.rates?.intervalSeconds == 3)
    #expect(model.press("q") == .quit)
  }

  @Test func anotherDaemonBeginsAnew() throws {
    var model = try model()
    model.lose("no daemon answers")
    var text = TopScreen.lines(model, width: 80, height: 24).map(\.text)
    #expect(text.contains("waiting for /run/s.sock") && text.contains("no daemon answers"))
    model.take(try snapshot(uptime: 1, devices: [:]), at: 110)
    text = TopScreen.lines(model, width: 80, height: 24).map(\.text)
    #expect(text.contains("measuring"))
    #expect(model.rates == nil && model.history.isEmpty)
    model.take(try snapshot(uptime: 2, devices: [:]), at: 111)
    #expect(model.rates != nil)
  }

  @Test(
    "Nothing is wider or longer than the screen",
    arguments: [80, 60, 40, 20, 5, 1], [24, 12, 4, 2, 1])
  func fits(width: Int, height: Int) throws {
    let lines = TopScreen.lines(try model(), width: width, height: height)
    #expect(lines.count == max(1, height))
    #expect(lines.allSatisfy { $0.text.count <= width })
    if height == 24 && width >= 40 {
      #expect(lines.contains { $0.text.hasPrefix("queue") && $0.text.contains("ops/s") })
      #expect(lines.contains { $0.text.hasPrefix("1 FAULT") })
      #expect(lines.last?.text.hasPrefix("q quit") == true)
    }
    if height == 4 && width >= 20 {
      #expect(lines[2].text.hasPrefix("… ") && lines[2].text.hasSuffix("more lines"))
    }
  }

  @Test func aWideScreenHasEverything() throws {
    let lines = TopScreen.lines(try model(), width: 80, height: 24).map(\.text)
    let expected = [
      "process  cpu 50%  memory 45.0 MiB  files 33",
      "device vm1  FAULT  1200 ops/s  2.0 MB/s  1.5 errors/s  sessions 3  █",
      "1 FAULT    0%      0   0.0          -        0        0       1.5",
      "aes-cbc    encrypt    openssl   1000   1.5  1.00 us  2.00 us       2.0",
      "aes-xts    encrypt    openssl    200   0.5  5.00 ms  5.00 ms         0",
    ]
    for line in expected { #expect(lines.contains(line), "\(line) in \(lines)") }
  }

  @Test func namesCannotMoveTheCursor() throws {
    #expect(TopScreen.clean("a\u{1b}[2Jb\n\u{202e}漢é") == "a?[2Jb???é")
    var model = TopModel(socketPath: "/x\u{1b}]0;t\u{7}", intervalSeconds: 1)
    model.lose("\u{1b}[31m")
    let text = TopScreen.lines(model, width: 80, height: 24).map(\.text).joined()
    #expect(!text.unicodeScalars.contains { $0.value < 0x20 })
  }

  @Test func sparklinesEndWithTheLatest() {
    #expect(TopScreen.sparkline([0, 0], width: 10) == "▁▁")
    #expect(TopScreen.sparkline([0, 4, 8], width: 10) == "▁▅█")
    #expect(TopScreen.sparkline([8, 0, 4], width: 2) == "▁█")
    #expect(TopScreen.sparkline([], width: 3) == "")
    #expect(TopScreen.sparkline([1], width: 0) == "")
  }

  @Test(
    "Numbers are short",
    arguments: [
      (0.0, "0"), (0.3, "0.3"), (9.94, "9.9"), (10, "10"), (9999, "9999"), (10_000, "10.0k"),
      (123_456, "123k"), (4_786_176, "4.79M"), (1e9, "1.00G"), (1e15, "1000T"),
    ])
  func counts(value: Double, text: String) { #expect(TopText.count(value) == text) }
}

extension TheDaemon {
  @Suite("top, on a terminal")
  struct TopTerminalTests {
    /// A terminal of a given size, by tmux, with a shell in it.
    private final class Screen {
      private let socket: String
      private let directory: TemporaryDirectory

      init(_ command: String, width: Int = 100, height: Int = 30) throws {
        directory = try TemporaryDirectory()
        socket = directory.file("tmux")
        try tmux(
          "-f", "/dev/null", "new-session", "-d", "-x", "\(width)", "-y", "\(height)", "sh")
        try tmux("set-option", "-g", "status", "off")
        type("PS1='$ '; clear\n")
        // Keys that come before the shell's prompt are echoed before it, and output begins in the prompt's line.
        try wait(for: "the prompt") { $0.first?.trimmingCharacters(in: .whitespaces) == "$" }
        type(command + "\n")
      }

      deinit { _ = try? tmux("kill-server") }

      @discardableResult
      func tmux(_ arguments: String...) throws -> String {
        let finished = try FinishedProgram.run(
          path: "/usr/bin/tmux", ["-S", socket] + arguments,
          environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "xterm-256color"],
          milliseconds: 10000)
        guard finished.status == .status(0) else {
          throw TestSupportError("tmux \(arguments): \(finished.errorOutput)")
        }
        return finished.output
      }

      func type(_ keys: String) { _ = try? tmux("send-keys", "-l", keys) }
      func press(_ key: String) { _ = try? tmux("send-keys", key) }
      var lines: [String] {
        ((try? tmux("capture-pane", "-p")) ?? "").split(
          separator: "\n", omittingEmptySubsequences: false
        ).map(String.init)
      }

      func wait(for what: String, _ condition: ([String]) -> Bool) throws {
        do {
          try waitUntil(what, milliseconds: 15000) { condition(lines) }
        } catch { throw TestSupportError("\(what): \(lines.joined(separator: "\n"))") }
      }
    }

    private func command(_ daemon: DaemonProcess, _ more: String = "") throws -> String {
      "\(try DaemonProcess.executable("vhost-crypto")) top --socket \(daemon.statsPath)"
        + " --interval 0.3 \(more); echo \"status=$?\""
    }

    /// Traffic from now on until it is thrown away.
    private func bench(_ daemon: DaemonProcess) throws -> ChildProcess {
      try ChildProcess(
        program: try DaemonProcess.executable("vhost-crypto"),
        arguments: [
          "bench", "--socket-path=\(daemon.socketPath)", "--seconds=20", "--mode=interrupt",
          "--depth=8", "--batch=8", "--size=4096", "--op=aes-128-cbc-encrypt,hmac-sha256",
        ], environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
        standardOutputPath: "/dev/null", standardErrorPath: "/dev/null")
    }

    private func field(_ lines: [String], _ row: String, _ column: String) -> String? {
      guard let head = lines.first(where: { $0.hasPrefix(row == "0" ? "queue" : "algorithm") }),
        let line = lines.first(where: { $0.hasPrefix(row + " ") })
      else { return nil }
      let names = head.replacing("in flight", with: "in-flight").split(separator: " ")
      let values = line.replacing(" us", with: "us").replacing(" ns", with: "ns")
        .replacing(" ms", with: "ms").split(separator: " ")
      guard let index = names.firstIndex(where: { $0 == column }), index < values.count else {
        return nil
      }
      return String(values[index])
    }

    @Test func theScreenShowsWhatTheBenchDoes() throws {
      let daemon = try DaemonProcess.withStatistics()
      let screen = try Screen(try command(daemon))
      try screen.wait(for: "an idle daemon") {
        $0.contains { $0.hasPrefix("device vhost  no front-end") }
      }
      let traffic = try bench(daemon)
      defer {
        traffic.send(signal: SIGTERM)
        _ = traffic.wait(milliseconds: 5000)
      }
      try screen.wait(for: "rates") {
        field($0, "aes-cbc", "ops/s").map { $0 != "0" } ?? false
      }
      try screen.wait(for: "a busy queue") {
        guard let busy = field($0, "0", "busy"), let count = Int(busy.dropLast()) else {
          return false
        }
        return count > 3 && count <= 110 && field($0, "0", "errors/s") == "0"
      }
      let lines = screen.lines
      #expect(lines[0].hasPrefix("vhost-crypto top  0.1.0, up "))
      #expect(lines.last { !$0.isEmpty }?.hasPrefix("q quit") == true)
      #expect(lines.contains { $0.hasPrefix("device vhost  connected") && $0.contains("▁") })
      #expect(field(lines, "aes-cbc", "p99")?.hasSuffix("s") == true)

      // Another size: nothing wraps, less important columns go.
      try screen.tmux("resize-window", "-x", "50", "-y", "12")
      try screen.wait(for: "a small screen") {
        field($0, "0", "ops/s") != nil && field($0, "0", "kicks/s") == nil
          && $0.filter { !$0.isEmpty }.last?.hasPrefix("q quit") == true
      }
      #expect(screen.lines.filter { $0.hasPrefix("vhost-crypto top") }.count == 1)
      try screen.tmux("resize-window", "-x", "100", "-y", "30")
      try screen.wait(for: "the large one") { field($0, "0", "kicks/s") != nil }

      screen.type("n")
      try screen.wait(for: "another order") { $0[0].contains("by name") }
      screen.type("p")
      try screen.wait(for: "a pause") { $0[0].contains("PAUSED") }
      screen.type("p+")
      try screen.wait(for: "a longer interval") {
        $0[0].contains("every 0.6 s") && !$0[0].contains("PAUSED")
      }
      screen.type("q")
      try screen.wait(for: "the shell") { $0.contains { $0.hasSuffix("status=0") } }
      try expectRestored(screen)
    }

    /// The shell's own screen, with echo, line editing and a cursor.
    private func expectRestored(_ screen: Screen) throws {
      #expect(!screen.lines.contains { $0.contains("vhost-crypto top  ") })
      screen.type("stty -a | tr ';' '\\n' | grep -cE '(^| )(echo|icanon)( |$)'\n")
      try screen.wait(for: "the terminal's settings") { $0.contains("1") || $0.contains("2") }
      let cursor = try screen.tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}")
      #expect(cursor == "1 0\n")
    }

    @Test("Signals give the terminal back", arguments: ["C-c", "TERM"])
    func signals(signal: String) throws {
      let daemon = try DaemonProcess.withStatistics()
      let screen = try Screen(try command(daemon))
      try screen.wait(for: "the first screen") { $0.contains { $0.hasPrefix("device vhost") } }
      if signal == "C-c" {
        screen.press("C-c")
      } else {
        let shell = try #require(
          Int32(
            try screen.tmux("display-message", "-p", "#{pane_pid}").trimmingCharacters(
              in: .whitespacesAndNewlines)))
        let children = DaemonProcess.text("/proc/\(shell)/task/\(shell)/children")
        let child = try #require(children.split(separator: " ").first.flatMap { Int32($0) })
        kill(child, SIGTERM)
      }
      let expected = signal == "C-c" ? "status=130" : "status=143"
      try screen.wait(for: expected) { $0.contains { $0.hasSuffix(expected) } }
      try expectRestored(screen)
    }

    @Test func itCanBeStoppedAndGoesOn() throws {
      let daemon = try DaemonProcess.withStatistics()
      let screen = try Screen("set -m; " + (try command(daemon)))
      try screen.wait(for: "the first screen") { $0.contains { $0.hasPrefix("device vhost") } }
      screen.press("C-z")
      try screen.wait(for: "the shell") { $0.contains { $0.contains("Stopped") } }
      try expectRestored(screen)
      screen.type("clear; fg\n")
      try screen.wait(for: "the screen again") {
        $0[0].hasPrefix("vhost-crypto top") && $0.contains { $0.hasPrefix("device vhost") }
      }
      #expect(try screen.tmux("display-message", "-p", "#{alternate_on}") == "1\n")
      screen.type("q")
      try screen.wait(for: "the shell again") { !$0[0].hasPrefix("vhost-crypto top") }
    }

    @Test func aDaemonThatEndsIsWaitedFor() throws {
      let socket = try TemporaryDirectory()
      let path = socket.file("s.sock")
      let program = try DaemonProcess.executable("vhost-crypto")
      let screen = try Screen("\(program) top --socket \(path) --interval 0.2")
      try screen.wait(for: "its absence") { $0.contains("waiting for \(path)") }
      for name in ["one", "two"] {
        let daemon = try DaemonProcess(
          arguments: ["--stats-socket=\(path)", "--socket-path=\(socket.file(name + ".sock"))"])
        try screen.wait(for: name) { $0.contains { $0.hasPrefix("device \(name) ") } }
        #expect(try daemon.terminate() == .status(0))
        try screen.wait(for: "its end") { $0.contains("waiting for \(path)") }
      }
    }

    @Test func scriptsGetOneInterval() throws {
      let daemon = try DaemonProcess.withStatistics()
      let traffic = try bench(daemon)
      defer {
        traffic.send(signal: SIGTERM)
        _ = traffic.wait(milliseconds: 5000)
      }
      try waitUntil("requests", milliseconds: 10000) {
        try daemon.device().queues[0].requests > 1000
      }
      let once = try FinishedProgram.run(
        "vhost-crypto", ["top", "--once", "--interval=0.5", "--socket=\(daemon.statsPath)"])
      #expect(once.status == .status(0) && once.errorOutput == "")
      let lines = once.output.split(separator: "\n").map(String.init)
      #expect(try #require(field(lines, "aes-cbc", "ops/s")) != "0")
      #expect(!once.output.contains("\u{1b}"))
      try FinishedProgram.run("vhost-crypto", ["top", "--socket=\(daemon.statsPath)"])
        .expectComplaint(64, "--once", from: "vhost-crypto: ")
      try FinishedProgram.run("vhost-crypto", ["top", "--once", "--socket=/tmp/nobody.sock"])
        .expectComplaint(69, "/tmp/nobody.sock", from: "vhost-crypto: ")
      try FinishedProgram.run("vhost-crypto", ["top", "--once", "--interval=0"])
        .expectComplaint(64, "0.1 to 60", from: "vhost-crypto: ")
      try FinishedProgram.run("vhost-crypto", ["top", "--once", "--sort=speed"])
        .expectComplaint(64, "operations, bytes, latency, errors, name", from: "vhost-crypto: ")
    }
  }
}
