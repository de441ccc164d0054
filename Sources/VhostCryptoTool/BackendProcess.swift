import Foundation

/// What the kernel says about a running back-end: the memory that it takes and the processor time that it has had.
struct BackendProcess {
  let pid: Int32

  /// Memory in KiB.
  struct Memory: Codable, Equatable {
    /// Resident, shared pages and guest memory included.
    var resident: Int
    /// Resident, and nobody else's.
    var isPrivate: Int

    enum CodingKeys: String, CodingKey {
      case resident
      case isPrivate = "private"
    }
  }

  /// nil where the process is not to be seen.
  var memory: Memory? {
    guard let text = Self.text("/proc/\(pid)/smaps_rollup") else { return nil }
    func kibibytes(_ name: String) -> Int? {
      let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
      return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    }
    guard
      let resident = kibibytes("Rss"), let clean = kibibytes("Private_Clean"),
      let dirty = kibibytes("Private_Dirty")
    else { return nil }
    return Memory(resident: resident, isPrivate: clean + dirty)
  }

  /// Nanoseconds that all its threads have run; nil where they are not to be seen.
  var processorNanoseconds: UInt64? {
    let folder = "/proc/\(pid)/task"
    guard let tasks = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
      return nil
    }
    return tasks.reduce(UInt64(0)) { sum, task in
      // "running, waiting, slices"
      let words = Self.text("\(folder)/\(task)/schedstat")?.split(separator: " ")
      return sum + (words?.first.flatMap { UInt64($0) } ?? 0)
    }
  }

  /// A file of /proc, whose size says 0.
  private static func text(_ path: String) -> String? {
    guard let handle = FileHandle(forReadingAtPath: path), let data = try? handle.readToEnd()
    else { return nil }
    return String(decoding: data, as: UTF8.self)
  }
}
