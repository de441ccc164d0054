import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend

/// Requests that are laid out once and go round and round on one queue, many in flight.
final class Carousel {
  private struct Rider {
    var operation: OperationSpec
    var placed: PlacedRequest
    var head: UInt16
  }

  private let client: CryptoClient
  private let queue: DriverQueue
  private var riders: [Rider] = []
  /// Heads that are not in flight.
  private var idle: [UInt16] = []
  private var lastUsed: [UInt32: UsedElement] = [:]
  /// Times that the device wanted a kick.
  private(set) var kickCount = 0
  /// Whether kicks are sent when they are wanted.
  var sendsKicks = true

  /// Places `count` requests, taking operations and plans in turn.
  init(
    _ client: CryptoClient, _ operations: [OperationSpec], plans: [RequestPlan] = [RequestPlan()],
    count: Int = 64, queue index: Int = 0
  ) throws {
    self.client = client
    queue = client.dataQueues[index]
    for number in 0..<count {
      let operation = operations[number % operations.count]
      let plan = plans[number % plans.count]
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: client.format), plan: plan, in: client.memory)
      let head = try queue.reserve(placed.buffers, indirect: true)
      riders.append(Rider(operation: operation, placed: placed, head: head))
      idle.append(head)
    }
  }

  /// Frees what `init` took; nothing may be in flight.
  func dispose() {
    for rider in riders {
      queue.release(rider.head)
      rider.placed.free(in: client.memory)
    }
    riders = []
  }

  /// Sends so many requests and waits for all of them, with calls switched off.
  ///
  /// `batch`: how many are posted at most before the device is shown them. `limit`: in flight.
  func run(_ count: Int, batch: Int = 32, limit: Int = .max, seconds: Int = 30) throws {
    let end = ContinuousClock.now + .seconds(seconds * sanitizerSlack)
    var left = count
    var inFlight = 0
    var looks = 0
    while left > 0 || inFlight > 0 {
      var posted = 0
      while left > 0, posted < batch, inFlight < limit, let head = idle.popLast() {
        queue.post(head)
        posted += 1
        left -= 1
        inFlight += 1
      }
      if posted > 0 {
        // With event indices, "no call" is a far away index that has to move on.
        queue.disableCalls()
        if queue.publish() {
          kickCount += 1
          if sendsKicks { try queue.kick() }
        }
      }
      var taken = 0
      while let used = queue.popUsed() {
        idle.append(UInt16(truncatingIfNeeded: used.head))
        lastUsed[used.head] = used
        taken += 1
      }
      inFlight -= taken
      if posted == 0, taken == 0 {
        looks += 1
        if looks & 0x3F == 0 {
          guard ContinuousClock.now < end else {
            throw TestSupportError("\(left) to send and \(inFlight) in flight: no end in sight")
          }
          yieldProcessor()
        }
      }
    }
  }

  /// Compares what the last round left in guest memory with an independent computation.
  func expectRightAnswers(sourceLocation: SourceLocation = #_sourceLocation) throws {
    // A fast device gives the first ones back before the last ones are needed.
    #expect(!lastUsed.isEmpty, sourceLocation: sourceLocation)
    for rider in riders {
      guard let used = lastUsed[UInt32(rider.head)] else { continue }
      let answer = try client.answer(rider.placed, used)
      let expected = try #require(
        ReferenceCrypto.answer(to: rider.operation), sourceLocation: sourceLocation)
      #expect(answer.status == .ok, sourceLocation: sourceLocation)
      #expect(answer.output == expected.output, sourceLocation: sourceLocation)
      #expect(answer.result == expected.result, sourceLocation: sourceLocation)
    }
  }
}

extension CryptoClient {
  /// One encryption whose result is compared.
  func expectService(
    queue: Int = 0, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let session = try openSession(Samples.encryption)
    let operation = Samples.encrypt(session)
    let answer = try perform(operation, queue: queue)
    #expect(answer.status == .ok, sourceLocation: sourceLocation)
    #expect(
      answer.output == ReferenceCrypto.answer(to: operation)?.output,
      sourceLocation: sourceLocation)
    #expect(
      try destroySession(session, service: .cipher) == .ok, sourceLocation: sourceLocation)
  }
}
