import Foundation
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// What `bench-sessions` found.
struct BenchSessionsRow: Codable, Sendable {
  /// What one kind of operation costs.
  struct Rate: Codable, Sendable {
    /// Control requests, a creation and a destruction being two.
    var operations: Int
    var seconds: Double
    var operationsPerSecond: Double
    /// Processor time of the daemon; null where it is not to be seen.
    var daemonNanosecondsPerOperation: Double?
  }
  /// Of the daemon, in KiB; null where it is not to be seen.
  struct Memory: Codable, Sendable {
    var connected: BackendProcess.Memory?
    var withSessions: BackendProcess.Memory?
    var afterUse: BackendProcess.Memory?
    var afterDestruction: BackendProcess.Memory?
  }

  var type = "sessions"
  var operation: String
  var count: Int
  var depth: Int
  var batch: Int
  var queues: Int
  var ring: String
  var create: Rate
  var destroy: Rate
  var pairs: Rate
  var memory: Memory
  /// What a session adds to the daemon's private memory, unused, and what each session that is used adds.
  var bytesPerSession: Double?
  var bytesPerUsedSession: Double?
  var kicks: Int
  var verified: Int
  var compared: Int

  var table: String {
    func line(_ name: String, _ rate: Rate) -> [String] {
      [
        name, String(rate.operations), String(format: "%.0f", rate.operationsPerSecond),
        rate.daemonNanosecondsPerOperation.map { String(format: "%.0f", $0) } ?? "-",
      ]
    }
    let rates = TextTable.render(
      ["operation", "requests", "req/s", "daemon ns/req"],
      [line("create", create), line("destroy", destroy), line("create+destroy", pairs)],
      words: ["operation"])
    func number(_ value: Double?) -> String { value.map { String(format: "%.0f", $0) } ?? "-" }
    func memoryLine(_ name: String, _ memory: BackendProcess.Memory?) -> [String] {
      [name, memory.map { String($0.resident) } ?? "-", memory.map { String($0.isPrivate) } ?? "-"]
    }
    let table = TextTable.render(
      ["daemon's memory", "resident KiB", "private KiB"],
      [
        memoryLine("connected", memory.connected),
        memoryLine("with \(count) sessions", memory.withSessions),
        memoryLine("after use", memory.afterUse),
        memoryLine("after destruction", memory.afterDestruction),
      ], words: ["daemon's memory"])
    return """
      \(rates)
      \(table)
      \(operation): \(number(bytesPerSession)) bytes per session, and \(number(bytesPerUsedSession)) more per session \
      used; verified \(verified)/\(compared)

      """
  }
}

/// One measurement over a connection of its own.
struct BenchSessionsRun: Sendable {
  let socketPath: String
  let settings: BenchSessionsSettings

  private static let patienceMilliseconds = 10000
  private static let requestByteCount = 256

  func measure() throws -> BenchSessionsRow {
    let client = try connect()
    defer { client.frontend.disconnect() }
    let backend = client.frontend.backendProcess.map { BackendProcess(pid: $0) }
    let template = settings.operation.session
    var pipeline = try SessionPipeline.over(
      client, template: template, depth: settings.depth, batch: settings.batch)
    var random = SeededRandom(seed: settings.seed)
    var checks = Checks()

    // What is made at the first session is not counted as a session's.
    try pipeline.destroy(try create(0..<1, &pipeline))
    var memory = BenchSessionsRow.Memory()
    memory.connected = backend?.memory
    var identifiers: [UInt64] = []
    let creation = try rate(settings.count, backend) {
      identifiers = try create(0..<settings.count, &pipeline)
    }
    checks.note(Set(identifiers).count == settings.count && !identifiers.contains(0))
    memory.withSessions = backend?.memory
    let chosen = Array((0..<settings.count).shuffled(using: &random).prefix(settings.sample))
    for number in chosen {
      checks.note(try use(identifiers[number], number, client, &random) == .right)
    }
    memory.afterUse = backend?.memory
    let destruction = try rate(settings.count, backend) { try pipeline.destroy(identifiers) }
    for number in chosen {
      checks.note(try use(identifiers[number], number, client, &random) == .refused)
    }
    memory.afterDestruction = backend?.memory
    let pairs = try rate(2 * settings.count, backend) {
      try pipeline.createAndDestroy(settings.count)
    }
    pipeline.dispose()
    func bytes(
      _ before: BackendProcess.Memory?, _ after: BackendProcess.Memory?, _ count: Int
    ) -> Double? {
      guard let before, let after, count > 0 else { return nil }
      return Double((after.isPrivate - before.isPrivate) * 1024) / Double(count)
    }
    return BenchSessionsRow(
      operation: settings.operation.name, count: settings.count, depth: settings.depth,
      batch: settings.batch, queues: settings.queueCount, ring: settings.ring.rawValue,
      create: creation, destroy: destruction, pairs: pairs, memory: memory,
      bytesPerSession: bytes(memory.connected, memory.withSessions, settings.count),
      bytesPerUsedSession: bytes(memory.withSessions, memory.afterUse, settings.sample),
      kicks: pipeline.kickCount, verified: checks.matched, compared: checks.compared)
  }

