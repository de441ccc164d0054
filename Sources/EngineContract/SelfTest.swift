public import CryptoTypes

/// Runs known answers through a lane, the way that sessions use it.
public struct SelfTest<Lane: EngineLane & ~Copyable> {
  private let engine: Lane.Engine
  /// Why the lane does not have an algorithm that it could serve.
  let reasonWithout: (CryptoAlgorithm) -> String
  /// Tests put wrong answers here to see them reported.
  package var answers: [KnownAnswer] = KnownAnswer.all
  package var asymmetricAnswers: [AsymmetricKnownAnswer] = AsymmetricKnownAnswer.all

  /// - Parameters:
  ///   - engine: what is tested.
  ///   - reasonWithout: why it lacks an algorithm, for operators.
  public init(
    engine: Lane.Engine, reasonWithout: @escaping (CryptoAlgorithm) -> String
  ) {
    self.engine = engine
    self.reasonWithout = reasonWithout
  }

  /// Results for every algorithm of virtio-crypto; the first answer that is wrong decides.
  public func run() -> [CryptoAlgorithm: SelfTestResult] {
    var results: [CryptoAlgorithm: SelfTestResult] = [:]
    do throws(EngineError) {
      var runner = try LaneRunner<Lane>(engine: engine, sessionCapacity: 1)
      var generation: UInt32 = 0
      for answer in answers {
        // Once an answer was wrong or missing, further ones change nothing.
        guard results[answer.algorithm, default: .passed] == .passed else { continue }
        let result = check(answer, on: &runner, generation: &generation)
        if case .unavailable = result, answer.isOptional { continue }
        results[answer.algorithm] = result
      }
      for answer in asymmetricAnswers {
        let algorithm = CryptoAlgorithm.akcipher(answer.algorithm)
        guard results[algorithm, default: .passed] == .passed else { continue }
        results[algorithm] = checkAsymmetric(answer, on: &runner, generation: &generation)
      }
    } catch {
      let algorithms =
        answers.map(\.algorithm) + asymmetricAnswers.map { .akcipher($0.algorithm) }
      for algorithm in algorithms { results[algorithm] = .failed(error.description) }
    }
    return results
  }

  private func check(
    _ answer: KnownAnswer, on runner: inout LaneRunner<Lane>, generation: inout UInt32
  ) -> SelfTestResult {
    let isTwoWay = answer.algorithm.service == .cipher || answer.algorithm.service == .aead
    for direction in CryptoDirection.allCases where direction == .encrypt || isTwoWay {
      generation &+= 1
      var trial = SelfTestTrial(answer, direction)
      let outcome = trial.run(on: &runner, generation: generation)
      if outcome.isLeftToOthers { return .unavailable(reasonWithout(answer.algorithm)) }
      guard outcome == .ok && trial.isRight else {
        let keyBits = trial.key.count * 8
        let what = isTwoWay ? "\(direction)ion" : "result"
        return .failed("wrong \(what) with a key of \(keyBits) bits, \(answer.origin)")
      }
    }
    return .passed
  }
}

/// One answer in one direction.
private struct SelfTestTrial {
  let key: [UInt8]
  private let answer: KnownAnswer
  private let direction: CryptoDirection
  private let source: [UInt8]
  private let expected: [UInt8]
  private let expectedTag: [UInt8]
  private var destination: [UInt8]
  private var result: [UInt8]

  init(_ answer: KnownAnswer, _ direction: CryptoDirection) {
    self.answer = answer
    self.direction = direction
    key = KnownAnswer.bytes(answer.key)
    let input = KnownAnswer.bytes(answer.input)
    let output = KnownAnswer.bytes(answer.output)
    source = direction == .encrypt ? input : output
    let service = answer.algorithm.service
    let isDigest = service == .hash || service == .mac
    expected = isDigest ? [] : direction == .encrypt ? output : input
    expectedTag = isDigest ? output : KnownAnswer.bytes(answer.tag)
    destination = [UInt8](repeating: 0, count: isDigest ? 0 : source.count)
    result = [UInt8](repeating: 0, count: expectedTag.count)
  }

