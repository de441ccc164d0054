import Foundation
import TestSupport
import VhostUserFrontend

/// A directory that stands for the host of the documents: the built programs in its `PATH`, the source tree's files to
/// be read, and `/run`, `/etc` and the units' directory below it.
final class ScratchHost {
  static let sourceTree = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  let directory: TemporaryDirectory
  private var root: String { directory.path }
  private let environment: [String: String]
  private var daemon: ChildProcess?

  init() throws {
    directory = try TemporaryDirectory()
    let root = directory.path
    var variables = DaemonProcess.inheritedEnvironment
    variables["PATH"] =
      "\(root)/bin:\(DaemonProcess.buildDirectory):\(variables["PATH"] ?? "/usr/bin:/bin")"
    environment = variables
    let manager = FileManager.default
    for folder in ["bin", "run/vhost-user-crypto", "etc", "docs/images"] {
      try manager.createDirectory(
        atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
    }
    for entry in ["config", "Tests", "Makefile"] {
      try manager.createSymbolicLink(
        atPath: "\(root)/\(entry)", withDestinationPath: "\(Self.sourceTree)/\(entry)")
    }
    // The statistics' usual path is below /run, where a test may not write.
    let tool = try DaemonProcess.executable("vhost-crypto")
    try """
    #!/bin/bash
    case "$1 $*" in
      *--stats-socket*|*--socket*) ;;
      stats*|top*) set -- "$@" --stats-socket "\(root)/run/vhost-user-crypto/stats.sock" ;;
    esac
    exec "\(tool)" "$@"

    """.write(toFile: "\(root)/bin/vhost-crypto", atomically: true, encoding: .utf8)
    try manager.setAttributes(
      [.posixPermissions: 0o755], ofItemAtPath: "\(root)/bin/vhost-crypto")
  }

  deinit {
    daemon?.send(signal: SIGTERM)
    _ = daemon?.wait(milliseconds: 10000)
  }

  /// Puts the units where the documents have them.
  func install() throws {
    let result = try run(
      "DESTDIR='\(root)' PREFIX=/usr BUILD='\(DaemonProcess.buildDirectory)' '\(Self.sourceTree)/config/install.sh' install",
      rewrites: false)
    guard result.status == .status(0) else { throw TestSupportError(result.errors) }
  }

  /// Starts what the documents' commands meet: a device `vm1`, and statistics.
  func startDaemon() throws {
    let file = try directory.write(
      """
      version: 1
      devices: [{ name: vm1, socket: \(root)/run/vm1-crypto.sock }]
      stats: { socket: \(root)/run/vhost-user-crypto/stats.sock }

      """, to: "vm1.yaml")
    daemon = try ChildProcess(
      program: DaemonProcess.executable("vhost-user-crypto"), arguments: ["--config=\(file)"],
      environment: environment.map { "\($0.key)=\($0.value)" })
    for path in ["run/vm1-crypto.sock", "run/vhost-user-crypto/stats.sock"] {
      try waitUntil("the daemon's \(path)", milliseconds: 20000) {
        FileManager.default.fileExists(atPath: "\(root)/\(path)")
      }
    }
  }

  struct Result {
    var status: ChildProcess.Exit
    var output: String
    var errors: String
  }

  /// Runs a line as the documents have it, in the scratch directory.
  func run(_ command: String, rewrites: Bool = true, milliseconds: Int = 60000) throws -> Result {
    let process = try start(command, rewrites: rewrites)
    guard let status = process.wait(milliseconds: milliseconds) else {
      throw TestSupportError("it did not end in \(milliseconds) ms")
    }
    return try result(status)
  }

  /// Runs a daemon until all sockets that its command names are there.
  func serve(_ command: String) throws -> Result {
    let process = try start("exec " + command, rewrites: true)
    let sockets = here(command).matches(of: /\S+?=(\/\S+\.sock)/).map { String($0.1) }
    guard !sockets.isEmpty else { throw TestSupportError("no socket in: \(command)") }
    try waitUntil("sockets \(sockets)", milliseconds: 20000) {
      sockets.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }
    process.send(signal: SIGTERM)
    guard let status = process.wait(milliseconds: 10000) else {
      throw TestSupportError("it did not end on SIGTERM")
    }
    return try result(status)
  }

  private func start(_ command: String, rewrites: Bool) throws -> ChildProcess {
    try ChildProcess(
      program: "/bin/bash",
      arguments: ["-c", "set -o pipefail; cd '\(root)'; \(rewrites ? here(command) : command)"],
      environment: environment.map { "\($0.key)=\($0.value)" },
      standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
  }

  private func result(_ status: ChildProcess.Exit) throws -> Result {
    func read(_ name: String) throws -> String {
      try String(contentsOfFile: directory.file(name), encoding: .utf8)
    }
    return try Result(
      status: status, output: there(read("out")), errors: there(read("err")))
  }

  private static let places = [
    ("/run/", "/run/"), ("/etc/", "/etc/"), ("/lib/systemd/", "/usr/lib/systemd/"),
  ]

  /// A command with the scratch directory in front of the host's paths.
  private func here(_ command: String) -> String {
    var command = command
    for (path, place) in Self.places {
      for before in [" ", "="] {
        command = command.replacing(before + path, with: before + root + place)
      }
    }
    return command
  }

  private func there(_ output: String) -> String { output.replacing(root, with: "") }
}