  private struct Checks {
    var matched = 0
    var compared = 0
    mutating func note(_ isRight: Bool) {
      compared += 1
      if isRight { matched += 1 }
    }
  }

  private func create(
    _ numbers: Range<Int>, _ pipeline: inout SessionPipeline
  ) throws -> [UInt64] {
    do {
      return try pipeline.create(numbers)
    } catch .refused(_, let value) {
      let status = VirtioCryptoStatus(rawValue: UInt8(truncatingIfNeeded: value))
      throw BenchFailure(
        message:
          "the device refuses a session with \(status): does it offer \(settings.operation.name), "
          + "and is its max-sessions at least \(settings.count)?", status: BenchFailure.unavailable)
    }
  }

  private func rate(
    _ operations: Int, _ backend: BackendProcess?, _ body: () throws -> Void
  ) throws -> BenchSessionsRow.Rate {
    let processorStart = backend?.processorNanoseconds
    let start = monotonicNanoseconds()
    try body()
    let seconds = Double(monotonicNanoseconds() - start) / 1e9
    let processorEnd = backend?.processorNanoseconds
    let spent: Double? =
      if let processorStart, let processorEnd {
        Double(processorEnd &- processorStart) / Double(operations)
      } else { nil }
    return BenchSessionsRow.Rate(
      operations: operations, seconds: seconds, operationsPerSecond: Double(operations) / seconds,
      daemonNanosecondsPerOperation: spent)
  }

  // MARK: Use

  private enum Answer { case right, wrong, refused }

  /// Sends one request through a session, and compares its result.
  private func use(
    _ identifier: UInt64, _ number: Int, _ client: CryptoClient, _ random: inout SeededRandom
  ) throws -> Answer {
    var operation = settings.operation
    operation.session = SessionPipeline.spec(operation.session, number: number)
    guard
      let request = operation.request(
        byteCount: Self.requestByteCount, sessionID: identifier, random: &random),
      let expected = operation.expectation(of: request)
    else {
      throw BenchFailure.usage("\(operation.name) cannot be computed independently here")
    }
    let answer = try client.perform(request, queue: number % client.dataQueues.count)
    if answer.status == .invsess { return .refused }
    let isRight =
      answer.status == .ok
      && expected.isMet(by: answer.output + answer.result, usedByteCount: answer.usedByteCount)
    return isRight ? .right : .wrong
  }

  // MARK: Connection

  private func connect() throws -> CryptoClient {
    let format: RequestFormat = settings.isRevision1 ? .revision1 : .legacy
    var options = Frontend.Options(format: format, ring: settings.ring)
    options.protocolFeatures? &= ~ProtocolFeature.cryptoSession
    let frontend: Frontend
    do {
      frontend = try Frontend.connect(
        path: socketPath, options: options, patienceMilliseconds: Self.patienceMilliseconds)
    } catch {
      throw BenchFailure(
        message: "no daemon at \(socketPath): \(error)", status: BenchFailure.unavailable)
    }
    var controlSize: UInt16 = 64
    while Int(controlSize) < 2 * settings.depth { controlSize *= 2 }
    let client = try CryptoClient.start(
      frontend, memory: try GuestRAM(byteCount: 16 << 20), dataQueueCount: settings.queueCount,
      controlQueueSize: controlSize)
    guard
      frontend.requestFormat == format, RingKind(features: frontend.features) == settings.ring
    else {
      throw BenchFailure(
        message: "the device does not offer this request layout or kind of ring",
        status: BenchFailure.unavailable)
    }
    return client
  }
}
