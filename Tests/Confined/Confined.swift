// Of the tests: a process with the daemon's filter of system calls, which then does one thing; or one that connects to
// a socket as somebody else.
//
//   confined kill|log|none DEED      exit status 0 if it was carried out, its errno if it was not
//   confined connect PATH UID GID    likewise

import Glibc
import LinuxSystem

/// What a taken-over process would like to do, and what the daemon does all the time.
let deeds: [String: @Sendable () -> Bool] = [
  "execve": {
    var words: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/true"), nil]
    return execv("/bin/true", &words) == 0
  },
  "fork": { posixSpawn() },
  "network": { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) >= 0 },
  "netlink": { socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), 0) >= 0 },
  "write-file": { open("/tmp/confined-\(getpid())", O_WRONLY | O_CREAT, 0o600) >= 0 },
  "rename": { rename("/tmp/confined-none", "/tmp/confined-none-2") == 0 || errno == ENOENT },
  "chmod": { chmod("/tmp/confined-none", 0o777) == 0 || errno == ENOENT },
  "executable-memory": {
    mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED
  },
  "make-executable": {
    let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return mprotect(memory, 4096, PROT_READ | PROT_EXEC) == 0
  },
  "kill-parent": { kill(getppid(), 0) == 0 },
  "setuid": { setuid(getuid()) == 0 },
  "raise-limit": {
    var limit = rlimit(rlim_cur: 16, rlim_max: 16)
    return setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
  },
  "chroot": { chroot("/") == 0 },

  "thread": {
    guard let thread = try? PinnedThread(name: "thread", body: {}) else { return false }
    thread.join()
    return true
  },
  "read-file": { open("/proc/self/status", O_RDONLY) >= 0 },
  "unix-socket": { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) >= 0 },
  "random": {
    var bytes: UInt64 = 0
    return getentropy(&bytes, 8) == 0
  },
  "sleep": { usleep(1000) == 0 },
  "remove-file": { unlink("/tmp/confined-none") == 0 || errno == ENOENT },
  "log": { write(2, "", 0) == 0 },
  "memory": {
    let memory = malloc(64 << 20)
    free(memory)
    return memory != nil
  },
  "memory-file": {
    guard let file = try? MemoryFile.make(name: "confined", byteCount: 4096) else { return false }
    return (try? file.sealSize()) != nil
  },
  "abort": { abort() },
]

func posixSpawn() -> Bool {
  var child: pid_t = 0
  var words: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
  let result = posix_spawn(&child, "/bin/true", nil, nil, &words, nil)
  if result != 0 { errno = result }
  return result == 0
}

func finish(_ succeeded: Bool) -> Never { exit(succeeded ? 0 : errno) }

func usage() -> Never {
  print("usage: confined kill|log|none DEED, or confined connect PATH UID GID")
  exit(EX_USAGE)
}

@main
enum Confined {
  static func main() {
    let words = CommandLine.arguments
    if words.count == 5, words[1] == "connect", let user = UInt32(words[3]),
      let group = UInt32(words[4])
    {
      do throws(SystemError) {
        try Rights.become(user: user, group: group, groups: [group])
        _ = try connectToUnixSocket(path: words[2])
      } catch { exit(error.code) }
      exit(0)
    }
    guard words.count == 3, let mode = SyscallFilter.Mode(rawValue: words[1]),
      let deed = deeds[words[2]]
    else { usage() }
    do throws(SystemError) {
      // As the daemon does; the runtime's own crash reports start programs.
      try CoreDumps.forbid()
      try Rights.forbidNewPrivileges()
      try SyscallFilter.install(mode)
    } catch {
      print("\(error)")
      exit(EX_OSERR)
    }
    finish(deed())
  }
}
