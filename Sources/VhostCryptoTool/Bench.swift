import ArgumentParser
import CryptoTypes
import EngineContract
import Foundation
import VhostUserFrontend

/// `vhost-crypto bench`: plays the guest against a running daemon, measures it, and checks its
/// answers.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a running daemon: requests per second, bytes per second, latency.",
    discussion: """
      Connects as a vhost-user front-end, keeps --depth requests in flight per queue, and compares results with an \
      independent computation: every one of the first pass, and a sample afterwards. A wrong result ends with status 1.

      With --against or --raw, samples of all sides take turns, each over a connection of its own, so that a back-end \
      that is not measured has nobody to serve. Ratios are of neighbours in time; reported are their median, quartiles \
      and extremes. Rounds in which the processors' distance changed do not count, and those of different distances \
      are never put together; when no round counts, the status is 75.

      Examples:
        vhost-crypto bench --daemon .build/release/vhost-user-crypto --raw --cpu 0 --backend-cpu 1
        vhost-crypto bench --daemon .build/release/vhost-user-crypto --size 64,1KiB,16KiB,64KiB --plot speed.svg
        vhost-crypto bench --socket-path /run/a.sock --against /run/b.sock --samples 21 --seconds 0.3
      """)

  @Option(help: "The daemon's vhost-user socket.")
  var socketPath: String?

  @Option(help: "Start this daemon for the measurement instead, on a socket of its own.")
  var daemon: String?

  @Option(
    name: .customLong("op"),
    help: "What to measure, such as aes-128-cbc-encrypt or rsa-2048-sign; repeatable.")
  var operations: [String] = []

  @Option(help: "Payload sizes, such as 64,1024,16KiB; public keys have their own.")
  var size: String = "1024"

  @Option(help: "Requests in flight per queue.")
  var depth: Int = 64

  @Option(help: "Requests posted per kick.")
  var batch: Int = 32

  @Option(help: "Data queues, each driven by a thread of its own.")
  var queues: Int = 1

  @Option(help: "Seconds per measurement.")
  var seconds: Double = 2

  @Option(help: "How to wait for results: poll or interrupt.")
  var mode: String = "poll"

  @Flag(inversion: .prefixedNo, help: "Indirect descriptors.")
  var indirect = true

  @Flag(help: "Direct descriptors; the same as --no-indirect.")
  var direct = false

  @Option(help: "Request layout: legacy, revision1 or stateless.")
  var layout: String = "legacy"

  @Option(help: "Virtqueues: split or packed.")
  var ring: String = "split"

  @Flag(help: "Have the device finish requests in order (VIRTIO_F_IN_ORDER).")
  var inOrder = false

  @Flag(
    help: "Have the device record what is in flight (INFLIGHT_SHMFD), the one of --against not.")
  var inflight = false

  @Option(help: "How sessions are created: control (queue) or message.")
  var sessions: String = "control"

  @Option(help: "Layout of session messages: current, opcode-first or without-opcode.")
  var messageLayout: String = "current"

  @Flag(
    help: "Chain N is always entry N of a ring of --depth entries, which DPDK 22.11 relies on.")
  var fixedEntries = false

  @Flag(
    help:
      "Have the device log dirty pages, as while a guest is migrated, and measure the same device without, in turn."
  )
  var dirtyLog = false

  @Option(help: "Processor to pin the first queue's thread to; further threads take the next ones.")
  var cpu: Int?

  @Flag(inversion: .prefixedNo, help: "Compare results with an independent computation.")
  var verify = true

  @Flag(help: "Print a line of JSON for each measurement.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Draw throughput and latency over size into this file, with what --against and --raw measured.",
      valueName: "svg"))
  var plot: String?

  @OptionGroup var comparison: BenchComparisonOptions

  func run() throws {
    do {
      try measureAll()
    } catch let failure as BenchFailure {
      Self.complain(failure.message)
      throw ExitCode(failure.status)
    } catch let error as EngineError {
      Self.complain(error.description)
      throw ExitCode(BenchFailure.unavailable)
    } catch let error as FrontendError {
      Self.complain(error.description)
      throw ExitCode(BenchFailure.wrong)
    }
  }

  private static func complain(_ message: String) {
    FileHandle.standardError.write(Data("vhost-crypto bench: \(message)\n".utf8))
  }

  private func measureAll() throws {
    let settings = try checkedSettings()
    let operations = try checkedOperations()
    let sizes = try checkedSizes(for: operations)
    let chart = try plot.map { try BenchChartFile($0, operations: operations) }
    let child = try daemon.map { try BenchDaemon(program: $0) }
    defer { child?.stop() }
    guard let path = child?.socketPath ?? socketPath else {
      throw BenchFailure.usage("--socket-path is missing: where does the daemon listen?")
    }
    let run = BenchRun(
      socketPath: path, settings: settings, patienceMilliseconds: child == nil ? 0 : 10000)
    let cases = operations.flatMap { operation in
      (operation.fixedByteCount.map { [$0] } ?? sizes).map { (operation, $0) }
    }
    if comparison.isWanted || dirtyLog {
      let points = try compareAll(cases, run)
      try chart?.write(points, settings)
      return
    }
    var wrong: BenchRow?
    var points: [BenchPoint] = []
    for (index, (operation, size)) in cases.enumerated() {
      let row = try run.measure(operation, byteCount: size)
      if index == 0 && !json { print(BenchReport.header) }
      if json { try BenchReport.printLine(row) } else { print(BenchReport.line(row)) }
      if row.verified != row.compared && wrong == nil { wrong = row }
      points.append(BenchPoint(row))
    }
    if let wrong {
      throw BenchFailure(
        message: "\(wrong.operation) at \(wrong.byteCount) bytes: "
          + "\(wrong.compared - wrong.verified) of \(wrong.compared) results are wrong",
        status: BenchFailure.wrong)
    }
    try chart?.write(points, settings)
  }

  private func compareAll(
    _ cases: [(BenchOperation, Int)], _ run: BenchRun
  ) throws -> [BenchPoint] {
    var againstSettings = try comparison.settings(from: run.settings)
    againstSettings.logsDirtyPages = false
    let comparer = BenchComparer(
      device: run,
      against: (comparison.against ?? (dirtyLog ? run.socketPath : nil)).map {
        BenchRun(socketPath: $0, settings: againstSettings, patienceMilliseconds: 0)
      },
      ceiling: comparison.raw ? try BenchCeiling(engine: comparison.rawEngine) : nil,
      options: comparison, json: json)
    var unsteady: [String] = []
    var points: [BenchPoint] = []
    for (index, (operation, size)) in cases.enumerated() {
      let lines = try comparer.compare(operation, byteCount: size)
      if index == 0 && !json { print(BenchComparisonLine.header) }
      for line in lines {
        if json { try BenchReport.printLine(line) } else { print(line.tableLine) }
      }
      // One regime a picture: the one that most rounds are of.
      if let line = lines.max(by: { $0.rounds < $1.rounds }) { points += BenchPoint.all(of: line) }
      if lines.allSatisfy({ $0.rounds == 0 }) {
        unsteady.append("\(operation.name) at \(size) bytes")
      }
    }
    if !unsteady.isEmpty {
      throw BenchFailure(
        message: "the processors' distance changed in every round of "
          + unsteady.joined(separator: ", "), status: BenchFailure.unsteady)
    }
    return points
  }

  // MARK: The command line

  private func checkedSettings() throws -> BenchSettings {
    guard (socketPath == nil) != (daemon == nil) else {
      throw BenchFailure.usage("give either --socket-path or --daemon")
    }
    guard (1...8192).contains(depth) else {
      throw BenchFailure.usage("--depth is from 1 to 8192, not \(depth)")
    }
    guard (1...depth).contains(batch) || batch == 32 else {
      throw BenchFailure.usage("--batch is from 1 to the depth of \(depth), not \(batch)")
    }
    guard (1...64).contains(queues) else {
      throw BenchFailure.usage("--queues is from 1 to 64, not \(queues)")
    }
    guard seconds >= 0.01 && seconds <= 86400 else {
      throw BenchFailure.usage("--seconds is from 0.01 to 86400, not \(seconds)")
    }
    guard let mode = BenchSettings.Mode(rawValue: mode) else {
      throw BenchFailure.usage("--mode is poll or interrupt, not \(mode)")
    }
    guard let sessions = BenchSettings.Sessions(rawValue: sessions) else {
      throw BenchFailure.usage("--sessions is control or message, not \(sessions)")
    }
    guard BenchSettings.layoutNames.contains(layout) else {
      throw BenchFailure.usage("--layout is legacy, revision1 or stateless, not \(layout)")
    }
    guard ring == "split" || ring == "packed" else {
      throw BenchFailure.usage("--ring is split or packed, not \(ring)")
    }
    if let cpu, !(0..<1024).contains(cpu) {
      throw BenchFailure.usage("--cpu is from 0 to 1023, not \(cpu)")
    }
    let isIndirect = indirect && !direct
    guard isIndirect || depth <= 3640 else {
      throw BenchFailure.usage("--depth is at most 3640 with direct descriptors, not \(depth)")
    }
    guard !fixedEntries || (isIndirect && ring == "split" && depth.nonzeroBitCount == 1) else {
      throw BenchFailure.usage(
        "--fixed-entries wants split rings, indirect descriptors and a --depth that is a power of two"
      )
    }
    try comparison.check(cpu: cpu)
    var settings = BenchSettings(
      depth: depth, batch: min(batch, depth), queueCount: queues, seconds: seconds, mode: mode,
      isIndirect: isIndirect,
      ring: RingKind(isPacked: ring == "packed", isInOrder: inOrder), layoutName: layout,
      sessions: sessions, processor: cpu,
      verifies: verify)
    settings.hasFixedEntries = fixedEntries
    settings.recordsInflight = inflight
    settings.logsDirtyPages = dirtyLog
    settings.messageLayout = try BenchComparisonOptions.messageLayout(
      messageLayout, of: "--message-layout")
    _ = try comparison.settings(from: settings)
    return settings
  }

  private func checkedOperations() throws -> [BenchOperation] {
    let names = operations.isEmpty ? ["aes-128-cbc-encrypt"] : operations
    return try names.flatMap { $0.split(separator: ",") }.map { name in
      guard let operation = BenchOperation(name: String(name)) else {
        throw BenchFailure.usage(
          "--op \(name) is unknown; names are like \(BenchOperation.examples)")
      }
      return operation
    }
  }

  private func checkedSizes(for operations: [BenchOperation]) throws -> [Int] {
    let sizes = try size.split(separator: ",").map { text in
      guard let count = BenchSettings.byteCount(String(text)), (1...(64 << 20)).contains(count)
      else {
        throw BenchFailure.usage("--size \(text) is no size from 1 to 64MiB")
      }
      return count
    }
    guard !sizes.isEmpty else { throw BenchFailure.usage("--size names no size") }
    for operation in operations where operation.fixedByteCount == nil {
      for size in sizes {
        if let objection = operation.objection(toByteCount: size) {
          throw BenchFailure.usage(objection)
        }
      }
    }
    return sizes
  }
}
