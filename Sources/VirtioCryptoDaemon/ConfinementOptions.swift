import ArgumentParser
import Glibc
import LinuxSystem

/// The command line's words about the daemon's rights.
struct ConfinementOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Become this user (and group; by name or number) once the sockets are made, which needs root. All capabilities are \
      given up in any case.
      """, valueName: "user[:group]"))
  var user: String?

  @Option(
    help: ArgumentHelp(
      "Give the devices' sockets to this group. (default: the daemon's)", valueName: "group"))
  var socketGroup: String?

  @Option(
    help: ArgumentHelp(
      "Who may connect to the devices' sockets, as octal permission bits. (default: 0660)",
      valueName: "mode"))
  var socketMode: String?

  @Option(
    help: ArgumentHelp(
      "Give the statistics' socket to this group. (default: the daemon's)", valueName: "group"))
  var statsSocketGroup: String?

  @Option(
    help: ArgumentHelp(
      "Who may read statistics, as octal permission bits. (default: 0660)", valueName: "mode"))
  var statsSocketMode: String?

  @Option(
    help: ArgumentHelp(
      """
      What happens to system calls that the daemon has no use for: kill ends it, log tells the kernel's log, none lets \
      them pass. (default: kill)
      """, valueName: "mode"))
  var seccomp: String?

  @Flag(help: "For debugging: permit core dumps and debuggers, which show guests' keys.")
  var coreDumps = false
}

extension Confinement {
  /// What the options mean on this host.
  init(_ options: ConfinementOptions) throws(StartError) {
    identity = try options.user.map { (word) throws(StartError) in try Self.identity(word) } ?? nil
    let owner = identity.map(\.user)
    sockets = SocketRights(
      mode: try Self.mode(options.socketMode, "--socket-mode"), user: owner,
      group: try Self.group(options.socketGroup, "--socket-group") ?? identity?.group)
    control = SocketRights(mode: 0o600, user: owner, group: identity?.group)
    statistics = SocketRights(
      mode: try Self.mode(options.statsSocketMode, "--stats-socket-mode"), user: owner,
      group: try Self.group(options.statsSocketGroup, "--stats-socket-group") ?? identity?.group)
    let word = options.seccomp ?? SyscallFilter.Mode.kill.rawValue
    guard let filter = SyscallFilter.Mode(rawValue: word) else {
      throw StartError("--seccomp '\(word)' is unknown; kill, log or none", EX_USAGE)
    }
    self.filter = filter
    permitsCoreDumps = options.coreDumps
  }

  /// nil: the process is that user already.
  private static func identity(_ text: String) throws(StartError) -> Identity? {
    let words = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      .map(String.init)
    guard words.allSatisfy({ !$0.isEmpty }), let first = words.first else {
      throw StartError("--user '\(text)' is incomplete; give USER or USER:GROUP", EX_USAGE)
    }
    var group: UInt32?
    if words.count > 1 { group = try Self.group(words[1], "--user") }
    var identity: Identity
    if let user = Accounts.user(first) {
      identity = Identity(
        name: user.name, user: user.identifier, group: group ?? user.group,
        groups: group.map { [$0] + user.groups.filter { $0 != user.group } } ?? user.groups)
    } else if let number = Accounts.number(first) {
      guard let group else {
        throw StartError(
          "--user \(number) has no entry and so no group; give \(number):GROUP", EX_NOUSER)
      }
      identity = Identity(name: "\(number)", user: number, group: group, groups: [group])
    } else {
      throw StartError(
        "--user '\(first)' is unknown; give a user of this host (getent passwd)", EX_NOUSER)
    }
    if Rights.user == 0 { return identity }
    guard identity.user == Rights.user, identity.group == Rights.group else {
      throw StartError(
        "--user \(text) needs root, and this is user \(Rights.user); leave it out, or start as root",
        EX_NOPERM)
    }
    return nil
  }

  private static func group(_ word: String?, _ option: String) throws(StartError) -> UInt32? {
    guard let word else { return nil }
    if let number = Accounts.group(word) ?? Accounts.number(word) { return number }
    throw StartError(
      "\(option): group '\(word)' is unknown; give a group of this host (getent group)", EX_NOUSER)
  }

  private static func mode(_ word: String?, _ option: String) throws(StartError) -> UInt32 {
    guard let word else { return 0o660 }
    guard let mode = UInt32(word, radix: 8), mode <= 0o777, word.first?.isNumber == true else {
      throw StartError(
        "\(option) '\(word)' is no mode; give octal permission bits such as 0660", EX_USAGE)
    }
    return mode
  }
}
