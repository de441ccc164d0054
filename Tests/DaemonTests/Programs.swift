// DaemonTests: the two programs as their users meet them. Processes, sockets, signals, exit statuses and counters are
// the real ones; nothing here reaches into the daemon.

import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend

/// Parent of all suites here: they measure processes, one at a time.
@Suite("The daemon's process", .serialized)
enum TheDaemon {}

/// A program that ran to its end.
struct FinishedProgram {
  var status: ChildProcess.Exit
  var output: String
  var errorOutput: String
  var errorLines: [Substring] { errorOutput.split(separator: "\n") }

  /// Runs a built program and waits for its end; SIGKILL and an error when that takes too long.
  static func run(
    _ name: String = "vhost-user-crypto", _ arguments: [String], milliseconds: Int = 20000
  ) throws -> FinishedProgram {
    let path = try DaemonProcess.executable(name)
    return try run(
      path: path, arguments, environment: DaemonProcess.inheritedEnvironment,
      milliseconds: milliseconds)
  }

  static func run(
    path: String, _ arguments: [String], environment: [String: String]?, milliseconds: Int
  ) throws -> FinishedProgram {
    let directory = try TemporaryDirectory()
    let process = try ChildProcess(
      program: path, arguments: arguments,
      environment: environment.map { $0.map { "\($0.key)=\($0.value)" } },
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
    let exit = process.wait(milliseconds: milliseconds * sanitizerSlack)
    let output = try String(contentsOfFile: directory.file("out"), encoding: .utf8)
    let errorOutput = try String(contentsOfFile: directory.file("err"), encoding: .utf8)
    guard let exit else {
      throw TestSupportError("\(path) \(arguments) did not end: \(output)\(errorOutput)")
    }
    return FinishedProgram(status: exit, output: output, errorOutput: errorOutput)
  }

  /// Standard output, each line of which is a value of its own.
  func jsonLines<Value: Decodable>(_ type: Value.Type) throws -> [Value] {
    try output.split(separator: "\n").map {
      try JSONDecoder().decode(Value.self, from: Data($0.utf8))
    }
  }

  /// Expects nothing but one line on standard error, and this exit status.
  func expectComplaint(
    _ status: Int32, _ words: String..., from name: String = "vhost-user-crypto",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(self.status == .status(status), "\(errorOutput)", sourceLocation: sourceLocation)
    #expect(errorLines.count == 1, "\(errorOutput)", sourceLocation: sourceLocation)
    #expect(errorOutput.hasPrefix(name), "\(errorOutput)", sourceLocation: sourceLocation)
    #expect(output == "", sourceLocation: sourceLocation)
    for word in words {
      #expect(
        errorOutput.contains(word), "\(word) in: \(errorOutput)", sourceLocation: sourceLocation)
    }
  }
}

extension DaemonProcess {
  /// A daemon that serves statistics.
  static func withStatistics(
    _ configuration: String = "version: 1\n", arguments: [String] = [],
    environment: [String: String] = [:]
  ) throws -> DaemonProcess {
    try DaemonProcess(
      arguments: arguments, configuration: configuration, environment: environment,
      servesStatistics: true)
  }

  func snapshot() throws -> DaemonSnapshot {
    let body = try HTTPExchange.get("/stats", socketPath: statsPath)
    return try JSONDecoder().decode(DaemonSnapshot.self, from: body)
  }

  /// The device of `--socket-path`.
  func device(_ name: String = "vhost") throws -> DeviceSnapshot {
    let all = try snapshot().devices
    return try #require(all.first { $0.name == name }, "\(all.map(\.name))")
  }

  /// Of the threads that serve data queues.
  var workerNames: [String] { threadNames.filter { $0.hasPrefix("vcrypto-q") }.sorted() }
}
