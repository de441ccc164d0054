import CryptoTypes

// Known answers of public-key operations. What verifies is also offered with a bit changed, and must not verify then.
extension SelfTest where Lane: ~Copyable {
  /// The answers of one algorithm; nil: right.
  func checkAsymmetric(
    _ answer: AsymmetricKnownAnswer, on runner: inout LaneRunner<Lane>, generation: inout UInt32
  ) -> SelfTestResult {
    generation &+= 1
    let run = AsymmetricTrial(answer).run(on: &runner, generation: generation)
    if run.outcome.isLeftToOthers {
      return .unavailable(reasonWithout(.akcipher(answer.algorithm)))
    }
    let wrong = SelfTestResult.failed("wrong result of \(answer.operation.name), \(answer.origin)")
    guard run.outcome == .ok else { return wrong }
    if let output = answer.output {
      guard run.result == KnownAnswer.bytes(output) else { return wrong }
    } else {
      // A signature with a random part: the counterpart's key says whether it is right.
      let counterpart = answers(answer.algorithm).first {
        $0.operation == .verify && ($0.keyForm == .components) == (answer.keyForm == .components)
      }
      guard let counterpart else { return wrong }
      var check = AsymmetricTrial(counterpart)
      check.input = run.result
      generation &+= 1
      guard check.run(on: &runner, generation: generation).outcome == .ok else { return wrong }
    }
    guard answer.operation == .verify else { return .passed }
    var forgery = AsymmetricTrial(answer)
    forgery.extra[0] ^= 1
    generation &+= 1
    return forgery.run(on: &runner, generation: generation).outcome == .signatureMismatch
      ? .passed : .failed("a wrong signature verifies, \(answer.origin)")
  }

  private func answers(_ algorithm: AsymmetricAlgorithm) -> [AsymmetricKnownAnswer] {
    asymmetricAnswers.filter { $0.algorithm == algorithm }
  }
}

/// One operation with a key.
private struct AsymmetricTrial {
  private let answer: AsymmetricKnownAnswer
  private let key: [UInt8]
  var input: [UInt8]
  var extra: [UInt8]

  init(_ answer: AsymmetricKnownAnswer) {
    self.answer = answer
    key = answer.keyForm == .components ? answer.components : KnownAnswer.bytes(answer.key)
    input = KnownAnswer.bytes(answer.input)
    extra = KnownAnswer.bytes(answer.extra)
  }

  /// Outcome and result, at most 512 bytes.
  func run<Lane: EngineLane & ~Copyable>(
    on runner: inout LaneRunner<Lane>, generation: UInt32
  ) -> (outcome: CryptoOutcome, result: [UInt8]) {
    let room = 512
    let parts = [key, input, extra]
    let byteCount = parts.reduce(room) { $0 + $1.count }
    // SAFETY: one run of memory is cut into the parts and the room for the result, for which it was sized; it, the session
    // and the operation live until the end of this function, and the runner keeps none of them.
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCount)
    unsafe memory.initialize(repeating: 0, count: byteCount)
    defer { unsafe memory.deallocate() }
    var next = unsafe memory
    var starts: [UnsafeMutablePointer<UInt8>] = unsafe []
    for part in parts {
      unsafe starts.append(next)
      for byte in part {
        unsafe next.pointee = byte
        unsafe next += 1
      }
    }
    let result = unsafe next
    var session = SessionParameters()
    session.service = .akcipher
    session.asymmetric = answer.algorithm
    session.keyForm = answer.keyForm
    session.padding = answer.padding
    session.digest = answer.digest
    unsafe session.cipherKey = UnsafePointer(starts[0])
    session.cipherKeyByteCount = UInt32(key.count)
    let kind = answer.operation
    let (inputCount, extraCount) = (input.count, extra.count)
    return unsafe withUnsafePointer(to: session) { session in
      var operation = unsafe CryptoOperation(session: session, placeholder: result)
      operation.sessionIndex = 0
      operation.sessionGeneration = generation
      operation.asymmetric = kind
      unsafe operation.source = UnsafePointer(starts[1])
      operation.sourceByteCount = UInt32(inputCount)
      unsafe operation.aad = UnsafePointer(starts[2])
      operation.aadByteCount = UInt32(extraCount)
      operation.resultByteCount = kind == .verify ? 0 : UInt32(room)
      // SAFETY: the runner gives the operation back before it returns.
      unsafe withUnsafeMutablePointer(to: &operation) { unsafe runner.run($0) }
      let count = min(Int(operation.resultByteCount), room)
      return (operation.outcome, (0..<count).map { unsafe result[$0] })
    }
  }
}

extension AsymmetricKnownAnswer {
  /// The key in parts as engines read it.
  fileprivate var components: [UInt8] {
    typealias Layout = AsymmetricComponents
    var header = [UInt32](repeating: 0, count: Layout.headerByteCount / 4)
    header[Layout.primeCountOffset / 4] = 2
    header[Layout.representationOffset / 4] = representation
    let parts = parts.map(KnownAnswer.bytes)
    for (index, part) in parts.enumerated() {
      header[Layout.partByteCountOffset(index) / 4] = UInt32(part.count)
    }
    for (index, count) in resultByteCounts.enumerated() {
      header[Layout.resultByteCountOffset(index) / 4] = count
    }
    let words = header.flatMap { word in
      unsafe withUnsafeBytes(of: word) { unsafe [UInt8]($0) }
    }
    return words + parts.flatMap { $0 }
  }
}
