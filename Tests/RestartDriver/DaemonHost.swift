import Foundation
import VhostUserFrontend

/// The daemon's side of the test: starts it, kills it, and finds it again.
final class DaemonHost {
  private let settings: DriverSettings
  private let directory: String
  private var process: ChildProcess?
  private let listener: FrontendListener?
  private var socketPath: String { directory + "/vhost.sock" }

  init(_ settings: DriverSettings) throws {
    self.settings = settings
    directory =
      FileManager.default.temporaryDirectory.appendingPathComponent(
        "restart-\(getpid())-\(UInt32.random(in: 0 ... .max))"
      ).path
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    let configuration = """
      version: 1
      device:
        queues: \(settings.queueCount)
        queue-size: 1024
        stateless: [cipher, hash, mac, aead]

      """
    try configuration.write(
      toFile: directory + "/capabilities.yaml", atomically: true, encoding: .utf8)
    listener = settings.isClient ? try FrontendListener(path: directory + "/vhost.sock") : nil
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  func start() throws {
    process = try ChildProcess(
      program: settings.daemon,
      arguments: [
        "--socket-path=\(socketPath)", "--config=\(directory)/capabilities.yaml",
      ] + (settings.isClient ? ["--client"] : []),
      standardErrorPath: directory + "/stderr")
  }

  func connect() throws -> Frontend {
    var options = Frontend.Options(format: .stateless, ring: settings.ring)
    options.timeoutMilliseconds = 20000
    do {
      if let listener { return try listener.accept(options: options, timeoutMilliseconds: 20000) }
      return try Frontend.connect(path: socketPath, options: options)
    } catch {
      throw DriverError("\(error); the daemon's last words: \(lastWords)")
    }
  }

  private var lastWords: String {
    let text = try? String(contentsOfFile: directory + "/stderr", encoding: .utf8)
    return String((text ?? "").suffix(500))
  }

  /// Ends the process in the middle of whatever it does; when this returns it does nothing any more.
  func kill() throws {
    process?.send(signal: SIGKILL)
    guard process?.wait(milliseconds: 10000) == .signal(SIGKILL) else {
      throw DriverError("the daemon was gone before it was killed: \(lastWords)")
    }
  }

  func end() throws {
    process?.send(signal: SIGTERM)
    guard process?.wait(milliseconds: 10000) == .status(0) else {
      throw DriverError("the daemon did not end well: \(lastWords)")
    }
  }
}
