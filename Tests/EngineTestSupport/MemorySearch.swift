import CMemorySearch
import Foundation
import TestSupport

/// Looks for secrets in the writable memory of this process.
public enum MemorySearch {
  /// How often the bytes (at most 64) stand in memory whose complement is given.
  ///
  /// The complement is given so that the question does not put the bytes into memory itself.
  public static func occurrences(ofComplement flipped: [UInt8]) throws -> Int {
    // Other threads unmap memory at any time: read() then fails where a load would trap.
    let memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
    let pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    defer {
      close(memory)
      close(pagemap)
    }
    guard memory >= 0 else { throw POSIXError(.EACCES) }
    var count = 0
    var searched = 0
    for line in DaemonProcess.text("/proc/self/maps").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 2, fields[1].hasPrefix("rw"), fields[1].hasSuffix("p") else { continue }
      let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      guard ends.count == 2, ends[1] - ends[0] <= ProcessMemory.mostBytesOfMapping else { continue }
      count += memory_count_own(
        memory, pagemap, ends[0], ends[1], flipped, flipped.count, &searched)
    }
    // A search that sees nothing proves nothing.
    guard searched > 1 << 20 else { throw TestSupportError("memory could not be read") }
    return count
  }
}
