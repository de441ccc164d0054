import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// The services that requests are spoilt in.
enum Kind: CaseIterable, Sendable {
  case cipher, hash, mac, aead, chain
}

/// A connected guest with two data queues, a control queue, and a session of every service.
final class Guest {
  /// Some of a key, as a log would show it if it did.
  static let keyText = "[81, 82, 83, 84"
  static let cipherKey: [UInt8] = Array(81..<97)
  static let authKey: [UInt8] = Array(120..<140)

  let client: CryptoClient
  let format: RequestFormat
  private let bystander: Guest?
  private(set) var sessions: [Kind: UInt64] = [:]
  private var turn: UInt64 = 0

  var frontend: Frontend { client.frontend }
  var memory: GuestRAM { client.memory }

  init(
    path: String, format: RequestFormat, options: Frontend.Options? = nil, bystander: Guest?
  ) throws {
    self.format = format
    self.bystander = bystander
    client = try CryptoClient.start(
      path: path, options: options ?? Frontend.Options(format: format), dataQueueCount: 2)
    for kind in Kind.allCases { sessions[kind] = try client.openSession(Self.spec(kind)) }
  }

  /// Ends the connection.
  func leave() { frontend.disconnect() }

  deinit { frontend.disconnect() }

  var controlQueue: DriverQueue {
    get throws {
      guard case .queue(let queue) = client.control else { throw TestSupportError("no queue") }
      return queue
    }
  }

  // MARK: Good requests

  static func spec(_ kind: Kind) -> SessionSpec {
    switch kind {
    case .cipher: .cipher(.aesCBC, .encrypt, key: cipherKey)
    case .hash: .hash(.sha256, resultByteCount: 32)
    case .mac: .mac(.hmacSHA1, key: authKey, resultByteCount: 20)
    case .aead: .aead(.gcm, .encrypt, key: cipherKey, tagByteCount: 16)
    case .chain:
      .chain(
        .init(
          .aesCBC, .encrypt, key: cipherKey, order: .hashThenCipher,
          second: .authenticated(.hmacSHA256, key: authKey), aadByteCount: 5))
    }
  }

  /// A good request, with other bytes each time.
  func operation(_ kind: Kind, isStateless: Bool = false) -> OperationSpec {
    turn &+= 1
    var random = SeededRandom(seed: turn)
    var operation = OperationSpec(
      Self.spec(kind), sessionID: isStateless ? nil : sessions[kind], source: random.bytes(64))
    switch kind {
    case .cipher: operation.iv = random.bytes(16)
    case .hash, .mac: break
    case .aead: (operation.iv, operation.aad) = (random.bytes(12), random.bytes(5))
    case .chain:
      (operation.iv, operation.aad) = (random.bytes(16), random.bytes(5))
      operation.ranges = ChainRanges(cipher: 16..<48, hash: 8..<40)
    }
    return operation
  }

  /// The bytes that a good answer starts its writable part with.
  static func expectedBytes(_ operation: OperationSpec) throws -> [UInt8] {
    let answer = try #require(ReferenceCrypto.answer(to: operation))
    return answer.output + answer.result
  }

