internal import Glibc
internal import Synchronization

/// A program that the front-end's side starts: the daemon under test or under measurement.
///
/// It starts with no signal blocked or ignored. Foundation's `Process` hands down the mask of the
/// calling thread, and threads of the concurrency runtime block SIGTERM, so that a child of a test
/// would not hear it.
public final class ChildProcess: Sendable {
  /// How the process ended.
  public enum Exit: Hashable, Sendable {
    case status(Int32)
    case signal(Int32)
  }

  public let pid: Int32
  private let exit = Mutex<Exit?>(nil)

  /// Starts a program; standard input reads nothing, the outputs go to new files.
  ///
  /// `environment` nil means this process's own. A nil output path means nowhere.
  public init(
    program: String, arguments: [String], environment: [String]? = nil,
    standardOutputPath: String? = nil, standardErrorPath: String? = nil,
    inheritsStandardError: Bool = false
  ) throws(FrontendError) {
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    let creation = O_WRONLY | O_CREAT | O_TRUNC
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(
      &actions, 1, standardOutputPath ?? "/dev/null", creation, 0o600)
    if !inheritsStandardError {
      unsafe posix_spawn_file_actions_addopen(
        &actions, 2, standardErrorPath ?? "/dev/null", creation, 0o600)
    }
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

    // SAFETY: the copies of the strings live until the call has returned, and are freed once.
    var words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    var settings = unsafe (environment ?? Self.ownEnvironment()).map { unsafe strdup($0) } + [nil]
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
      for index in unsafe settings.indices { unsafe free(settings[index]) }
    }
    var child: pid_t = 0
    let code = unsafe posix_spawn(&child, program, &actions, &attributes, &words, &settings)
    guard code == 0 else { throw .system(doing: "starting \(program)", errno: code) }
    pid = child
  }

  /// `NAME=value` of this process.
  private static func ownEnvironment() -> [String] {
    var result: [String] = []
    // SAFETY: nobody in this process sets environment variables while children are started.
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
      result.append(unsafe String(cString: text))
      unsafe entry += 1
    }
    return result
  }

  deinit {
    if isRunning {
      kill(pid, SIGKILL)
      _ = wait(milliseconds: 10000)
    }
  }

  /// How it ended; nil while it runs.
  public var exitIfEnded: Exit? {
    exit.withLock { exit in
      if exit != nil { return exit }
      var status: Int32 = 0
      // SAFETY: `status` is ours for the length of the call.
      guard unsafe waitpid(pid, &status, WNOHANG) == pid else { return nil }
      // The macros WTERMSIG and WEXITSTATUS.
      let signal = status & 0x7F
      exit = signal == 0 ? .status((status >> 8) & 0xFF) : .signal(signal)
      return exit
    }
  }

  public var isRunning: Bool { exitIfEnded == nil }

  /// Sends a signal to this process alone, and none once it has ended.
  public func send(signal: Int32) { if isRunning { kill(pid, signal) } }

  /// Waits for the end; nil when that takes too long.
  public func wait(milliseconds: Int) -> Exit? {
    let deadline = Deadline(milliseconds: milliseconds)
    while true {
      if let exit = exitIfEnded { return exit }
      if deadline.hasPassed { return nil }
      usleep(2000)
    }
  }
}
