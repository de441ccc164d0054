import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// A daemon that speaks the asymmetric RFC, and one driver at it.
final class ASYMBench {
  let bench: TestBench
  let client: CryptoClient

  /// `device`: further lines of the `device` section.
  init(_ device: [String] = [], algorithms: String = "algorithms: {}\n") throws {
    bench = try TestBench([], device: ["dialect: rfc-asym-v3"] + device, algorithms: algorithms)
    client = try CryptoClient.start(
      path: bench.daemon.socketPath, options: Frontend.Options(format: .rfcAsymV3))
  }

  func finish() throws {
    client.frontend.disconnect()
    try bench.finish()
  }

  /// `hasLastByte`: whether the chain has a byte for the status behind the result.
  func ask(
    _ request: DataRequest, plan: RequestPlan = RequestPlan(), hasLastByte: Bool = true
  ) throws -> ASYMAnswer {
    var plan = plan
    if !hasLastByte { plan.status = .missing }
    return ASYMAnswer(try client.perform(request, plan: plan), hasLastByte: hasLastByte)
  }

  /// The result of a request that has to work.
  func result(_ request: DataRequest, _ what: @autoclosure () -> String = "") throws -> [UInt8] {
    let answer = try ask(request)
    guard answer.status == 0, answer.second == 0, answer.lastByte == .ok else {
      throw TestSupportError("\(what()): status \(answer.status), \(answer.second)")
    }
    return answer.result
  }

  /// Whether a signature verifies; nil where the request is refused.
  ///
  /// All three places must agree.
  func verdict(_ request: DataRequest) throws -> Bool? {
    let answer = try ask(request)
    #expect(answer.result.isEmpty)
    switch (answer.status, answer.second, answer.lastByte) {
    case (0, 0, .ok): return true
    case (0, 2, .badmsg): return false
    case (1, 2, .err), (3, 2, .notsupp): return nil
    default:
      Issue.record("status \(answer.status), verify_result \(answer.second)")
      return nil
    }
  }

  /// Expects a refusal: its status at both places, and no result.
  func expectRefusal(
    _ request: DataRequest, _ status: VirtioCryptoStatus, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let answer = try client.perform(request)
    let asym = ASYMAnswer(answer)
    #expect(
      asym.status == UInt32(status.rawValue) && asym.lastByte == status, "\(what): \(asym.status)",
      sourceLocation: sourceLocation)
    #expect(answer.usedByteCount == 9, "\(what)", sourceLocation: sourceLocation)
    #expect(
      answer.output.dropFirst(8).allSatisfy { $0 == PlacedRequest.untouched },
      "\(what): the result was written", sourceLocation: sourceLocation)
  }
}

/// r and s of a signature in DER; nil for what is not the one encoding of two natural numbers, which a driver could not
/// send.
func signatureNumbers(_ der: [UInt8]) -> (r: [UInt8], s: [UInt8])? {
  guard der.count >= 8, der[0] == 0x30 else { return nil }
  func content(at start: Int, end: Int) -> Range<Int>? {
    guard start + 2 <= end else { return nil }
    let first = Int(der[start + 1])
    if first < 128 { return start + 2 + first <= end ? start + 2..<start + 2 + first : nil }
    let count = first & 0x7f
    guard count >= 1, count <= 2, start + 2 + count <= end, der[start + 2] != 0 else { return nil }
    let length = der[start + 2..<start + 2 + count].reduce(0) { $0 << 8 | Int($1) }
    guard length >= 128, start + 2 + count + length <= end else { return nil }
    return start + 2 + count..<start + 2 + count + length
  }
  func number(at start: Int, end: Int) -> Range<Int>? {
    guard start < end, der[start] == 0x02, let range = content(at: start, end: end),
      !range.isEmpty, der[range.lowerBound] & 0x80 == 0,
      range.count == 1 || der[range.lowerBound] != 0 || der[range.lowerBound + 1] & 0x80 != 0
    else { return nil }
    return range
  }
  guard let outer = content(at: 0, end: der.count), outer.upperBound == der.count,
    let r = number(at: outer.lowerBound, end: outer.upperBound),
    let s = number(at: r.upperBound, end: outer.upperBound), s.upperBound == outer.upperBound
  else { return nil }
  return (Array(der[r]), Array(der[s]))
}
