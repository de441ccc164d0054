import Glibc

/// What the process takes from its host.
public struct ProcessStatistics: Codable, Equatable, Sendable {
  public var pid: Int32 = 0
  /// Processor time of all threads.
  public var cpuSeconds: Double = 0
  public var residentBytes: UInt64 = 0
  public var openFiles: Int = 0
  /// How many files it may open.
  public var maximumFiles: UInt64 = 0
  public var threads: Int = 0
  /// Since 1970.
  public var startSeconds: Double = 0

  public init() {}

  /// This process, now.
  ///
  /// What `/proc` does not tell is 0. `uptimeSeconds`: since the start.
  public static func current(uptimeSeconds: Double) -> ProcessStatistics {
    var statistics = ProcessStatistics()
    statistics.pid = getpid()
    var clock = timespec()
    // SAFETY: the kernel writes one `timespec`, and below one `rlimit`.
    if unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &clock) == 0 {
      statistics.cpuSeconds = seconds(clock)
    }
    if unsafe clock_gettime(CLOCK_REALTIME, &clock) == 0 {
      statistics.startSeconds = seconds(clock) - uptimeSeconds
    }
    var limit = rlimit()
    if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      statistics.maximumFiles = UInt64(limit.rlim_cur)
    }
    let pages = firstLine("/proc/self/statm").split(separator: " ").dropFirst().first
    statistics.residentBytes = (pages.flatMap { UInt64($0) } ?? 0) * UInt64(getpagesize())
    // The directory's own descriptor is counted, too.
    statistics.openFiles = max(0, entryCount("/proc/self/fd") - 1)
    statistics.threads = entryCount("/proc/self/task")
    return statistics
  }

  private static func seconds(_ clock: timespec) -> Double {
    Double(clock.tv_sec) + Double(clock.tv_nsec) / 1e9
  }

  private static func firstLine(_ path: String) -> String {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 256)
    let room = buffer.count
    // SAFETY: the buffer has room for as many bytes as are asked for.
    let count = unsafe read(file, &buffer, room)
    return String(decoding: buffer.prefix(max(0, count)).prefix { $0 != 0x0a }, as: UTF8.self)
  }

  private static func entryCount(_ path: String) -> Int {
    guard let directory = unsafe opendir(path) else { return 0 }
    defer { unsafe closedir(directory) }
    var count = 0
    // SAFETY: an entry is looked at before the next call, which may reuse its memory.
    while let entry = unsafe readdir(directory) {
      if unsafe entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
    }
    return count
  }
}
