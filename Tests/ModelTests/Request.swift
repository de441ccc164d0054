import CryptoTypes
import VhostUserFrontend
import VirtioSpec

/// The answer that is right.
struct Expectation {
  /// More than one where the guest raced with itself.
  var statuses: Set<VirtioCryptoStatus>
  /// Of `OK`: `dst_data` and `hash_result`, in front of what the device leaves alone.
  var output: [UInt8]
  var result: [UInt8]
  /// No writable byte at all: a used length of 0, and no status.
  var hasNoStatus = false

  init(_ status: VirtioCryptoStatus, output: [UInt8] = [], result: [UInt8] = []) {
    statuses = [status]
    self.output = output
    self.result = result
  }
}

/// A data request with its answer.
struct Request {
  var data: DataRequest
  var plan = RequestPlan()
  /// The shape is what is wrong, and must stay.
  var hasOwnPlan = false
  var expectation: Expectation
  var what: String
  /// The session that it names, if it is one of those that live.
  var identifier: UInt64?

  static let maximumByteCount = 1 << 16

  init(
    _ operation: OperationSpec, _ expectation: Expectation, _ what: String,
    format: RequestFormat = .revision1
  ) {
    data = CryptoRequestBuilder.data(operation, format: format)
    self.expectation = expectation
    self.what = what
    identifier = operation.sessionID
  }

  /// A request in a session, or (`isStateless`) with its parameters; three in four are good ones.
  ///
  /// `others`: identifiers that are not to be used for it: of other services, or gone.
  static func random(
    _ session: Session, isStateless: Bool, others: [UInt64], format: RequestFormat,
    _ random: inout SeededRandom
  ) -> Request {
    if case .akcipher(let model) = session.kind {
      var request = model.request(session, &random)
      if !format.isRevision1 { request = request.padded() }
      return request
    }
    var operation = goodOperation(session, &random)
    if isStateless { operation.sessionID = nil }
    var request = Request(
      operation, answer(to: operation), "\(session.spec) good", format: format)
    if isStateless, !format.statelessServices.contains(session.service) {
      request.expectation = Expectation(.notsupp)
      request.what = "without a session, which is not negotiated"
    } else if random.oneIn(4) {
      request.spoil(&operation, session, others, format, &random)
    } else if random.oneIn(8) {
      request.spoilShape(&random)
    }
    if !request.hasOwnPlan { request.plan = plan(&random, operation) }
    // Behind a result that is shorter (a tag's verification) the source is what nobody has touched.
    if request.expectation.statuses.contains(.ok),
      request.expectation.output.count < operation.source.count
    {
      request.plan.isInPlace = false
    }
    return request
  }

  /// Without REVISION_1 every fixed part has 48 bytes.
  private func padded() -> Request {
    var copy = self
    copy.data.fixed.pad(to: 24 + 48)
    return copy
  }

  private static func answer(to operation: OperationSpec) -> Expectation {
    guard let answer = ReferenceCrypto.answer(to: operation) else {
      // What the reference cannot open was not sealed; everything else it can.
      guard case .aead(_, .decrypt, _, _, _) = operation.session else {
        preconditionFailure("no reference for \(operation.session)")
      }
      return Expectation(.badmsg)
    }
    return Expectation(.ok, output: answer.output, result: answer.result)
  }

  // MARK: Good requests

  private static func length(_ random: inout SeededRandom) -> Int {
    switch random.upTo(9) {
    case 0: 0
    case 1: random.upTo(16)
    case 2: random.upTo(9000)
    default: random.upTo(600)
    }
  }

