import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheConfinement {
  /// The filter itself, in a process that does what a taken-over one would like to do.
  @Suite("The filter of system calls")
  struct FilterTests {
    @Test(
      arguments: [
        "execve", "fork", "network", "netlink", "write-file", "rename", "chmod",
        "executable-memory", "make-executable", "kill-parent", "setuid", "raise-limit", "chroot",
      ])
    func forbiddenCallsEndTheProcess(deed: String) throws {
      #expect(try confined("kill", deed) == .signal(SIGSYS), "\(deed)")
      // Without a filter, and with one that only tells, it is carried out.
      #expect(try confined("none", deed) == .status(0), "\(deed)")
      #expect(try confined("log", deed) == .status(0), "\(deed)")
    }

    @Test(
      arguments: [
        "thread", "read-file", "unix-socket", "random", "sleep", "remove-file", "log", "memory",
        "memory-file",
      ])
    func whatTheDaemonDoesPasses(deed: String) throws {
      #expect(try confined("kill", deed) == .status(0), "\(deed)")
    }

    /// A crash is a crash, not a violation.
    @Test func abortPasses() throws {
      #expect(try confined("kill", "abort") == .signal(SIGABRT))
    }
  }
}
