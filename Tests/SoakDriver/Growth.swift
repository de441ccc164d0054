import TestSupport
import VhostUserFrontend

/// What a process holds at one moment, with everybody idle.
struct Holdings: Equatable {
  var privateBytes: Int
  var descriptors: Int
  var threads: Int

  init(_ daemon: DaemonProcess) throws {
    privateBytes = try daemon.privateByteCount()
    descriptors = daemon.fileDescriptorCount
    threads = daemon.threadCount
  }

  var line: String {
    "memory=\(privateBytes >> 10)KiB descriptors=\(descriptors) threads=\(threads)"
  }
}

/// Compares what a daemon holds with what it held once it was warm.
struct Growth {
  /// Above this the heap has grown, whatever its fragments do.
  static let memoryAllowance = 8 << 20
  /// What was seen of each daemon: when it was warm, and the most afterwards.
  private(set) var lines: [String] = []
  private var first: Holdings?
  private var most: Holdings?
  private var comparisons = 0

  /// Takes what the daemon holds now as what it is compared with.
  mutating func begin(_ daemon: DaemonProcess) throws {
    first = try Holdings(daemon)
    most = first
    comparisons = 0
  }

  /// What has grown; nil where nothing has.
  ///
  /// Threads and descriptors of a front-end that has just left get two seconds to go.
  mutating func compare(_ daemon: DaemonProcess) throws -> String? {
    guard let first else { throw DriverError("nothing to compare with") }
    var now = try Holdings(daemon)
    let end = monotonicNanoseconds() + 2_000_000_000
    while now.descriptors > first.descriptors || now.threads > first.threads,
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
      now.descriptors > first.descriptors || now.threads > first.threads
      || now.privateBytes > first.privateBytes + Self.memoryAllowance
    return hasGrown ? "grown from \(first.line) to \(now.line)" : nil
  }

  /// Notes the line of a daemon that is about to be killed or ended.
  mutating func end() {
    guard let first, let most else { return }
    lines.append("  warm: \(first.line); most in \(comparisons) comparisons: \(most.line)")
    self.first = nil
  }
}