  private static func goodOperation(
    _ session: Session, _ random: inout SeededRandom
  ) -> OperationSpec {
    let identifier = session.identifier
    let spec = session.spec
    switch session.kind {
    case .cipher(let cipher):
      let count = max(length(&random) / cipher.block * cipher.block, cipher.least)
      return OperationSpec(
        spec, sessionID: identifier, iv: random.bytes(cipher.iv), source: random.bytes(count))
    case .hash:
      return OperationSpec(
        spec, sessionID: identifier, source: random.bytes(length(&random)),
        resultByteCount: shorter(spec.resultByteCount, &random))
    case .mac(let mac):
      let count = length(&random) / mac.block * mac.block
      return OperationSpec(
        spec, sessionID: identifier, source: random.bytes(mac.iv + count),
        resultByteCount: shorter(spec.resultByteCount, &random))
    case .aead(let aead): return goodSeal(session, aead, &random)
    case .chain(let cipher, let second): return goodChain(session, cipher, second, &random)
    case .akcipher: preconditionFailure("RSA makes its own")
    }
  }

  /// A result may be the leading bytes of the session's.
  private static func shorter(_ most: Int, _ random: inout SeededRandom) -> Int? {
    random.oneIn(4) ? 1 + random.upTo(most - 1) : nil
  }

  private static func goodSeal(
    _ session: Session, _ aead: AEADModel, _ random: inout SeededRandom
  ) -> OperationSpec {
    guard case .aead(let algorithm, let direction, let key, let tag, _) = session.spec else {
      preconditionFailure("an AEAD's session is an AEAD's")
    }
    let iv = random.bytes(random.pick(aead.ivs))
    let aad = random.bytes(random.oneIn(2) ? random.upTo(40) : 0)
    var source = random.bytes(length(&random))
    if direction == .decrypt {
      source =
        ReferenceCrypto.seal(
          algorithm, key: key, iv: iv, aad: aad, source: source, tagByteCount: tag) ?? source
      if random.oneIn(4), !source.isEmpty { source[random.upTo(source.count - 1)] ^= 4 }
    }
    var operation = OperationSpec(
      session.spec, sessionID: session.identifier, iv: iv, source: source, aad: aad)
    // A destination may be longer than what is written.
    if random.oneIn(5) {
      operation.destinationByteCount = operation.wireDestinationByteCount + random.upTo(20)
    }
    return operation
  }

  private static func goodChain(
    _ session: Session, _ cipher: CipherModel, _ second: Session.Second,
    _ random: inout SeededRandom
  ) -> OperationSpec {
    let count = max(length(&random), cipher.least)
    let first = random.upTo(count - cipher.least)
    let most = count - first
    let covered = max((random.upTo(most) / cipher.block) * cipher.block, cipher.least)
    let hashStart = random.upTo(count)
    var hashCount = random.upTo(count - hashStart)
    var aad = random.oneIn(3) ? random.upTo(40) : 0
    if case .authenticated(let mac) = second {
      if mac.iv > 0 { aad = mac.iv }
      if mac.block > 1 {
        aad = 0
        hashCount = hashCount / mac.block * mac.block
      }
    }
    return OperationSpec(
      session.spec, sessionID: session.identifier, iv: random.bytes(cipher.iv),
      source: random.bytes(count), aad: random.bytes(aad),
      ranges: ChainRanges(
        cipher: first..<first + covered, hash: hashStart..<hashStart + hashCount))
  }

  /// Any shape of chain that means the same.
  private static func plan(_ random: inout SeededRandom, _ operation: OperationSpec) -> RequestPlan
  {
    var plan = RequestPlan()
    plan.isIndirect = !random.oneIn(3)
    switch random.upTo(6) {
    case 0: break
    case 1:
      plan.front = .shredded(seed: random.next(), maximum: 12)
      plan.destination = .random(seed: random.next(), maximum: 8)
    case 2: plan.isInPlace = operation.writableDestinationByteCount == operation.source.count
    case 3:
      plan.source = .random(seed: random.next(), maximum: 8)
      plan.destination = .random(seed: random.next(), maximum: 8)
      plan.hasZeroLengthDescriptors = true
    case 4:
      plan.source = .count(3)
      plan.status = .tailOfLastBuffer
    case 5: plan.front = .joined
    default:
      plan.source = .random(seed: random.next(), maximum: 3)
      plan.slackByteCount = 1 + random.upTo(9)
    }
    return plan
  }
}
