import CryptoTypes
import EngineContract
import Foundation
import Testing

@Suite struct SelfTestTests {
  /// Gives the published result of every operation: found by the key, the text and what is to come out.
  private static func compute(
    _ operation: UnsafeMutablePointer<CryptoOperation>
  ) -> CryptoOutcome {
    let session = operation.pointee.session.pointee
    guard session.service != .akcipher else { return AsymmetricScript.compute(operation) }
    let isMAC = session.service == .mac
    let key = bytes(
      isMAC ? session.authKey : session.cipherKey,
      isMAC ? session.authKeyByteCount : session.cipherKeyByteCount)
    let source = bytes(operation.pointee.source, operation.pointee.sourceByteCount)
    let isForward = session.direction == .encrypt
    let found = KnownAnswer.all.first { answer in
      answer.algorithm == algorithm(session) && KnownAnswer.bytes(answer.key) == key
        && KnownAnswer.bytes(isForward ? answer.input : answer.output) == source
        && iv(operation) == KnownAnswer.bytes(answer.iv)
    }
    guard let found else { return .failed }
    let output = KnownAnswer.bytes(found.output)
    switch session.service {
    case .hash, .mac: write(output, to: operation.pointee.result)
    default:
      write(
        isForward ? output : KnownAnswer.bytes(found.input), to: operation.pointee.destination)
      if isForward { write(KnownAnswer.bytes(found.tag), to: operation.pointee.result) }
    }
    return .ok
  }

  private static func bytes(_ start: UnsafePointer<UInt8>?, _ count: UInt32) -> [UInt8] {
    Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }

  private static func write(_ bytes: [UInt8], to place: UnsafeMutablePointer<UInt8>) {
    for (index, byte) in bytes.enumerated() { place[index] = byte }
  }

  private static func iv(_ operation: UnsafeMutablePointer<CryptoOperation>) -> [UInt8] {
    withUnsafeBytes(of: operation.pointee.iv) {
      Array($0.prefix(Int(operation.pointee.ivByteCount)))
    }
  }

  private static func algorithm(_ session: SessionParameters) -> CryptoAlgorithm {
    switch session.service {
    case .cipher, .chain: .cipher(session.cipher)
    case .hash: .hash(session.hash)
    case .mac: .mac(session.mac)
    case .aead: .aead(session.aead)
    case .akcipher: .akcipher(session.asymmetric)
    }
  }

  private func results(_ script: FakeScript) throws -> [CryptoAlgorithm: SelfTestResult] {
    try FakeScript.$byName.withValue([A.name: script]) {
      try FakeEngine<A>(EngineOptions()).selfTest()
    }
  }

