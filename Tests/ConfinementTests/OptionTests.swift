import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheConfinement {
  @Suite("Options of rights")
  struct OptionTests {
    /// Options, the exit status, and words of the one line.
    static let mistakes: [(options: [String], status: Int32, words: [String])] = [
      (["--user=no-such-user"], 67, ["--user 'no-such-user' is unknown", "getent passwd"]),
      (["--user=nobody:no-such-group"], 67, ["--user: group 'no-such-group'", "getent group"]),
      (["--user=4242424"], 67, ["--user 4242424 has no entry", "4242424:GROUP"]),
      (["--user=4294967295"], 67, ["--user '4294967295' is unknown"]),
      (["--user="], 64, ["--user", "see vhost-user-crypto --help"]),
      (["--user=nobody:"], 64, ["--user 'nobody:'", "USER:GROUP"]),
      (["--user", ""], 64, ["--user ''", "USER:GROUP"]),
      (["--user=:nogroup"], 64, ["--user ':nogroup'", "USER:GROUP"]),
      (["--user"], 64, ["--user"]),
      (["--socket-group=no-such-group"], 67, ["--socket-group: group 'no-such-group'"]),
      (["--stats-socket-group=none"], 67, ["--stats-socket-group: group 'none'"]),
      (["--socket-mode=rw-rw----"], 64, ["--socket-mode 'rw-rw----'", "0660"]),
      (["--socket-mode=0880"], 64, ["--socket-mode '0880'"]),
      (["--socket-mode=1777"], 64, ["--socket-mode '1777'"]),
      (["--socket-mode=+660"], 64, ["--socket-mode '+660'"]),
      (["--stats-socket-mode="], 64, ["--stats-socket-mode"]),
      (["--seccomp=off"], 64, ["--seccomp 'off'", "kill, log or none"]),
    ]

    @Test(arguments: mistakes.indices)
    func mistakesAreOneLineAndAStatus(index: Int) throws {
      let mistake = Self.mistakes[index]
      let directory = try TemporaryDirectory()
      let socket = directory.file("x.sock")
      let result = try run(
        path: try DaemonProcess.executable("vhost-user-crypto"),
        ["--socket-path=\(socket)"] + mistake.options)
      #expect(result.exit == .status(mistake.status), "\(result.error)")
      #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
      #expect(result.error.hasPrefix("vhost-user-crypto: "), "\(result.error)")
      for word in mistake.words { #expect(result.error.contains(word), "\(word): \(result.error)") }
      #expect(!FileManager.default.fileExists(atPath: socket))
    }

    /// What somebody who is not root can and cannot ask for.
    @Test(
      arguments: [
        ("--user=root", 77, "needs root"), ("--user=nobody:root", 77, "needs root"),
        ("--socket-group=root", 73, "giving"),
      ] as [(String, Int32, String)])
    func otherUsersNeedRoot(option: String, status: Int32, word: String) throws {
      let directory = try TemporaryDirectory()
      chown(directory.path, nobody, nobody)
      let socket = directory.file("x.sock")
      let result = try run(
        path: "/usr/bin/setpriv",
        [
          "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups",
          try DaemonProcess.executable("vhost-user-crypto"), "--socket-path=\(socket)", option,
          "--calibration-cache=none", "--log-level=error",
        ])
      #expect(result.exit == .status(status), "\(result.error)")
      #expect(result.error.contains(word), "\(result.error)")
      #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
      #expect(!FileManager.default.fileExists(atPath: socket))
    }

    /// A service that has no capabilities is not even allowed to give them up.
    @Test func serviceWithoutPrivilegedCallsStarts() throws {
      let directory = try TemporaryDirectory()
      chown(directory.path, nobody, nobody)
      let socket = directory.file("x.sock")
      let process = try ChildProcess(
        program: "/usr/bin/setpriv",
        arguments: [
          "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups", "--bounding-set=-all",
          try DaemonProcess.besideTests("socket-filter"), "--no-capset",
          try DaemonProcess.executable("vhost-user-crypto"), "--socket-path=\(socket)",
          "--calibration-cache=none",
        ], standardErrorPath: directory.file("err"))
      let client = try CryptoClient.start(
        Frontend.connect(path: socket, patienceMilliseconds: 20000))
      let session = try client.openSession(Samples.encryption)
      #expect(try client.perform(Samples.encrypt(session)).status == .ok)
      #expect(DaemonProcess.text(directory.file("err")).contains("capabilities=none"))
      process.send(signal: SIGTERM)
      #expect(process.wait(milliseconds: 10000) == .status(0))
    }

    /// Looking at a capability file needs none of it.
    @Test func checksAreNotHampered() throws {
      let directory = try TemporaryDirectory()
      let file = try directory.write("version: 1\n", to: "capabilities.yaml")
      chmod(directory.path, 0o755)
      for question in ["--check-config", "--print-config", "--print-capabilities", "--version"] {
        let result = try run(
          path: "/usr/bin/setpriv",
          [
            "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups",
            try DaemonProcess.executable("vhost-user-crypto"), "--config=\(file)",
            "--user=somebody-of-the-real-host", "--calibration-cache=none", question,
          ])
        #expect(result.exit == .status(0), "\(question): \(result.error)")
      }
    }
  }
}
