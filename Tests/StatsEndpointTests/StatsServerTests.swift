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
    _ source: SampleSource = SampleSource(), _ body: (StatsServer) async throws -> Void
  ) async throws {
    let server = StatsServer(
      listener: try StatsListener(path: path), source: source, logger: Logger(label: "test"))
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
    #expect(body == "ok\n")
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
      #expect(try await get("/nothing").head.hasPrefix("HTTP/1.1 404 "))
      let answer = try await exchange(
        "POST /stats HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 405 "))
      #expect(answer.contains("Allow: GET"))
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
      #expect(ContinuousClock.now - start < .seconds(5))
    }
  }

  @Test func hugeRequestIsNoHarm() async throws {
    try await withServer { _ in
      let descriptor = try connect(path)
      defer { close(descriptor) }
      let flood = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
      _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
      for _ in 0..<8 { _ = send(descriptor, flood, flood.count, Int32(MSG_NOSIGNAL)) }
      try await expectHealthy()
    }
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
