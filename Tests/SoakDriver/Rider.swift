import VhostUserFrontend
import VirtioSpec

/// A request that lies in guest memory and is sent again and again.
struct Rider {
  let wish: Wish
  let placed: PlacedRequest
  let head: UInt16
  let expectation: Expectation
  /// The session that the guest has opened for it; nil where it needs none, or could not be given one.
  var sessionID: UInt64?
  var isInFlight = false
  /// It was in flight in a session that has ended with its daemon, and was not kept.
  var mayLackItsSession = false

  var needsSession: Bool { !wish.isStateless && wish.strangeSession == nil }
  var isReady: Bool { !needsSession || sessionID != nil }

  /// Makes it one that can be sent: no answer, its source, and its session.
  func renew(in memory: GuestRAM) throws {
    try placed.wipeAnswer(in: memory)
    if wish.plan.isInPlace { try placed.writeSource(wish.operation.source, in: memory) }
    if let sessionID { try placed.setSession(sessionID, in: memory) }
  }
}

/// What is said of an answer.
enum Verdict {
  /// As it has to be.
  case right
  /// An error that a fault was allowed to cause.
  case failed
  case wrong(String)
}

extension Rider {
  /// Judges an answer.
  ///
  /// `toleratesFailures`: an engine may have failed, which is answered with an error and never with a result.
  func verdict(
    _ used: UsedElement, toleratesFailures: Bool, memory: GuestRAM
  ) throws -> (status: VirtioCryptoStatus, verdict: Verdict) {
    let byte = try placed.statusAddress.map { try memory.read($0, byteCount: 1) }?.first
    let status = VirtioCryptoStatus(rawValue: byte ?? PlacedRequest.untouched)
    if status == expectation.status {
      guard status == .ok else { return (status, .right) }
      let output = try PlacedRequest.content(of: placed.destination, in: memory)
      let result = try PlacedRequest.content(of: placed.result, in: memory)
      if isRight(output, result, used) { return (status, .right) }
      let source = try PlacedRequest.content(of: placed.source, in: memory)
      // What the request lay in may have been written by somebody else.
      let isOwn =
        wish.plan.isInPlace || source.isEmpty || source == wish.operation.source
      return (
        status,
        .wrong(
          "another result, \(used.byteCount) bytes used" + (isOwn ? "" : ", of another source"))
      )
    }
    if status == .invsess, mayLackItsSession { return (status, .failed) }
    if toleratesFailures, isFailure(status) { return (status, .failed) }
    return (status, .wrong("\(status) instead of \(expectation.status)"))
  }

  private func isRight(_ output: [UInt8], _ result: [UInt8], _ used: UsedElement) -> Bool {
    switch expectation.result {
    case .bytes(let expected, let expectedResult):
      // An asymmetric result may be shorter than its room.
      return Int(used.byteCount) == expected.count + expectedResult.count + 1
        && output.starts(with: expected) && result == expectedResult
    case .signature(let key, let digest):
      let signature = Array(output.prefix(max(0, Int(used.byteCount) - 1)))
      return key.verify(signature, of: digest)
    }
  }

  /// Whether a status is what a failing engine leads to.
  ///
  /// libcrypto says with one and the same answer that a tag or a signature does not fit and that it could not tell.
  private func isFailure(_ status: VirtioCryptoStatus) -> Bool {
    switch wish.session {
    case .aead(_, .decrypt, _, _, _): status == .err || status == .badmsg
    case .akcipher where wish.operation.akcipher == .verify:
      status == .err || status == .keyRejected
    default: status == .err
    }
  }
}
