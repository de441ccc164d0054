import ArgumentParser
import Foundation
import LinuxSystem
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// `vhost-crypto bench-sessions`: makes many sessions on a running daemon, uses and ends them.
struct BenchSessions: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure sessions: how many come and go per second, and what they take.",
    discussion: """
      Makes --count sessions over the control queue with --depth requests in flight, each with a key of its own, sends a \
      request through some of them, ends them, and then makes and ends each at once, --count times. Identifiers must \
      differ, results must equal an independent computation, and ended sessions must be refused; else the status is 1. \
      Memory and processor time are the daemon's, all threads together.

      Examples:
        vhost-crypto bench-sessions --daemon .build/release/vhost-user-crypto --cpu 0
        vhost-crypto bench-sessions --socket-path /run/vm1-crypto.sock --op hmac-sha256 --count 4096
      """)

  @Option(help: "The daemon's vhost-user socket.")
  var socketPath: String?

  @Option(help: "Start this daemon for the measurement instead, on a socket of its own.")
  var daemon: String?

  @Option(help: "With --daemon: the one engine to use. (default: the daemon's choice)")
  var engine: String?

  @Option(name: .customLong("op"), help: "What the sessions are for, such as aes-128-cbc-encrypt.")
  var operation: String = "aes-128-cbc-encrypt"

  @Option(help: "How many sessions there are at a time.")
  var count: Int = 100_000

  @Option(help: "Control requests in flight.")
  var depth: Int = 128

  @Option(help: "Control requests posted per kick.")
  var batch: Int = 32

  @Option(help: "How many of the sessions to use, chosen at random.")
  var sample: Int = 1000

  @Option(help: "Data queues to start, whose workers all have to let go of what ends.")
  var queues: Int = 1

  @Option(help: "Request layout: legacy or revision1.")
  var layout: String = "legacy"

  @Option(help: "Virtqueues: split or packed.")
  var ring: String = "split"

  @Option(help: "Processor to pin the front-end's thread to.")
  var cpu: Int?

  @Option(help: "Seed of what is chosen at random.")
  var seed: UInt64 = 0x5E55

  @Flag(help: "Print a line of JSON.")
  var json = false

  func run() throws {
    do {
      let settings = try checkedSettings()
      let child = try daemon.map {
        try BenchDaemon(program: $0, configuration: settings.configuration(engine: engine))
      }
      defer { child?.stop() }
      guard let path = child?.socketPath ?? socketPath else { return }
      let row = try Self.onThread(cpu: cpu) {
        try BenchSessionsRun(socketPath: path, settings: settings).measure()
      }
      if json { try BenchReport.printLine(row) } else { print(row.table, terminator: "") }
      if row.verified != row.compared {
        throw BenchFailure(
          message: "\(row.compared - row.verified) of \(row.compared) results are wrong",
          status: BenchFailure.wrong)
      }
    } catch let failure as BenchFailure {
      Self.complain(failure.message)
      throw ExitCode(failure.status)
    } catch let error as FrontendError {
      Self.complain(error.description)
      throw ExitCode(BenchFailure.wrong)
    }
  }

  private static func complain(_ message: String) {
    FileHandle.standardError.write(Data("vhost-crypto bench-sessions: \(message)\n".utf8))
  }

  /// Runs the measurement on a thread that stays on its processor.
  private static func onThread(
    cpu: Int?, _ body: @escaping @Sendable () throws -> BenchSessionsRow
  ) throws -> BenchSessionsRow {
    final class Outcome: @unchecked Sendable {
      // Unchecked: written before the thread ends, read after it was joined.
      var result: Result<BenchSessionsRow, any Error>?
    }
    let outcome = Outcome()
    let thread = try PinnedThread(name: "bench-sessions", cpu: cpu) {
      outcome.result = Result { try body() }
    }
    thread.join()
    if let failure = thread.pinningFailure { throw BenchFailure.usage(failure) }
    guard let result = outcome.result else { throw BenchFailure.usage("nothing was measured") }
    return try result.get()
  }

  // MARK: The command line

  private func checkedSettings() throws -> BenchSessionsSettings {
    guard (socketPath == nil) != (daemon == nil) else {
      throw BenchFailure.usage("give either --socket-path or --daemon")
    }
    guard engine == nil || daemon != nil else {
      throw BenchFailure.usage("--engine is for --daemon")
    }
    guard (1...1 << 20).contains(count) else {
      throw BenchFailure.usage("--count is from 1 to \(1 << 20), not \(count)")
    }
    guard (1...512).contains(depth) else {
      throw BenchFailure.usage("--depth is from 1 to 512, not \(depth)")
    }
    guard (1...depth).contains(batch) || batch == 32 else {
      throw BenchFailure.usage("--batch is from 1 to the depth of \(depth), not \(batch)")
    }
    guard (0...count).contains(sample) || sample == 1000 else {
      throw BenchFailure.usage("--sample is from 0 to the count of \(count), not \(sample)")
    }
    guard (1...64).contains(queues) else {
      throw BenchFailure.usage("--queues is from 1 to 64, not \(queues)")
    }
    guard layout == "legacy" || layout == "revision1" else {
      throw BenchFailure.usage("--layout is legacy or revision1, not \(layout)")
    }
    guard ring == "split" || ring == "packed" else {
      throw BenchFailure.usage("--ring is split or packed, not \(ring)")
    }
    if let cpu, !(0..<1024).contains(cpu) {
      throw BenchFailure.usage("--cpu is from 0 to 1023, not \(cpu)")
    }
    guard let operation = BenchOperation(name: operation) else {
      throw BenchFailure.usage(
        "--op \(operation) is unknown; names are like \(BenchOperation.examples)")
    }
    guard operation.session.service != .akcipher else {
      throw BenchFailure.usage("--op \(operation.name): only symmetric sessions are measured")
    }
    return BenchSessionsSettings(
      operation: operation, count: count, depth: depth, batch: min(batch, depth),
      sample: min(sample, count), queueCount: queues, isRevision1: layout == "revision1",
      ring: RingKind(isPacked: ring == "packed", isInOrder: false), seed: seed)
  }
}

/// The checked form of the command line.
struct BenchSessionsSettings: @unchecked Sendable {
  // Unchecked: `BenchOperation` is a value of values.
  var operation: BenchOperation
  var count: Int
  var depth: Int
  var batch: Int
  var sample: Int
  var queueCount: Int
  var isRevision1: Bool
  var ring: RingKind
  var seed: UInt64

  /// A capability file that lets the daemon hold them all.
  func configuration(engine: String?) -> String {
    let service =
      switch operation.session {
      case .cipher, .chain: "cipher"
      case .hash: "hash"
      case .mac: "mac"
      case .aead, .akcipher: "aead"
      }
    var text = """
      version: 1
      device: { queues: \(max(4, queueCount)), max-sessions: \(max(65536, count)) }

      """
    if let engine {
      let services = service == "cipher" ? ["cipher", "hash", "mac"] : [service]
      let lines = services.map { "  \($0): { default: { engine: [\(engine)] } }\n" }
      text += "algorithms:\n" + lines.joined()
    }
    return text
  }
}
