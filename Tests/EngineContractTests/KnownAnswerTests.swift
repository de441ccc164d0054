import CryptoTypes
import EngineContract
import Testing

@Suite struct KnownAnswerTests {
  private static let keyByteCounts = KnownAnswer.all.reduce(into: [CryptoAlgorithm: Set<Int>]()) {
    $0[$1.algorithm, default: []].insert(KnownAnswer.bytes($1.key).count)
  }

  @Test(arguments: CryptoAlgorithm.symmetric)
  func everyAlgorithmHasAnAnswer(_ algorithm: CryptoAlgorithm) {
    #expect(KnownAnswer.all.contains { $0.algorithm == algorithm })
    // One at least that every engine with the algorithm has to give.
    #expect(KnownAnswer.all.contains { $0.algorithm == algorithm && !$0.isOptional })
  }

  @Test func everyKeySizeHasAnAnswer() {
    for cipher in CipherAlgorithm.allCases {
      let found = Self.keyByteCounts[.cipher(cipher)]
      let sizes = Set((0...256).filter { cipher.accepts(keyByteCount: $0) })
      // ARC4's 252 sizes have not all been published; the longest and all between are compared in FurtherCipherTests.
      #expect(cipher == .arc4 ? found == [5, 7, 8, 10, 16, 24, 32] : found == sizes, "\(cipher)")
    }
    for aead in AEADAlgorithm.allCases {
      #expect(
        Self.keyByteCounts[.aead(aead)]
          == Set((0...64).filter { aead.accepts(keyByteCount: $0) }))
    }
    for mac in MACAlgorithm.allCases {
      let sizes = Set((0...512).filter { mac.accepts(keyByteCount: $0) })
      // HMAC takes every length.
      if sizes.count < 10 { #expect(Self.keyByteCounts[.mac(mac)] == sizes, "\(mac)") }
    }
    #expect(Self.keyByteCounts[.mac(.cmacAES)] == [16, 24, 32])
    #expect(Self.keyByteCounts[.mac(.gmacAES)] == [16, 24, 32])
    #expect(Self.keyByteCounts[.mac(.cbcmacAES)] == [16, 24, 32])
    #expect(Self.keyByteCounts[.mac(.xcbcAES)] == [16])
  }

  @Test func everyAnswerFitsItsAlgorithm() {
    for answer in KnownAnswer.all {
      let counts = [answer.key, answer.iv, answer.input, answer.output, answer.tag].map {
        KnownAnswer.bytes($0).count
      }
      let (iv, input, output, tag) = (counts[1], counts[2], counts[3], counts[4])
      #expect(!answer.origin.isEmpty)
      switch answer.algorithm {
      case .cipher(let cipher):
        #expect(cipher.accepts(keyByteCount: counts[0]) && iv == cipher.ivByteCount)
        #expect(input == output && input >= cipher.minimumSourceByteCount && tag == 0)
      case .hash(let hash):
        #expect(counts[0] == 0 && iv == 0 && tag == 0)
        #expect((1...hash.maximumResultByteCount).contains(output))
      case .mac(let mac):
        #expect(mac.accepts(keyByteCount: counts[0]) && iv == mac.ivByteCount && tag == 0)
        #expect((1...mac.maximumResultByteCount).contains(output))
      case .aead(let aead):
        #expect(aead.accepts(keyByteCount: counts[0]) && aead.accepts(ivByteCount: iv))
        #expect(aead.accepts(tagByteCount: tag) && input == output)
      case .akcipher: Issue.record("public keys have answers of another shape")
      }
    }
  }

  @Test func hexadecimalIsReadWithAnyWhiteSpace() {
    #expect(KnownAnswer.bytes("") == [])
    #expect(KnownAnswer.bytes("00 fF\n 7a\t") == [0, 0xff, 0x7a])
  }
}
