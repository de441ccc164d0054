import CryptoTypes
import VhostUserFrontend
import VirtioSpec

/// One request of which the right answer is known.
struct Probe {
  enum Expectation {
    /// Success with exactly these bytes.
    case answer(output: [UInt8], result: [UInt8])
    /// Success with other bytes than these: the vector's code is wrong on purpose.
    case otherResult(than: [UInt8])
    /// The data request is refused.
    case refused(VirtioCryptoStatus)
    /// Session creation is refused; without sessions, the data request is, in the same way.
    case sessionRefused(VirtioCryptoStatus)
  }

  var session: SessionSpec
  var iv: [UInt8] = []
  var source: [UInt8]
  var aad: [UInt8] = []
  /// `hash_result_len`, where it is not the session's.
  var resultByteCount: Int?
  var ranges: ChainRanges?
  var expected: Expectation

  func operation(_ sessionID: UInt64?) -> OperationSpec {
    OperationSpec(
      session, sessionID: sessionID, iv: iv, source: source, aad: aad,
      resultByteCount: resultByteCount, ranges: ranges)
  }

  /// Carries the probe out; what is wrong with the device, or nil.
  func run(_ guest: Guest, _ shape: Shape) throws -> String? {
    var sessionID: UInt64?
    if guest.transport.hasSessions {
      let answer = try guest.client.createSession(session)
      if case .sessionRefused(let status) = expected {
        return answer.status == status ? nil : "session: \(answer.status) instead of \(status)"
      }
      guard answer.statusWord == 0 else { return "session: \(answer.status)" }
      sessionID = answer.sessionID
    }
    let outcome = try guest.perform(operation(sessionID), shape)
    try guest.close(sessionID, session)
    return complaint(about: outcome)
  }

  /// What is wrong with an outcome, or nil.
  func complaint(about outcome: Outcome) -> String? {
    let answer = outcome.answer
    if let address = outcome.spoiledAddress { return "wrote outside of its result, at \(address)" }
    switch expected {
    case .answer(let output, let result):
      guard answer.status == .ok else { return "status \(answer.status)" }
      guard answer.output == output else { return "wrong output" }
      guard answer.result == result else { return "wrong result" }
      guard answer.usedByteCount == output.count + result.count + 1 else {
        return "used length \(answer.usedByteCount) for \(output.count) + \(result.count) + 1"
      }
    case .otherResult(let tag):
      guard answer.status == .ok else { return "status \(answer.status)" }
      guard answer.result.count == tag.count, answer.result != tag else { return "the wrong tag" }
      guard answer.usedByteCount == tag.count + 1 else { return "used \(answer.usedByteCount)" }
    case .refused(let status), .sessionRefused(let status):
      guard answer.status == status else { return "\(answer.status) instead of \(status)" }
      guard answer.usedByteCount == 1 else { return "used length \(answer.usedByteCount)" }
      // Nothing was written; what a wrong tag had deciphered is wiped where it was.
      let wiped = [UInt8](repeating: 0, count: answer.output.count)
      guard answer.output == outcome.before || status == .badmsg && answer.output == wiped else {
        return "a refused request left bytes in its destination"
      }
    }
    return nil
  }
}

extension Probe {
  /// The probe whose answer is the reference's; nil when the reference has none.
  init?(reference operation: OperationSpec) {
    guard let answer = ReferenceCrypto.answer(to: operation) else { return nil }
    self.init(
      session: operation.session, iv: operation.iv, source: operation.source, aad: operation.aad,
      resultByteCount: operation.resultByteCount, ranges: operation.ranges,
      expected: .answer(output: answer.output, result: answer.result))
  }
}
