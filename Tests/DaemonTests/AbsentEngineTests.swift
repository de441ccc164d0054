import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  /// A host without AF_ALG, or a container that forbids it, has one engine less.
  @Suite("Absent engines")
  struct AbsentEngineTests {
    private static let logLine = "engine is not used"

    /// The filter answers before the kernel does, so this is the same on every host.
    @Test func whereContainersForbidCryptoSocketsTheDaemonSaysSoOnceAndGoesOn() throws {
      let directory = try TemporaryDirectory()
      let socket = directory.file("vhost.sock")
      let process = try ChildProcess(
        program: try DaemonProcess.besideTests("socket-filter"),
        arguments: [
          try DaemonProcess.executable("vhost-user-crypto"), "--socket-path=\(socket)",
          "--calibration-cache=none",
        ] + DaemonProcess.rights,
        standardOutputPath: directory.file("out"), standardErrorPath: directory.file("err"))
      defer { process.send(signal: SIGKILL) }
      let frontend = try Frontend.connect(path: socket, patienceMilliseconds: 10000)
      let client = try CryptoClient.start(frontend)
      for _ in 0..<3 { try client.expectService() }
      frontend.disconnect()
      process.send(signal: SIGTERM)
      #expect(process.wait(milliseconds: 10000) == .status(0))
      let lines = DaemonProcess.text(directory.file("err")).split(separator: "\n")
        .filter { $0.contains(Self.logLine) && $0.contains("kernel") }
      #expect(lines.count == 1, "\(lines)")
      #expect(lines.first?.contains("AF_ALG sockets are forbidden here") == true, "\(lines)")
    }

    @Test func anAbsentEngineOfAListIsAWarningWhereNobodyElseSteppedIn() throws {
      let daemon = try DaemonProcess(
        arguments: ["--calibration-cache=none"],
        configuration: """
          version: 1
          algorithms:
            mac: { gmac-twofish: { engine: [kernel] } }
          """)
      try daemon.terminate()
      let words = daemon.standardError
      // On a host whose kernel has it, it is served.
      if words.contains(Self.logLine) {
        #expect(words.contains("gmac-twofish is not advertised"), "\(words)")
      } else {
        #expect(!words.contains("gmac-twofish"), "\(words)")
      }
    }
  }
}
