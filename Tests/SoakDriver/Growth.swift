import Foundation
import TestSupport
import VhostUserFrontend

/// What a process holds at one moment, with everybody idle.
struct Holdings: Equatable {
  var privateBytes: Int
  var descriptors: Int
  var threads: Int

  init(_ daemon: ChildProcess) throws {
    privateBytes = try daemon.privateByteCount()
    descriptors = daemon.fileDescriptorCount
    // io_uring's own, which wait for the kernel's ciphers, come and go, as many as are in flight; so do libdispatch's, of
    // which a busy machine has one more for some seconds.
    threads = daemon.threadNames.count { !$0.hasPrefix("iou-wrk") && !$0.contains("-qos") }
  }

  var line: String {
    "memory=\(privateBytes >> 10)KiB descriptors=\(descriptors) threads=\(threads)"
  }
}

/// Compares what a daemon holds with what it held once it was warm.
struct Growth {
  /// Above this the heap has grown, whatever its fragments do.
  static let memoryAllowance = 8 << 20
  /// Descriptors beyond what there was: where the kernel computes, its engine keeps a socket for each operation that was
  /// once in flight under a key, for the next one.
  static let descriptorAllowance = {
    let descriptor = socket(AF_ALG, Int32(SOCK_SEQPACKET.rawValue), 0)
    guard descriptor >= 0 else { return 0 }
    close(descriptor)
    return 16
  }()
  /// What was seen of each daemon: when it was warm, and the most afterwards.
  private(set) var lines: [String] = []
  private var first: Holdings?
  private var most: Holdings?
  private var comparisons = 0
  private var mappings: [String: Int] = [:]
  private var threads: [String: Int] = [:]

  /// Takes what the daemon holds now as what it is compared with.
  mutating func begin(_ daemon: ChildProcess) throws {
    first = try Holdings(daemon)
    most = first
    comparisons = 0
    mappings = daemon.privateByteCounts
    threads = Self.threads(daemon)
  }

  private static func threads(_ daemon: ChildProcess) -> [String: Int] {
    Dictionary(grouping: daemon.threadNames) { $0 }.mapValues(\.count)
  }

  /// What has grown; nil where nothing has.
  ///
  /// Threads and descriptors of a front-end that has just left get two seconds to go.
  mutating func compare(_ daemon: ChildProcess) throws -> String? {
    guard let first else { throw DriverError("nothing to compare with") }
    var now = try Holdings(daemon)
    let end = monotonicNanoseconds() + 2_000_000_000
    let mostDescriptors = first.descriptors + Self.descriptorAllowance
    while now.descriptors > mostDescriptors || now.threads > first.threads,
      monotonicNanoseconds() < end
    {
      pause(milliseconds: 10)
      now = try Holdings(daemon)
    }
    comparisons += 1
    if let old = most {
      most?.privateBytes = max(old.privateBytes, now.privateBytes)
      most?.descriptors = max(old.descriptors, now.descriptors)
      most?.threads = max(old.threads, now.threads)
    }
    let hasGrown =
      now.descriptors > mostDescriptors || now.threads > first.threads
      || now.privateBytes > first.privateBytes + Self.memoryAllowance
    guard hasGrown else { return nil }
    let newThreads = Self.threads(daemon).filter { $1 > threads[$0] ?? 0 }.keys.sorted()
    return "grown from \(first.line) to \(now.line)"
      + (newThreads.isEmpty ? "" : "\n    more threads: \(newThreads.joined(separator: ", "))")
      + grownMappings(daemon)
  }

  /// Where the memory has grown: a line for each of the five mappings that have most.
  private func grownMappings(_ daemon: ChildProcess) -> String {
    let growths = daemon.privateByteCounts.map {
      (name: $0, byteCount: $1 - (mappings[$0] ?? 0), total: $1)
    }
    return growths.filter { $0.byteCount > 0 }.sorted { $0.byteCount > $1.byteCount }.prefix(5)
      .map { "\n    \($0.name): \($0.byteCount >> 10) KiB more, \($0.total >> 10)" }.joined()
  }

  /// Notes the line of a daemon that is about to be killed or ended.
  mutating func end() {
    guard let first, let most else { return }
    lines.append("  warm: \(first.line); most in \(comparisons) comparisons: \(most.line)")
    self.first = nil
  }
}
