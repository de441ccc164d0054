import Foundation
import LinuxSystem
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// One measurement: a connection of its own, sessions, a worker per queue, and the checks
/// afterwards.
struct BenchRun {
  let socketPath: String
  let settings: BenchSettings
  /// How long the daemon may take to listen, in milliseconds.
  let patienceMilliseconds: Int

  /// Measures one operation at one size.
  func measure(_ operation: BenchOperation, byteCount: Int) throws -> BenchRow {
    let client = try connect(byteCount: byteCount)
    defer { client.frontend.disconnect() }
    let log = try settings.logsDirtyPages ? BenchDirtyLog(client) : nil
    defer { log?.stop() }
    let sessionID =
      settings.format == .stateless ? nil : try openSession(operation.session, client)
    var random = SeededRandom(seed: 0x5EED)
    var workers: [Seat] = []
    for queue in client.dataQueues {
      let operations = (0..<settings.depth).compactMap { _ in
        operation.request(byteCount: byteCount, sessionID: sessionID, random: &random)
      }
      let worker = try BenchWorker(
        queue: queue, operations: operations, format: client.format, settings: settings,
        measuring: operation)
      workers.append(Seat(worker))
    }
    var tally = try runTogether(workers)
    for seat in workers { seat.worker.dispose() }
    try log?.check()
    // The round trip is made of single chains, wherever the ring stands.
    if settings.verifies && !settings.hasFixedEntries {
      try checkRoundTrip(operation, byteCount, sessionID, client, &random, &tally)
    }
    if let sessionID {
      // A back-end that keeps sessions beyond their connection would run out of them.
      try client.destroySession(sessionID, service: operation.session.service)
    }
    return BenchRow(
      operation: operation.name, byteCount: byteCount, settings: settings, tally: tally)
  }

  // MARK: Connection

  private func connect(byteCount: Int) throws -> CryptoClient {
    var options = Frontend.Options(format: settings.format, ring: settings.ring)
    if settings.sessions == .control { options.protocolFeatures? &= ~ProtocolFeature.cryptoSession }
    let frontend: Frontend
    do {
      frontend = try Frontend.connect(
        path: socketPath, options: options, patienceMilliseconds: patienceMilliseconds)
    } catch {
      throw BenchFailure(
        message: "no daemon at \(socketPath): \(error)", status: BenchFailure.unavailable)
    }
    let client = try CryptoClient.start(
      frontend, memory: try GuestRAM(byteCount: memoryByteCount(byteCount)),
      dataQueueCount: settings.queueCount, queueSize: queueSize,
      recordsInflight: settings.recordsInflight,
      messageLayout: settings.sessions == .message ? settings.messageLayout : nil)
    if frontend.protocolFeatures & ProtocolFeature.status != 0 {
      // ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK: some back-ends (DPDK's) wait for it before they serve a ring.
      try frontend.setStatus(0xF)
    }
    guard RingKind(features: frontend.features) == settings.ring else {
      throw BenchFailure(
        message: "the device does not offer \(settings.ring) rings",
        status: BenchFailure.unavailable)
    }
    guard frontend.requestFormat == settings.format else {
      throw BenchFailure(
        message: "the device does not offer the request layout \(settings.layoutName)",
        status: BenchFailure.unavailable)
    }
    return client
  }

  /// Rings, and per request both texts, its header and what rounding costs.
  private func memoryByteCount(_ byteCount: Int) -> Int {
    let requests = settings.queueCount * settings.depth * (2 * byteCount + 2048)
    let rings = (settings.queueCount + 1) * Int(queueSize) * 64
    return (requests + rings + (4 << 20)) & ~0xFFFF
  }

  private var queueSize: UInt16 {
    if settings.hasFixedEntries { return UInt16(settings.depth) }
    // Header, key, second key, IV, source, AAD, destination, result and status at most.
    let descriptors = settings.isIndirect ? settings.depth : settings.depth * 9
    var size: UInt16 = 256
    while Int(size) < descriptors && size < 32768 { size *= 2 }
    return size
  }

  private func openSession(_ spec: SessionSpec, _ client: CryptoClient) throws -> UInt64 {
    let answer = try client.createSession(spec)
    guard answer.statusWord == 0 else {
      throw BenchFailure(
        message: "the device refuses the session with \(answer.status)",
        status: BenchFailure.unavailable)
    }
    return answer.sessionID
  }

  // MARK: Threads

  /// First pass one after the other; then all queues at once, each from a thread of its own.
  private func runTogether(_ workers: [Seat]) throws -> BenchTally {
    for seat in workers { try seat.worker.runFirstPass() }
    var threads: [PinnedThread] = []
    for (index, seat) in workers.enumerated() {
      let cpu = settings.processor.map { $0 + index }
      let thread = try PinnedThread(name: "bench-\(index)", cpu: cpu) {
        seat.outcome = Result { try seat.worker.run() }
      }
      threads.append(thread)
    }
    for thread in threads { thread.join() }
    var sum = BenchTally()
    for seat in workers { sum.add(try seat.outcome.get()) }
    for failure in threads.compactMap(\.pinningFailure) {
      throw BenchFailure(message: failure, status: BenchFailure.usage)
    }
    return sum
  }

  /// Where a worker sits while threads take turns with it: first this one, then its own, then this.
  private final class Seat: @unchecked Sendable {
    var worker: BenchWorker
    var outcome: Result<BenchTally, any Error> = .success(BenchTally())
    init(_ worker: consuming BenchWorker) { self.worker = worker }
  }

  // MARK: Checks

  /// The device undoes what it did: one request and its inverse give the source back.
  private func checkRoundTrip(
    _ operation: BenchOperation, _ byteCount: Int, _ sessionID: UInt64?, _ client: CryptoClient,
    _ random: inout SeededRandom, _ tally: inout BenchTally
  ) throws {
    guard
      let inverse = operation.inverse,
      let request = operation.request(byteCount: byteCount, sessionID: sessionID, random: &random)
    else { return }
    let forward = try client.perform(request)
    let inverseID = try sessionID == nil ? nil : openSession(inverse, client)
    let backward = try client.perform(
      OperationSpec(
        inverse, sessionID: inverseID, iv: request.iv, source: forward.output, aad: request.aad))
    tally.comparedCount += 1
    if forward.status == .ok && backward.status == .ok && backward.output == request.source
      && backward.result == forward.result
    {
      tally.matchedCount += 1
    }
  }
}
