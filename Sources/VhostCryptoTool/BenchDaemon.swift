import Foundation
import VhostUserFrontend

/// A daemon that runs for the length of a measurement, in a temporary directory.
final class BenchDaemon {
  let socketPath: String
  private let directory: String
  private let process: ChildProcess

  /// Starts the program, with a capability file of this text if there is one.
  init(program: String, configuration: String? = nil) throws {
    directory = NSTemporaryDirectory() + "vhost-crypto-bench-\(getpid())"
    socketPath = directory + "/vhost.sock"
    guard FileManager.default.isExecutableFile(atPath: program) else {
      throw BenchFailure(
        message: "--daemon \(program) is no executable file", status: BenchFailure.unavailable)
    }
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    var arguments = ["--socket-path=\(socketPath)"]
    if let configuration {
      let path = directory + "/capabilities.yaml"
      try configuration.write(toFile: path, atomically: true, encoding: .utf8)
      arguments.append("--config=\(path)")
    }
    process = try ChildProcess(
      program: program, arguments: arguments, inheritsStandardError: true)
  }

  /// Ends it and removes its directory.
  func stop() {
    process.send(signal: SIGTERM)
    if process.wait(milliseconds: 5000) == nil { process.send(signal: SIGKILL) }
    try? FileManager.default.removeItem(atPath: directory)
  }
}
