import CryptoTypes
import EngineContract
import Testing

/// An engine that knows the published answers of public-key operations.
enum AsymmetricScript {
  /// What a self-test reports on.
  static let tested = Set(
    CryptoAlgorithm.symmetric
      + AsymmetricKnownAnswer.all.map { CryptoAlgorithm.akcipher($0.algorithm) })

  static func compute(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome {
    let session = operation.pointee.session.pointee
    let input = bytes(operation.pointee.source, operation.pointee.sourceByteCount)
    let extra = bytes(operation.pointee.aad, operation.pointee.aadByteCount)
    let candidates = AsymmetricKnownAnswer.all.filter {
      $0.algorithm == session.asymmetric && $0.operation == operation.pointee.asymmetric
        && $0.padding == session.padding
    }
    guard
      let found = candidates.first(where: { KnownAnswer.bytes($0.input) == input })
    else { return .failed }
    if found.operation == .verify {
      return KnownAnswer.bytes(found.extra) == extra ? .ok : .signatureMismatch
    }
    // The signature that is drawn at random is the published one here.
    let signature = AsymmetricKnownAnswer.all.first {
      $0.algorithm == found.algorithm && $0.operation == .verify
    }
    let output = KnownAnswer.bytes(found.output ?? signature?.input ?? "")
    for (index, byte) in output.enumerated() { operation.pointee.result[index] = byte }
    operation.pointee.resultByteCount = UInt32(output.count)
    return .ok
  }

  private static func bytes(_ start: UnsafePointer<UInt8>, _ count: UInt32) -> [UInt8] {
    Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }
}

@Suite struct AsymmetricSelfTestTests {
  private func results(
    _ compute: @escaping @Sendable (UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome
  ) throws -> [CryptoAlgorithm: SelfTestResult] {
    try FakeScript.$byName.withValue([A.name: FakeScript { $0.compute = compute }]) {
      try FakeEngine<A>(EngineOptions()).selfTest()
    }
  }

  @Test(arguments: AsymmetricKnownAnswer.all.indices)
  func oneWrongAnswerFailsItsAlgorithmAlone(_ index: Int) throws {
    let spoilt = AsymmetricKnownAnswer.all[index]
    let results = try results { operation in
      let outcome = AsymmetricScript.compute(operation)
      let session = operation.pointee.session.pointee
      guard session.service == .akcipher, session.asymmetric == spoilt.algorithm,
        operation.pointee.asymmetric == spoilt.operation, session.padding == spoilt.padding
      else { return outcome }
      operation.pointee.result[0] ^= 1
      return spoilt.operation == .verify ? .signatureMismatch : outcome
    }
    for algorithm in AsymmetricAlgorithm.allCases {
      guard let result = results[.akcipher(algorithm)] else { continue }
      if algorithm == spoilt.algorithm {
        guard case .failed(let reason) = result else {
          Issue.record("\(algorithm.name) passed")
          continue
        }
        #expect(reason.contains("wrong result of"))
      } else {
        #expect(result == .passed)
      }
    }
  }

  @Test func anEngineThatVerifiesAnythingFails() throws {
    let results = try results { operation in
      let outcome = AsymmetricScript.compute(operation)
      return outcome == .signatureMismatch ? .ok : outcome
    }
    for algorithm in [AsymmetricAlgorithm.rsa, .ecdsa] {
      guard case .failed(let reason)? = results[.akcipher(algorithm)] else {
        Issue.record("\(algorithm.name) passed")
        continue
      }
      #expect(reason.hasPrefix("a wrong signature verifies"))
    }
  }

  @Test func anEngineWithoutPublicKeysSaysSo() throws {
    let results = try results { operation in
      operation.pointee.session.pointee.service == .akcipher ? .unsupported : .failed
    }
    #expect(results[.akcipher(.rsa)] == .unavailable("a has no rsa"))
  }
}
