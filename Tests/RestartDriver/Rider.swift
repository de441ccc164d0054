import CryptoTypes
import VhostUserFrontend
import VirtioSpec

/// A request that is sent again and again, and what its answer has to be.
struct Rider {
  var placed: PlacedRequest
  var head: UInt16
  var output: [UInt8]
  var result: [UInt8]
  var session: SessionSpec
  /// False: it brings its key along.
  var isOfSession: Bool
  /// What stood where the result goes, for requests that are overwritten by it.
  var source: [UInt8]
  var isInPlace: Bool
  var isInFlight = false
}

extension Rider {
  /// Makes it one that can be sent: no answer, and its source, where that is not what was sent first any more.
  func renew(in memory: GuestRAM) throws {
    try placed.wipeAnswer(in: memory)
    if isInPlace { try placed.writeSource(source, in: memory) }
  }

  /// The sessions that requests are of, which a guest opens.
  static func sessions(_ random: inout SeededRandom) -> [SessionSpec] {
    [
      .cipher(.aesCBC, .encrypt, key: random.bytes(16)),
      .cipher(.aesCBC, .decrypt, key: random.bytes(32)),
      .cipher(.aesCTR, .encrypt, key: random.bytes(16)),
      .hash(.sha256, resultByteCount: 32),
      .mac(.hmacSHA256, key: random.bytes(32), resultByteCount: 32),
      .aead(.gcm, .encrypt, key: random.bytes(16), tagByteCount: 16),
    ]
  }

  /// Places a random request of a session; one in three of those with a destination has it where its source is.
  init(
    _ session: SessionSpec, id: UInt64?, format: RequestFormat, queue: DriverQueue,
    memory: GuestRAM, random: inout SeededRandom
  ) throws {
    var byteCount = 16 + Int(random.next() % 32) * 16
    if random.next() % 4 == 0 { byteCount = 16 * Int(1 + random.next() % 1024) }
    var operation = OperationSpec(
      session, sessionID: id, source: random.bytes(byteCount))
    switch session {
    case .cipher: operation.iv = random.bytes(16)
    case .aead:
      operation.iv = random.bytes(12)
      operation.aad = random.bytes(Int(random.next() % 64))
    default: break
    }
    guard let answer = ReferenceCrypto.answer(to: operation) else {
      throw DriverError("libcrypto cannot do \(session)")
    }
    var plan = RequestPlan()
    if random.next() % 3 == 0 { plan.source = .random(seed: random.next(), maximum: 4) }
    if random.next() % 3 == 0 { plan.destination = .random(seed: random.next(), maximum: 4) }
    plan.isInPlace = random.next() % 3 == 0 && !answer.output.isEmpty
    plan.isIndirect = random.next() % 4 != 0
    placed = try PlacedRequest(
      CryptoRequestBuilder.data(operation, format: format), plan: plan, in: memory)
    head = try queue.reserve(placed.buffers, indirect: plan.isIndirect)
    output = answer.output
    result = answer.result
    self.session = session
    isOfSession = id != nil
    source = operation.source
    isInPlace = plan.isInPlace
  }
}
