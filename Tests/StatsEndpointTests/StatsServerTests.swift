import Foundation
import Glibc
import Logging
import StatsEndpoint
import TestSupport
import Testing

@Suite struct StatsServerTests {
  private let path = "/tmp/stats-\(UInt64.random(in: 0...UInt64.max)).sock"

  /// Runs a server while the body talks to it.
  private func withServer(
    _ source: SampleSource = SampleSource(), limits: StatsLimits = StatsLimits(),
    _ body: (StatsServer) async throws -> Void
  ) async throws {
    let server = StatsServer(
      listener: try StatsListener(path: path), source: source, limits: limits,
      logger: Logger(label: "test"))
    let task = Task { try await server.run() }
    while await !server.isListening {
      if Date() > deadline { throw CancellationError() }
      try await Task.sleep(for: .milliseconds(5))
    }
    do { try await body(server) } catch {
      await server.stop()
      throw error
    }
    await server.stop()
    try await task.value
  }

  private let deadline = Date(timeIntervalSinceNow: 10)

  /// One plain exchange on a connection of its own: the raw answer.
  private func exchange(_ request: String) async throws -> String {
    let descriptor = try connect(path)
    defer { close(descriptor) }
    _ = request.withCString { send(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
    // A thread of its own: the server needs the few that tasks run on.
    return await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
          let count = read(descriptor, &buffer, buffer.count)
          if count <= 0 { break }
          bytes += buffer.prefix(count)
        }
        continuation.resume(returning: String(decoding: bytes, as: UTF8.self))
      }
    }
  }

  private func get(_ target: String) async throws -> (head: String, body: String) {
    let answer = try await exchange(
      "GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    let end = try #require(answer.range(of: "\r\n\r\n"))
    return (String(answer[..<end.lowerBound]), String(answer[end.upperBound...]))
  }

  private func expectHealthy() async throws {
    let body = try await get("/healthz").body
    #expect(body == #"{"reasons":[],"status":"ok"}"# + "\n")
  }

  @Test func statsAreJSON() async throws {
    try await withServer { _ in
      let (head, body) = try await get("/stats")
      #expect(head.hasPrefix("HTTP/1.1 200 "))
      #expect(head.contains("Content-Type: application/json"))
      let root = try #require(
        try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
      let device = try #require((root["devices"] as? [[String: Any]])?.first)
      #expect(device["name"] as? String == "vm1")
      let queue = try #require((device["queues"] as? [[String: Any]])?.first)
      #expect(queue["index"] as? Int == 0)
      #expect(queue["requests"] as? Int == 13)
      #expect(queue["batchSizes"] as? [String: Int] == ["3": 1, "10": 1])
      let row = try #require((device["algorithms"] as? [[String: Any]])?.first)
      #expect(row["algorithm"] as? String == "aes-cbc")
      #expect(row["operation"] as? String == "encrypt")
      #expect(row["engine"] as? String == "openssl")
      #expect(row["requests"] as? Int == 20)
      #expect(row["bytes"] as? Int == 2000)
      #expect(row["errors"] as? Int == 0)
      #expect((row["latencyNanoseconds"] as? [String: Any])?["p99"] as? Int != nil)
      #expect((device["qemu"] as? [String: Int])?["sym-encrypt-ops"] == 20)
    }
  }

  @Test func metricsAreOpenMetrics() async throws {
    try await withServer { _ in
      let (head, body) = try await get("/metrics")
      #expect(
        head.contains(
          "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"))
      #expect(try OpenMetricsText(body).families.count > 20)
    }
  }

  @Test func otherRequestsAreAnsweredPolitely() async throws {
    try await withServer { _ in
      try await expectHealthy()
      let (head, body) = try await get("/nothing")
      #expect(head.hasPrefix("HTTP/1.1 404 "))
      #expect(
        body
          == "there is no such page; try /stats, /metrics, /healthz, /sessions, /config\n")
      for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let answer = try await exchange(
          "\(method) /stats HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 405 "), "\(method): \(answer)")
        #expect(answer.contains("Allow: GET"))
        // An answer to HEAD has no body.
        #expect(answer.hasSuffix("\r\n\r\n") == (method == "HEAD"), "\(answer)")
      }
    }
  }

  @Test(
    "A bad query is told in one line",
    arguments: [
      ("/stats?colour=red", "/stats does not know 'colour'; it takes buckets"),
      ("/stats?buckets=some", "'buckets=some' is unknown; one of none, all"),
      ("/metrics?a=b", "/metrics does not know 'a'; it takes nothing"),
      ("/healthz?x", "'x' is no name=value"),
      ("/config?format=xml", "'format=xml' is unknown; one of json, yaml"),
      ("/sessions?device=vm9", "there is no device 'vm9'; there are: vm1, vm2"),
      ("/sessions", "device= is missing; there are: vm1, vm2"),
      ("/sessions?device=vm1&offset=-1", "'offset=-1' is not from 0 to 1048576"),
      ("/sessions?device=vm1&limit=1001", "'limit=1001' is not from 1 to 1000"),
      ("/sessions?device=vm1&limit=0", "'limit=0' is not from 1 to 1000"),
      ("/sessions?device=vm1&limit=1e3", "'limit=1e3' is not from 1 to 1000"),
      ("/sessions?device=vm1&device=vm2", "'device' is given twice; once is right"),
      ("/sessions?device=%ZZ", "'device=%ZZ' is no name=value"),
    ])
  func badQueries(target: String, complaint: String) async throws {
    try await withServer(SampleSource(deviceCount: 2)) { _ in
      let (head, body) = try await get(target)
      #expect(head.hasPrefix("HTTP/1.1 400 "))
      #expect(body == complaint + "\n")
    }
  }

  @Test func sessionsComeInPages() async throws {
    try await withServer(SampleSource(deviceCount: 1, silent: [])) { _ in
      var ids: [String] = []
      var next: Int? = 0
      while let offset = next {
        let (_, body) = try await get("/sessions?limit=3&offset=\(offset)")
        let page = try JSONDecoder().decode(SessionPage.self, from: Data(body.utf8))
        #expect(page.device == "vm1" && page.open == 7 && page.offset == offset)
        #expect(page.sessions.count <= 3)
        ids += page.sessions.map(\.id)
        next = page.next
      }
      #expect(ids == (0..<7).map { "0x10000000\($0)" })
    }
  }

  @Test func configurationComesInTwoNotations() async throws {
    try await withServer { _ in
      let json = try await get("/config")
      #expect(json.head.contains("Content-Type: application/json"))
      #expect(json.body == "{\"version\":\"1.0\"}\n")
      let yaml = try await get("/config?format=yaml")
      #expect(yaml.head.contains("Content-Type: application/yaml"))
      #expect(yaml.body == "version: 1\n")
    }
  }

  @Test func whatIsWrongMakesTheHealthFail() async throws {
    try await withServer(SampleSource(deviceCount: 2, silent: ["vm2"], fault: "a loop")) { _ in
      let (head, body) = try await get("/healthz")
      #expect(head.hasPrefix("HTTP/1.1 503 "))
      let report = try JSONDecoder().decode(HealthReport.self, from: Data(body.utf8))
      #expect(report.status == .failing)
      #expect(
        report.reasons == [
          "device vm2: its control thread does not answer",
          "device vm1, queue 0: stopped, the guest corrupted its ring: a loop",
          "device vm2, queue 0: stopped, the guest corrupted its ring: a loop",
        ])
      #expect(try await get("/sessions?device=vm2").head.hasPrefix("HTTP/1.1 503 "))
    }
  }

  @Test func profilesAreServedWhereTheDaemonTakesThem() async throws {
    let profile = ProfileSnapshot(
      seconds: 2,
      workers: [
        WorkerProfile(
          device: "vm1", queue: 0,
          stages: [
            StageTime(stage: .crypto, engine: "openssl", share: 0.5, nanoseconds: 1_000_000_000)
          ])
      ])
    let source = SampleSource(takeProfile: { seconds in
      // As long as a second reader needs to meet it.
      if seconds == 60 { try await Task.sleep(for: .milliseconds(300)) }
      return ProfileSnapshot(seconds: Double(seconds), workers: profile.workers)
    })
    try await withServer(source) { _ in
      let (head, body) = try await get("/profile?seconds=2")
      #expect(head.hasPrefix("HTTP/1.1 200 "))
      #expect(try JSONDecoder().decode(ProfileSnapshot.self, from: Data(body.utf8)) == profile)
      #expect(body.contains(#""stage":"crypto""#))
      for wrong in ["0", "61", "-1", "x", ""] {
        let answer = try await get("/profile?seconds=\(wrong)")
        #expect(answer.head.hasPrefix("HTTP/1.1 400 "))
        #expect(answer.body == "'seconds=\(wrong)' is not from 1 to 60\n")
      }
      #expect(try await get("/nothing").body.contains("/profile"))
      async let first = get("/profile?seconds=60")
      try await Task.sleep(for: .milliseconds(100))
      #expect(try await get("/profile").head.hasPrefix("HTTP/1.1 503 "))
      #expect(try await first.head.hasPrefix("HTTP/1.1 200 "))
    }
  }

  @Test func bucketsAreForThoseWhoAsk() async throws {
    try await withServer { _ in
      let plain = try await StatsClient.snapshot(socketPath: path)
      #expect(plain.devices[0].algorithms.allSatisfy { $0.latencyNanoseconds.buckets == nil })
      let full = try await StatsClient.snapshot(socketPath: path, hasBuckets: true)
      for row in full.devices[0].algorithms {
        let buckets = try #require(row.latencyNanoseconds.buckets)
        #expect(buckets.reduce(0) { $0 + $1.count } == row.requests)
        #expect(buckets.map(\.nanoseconds) == buckets.map(\.nanoseconds).sorted())
      }
    }
  }

  @Test func socketIsForOwnerAndGroupAndGoesAway() async throws {
    try await withServer { _ in
      var status = stat()
      #expect(lstat(path, &status) == 0)
      #expect(status.st_mode & 0o777 == 0o660)
      #expect(status.st_mode & S_IFMT == S_IFSOCK)
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func staleSocketIsReplaced() async throws {
    let descriptor = try bind(path)
    close(descriptor)
    #expect(FileManager.default.fileExists(atPath: path))
    try await withServer { _ in
      try await expectHealthy()
    }
  }

  @Test func fileInTheWayIsRefused() async throws {
    try Data("precious".utf8).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(throws: StatsServerError.notASocket(path: path)) { try StatsListener(path: path) }
    #expect(try Data(contentsOf: URL(filePath: path)) == Data("precious".utf8))
  }

  @Test func livingSocketIsRefused() async throws {
    try await withServer { _ in
      #expect(throws: StatsServerError.inUse(path: path)) { try StatsListener(path: path) }
      try await expectHealthy()
    }
  }

  @Test func impossiblePathIsRefused() async throws {
    let long = "/tmp/" + String(repeating: "x", count: 200)
    #expect(throws: StatsServerError.unusablePath(long)) { try StatsListener(path: long) }
    let error = #expect(throws: StatsServerError.self) {
      try StatsListener(path: "/nonexistent/s.sock")
    }
    #expect(
      "\(error, default: "none")"
        == "/nonexistent/s.sock: binding /nonexistent/s.sock: No such file or directory")
  }

  @Test func slowAndSilentReadersDelayNobody() async throws {
    // 200 devices make an answer of some megabytes, more than a socket buffers.
    try await withServer(SampleSource(deviceCount: 200)) { _ in
      var idle: [Int32] = []
      defer { for descriptor in idle { close(descriptor) } }
      let requests = [
        "GET /stats HTTP/1.1\r\n\r\n", "GET /metrics HTTP/1.1\r\n\r\n", "GET /st", "", "\0\0\r\n",
      ]
      for index in 0..<20 {
        let descriptor = try connect(path)
        let request = requests[index % requests.count]
        _ = request.withCString { send(descriptor, $0, request.utf8.count, Int32(MSG_NOSIGNAL)) }
        idle.append(descriptor)
      }
      let start = ContinuousClock.now
      try await expectHealthy()
      #expect(ContinuousClock.now - start < .seconds(5 * sanitizerSlack))
    }
  }

  // MARK: - Readers who mean harm

  /// What the server has for a reader who sends this and no more, and how long that took.
  private func outcome(of request: String) async throws -> (answer: String, duration: Duration) {
    let start = ContinuousClock.now
    let answer = try await exchange(request)
    return (answer, start.duration(to: .now))
  }

  @Test func hugeRequestIsRefused() async throws {
    try await withServer { _ in
      let descriptor = try connect(path)
      defer { close(descriptor) }
      let flood = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
      _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
      var accepted = 0
      for _ in 0..<8 {
        accepted += max(0, send(descriptor, flood, flood.count, Int32(MSG_NOSIGNAL)))
      }
      try await expectHealthy()
      // What the sockets hold, and no more: nobody reads the rest.
      #expect(accepted < 1 << 20)
      let long = String(repeating: "a", count: 10_000)
      let answer = try await exchange("GET /stats HTTP/1.1\r\nX: \(long)\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 431 "))
      #expect(answer.hasSuffix("a request has at most 8192 bytes\n"))
    }
  }

  @Test(
    "What is no HTTP is refused", arguments: ["\u{1}\u{2}\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n"])
  func noise(request: String) async throws {
    try await withServer { _ in
      let answer = try await exchange(request)
      #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(answer)")
    }
  }

  @Test func aRequestThatTricklesIsCutOff() async throws {
    var limits = StatsLimits()
    limits.requestMilliseconds = 1000
    try await withServer(limits: limits) { _ in
      let descriptor = try connect(path)
      defer { close(descriptor) }
      let start = ContinuousClock.now
      var count = 0
      // A byte at a time, without an end.
      _ = send(descriptor, "GET /", 5, Int32(MSG_NOSIGNAL))
      while start.duration(to: .now) < .seconds(5),
        send(descriptor, "a", 1, Int32(MSG_NOSIGNAL)) == 1
      {
        count += 1
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(start.duration(to: .now) < .seconds(3))
      #expect(count > 10)
      let silent = try await outcome(of: "GET /stats HTTP/1.1\r\n")
      #expect(silent.answer.hasPrefix("HTTP/1.1 408 "))
      #expect(silent.duration > .milliseconds(900) && silent.duration < .seconds(3))
      try await expectHealthy()
    }
  }

  @Test func aReaderWhoDoesNotReadIsCutOff() async throws {
    var limits = StatsLimits()
    limits.answerMilliseconds = 500
    try await withServer(SampleSource(deviceCount: 200), limits: limits) { _ in
      let descriptor = try connect(path)
      defer { close(descriptor) }
      let request = "GET /metrics HTTP/1.1\r\n\r\n"
      _ = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
      try await Task.sleep(for: .milliseconds(1500 * sanitizerSlack))
      // What the socket held comes, then the end, far from complete.
      var total = 0
      var buffer = [UInt8](repeating: 0, count: 65536)
      while case let count = read(descriptor, &buffer, buffer.count), count > 0 { total += count }
      #expect(total > 0 && total < 1 << 20)
      try await expectHealthy()
    }
  }

  @Test func idleConnectionsMakeRoomForOthers() async throws {
    try await withServer { _ in
      var idle: [Int32] = []
      defer { for descriptor in idle { close(descriptor) } }
      for _ in 0..<200 { idle.append(try connect(path)) }
      let start = ContinuousClock.now
      try await expectHealthy()
      #expect(start.duration(to: .now) < .seconds(2))
      // The newest are still there, the oldest are not.
      func isOpen(_ descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) == -1 && errno == EAGAIN
      }
      #expect(idle.prefix(130).allSatisfy { !isOpen($0) })
      #expect(idle.suffix(60).allSatisfy(isOpen))
    }
  }

  @Test func unreadAnswersAreBounded() async throws {
    var limits = StatsLimits()
    limits.unreadByteCount = 8 << 20
    let source = SampleSource(deviceCount: 200)
    let size = source.snapshot(percentiles: true).openMetrics().utf8.count
    try #require(size > 1 << 20)
    try await withServer(source, limits: limits) { _ in
      let before = residentBytes()
      var greedy: [Int32] = []
      defer { for descriptor in greedy { close(descriptor) } }
      let request = "GET /metrics HTTP/1.1\r\n\r\n"
      for _ in 0..<60 {
        let descriptor = try connect(path)
        _ = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
        greedy.append(descriptor)
      }
      let end = ContinuousClock.now + .seconds(30)
      while source.snapshotCount.load(ordering: .relaxed) < 61, ContinuousClock.now < end {
        try await Task.sleep(for: .milliseconds(50))
      }
      try await expectHealthy()
      // 60 whole answers would be \(60 * size).
      let growth = residentBytes() - before
      #expect(growth < 60 * size / 2, "\(growth) bytes for answers of \(size)")
      // The oldest were sent away, the newest has its answer.
      let last = try #require(greedy.last)
      var total = 0
      var buffer = [UInt8](repeating: 0, count: 65536)
      while total < size, case let count = read(last, &buffer, buffer.count), count > 0 {
        total += count
      }
      #expect(total > size)
    }
  }

  private func residentBytes() -> Int {
    Int(ProcessStatistics.current(uptimeSeconds: 0).residentBytes)
  }

  @Test func aStopIsNotHeldUpByReaders() async throws {
    let server = StatsServer(
      listener: try StatsListener(path: path), source: SampleSource(deviceCount: 200),
      logger: Logger(label: "test"))
    let task = Task { try await server.run() }
    while await !server.isListening { try await Task.sleep(for: .milliseconds(5)) }
    let descriptors = try (0..<10).map { _ in try connect(path) }
    defer { for descriptor in descriptors { close(descriptor) } }
    let request = "GET /metrics HTTP/1.1\r\n\r\n"
    for descriptor in descriptors.prefix(5) {
      _ = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL))
    }
    try await Task.sleep(for: .milliseconds(200))
    let start = ContinuousClock.now
    await server.stop()
    try await task.value
    #expect(start.duration(to: .now) < .seconds(2))
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  // MARK: - Client

  @Test func clientReadsASnapshot() async throws {
    try await withServer(SampleSource(deviceCount: 60)) { _ in
      let snapshot = try await StatsClient.snapshot(socketPath: path)
      #expect(snapshot.devices.count == 60)
      #expect(snapshot.devices[0].queues.map(\.requests) == [13, 13])
    }
  }

  @Test func clientExplainsAMissingDaemon() async throws {
    let missing = await #expect(throws: StatsClientError.self) {
      try await StatsClient.fetch("/stats", socketPath: path)
    }
    #expect(
      missing?.description
        == "no daemon answers on \(path) (there is no such socket); "
        + "is vhost-user-crypto running with --stats-socket?")
    close(try bind(path))
    defer { unlink(path) }
    let dead = await #expect(throws: StatsClientError.self) {
      try await StatsClient.fetch("/stats", socketPath: path)
    }
    #expect(dead == .unavailable(path: path, reason: "Connection refused"))
  }

  @Test func clientDoesNotWaitForASilentServer() async throws {
    let descriptor = try bind(path)
    listen(descriptor, 5)
    defer {
      close(descriptor)
      unlink(path)
    }
    let start = ContinuousClock.now
    await #expect(throws: StatsClientError.self) {
      try await StatsClient.fetch("/stats", socketPath: path, timeout: .milliseconds(200))
    }
    #expect(ContinuousClock.now - start < .seconds(5))
  }
}

/// A Unix socket that is connected to the path, or bound to it.
private func openSocket(_ path: String, connecting: Bool) throws -> Int32 {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
  let size = socklen_t(MemoryLayout<sockaddr_un>.size)
  let result = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connecting ? Glibc.connect(descriptor, $0, size) : Glibc.bind(descriptor, $0, size)
    }
  }
  try #require(result == 0, "errno \(errno)")
  return descriptor
}

private func connect(_ path: String) throws -> Int32 { try openSocket(path, connecting: true) }

private func bind(_ path: String) throws -> Int32 { try openSocket(path, connecting: false) }
