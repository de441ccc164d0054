import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  @Suite("vhost-crypto bench against the running daemon")
  struct BenchTests {
    /// What is looked at in a line of `--json`.
    private struct Row: Decodable {
      struct Latency: Decodable { var p50, p90, p99, p999, max: Double }
      var type: String
      var operation: String
      var byteCount: Int
      var layout: String
      var mode: String
      var queues: Int
      var descriptors: String
      var requests: UInt64
      var requestsPerSecond: Double
      var latencyMicroseconds: Latency
      var verified: UInt64
      var compared: UInt64
    }

    private func bench(_ socket: String, _ arguments: [String]) throws -> [Row] {
      let result = try FinishedProgram.run(
        "vhost-crypto", ["bench", "--socket-path=\(socket)", "--json", "--seconds=0.1"] + arguments)
      #expect(result.status == .status(0), "\(result.errorOutput)")
      #expect(result.errorOutput == "")
      let rows = try result.jsonLines(Row.self)
      for row in rows {
        #expect(row.type == "measurement")
        #expect(row.verified == row.compared && row.compared > 0, "\(row)")
        #expect(row.requests > 0 && row.requestsPerSecond > 0)
        let latency = row.latencyMicroseconds
        #expect(latency.p50 > 0 && latency.p50 <= latency.p90 && latency.p90 <= latency.p99)
        #expect(latency.p99 <= latency.p999 && latency.p999 <= latency.max)
      }
      return rows
    }

    @Test(arguments: ["legacy", "revision1", "stateless"], ["poll", "interrupt"])
    func everyLayoutAndModeIsVerified(layout: String, mode: String) throws {
      let daemon = try DaemonProcess.withStatistics()
      let rows = try bench(
        daemon.socketPath, ["--layout=\(layout)", "--mode=\(mode)", "--size=64,4KiB", "--queues=2"])
      #expect(rows.map(\.byteCount) == [64, 4096])
      #expect(rows.allSatisfy { $0.layout == layout && $0.mode == mode && $0.queues == 2 })
      // The daemon counted at least what the tool measured, and no error.
      let device = try daemon.device()
      let counted = device.algorithms.reduce(0) { $0 + $1.requests }
      #expect(counted >= rows.reduce(0) { $0 + $1.requests })
      #expect(device.algorithms.allSatisfy { $0.errors == 0 })
    }

    @Test func everyKindOfOperationIsVerified() throws {
      let daemon = try DaemonProcess()
      let operations = [
        "aes-256-cbc-decrypt", "aes-128-xts-encrypt", "3des-cbc-encrypt", "sha256", "sha3-256",
        "hmac-sha256", "cmac-aes-128", "aes-128-gcm-encrypt", "aes-128-gcm-decrypt",
        "aes-256-ccm-encrypt", "chacha20-poly1305-encrypt", "aes-128-cbc-hmac-sha1-encrypt",
        "aes-128-cbc-hmac-sha256-decrypt",
      ]
      let rows = try bench(
        daemon.socketPath, ["--op=\(operations.joined(separator: ","))", "--size=1024"])
      #expect(rows.map(\.operation) == operations)
    }

    @Test func sessionsByMessageAndDirectDescriptorsWork() throws {
      let daemon = try DaemonProcess()
      let rows = try bench(
        daemon.socketPath,
        ["--sessions=message", "--direct", "--op=aes-128-cbc-encrypt,hmac-sha1", "--depth=16"])
      #expect(rows.map(\.descriptors) == ["direct", "direct"])
    }

    @Test func theTableHasPercentilesAndVerification() throws {
      let daemon = try DaemonProcess()
      let result = try FinishedProgram.run(
        "vhost-crypto", ["bench", "--socket-path=\(daemon.socketPath)", "--seconds=0.1"])
      #expect(result.status == .status(0))
      let lines = result.output.split(separator: "\n")
      #expect(lines.count == 2)
      for word in ["op", "req/s", "MB/s", "p50 us", "p90 us", "p99 us", "p99.9 us", "verified"] {
        #expect(lines.first?.contains(word) == true, "\(word)")
      }
      let counts = lines.last?.split(separator: " ").last?.split(separator: "/") ?? []
      #expect(counts.count == 2 && counts.first == counts.last && counts.first != "0")
    }

    @Test(
      arguments: [
        [], ["--bogus"], ["--depth=0"], ["--depth=many"], ["--batch=100"], ["--queues=65"],
        ["--seconds=0"], ["--mode=dream"], ["--layout=odd"], ["--sessions=none"],
        ["--op=aes-999-cbc-encrypt"], ["--size=17"], ["--size=0"], ["--size=x"], ["--cpu=-1"],
        ["--daemon=/bin/true"],
      ])
    func wrongFlagsAreOneLineAndStatus64(arguments: [String]) throws {
      let socket = arguments.isEmpty ? [] : ["--socket-path=/tmp/no-such-daemon.sock"]
      try FinishedProgram.run("vhost-crypto", ["bench"] + socket + arguments)
        .expectComplaint(64, from: "vhost-crypto")
    }

    @Test func aMissingDaemonIsStatus69() throws {
      try FinishedProgram.run("vhost-crypto", ["bench", "--socket-path=/tmp/no-such-daemon.sock"])
        .expectComplaint(69, "/tmp/no-such-daemon.sock", from: "vhost-crypto bench: ")
    }

    @Test func whatTheDaemonDoesNotOfferIsStatus69() throws {
      let daemon = try DaemonProcess(
        configuration: "version: 1\nalgorithms: { cipher: { default: off } }\n")
      try FinishedProgram.run("vhost-crypto", ["bench", "--socket-path=\(daemon.socketPath)"])
        .expectComplaint(69, "NOTSUPP", from: "vhost-crypto bench: ")
      try daemon.client().frontend.disconnect()
    }
  }
}
