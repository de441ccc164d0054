import Glibc
import IOUring
import LinuxSystem
import Logging

/// What the daemon does without: rights that it needs at most to start, and system calls that it never needs.
///
/// A guest that takes the daemon over finds a process that can open nothing for writing, start nothing, and speak to
/// nobody new. docs/security.md says what is left.
struct Confinement {
  /// Somebody to become.
  struct Identity {
    var name: String
    var user: UInt32
    var group: UInt32
    /// Supplementary groups.
    var groups: [UInt32]
  }

  /// nil: stay who we are.
  var identity: Identity?
  /// Of the devices' sockets.
  var sockets: SocketRights
  /// Of the control socket: who may set limits is its owner alone.
  var control: SocketRights
  /// Of the statistics' socket.
  var statistics: SocketRights
  var filter: SyscallFilter.Mode
  var permitsCoreDumps: Bool

  /// Before anything is started: what must not wait.
  func begin(_ logger: Logger) {
    FileDescriptorLimit.raise()
    SecretMemory.raiseLimit()
    forbidCoreDumps(logger)
    // Engines are tried out at start, and what they find then must still hold when the capabilities are gone: with this
    // one, the kernel's sockets hold more.
    let netAdmin: Int32 = 12
    try? Rights.forgo(capability: netAdmin)
  }

  /// Gives up what is not needed to serve, for ever; one line says what is left.
  ///
  /// Sockets are made, and engines started. No second thread runs yet: rights are each thread's own.
  ///
  /// `socketPaths`: socket files to be removed at the end.
  func apply(_ logger: Logger, socketPaths: [String]) throws(StartError) {
    do throws(SystemError) {
      try Self.waitToBeAlone()
      try dropRights(logger)
    } catch {
      guard error.code == EPERM else { throw StartError("\(error)", EX_OSERR) }
      throw StartError(
        "\(error); start as root with the capabilities CAP_SETUID, CAP_SETGID and CAP_CHOWN, or without --user",
        EX_NOPERM)
    }
    do throws(SystemError) {
      try SyscallFilter.install(filter)
    } catch { throw StartError("\(error); --seccomp=none does without", EX_OSERR) }
    do throws(SystemError) {
      // What every queue will need: better refused now than when a guest starts.
      _ = try IOUring(entries: 4)
    } catch {
      let cure =
        error.code == ENOMEM
        ? "it counts against RLIMIT_MEMLOCK (LimitMEMLOCK=)"
        : "look at the sysctls kernel.io_uring_disabled and kernel.io_uring_group"
      throw StartError("\(error) as user \(Rights.user); \(cure)", EX_UNAVAILABLE)
    }
    for path in socketPaths where !Rights.canRemove(path) {
      logger.notice(
        "the socket's file will be left behind, and the next start replaces it: its directory is not the daemon's",
        metadata: ["socket": "\(path)", "user": "\(Rights.user)"])
    }
    logger.info(
      "confined",
      metadata: [
        "user": "\(Rights.user)", "group": "\(Rights.group)", "capabilities": "none",
        "new privileges": "never", "seccomp": "\(filter.rawValue)",
        "core dumps": permitsCoreDumps ? "permitted" : "forbidden",
        "lockable": SecretMemory.limit.map { "\($0 >> 10) KiB" } ?? "any",
      ])
  }

  /// Which limit is in the way of locking memory, and what to do about it.
  static var lockingAdvice: Logger.Metadata {
    [
      "limit": "RLIMIT_MEMLOCK \(SecretMemory.limit.map { "\($0 >> 10) KiB" } ?? "any")",
      "cure": "LimitMEMLOCK=infinity, or no swap",
    ]
  }

  /// Threads that were joined are still seen for a moment.
  private static func waitToBeAlone() throws(SystemError) {
    Rights.endSanitizerThreads()
    var count = 0
    for _ in 0..<1000 {
      count = try Rights.threadCount()
      if count == 1 { return }
      usleep(1000)
    }
    throw SystemError(call: "giving up rights with \(count) threads", code: EBUSY)
  }

  private func dropRights(_ logger: Logger) throws(SystemError) {
    do throws(SystemError) {
      try Rights.boundCapabilities()
    } catch {
      // Without CAP_SETPCAP there are no capabilities worth the name to pass on, and new privileges end below.
      guard error.code == EPERM else { throw error }
    }
    if let identity {
      try Rights.become(user: identity.user, group: identity.group, groups: identity.groups)
    }
    try Rights.dropCapabilities()
    try Rights.forbidNewPrivileges()
    // A change of users has the kernel decide anew.
    if permitsCoreDumps { try CoreDumps.permit() } else { forbidCoreDumps(logger) }
  }

  private func forbidCoreDumps(_ logger: Logger) {
    guard !permitsCoreDumps else { return }
    do throws(SystemError) {
      try CoreDumps.forbid()
    } catch { logger.warning("keys could end up in a core dump", metadata: ["reason": "\(error)"]) }
  }
}