  /// Whether text and tag are as published; a decryption has checked its tag itself.
  var isRight: Bool {
    let checksTag = !(answer.algorithm.service == .aead && direction == .decrypt)
    return destination == expected && (!checksTag || result == expectedTag)
  }

  mutating func run<Lane: EngineLane & ~Copyable>(
    on runner: inout LaneRunner<Lane>, generation: UInt32
  ) -> CryptoOutcome {
    let aad = KnownAnswer.bytes(answer.aad)
    let iv = KnownAnswer.bytes(answer.iv)
    let inputs = [key, source, aad]
    let byteCount =
      inputs.reduce(0) { $0 + $1.count } + destination.count + result.count + 1
    // SAFETY: one run of memory is cut into inputs, destination and result, whose lengths it was sized for; it, the
    // session and the operation live until the end of this function, and the runner keeps none of them.
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCount)
    unsafe memory.initialize(repeating: 0, count: byteCount)
    defer { unsafe memory.deallocate() }
    var next = unsafe memory
    var starts: [UnsafeMutablePointer<UInt8>] = unsafe []
    for bytes in inputs {
      unsafe starts.append(next)
      for byte in bytes {
        unsafe next.pointee = byte
        unsafe next += 1
      }
    }
    var session = makeSession()
    unsafe session.authKey = UnsafePointer(starts[0])
    unsafe session.cipherKey = unsafe session.authKey
    let destinationCount = destination.count
    let resultCount = result.count
    let expectedTag = expectedTag
    let sourceCount = source.count
    let outcome = unsafe withUnsafePointer(to: session) { session in
      var operation = unsafe CryptoOperation(session: session, placeholder: next)
      operation.sessionIndex = 0
      operation.sessionGeneration = generation
      unsafe operation.source = UnsafePointer(starts[1])
      operation.sourceByteCount = UInt32(sourceCount)
      unsafe operation.aad = UnsafePointer(starts[2])
      operation.aadByteCount = UInt32(aad.count)
      unsafe operation.result = next + destinationCount
      operation.resultByteCount = UInt32(resultCount)
      operation.iv = Self.words(iv)
      operation.ivByteCount = UInt8(truncatingIfNeeded: iv.count)
      operation.tag = Self.words(expectedTag)
      operation.tagByteCount = UInt8(truncatingIfNeeded: expectedTag.count)
      // SAFETY: the runner gives the operation back before it returns.
      return unsafe withUnsafeMutablePointer(to: &operation) { pointer in
        unsafe runner.run(pointer)
        return unsafe pointer.pointee.outcome
      }
    }
    for index in destination.indices { destination[index] = unsafe next[index] }
    for index in result.indices { result[index] = unsafe next[destinationCount + index] }
    return outcome
  }

  private func makeSession() -> SessionParameters {
    var session = SessionParameters()
    session.service = answer.algorithm.service
    session.direction = direction
    session.resultByteCount = UInt32(expectedTag.count)
    switch answer.algorithm {
    case .cipher(let cipher): session.cipher = cipher
    case .hash(let hash): session.hash = hash
    case .mac(let mac): session.mac = mac
    case .aead(let aead): session.aead = aead
    // Its answers are `AsymmetricKnownAnswer`s.
    case .akcipher: break
    }
    if answer.algorithm.service == .mac {
      session.authKeyByteCount = UInt32(key.count)
    } else {
      session.cipherKeyByteCount = UInt32(key.count)
    }
    return session
  }

  /// Up to 16 bytes as operations carry them: in memory order.
  private static func words(_ bytes: [UInt8]) -> (UInt64, UInt64) {
    var words: (UInt64, UInt64) = (0, 0)
    for (index, byte) in bytes.prefix(16).enumerated() {
      if index < 8 {
        words.0 |= UInt64(byte) << UInt64(index * 8)
      } else {
        words.1 |= UInt64(byte) << UInt64((index - 8) * 8)
      }
    }
    return words
  }
}
