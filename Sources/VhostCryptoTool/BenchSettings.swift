import CryptoTypes
import VhostUserFrontend
import VhostUserProtocol

/// A reason to stop, in one line, and the exit status that goes with it.
struct BenchFailure: Error {
  /// `EX_USAGE`: the command line is wrong.
  static let usage: Int32 = 64
  /// `EX_UNAVAILABLE`: no daemon, or it does not do what is to be measured.
  static let unavailable: Int32 = 69
  /// `EX_TEMPFAIL`: the machine did not hold still; another time it may.
  static let unsteady: Int32 = 75
  /// A wrong result, or a device that breaks the protocol.
  static let wrong: Int32 = 1

  var message: String
  var status: Int32

  static func usage(_ message: String) -> BenchFailure {
    BenchFailure(message: message, status: usage)
  }
}

/// What to measure and how: the checked form of the command line.
struct BenchSettings: Sendable {
  enum Mode: String, CaseIterable, Sendable {
    /// Look at the used ring again and again, calls suppressed.
    case poll
    /// Sleep until the device calls.
    case interrupt
  }

  enum Sessions: String, CaseIterable, Sendable {
    /// By requests on the control queue.
    case control
    /// By CREATE_CRYPTO_SESSION.
    case message
  }

  var depth: Int
  var batch: Int
  var queueCount: Int
  var seconds: Double
  var mode: Mode
  var isIndirect: Bool
  var ring: RingKind
  var layoutName: String
  var sessions: Sessions
  /// Of session messages.
  var messageLayout = SessionLayout.current
  /// Chain number N is always entry N of the ring.
  ///
  /// As drivers with IN_ORDER do it, which some back-ends rely on: DPDK 22.11 writes the used entry of chain N to entry N.
  var hasFixedEntries = false
  /// The device records which requests are in flight, as it does for front-ends that survive its restarts.
  var recordsInflight = false
  /// Whether the back-end logs dirty pages, as while its guest is migrated.
  var logsDirtyPages = false
  /// Of the first queue's thread; the others follow.
  var processor: Int?
  var verifies: Bool

  var format: RequestFormat {
    switch layoutName {
    case "stateless": .stateless
    case "revision1": .revision1
    default: .legacy
    }
  }

  static let layoutNames = ["legacy", "revision1", "stateless"]

  /// Names of the layouts of session messages, and which versions of QEMU and DPDK use them: see `SessionLayout`.
  static let messageLayouts: [String: SessionLayout] = [
    "current": .current, "opcode-first": .opcodeFirst, "without-opcode": .withoutOpcode,
  ]

  /// Bytes of a size such as `64`, `16KiB` or `1MiB`; nil for anything else.
  static func byteCount(_ text: String) -> Int? {
    let units: [(String, Int)] = [("KiB", 1024), ("MiB", 1 << 20), ("k", 1024), ("K", 1024)]
    for (unit, factor) in units where text.hasSuffix(unit) {
      return Int(text.dropLast(unit.count)).flatMap { count in
        let (product, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
      }
    }
    return Int(text)
  }
}
