import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheConfinement {
  /// Keys in memory that the kernel does not swap, as far as the limit goes.
  @Suite("Locked memory")
  struct LockedMemoryTests {
    /// Root lifts limits, unless it has not the capability.
    private func rootWithoutLimits(lifts: Bool) -> [String] {
      lifts ? ["--ruid=0"] : ["--bounding-set=-sys_resource"]
    }

    /// With a limit in KiB.
    private func run(
      limit: String, lifts: Bool = false,
      _ body: (_ daemon: ChildProcess, _ log: () -> String, CryptoClient) throws -> Void
    ) throws {
      let directory = try TemporaryDirectory()
      let socket = directory.file("d.sock")
      let error = directory.file("err")
      let file = try directory.write(
        """
        version: 1
        device: { queues: 1, max-sessions: 256, max-request: 16KiB }
        workers: { helpers: 0 }

        """, to: "c.yaml")
      let process = try ChildProcess(
        program: "/usr/bin/setpriv",
        arguments: rootWithoutLimits(lifts: lifts) + [
          "/bin/sh", "-c", "ulimit -l \(limit); exec \"$@\"", "sh",
          try DaemonProcess.executable("vhost-user-crypto"), "--socket-path=\(socket)",
          "--config=\(file)", "--user=nobody",
        ], environment: DaemonProcess.inheritedEnvironment.map { "\($0.key)=\($0.value)" },
        standardErrorPath: error)
      try waitUntil("the socket", milliseconds: 30000) {
        DaemonProcess.text(error).contains("listening")
      }
      let client = try CryptoClient.start(path: socket, options: .init(), dataQueueCount: 1)
      let session = try client.openSession(Samples.encryption)
      #expect(try client.perform(Samples.encrypt(session)).status == .ok)
      try body(process, { DaemonProcess.text(error) }, client)
      process.send(signal: SIGTERM)
      #expect(process.wait(milliseconds: 10000) == .status(0))
    }

    private func lockedKiB(_ process: ChildProcess) throws -> Int {
      let text = DaemonProcess.text("/proc/\(process.pid)/status")
      let lines = text.split(separator: "\n")
      let line = try #require(lines.first { $0.hasPrefix("VmLck:") })
      let number = try #require(line.split { !$0.isNumber }.first)
      return try #require(Int(number))
    }

    private let complaint = "some keys could be swapped out"

    /// Sessions and expanded keys, 4 MiB of a small device; its bounce buffers, 7 MiB, where root may lift the limit.
    @Test func keysAreLocked() throws {
      try run(limit: "8192", lifts: true) { process, log, _ in
        let locked = try lockedKiB(process)
        if log().contains("lockable=any") {
          #expect(locked > 10 << 10, "\(locked) KiB")
          #expect(!log().contains(complaint), "\(log())")
        } else {
          #expect(log().contains("lockable=8192 KiB"))
          #expect((4096...8192).contains(locked), "\(locked) KiB")
          #expect(log().contains(complaint), "\(log())")
        }
      }
    }

    /// What there is room for is locked; what there is not is told, once.
    @Test func limitLocksWhatItReachesFor() throws {
      try run(limit: "1600") { process, log, client in
        let locked = try lockedKiB(process)
        #expect((1400...1600).contains(locked), "\(locked) KiB")
        for _ in 0..<20 {
          let session = try client.openSession(Samples.encryption)
          #expect(try client.perform(Samples.encrypt(session)).status == .ok)
        }
        #expect(log().components(separatedBy: complaint).count == 2, "\(log())")
        #expect(log().contains("RLIMIT_MEMLOCK 1600 KiB"))
      }
    }

    /// io_uring needs some, too.
    @Test func withoutAnyRoomItDoesNotStart() throws {
      let directory = try TemporaryDirectory()
      try directory.give(to: "nobody")
      let result = try TheConfinement.run(
        path: "/usr/bin/setpriv",
        rootWithoutLimits(lifts: false) + [
          "/bin/sh", "-c", "ulimit -l 0; exec \"$@\"", "sh",
          try DaemonProcess.executable("vhost-user-crypto"),
          "--socket-path=\(directory.file("d.sock"))", "--user=nobody", "--log-level=error",
        ])
      #expect(result.exit == .status(69))
      #expect(result.error.contains("LimitMEMLOCK"), "\(result.error)")
      #expect(!FileManager.default.fileExists(atPath: directory.file("d.sock")))
    }
  }
}
