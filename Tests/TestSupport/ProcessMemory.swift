import CMemorySearch
import Foundation

/// Looks for secrets in the writable memory of another process.
///
/// Guest memory is left out: it is this process's own, and the guest put its keys there itself.
public struct ProcessMemory {
  /// One line of `/proc/PID/maps`.
  public struct Mapping: Hashable, Sendable {
    public var range: Range<UInt>
    public var permissions: String
    /// A file, `[heap]`, `[stack]`; `anonymous` where there is none.
    public var name: String
  }

  /// Where a needle was found.
  public struct Hit: Hashable, Sendable, CustomStringConvertible {
    public var needle: Int
    public var address: UInt
    public var mapping: Mapping
    /// The bytes there, the needle's and some behind.
    public var bytes: [UInt8]

    public var description: String {
      "0x\(String(address, radix: 16)) in \(mapping.name) "
        + "(\(mapping.permissions), \(mapping.range.count >> 10) KiB at 0x"
        + "\(String(mapping.range.lowerBound, radix: 16)))"
    }
  }

  /// Longer mappings are not searched: only the shadow memory of sanitizers is terabytes long, and it has no copies of data.
  public static let mostBytesOfMapping: UInt = 1 << 36

  public let pid: Int32

  public init(pid: Int32) { self.pid = pid }

  /// Readable and writable mappings without guest memory.
  public func mappings() throws -> [Mapping] {
    let lines = DaemonProcess.text("/proc/\(pid)/maps").split(separator: "\n")
    guard !lines.isEmpty else { throw TestSupportError("no memory map of \(pid)") }
    return lines.compactMap { line in
      let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      guard fields.count >= 5, fields[1].hasPrefix("rw") else { return nil }
      let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      let name = fields.count > 5 ? fields[5].drop { $0 == " " } : "anonymous"
      guard ends.count == 2, ends[1] - ends[0] <= Self.mostBytesOfMapping,
        !name.contains("memfd:guest-ram")
      else { return nil }
      return Mapping(
        range: ends[0]..<ends[1], permissions: String(fields[1]), name: String(name))
    }
  }

  /// The name of the thread whose stack a mapping is: the one whose stack pointer, at its last system call, is inside.
  public func thread(onStack mapping: Mapping) -> String? {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
    for task in tasks {
      let words = DaemonProcess.text("/proc/\(pid)/task/\(task)/syscall").split(separator: " ")
      guard words.count >= 2, let pointer = UInt(words[words.count - 2].dropFirst(2), radix: 16)
      else { continue }
      if mapping.range.contains(pointer) {
        return DaemonProcess.text("/proc/\(pid)/task/\(task)/comm")
          .trimmingCharacters(in: .whitespacesAndNewlines)
      }
    }
    return nil
  }

  /// All places where one of the needles (up to 64 bytes each) stands.
  public func search(_ needles: [[UInt8]]) throws -> [Hit] {
    let memory = open("/proc/\(pid)/mem", O_RDONLY | O_CLOEXEC)
    let pagemap = open("/proc/\(pid)/pagemap", O_RDONLY | O_CLOEXEC)
    defer {
      close(memory)
      close(pagemap)
    }
    guard memory >= 0 else { throw TestSupportError("no memory of \(pid): errno \(errno)") }
    let bytes = needles.flatMap { $0 }
    var found = [memory_hit](repeating: memory_hit(), count: 4096)
    var readByteCount = 0
    var hits: [Hit] = []
    try bytes.withUnsafeBufferPointer { bytes in
      var position = bytes.baseAddress
      let list = needles.map { needle in
        defer { position = position.map { $0 + needle.count } }
        return memory_needle(bytes: position, count: needle.count)
      }
      for mapping in try mappings() {
        let count = memory_search(
          memory, pagemap, UInt64(mapping.range.lowerBound), UInt64(mapping.range.upperBound), list,
          list.count, &found, found.count, &readByteCount)
        hits += found.prefix(count).map { hit in
          Hit(
            needle: hit.needle, address: UInt(hit.address), mapping: mapping,
            bytes: withUnsafeBytes(of: hit.bytes) { Array($0.prefix(hit.count)) })
        }
      }
    }
    guard readByteCount > 1 << 20 else {
      throw TestSupportError("only \(readByteCount) bytes of \(pid) could be read")
    }
    return hits.sorted { $0.address < $1.address }
  }
}
