import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// PKCS#1 v1.5 decryption tells nothing of what is wrong with a padding, as far as answers tell: whoever can tell the
/// wrongs apart deciphers without the key (Bleichenbacher 1998). How long it takes is not looked at.
extension AsymmetricTests {
  @Suite("Paddings")
  struct PaddingTests {
    @Test(arguments: [513, 1024, 2048])
    func everyWrongPaddingHasTheSameAnswer(bitCount: Int) throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = try RSATests.key(bitCount)
      let count = key.modulusByteCount
      let good = try #require(key.padded(random.bytes(20), type: 2, random: &random))
      var blocks: [(String, [UInt8])] = []
      func add(_ name: String, _ change: (inout [UInt8]) -> Void) {
        var block = good
        change(&block)
        blocks.append((name, block))
      }
      for type: UInt8 in [0, 1, 3, 0x82, 0xFF] { add("type \(type)") { $0[1] = type } }
      // The first byte is 0 in any block below the modulus whose length is whole bytes.
      if BigNumber(bytes: [1] + good.dropFirst()) < key.modulus {
        add("first byte 1") { $0[0] = 1 }
      }
      for place in 2..<10 { add("a zero at \(place)") { $0[place] = 0 } }
      add("no separator") { block in
        for index in 2..<count where block[index] == 0 { block[index] = 1 }
      }
      add("all zeros behind the type") { block in
        for index in 2..<count { block[index] = 0 }
      }
      blocks.append(("zero", [UInt8](repeating: 0, count: count)))
      blocks.append(("one", [UInt8](repeating: 0, count: count - 1) + [1]))
      blocks.append(("n - 1", try #require((key.modulus - BigNumber(1)).bytes(count: count))))
      for index in 0..<10 { blocks.append(("random \(index)", try RSATests.text(key, &random))) }

      let spec = AKCipherSpec.rsa(.pkcs1, key: key.privateKey)
      for (name, block) in blocks {
        let cipher = try #require(key.rawPublic(block), "\(name)")
        // One random block in 65536 is well padded by chance.
        guard key.decrypt(cipher) == nil else { continue }
        // `Reply.fault` covers the used length and every byte of the destination.
        try bench.expect(
          KeyTask(.decrypt, spec, cipher, room: count), refusedWith: .err, ofSession: false,
          comment: name)
      }
      // A message that has no room is told in the same way as a padding that is none.
      let cipher = try #require(key.rawPublic(good))
      try bench.expect(
        KeyTask(.decrypt, spec, cipher, room: 19), refusedWith: .err, ofSession: false)
      try bench.expect(
        KeyTask(.decrypt, spec, cipher, room: count), gives: Array(good.suffix(20)))
      for length in [0, 1, count - 1, count + 1] {
        let other = Array((cipher + cipher).prefix(length))
        try bench.expect(
          KeyTask(.decrypt, spec, other, room: count), refusedWith: .err, ofSession: false,
          comment: "\(length) bytes")
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