  @Test(arguments: [FakeScript.Pace.atOnce, .atFlush, .byRing])
  func rightAnswersPassHoweverTheyCome(_ pace: FakeScript.Pace) throws {
    let script = FakeScript {
      $0.pace = pace
      $0.compute = Self.compute
    }
    let results = try results(script)
    #expect(Set(results.keys) == AsymmetricScript.tested)
    for (algorithm, result) in results { #expect(result == .passed, "\(algorithm.name)") }
    #expect(script.lanesAlive == 0)
    #expect(script.enginesAlive.load(ordering: .relaxed) == 0)
    #expect(script.completions.isEmpty == (pace != .byRing))
  }

  @Test(arguments: [FakeScript.Pace.atOnce, .atFlush, .byRing])
  func oneWrongByteFailsItsAlgorithm(_ pace: FakeScript.Pace) throws {
    let spoilt: Set<CryptoAlgorithm> = [
      .cipher(.aesCBC), .hash(.sha256), .mac(.cmacAES), .aead(.ccm),
    ]
    let results = try results(
      FakeScript {
        $0.pace = pace
        $0.compute = { operation in
          let outcome = Self.compute(operation)
          let session = operation.pointee.session.pointee
          if spoilt.contains(Self.algorithm(session)) {
            let isDigest = session.service == .hash || session.service == .mac
            (isDigest ? operation.pointee.result : operation.pointee.destination)[0] ^= 1
          }
          return outcome
        }
      })
    for (algorithm, result) in results {
      guard spoilt.contains(algorithm) else {
        #expect(result == .passed, "\(algorithm.name)")
        continue
      }
      guard case .failed(let reason) = result else {
        Issue.record("\(algorithm.name) passed")
        continue
      }
      let answer = try #require(KnownAnswer.all.first { $0.algorithm == algorithm })
      #expect(reason.contains(answer.origin))
      let keyBits = KnownAnswer.bytes(answer.key).count * 8
      #expect(reason.contains("with a key of \(keyBits) bits"))
    }
  }

  @Test func aWrongDecryptionOrTagIsFoundToo() throws {
    let onlyDecrypting = try results(
      FakeScript {
        $0.compute = { operation in
          let outcome = Self.compute(operation)
          if operation.pointee.session.pointee.direction == .decrypt {
            operation.pointee.destination[0] ^= 1
          }
          return outcome
        }
      })
    for (algorithm, result) in onlyDecrypting {
      switch algorithm.service {
      case .cipher, .aead:
        guard case .failed(let reason) = result else {
          Issue.record("\(algorithm.name) passed")
          continue
        }
        #expect(reason.hasPrefix("wrong decryption"))
      default: #expect(result == .passed)
      }
    }
    let onlyTags = try results(
      FakeScript {
        $0.compute = { operation in
          let outcome = Self.compute(operation)
          if operation.pointee.session.pointee.service == .aead {
            operation.pointee.result[0] ^= 1
          }
          return outcome
        }
      })
    for aead in AEADAlgorithm.allCases {
      guard case .failed? = onlyTags[.aead(aead)] else {
        Issue.record("\(aead.name) passed")
        continue
      }
    }
  }

  @Test func aFailureIsAFailureAndWhatIsUnsupportedIsNotThere() throws {
    let results = try results(
      FakeScript {
        $0.compute = { operation in
          switch Self.algorithm(operation.pointee.session.pointee) {
          case .hash(.md5): .unsupported
          case .hash(.sha1): .failed
          case .aead(.gcm): .tagMismatch
          default: Self.compute(operation)
          }
        }
      })
    #expect(results[.hash(.md5)] == .unavailable("a has no md5"))
    for algorithm in [CryptoAlgorithm.hash(.sha1), .aead(.gcm)] {
      guard case .failed? = results[algorithm] else {
        Issue.record("\(algorithm.name): \(String(describing: results[algorithm]))")
        continue
      }
    }
    #expect(results[.hash(.sha256)] == .passed)
  }

  /// GCM from a J0 of 16 bytes is a variant that an engine may lack; but not get wrong.
  @Test(arguments: [CryptoOutcome.unsupported, .failed])
  func anOptionalVariantMayBeMissingButNotWrong(_ outcome: CryptoOutcome) throws {
    #expect(KnownAnswer.all.contains { $0.isOptional })
    let results = try results(
      FakeScript {
        $0.compute = { operation in
          let isOptional =
            operation.pointee.session.pointee.service == .aead
            && operation.pointee.ivByteCount == 16
          return isOptional ? outcome : Self.compute(operation)
        }
      })
    if outcome == .unsupported {
      #expect(results[.aead(.gcm)] == .passed)
    } else {
      #expect(results[.aead(.gcm)] != .passed)
    }
  }

  @Test func aKeySizeThatIsMissingMakesTheAlgorithmUnavailable() throws {
    let results = try results(
      FakeScript {
        $0.compute = { operation in
          operation.pointee.session.pointee.cipherKeyByteCount == 24
            ? .unsupported : Self.compute(operation)
        }
      })
    #expect(results[.cipher(.aesCBC)] == .unavailable("a has no aes-cbc"))
    #expect(results[.cipher(.aesXTS)] == .passed)
  }

  @Test func withoutALaneEverythingFailsWithTheReason() throws {
    let results = try results(FakeScript { $0.hasMemory = false })
    #expect(Set(results.keys) == AsymmetricScript.tested)
    #expect(results.values.allSatisfy { $0 == .failed("a: no memory for a lane") })
  }
}
