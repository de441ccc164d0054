// ConfinementTests: what the daemon may still do when it serves, asked of the kernel, and that it serves all the same.

import Foundation
import TestSupport
import Testing
import VhostUserFrontend

/// Parent of all suites here; what they test needs root.
@Suite("Confinement", .serialized)
enum TheConfinement {
  static let nobody: UInt32 = 65534

  /// The `/proc/PID/…/status` of each thread, as its fields.
  static func threads(of daemon: DaemonProcess) throws -> [[String: String]] {
    let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.pid)/task")
    return tasks.compactMap { task in
      let lines = DaemonProcess.text("/proc/\(daemon.pid)/task/\(task)/status").split(
        separator: "\n")
      let fields = lines.map { line in
        let parts = line.split(separator: ":", maxSplits: 1)
        let value = parts.count > 1 ? parts[1].split { $0.isWhitespace }.joined(separator: " ") : ""
        return (String(parts[0]), value)
      }
      // A thread may have ended meanwhile.
      return fields.isEmpty ? nil : Dictionary(fields) { first, _ in first }
    }
  }

  /// The exit of a program of the tests' own.
  static func run(
    path: String, _ arguments: [String], milliseconds: Int = 20000
  ) throws -> (exit: ChildProcess.Exit, error: String) {
    let directory = try TemporaryDirectory()
    let process = try ChildProcess(
      program: path, arguments: arguments,
      environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
      standardErrorPath: directory.file("err"))
    guard let exit = process.wait(milliseconds: milliseconds) else {
      throw TestSupportError("\(path) \(arguments) did not end")
    }
    return (exit, DaemonProcess.text(directory.file("err")))
  }

  static func confined(_ arguments: String...) throws -> ChildProcess.Exit {
    try run(path: try DaemonProcess.besideTests("confined"), arguments).exit
  }
}
