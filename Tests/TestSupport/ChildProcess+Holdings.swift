import Foundation
import VhostUserFrontend

/// What the kernel says that a process holds.
extension ChildProcess {
  /// Open file descriptors.
  public var fileDescriptorCount: Int { entryCount("fd") }

  public var threadCount: Int { entryCount("task") }

  /// Names of its threads.
  public var threadNames: [String] {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
    return tasks.map {
      DaemonProcess.text("/proc/\(pid)/task/\($0)/comm")
        .trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }

  /// Bytes of resident memory that are its own and that it has written, without what it shares with the guest.
  ///
  /// Not what is only read: a program's own pages are private as long as nobody else runs it.
  public func privateByteCount() throws -> Int {
    let lines = DaemonProcess.text("/proc/\(pid)/smaps_rollup").split(separator: "\n")
    let count = lines.first { $0.hasPrefix("Private_Dirty:") }
      .flatMap { $0.split(separator: " ").dropFirst().first.flatMap { Int($0) } }
    guard let count else { throw TestSupportError("no memory of \(pid) to be seen") }
    return count * 1024
  }

  /// The same by mapping, named by its first address and its file, if it has one.
  public var privateByteCounts: [String: Int] {
    var counts: [String: Int] = [:]
    var name = ""
    for line in DaemonProcess.text("/proc/\(pid)/smaps").split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard let first = words.first else { continue }
      if !first.hasSuffix(":") {
        name = ([first.prefix { $0 != "-" }] + words.dropFirst(5)).joined(separator: " ")
      } else if first == "Private_Dirty:" {
        counts[name, default: 0] += (words.dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
      }
    }
    return counts
  }

  private func entryCount(_ folder: String) -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/\(folder)"))?.count ?? 0
  }
}
