import CryptoTypes
import EngineContract
import Testing

/// What an engine's self-test says, of right answers and of wrong ones.
public struct SelfTestChecks<Lane: EngineLane & ~Copyable> {
  private let test: SelfTest<Lane>
  /// The algorithms that the engine can do.
  private let algorithms: Set<CryptoAlgorithm>

  public init(_ test: SelfTest<Lane>, algorithms: Set<CryptoAlgorithm>) {
    self.test = test
    self.algorithms = algorithms
  }

  private var usedAnswers: [Int] {
    test.answers.indices.filter { algorithms.contains(test.answers[$0].algorithm) }
  }

  /// What is there passes, and what is not is unavailable: nothing is missing, and nothing fails.
  public func expectTheseAlgorithmsOnly() {
    let results = test.run()
    let tested =
      test.answers.map(\.algorithm)
      + test.asymmetricAnswers.map { CryptoAlgorithm.akcipher($0.algorithm) }
    #expect(Set(results.keys) == Set(tested))
    #expect(Set(tested).isSuperset(of: CryptoAlgorithm.symmetric))
    for (algorithm, result) in results {
      if case .unavailable = result {
        #expect(!algorithms.contains(algorithm), "\(algorithm.name): \(result)")
      } else {
        #expect(
          result == .passed && algorithms.contains(algorithm), "\(algorithm.name): \(result)")
      }
    }
  }

  /// A wrong answer stands for an engine that computes wrongly: it is reported for its algorithm, and no other.
  public func expectWrongResultsToBeReported() throws {
    for index in usedAnswers {
      var spoilt = test
      try Self.spoil(&spoilt.answers[index].output)
      let results = spoilt.run()
      let answer = test.answers[index]
      guard case .failed(let reason)? = results[answer.algorithm] else {
        Issue.record("a wrong result passed: \(answer.algorithm.name), \(answer.origin)")
        continue
      }
      #expect(reason.contains(answer.origin))
      for algorithm in algorithms where algorithm != answer.algorithm {
        #expect(results[algorithm] == .passed)
      }
    }
  }

  public func expectWrongTagsToBeReported() throws {
    for index in usedAnswers where !test.answers[index].tag.isEmpty {
      var spoilt = test
      try Self.spoil(&spoilt.answers[index].tag)
      guard case .failed? = spoilt.run()[test.answers[index].algorithm] else {
        Issue.record("a wrong tag passed: \(test.answers[index].origin)")
        continue
      }
    }
  }

  /// The same for public keys: results, and what signatures are held against.
  public func expectWrongPublicKeyAnswersToBeReported() throws {
    for index in test.asymmetricAnswers.indices {
      var spoilt = test
      let answer = test.asymmetricAnswers[index]
      if answer.operation == .verify {
        try Self.spoil(&spoilt.asymmetricAnswers[index].extra)
      } else if var output = answer.output {
        try Self.spoil(&output)
        spoilt.asymmetricAnswers[index].output = output
      } else {
        // A signature with a random part is checked by its counterpart's key: that of another message.
        try Self.spoil(&spoilt.asymmetricAnswers[index].input)
      }
      guard case .failed? = spoilt.run()[.akcipher(answer.algorithm)] else {
        Issue.record("a wrong answer passed: \(answer.operation.name), \(answer.origin)")
        continue
      }
    }
  }

  /// Changes the last digit.
  private static func spoil(_ text: inout String) throws {
    let place = try #require(text.lastIndex { $0.isHexDigit })
    text.replaceSubrange(place...place, with: text[place] == "0" ? "1" : "0")
  }
}