  /// Sends a good request and compares the answer.
  func expectServed(
    _ kind: Kind = .cipher, queue: Int = 0, plan: RequestPlan = RequestPlan(),
    _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let operation = operation(kind)
    let answer = try client.perform(operation, plan: plan, queue: queue)
    let expected = try Self.expectedBytes(operation)
    #expect(answer.status == .ok, "\(comment)", sourceLocation: sourceLocation)
    #expect(
      answer.output + answer.result == expected, "\(comment)", sourceLocation: sourceLocation)
    #expect(
      answer.usedByteCount == expected.count + 1, "\(comment)", sourceLocation: sourceLocation)
  }

  /// Requests on both queues, and on the other device, are served right.
  func expectAllIsWell(
    _ kind: Kind = .cipher, exceptQueue bad: Int? = nil, _ comment: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    for queue in 0..<2 where queue != bad {
      try expectServed(kind, queue: queue, comment, sourceLocation: sourceLocation)
    }
    try bystander?.expectServed(kind, queue: 1, comment, sourceLocation: sourceLocation)
  }

  // MARK: Bad requests

  /// Sends a request that has to be refused: the status, a used length of 1, and no other byte
  /// written.
  func expectRefused(
    _ request: DataRequest, _ status: VirtioCryptoStatus, plan: RequestPlan = RequestPlan(),
    _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let answer = try client.perform(request, plan: plan)
    #expect(answer.status == status, "\(comment)", sourceLocation: sourceLocation)
    #expect(answer.usedByteCount == 1, "\(comment)", sourceLocation: sourceLocation)
    #expect(
      (answer.output + answer.result).allSatisfy { $0 == PlacedRequest.untouched }, "\(comment)",
      sourceLocation: sourceLocation)
  }

  // MARK: Rings

  /// What a stopped queue must leave alone.
  func usedRing(_ queue: DriverQueue) throws -> [UInt8] { try queue.rawUsedRing() }

  /// A good request on a queue is not looked at: the queue has stopped, and said so.
  func expectStopped(
    _ index: Int, _ queue: DriverQueue, usedRing before: [UInt8], _ comment: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(
      try frontend.hasRingError(index, timeoutMilliseconds: 5000), "\(comment)",
      sourceLocation: sourceLocation)
    let placed = try PlacedRequest(
      CryptoRequestBuilder.data(operation(.cipher), format: format), plan: RequestPlan(),
      in: memory)
    #expect(
      queue.rawUsedIndex == queue.usedIndex, "\(comment): finished", sourceLocation: sourceLocation)
    queue.post(try queue.reserve(placed.buffers, indirect: true))
    _ = queue.publish()
    // A packed ring is written by its driver, too: from here on it must stay as it is.
    let before = queue.kind.isPacked ? try usedRing(queue) : before
    try queue.kick()
    usleep(10000)
    #expect(
      try usedRing(queue) == before, "\(comment): used ring", sourceLocation: sourceLocation)
  }

  /// Stops a queue and starts it again with a fresh ring, which serves.
  func restart(_ index: Int, size: UInt16 = 256) throws -> DriverQueue {
    try frontend.stopQueue(index)
    let fresh = try frontend.makeQueue(size: size)
    try frontend.startQueue(index, fresh)
    return fresh
  }

  /// Has requests in flight recorded from now on, in a record of which nothing is known yet.
  ///
  /// - `queues`: data queues to start with it; the others have to be stopped.
  func keepRecord(startingQueues queues: Set<Int> = [0, 1]) throws {
    let area = try frontend.inflightArea(queueCount: 2, queueSize: 256)
    for index in queues.sorted() { try frontend.stopQueue(index) }
    try frontend.setInflightArea(area)
    for index in queues.sorted() { try frontend.startQueue(index, client.dataQueues[index]) }
  }

  /// Sends a good request through another queue 0.
  func expectServed(on queue: DriverQueue) throws {
    let operation = operation(.cipher)
    try expectRight(try client(withQueue: queue).perform(operation), operation)
  }

  /// Another client over the same connection, whose data queue 0 is `queue`.
  func client(withQueue queue: DriverQueue) -> CryptoClient {
    CryptoClient(
      frontend: frontend, memory: memory, dataQueues: [queue], control: client.control)
  }
}

/// Whether a finished request's answer is right.
func expectRight(
  _ answer: OperationAnswer, _ operation: OperationSpec, _ comment: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let expected = try Guest.expectedBytes(operation)
  #expect(answer.status == .ok, "\(comment)", sourceLocation: sourceLocation)
  let written = answer.output + answer.result
  #expect(
    Array(written.prefix(expected.count)) == expected, "\(comment)", sourceLocation: sourceLocation)
  #expect(
    written.dropFirst(expected.count).allSatisfy { $0 == PlacedRequest.untouched },
    "\(comment): bytes behind the result", sourceLocation: sourceLocation)
  #expect(answer.usedByteCount == expected.count + 1, "\(comment)", sourceLocation: sourceLocation)
}
