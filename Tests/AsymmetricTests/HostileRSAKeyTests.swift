import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// RSA keys that a guest would send to do harm: each is refused, or computed with rightly, and soon.
extension AsymmetricTests {
  @Suite("Hostile RSA keys")
  struct HostileRSAKeyTests {
    static let text: [UInt8] = Array(1...32)

    /// Both halves of a key, to be spoilt.
    static func tasks(_ key: RSAKeyPair) -> [KeyTask] {
      let room = max(key.modulusByteCount, 8)
      return [
        KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), text, room: room),
        KeyTask(.decrypt, .rsa(.raw, key: key.privateKey), text, room: room),
        KeyTask(.sign, .rsa(.pkcs1, .sha256, key: key.privateKey), text, room: room),
        KeyTask(verify: text, of: text, .rsa(.pkcs1, .sha256, key: key.publicKey)),
      ]
    }

    private func expectRefused(_ key: RSAKeyPair, _ comment: String) throws {
      let bench = try AsymmetricBench()
      for task in Self.tasks(key) {
        try bench.expect(task, refusedWith: .err, ofSession: true, comment: comment)
      }
      try bench.expectAllIsWell(comment)
      try bench.finish()
    }

    private func expectRefused(privateKeys: [[UInt8]], publicKeys: [[UInt8]]) throws {
      let bench = try AsymmetricBench()
      for (index, bytes) in privateKeys.enumerated() {
        let spec = AKCipherSpec.rsa(.raw, key: .privateKey(bytes))
        try bench.expect(
          KeyTask(.decrypt, spec, Self.text, room: 128), refusedWith: .err, ofSession: true,
          comment: "private \(index)")
      }
      for (index, bytes) in publicKeys.enumerated() {
        let spec = AKCipherSpec.rsa(.raw, key: .publicKey(bytes))
        try bench.expect(
          KeyTask(.encrypt, spec, Self.text, room: 128), refusedWith: .err, ofSession: true,
          comment: "public \(index)")
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    // MARK: Encodings

    @Test func truncatedKeysAreRefused() throws {
      let key = Keys.rsa512
      try expectRefused(
        privateKeys: (0..<key.privateBytes.count).map { Array(key.privateBytes.prefix($0)) },
        publicKeys: (0..<key.publicBytes.count).map { Array(key.publicBytes.prefix($0)) })
    }

    @Test func trailingGarbageIsRefused() throws {
      let key = Keys.rsa512
      func spoilt(_ bytes: [UInt8]) -> [[UInt8]] {
        let inside = DER.element(0x30, Array(bytes.dropFirst(bytes[1] > 0x80 ? 4 : 2)) + [5, 0])
        return [bytes + [0], bytes + bytes, bytes + [5, 0], inside]
      }
      // The length's own length decides where the content begins.
      #expect(key.privateBytes[1] == 0x82 && key.publicBytes[1] < 0x80)
      try expectRefused(privateKeys: spoilt(key.privateBytes), publicKeys: spoilt(key.publicBytes))
    }

    @Test func lengthsBeyondTheKeyAreRefused() throws {
      let heads: [[UInt8]] = [
        [0x30], [0x30, 0x80], [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        [0x30, 0x84, 0x7F, 0xFF, 0xFF, 0xFF], [0x30, 0x89] + [UInt8](repeating: 1, count: 9),
        [0x30, 0x88] + [UInt8](repeating: 0xFF, count: 8), [0x30, 0xFF], [0x30, 0],
        [0x31, 3, 2, 1, 3],
        [0x30, 10, 0x02, 0x84, 0xFF, 0xFF, 0xFF, 0xF0, 2, 1, 3, 1],
        [0x30, 4, 0x02, 0, 0x02, 0], [0x30, 5, 0x02, 0x7F, 1, 2, 3],
      ]
      let key = Keys.rsa512
      let content = Array(key.publicBytes.dropFirst(2))
      let rest = heads.map { $0 + content }
      // Of an indefinite length, with its end; lengths with a needless byte.
      let loose = [
        [0x30, 0x80] + content + [0, 0], [0x30, 0x81, UInt8(content.count)] + content,
        [0x30, 0x82, 0, UInt8(content.count)] + content,
      ]
      let nested = [[UInt8](repeating: 0x30, count: 1024), Self.nest(300)]
      let bench = try AsymmetricBench()
      for bytes in heads + rest + nested + loose {
        for key in [AKCipherKey.publicKey(bytes), .privateKey(bytes)] {
          // Some readers take a loose length, which does no harm.
          try bench.expect(
            KeyTask(.encrypt, .rsa(.raw, key: key), Self.text, room: 64),
            givesOrRefuses: Keys.rsa512.rawPublic(Self.text), "\(bytes.prefix(12))")
        }
      }
      for bytes in heads {
        for key in [AKCipherKey.publicKey(bytes), .privateKey(bytes)] {
          try bench.expect(
            KeyTask(.encrypt, .rsa(.raw, key: key), Self.text, room: 64), refusedWith: .err,
            ofSession: true, comment: "\(bytes)")
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// Sequences in sequences.
    private static func nest(_ depth: Int) -> [UInt8] {
      (0..<depth).reduce(DER.integer(1)) { inner, _ in DER.sequence(inner) }
    }

    @Test func randomBytesAreRefused() throws {
      var random = SeededRandom.printed()
      let keys = (0..<60).map { random.bytes(1 + $0 * 17) }
      try expectRefused(privateKeys: keys, publicKeys: keys)
    }

    /// Every byte of a key changed once: refused or right, since d·e and the primes' product still hold or do not.
    @Test func keysWithAChangedByteDoNoHarm() throws {
      let bench = try AsymmetricBench([.revision1, .stateless])
      let good = Keys.rsa512
      for index in good.privateBytes.indices {
        var bytes = good.privateBytes
        bytes[index] ^= 0x04
        let spec = AKCipherSpec.rsa(.raw, key: .privateKey(bytes))
        for reply in try bench.replies(KeyTask(.decrypt, spec, Self.text, room: 64), "\(index)") {
          let statuses: [VirtioCryptoStatus] = [.ok, .err, .notsupp]
          #expect(statuses.contains(reply.status), "\(index): \(reply.status)")
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    // MARK: Moduli

    @Test(arguments: [0, 1, 2, 3, 4] as [UInt64])
    func tinyModulusIsRefused(modulus: UInt64) throws {
      var key = Keys.rsa1024
      key.modulus = BigNumber(modulus)
      try expectRefused(key, "modulus \(modulus)")
    }

    @Test func evenModulusIsRefused() throws {
      var key = Keys.rsa1024
      key.modulus = key.modulus - BigNumber(1)
      try expectRefused(key, "an even modulus")
      key.modulus = .powerOfTwo(1023)
      try expectRefused(key, "a power of two")
    }

    @Test func negativeNumbersCountAsUnsigned() throws {
      let key = Keys.rsa1024
      let minus = DER.element(0x02, key.modulus.bytes)
      #expect(minus[3] & 0x80 != 0)
      func encoded(_ numbers: [[UInt8]]) -> [UInt8] {
        DER.element(0x30, numbers.flatMap { $0 })
      }
      let parts = [
        key.modulus, key.publicExponent, key.privateExponent, key.prime1, key.prime2, key.exponent1,
        key.exponent2, key.coefficient,
      ].map { DER.integer($0) }
      let privateKeys = parts.indices.map { index in
        var changed = parts
        changed[index] = DER.element(0x02, [0xFF] + Array(changed[index].dropFirst(3)))
        return encoded([DER.integer(0)] + changed)
      }
      // None is what its sign says: as the positive numbers that Linux means, they do not belong together.
      try expectRefused(privateKeys: privateKeys, publicKeys: [])
      let bench = try AsymmetricBench()
      // Linux's own self-tests have moduli without the zero in front: docs/wire.md.
      try bench.expect(
        KeyTask(
          .encrypt, .rsa(.raw, key: .publicKey(encoded([minus, parts[1]]))), Self.text, room: 128),
        gives: key.rawPublic(Self.text))
      var other = key
      other.publicExponent = BigNumber(0xFD)
      try bench.expect(
        KeyTask(
          .encrypt, .rsa(.raw, key: .publicKey(encoded([parts[0], [2, 1, 0xFD]]))), Self.text,
          room: 128),
        gives: other.rawPublic(Self.text))
      try bench.finish()
    }

    @Test func modulusBeyondTheLargestIsRefused() throws {
      let bench = try AsymmetricBench([.revision1, .stateless])
      var key = Keys.rsa1024
      for bitCount in [16385, 32768, 100_000] {
        key.modulus = .random(bitCount: bitCount, isOdd: true)
        let spec = AKCipherSpec.rsa(.raw, key: key.publicKey)
        let room = key.modulusByteCount
        try bench.expect(
          KeyTask(.encrypt, spec, Self.text, room: room), refusedWith: .err, .notsupp,
          ofSession: true, comment: "\(bitCount) bits")
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    // MARK: Exponents

    @Test(arguments: [0, 2, 65536] as [UInt64])
    func zeroAndEvenExponentsAreRefused(exponent: UInt64) throws {
      var key = Keys.rsa1024
      key.publicExponent = BigNumber(exponent)
      try expectRefused(key, "exponent \(exponent)")
    }

    @Test func exponentOneIsHarmless() throws {
      let bench = try AsymmetricBench()
      var key = Keys.rsa1024
      key.publicExponent = BigNumber(1)
      try bench.expect(Self.tasks(key)[0], givesOrRefuses: key.rawPublic(Self.text))
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test(arguments: [1024, 2048, 4096, 16384])
    func publicExponentAsLargeAsTheModulusTakesNoTime(bitCount: Int) throws {
      let bench = try AsymmetricBench([.revision1, .stateless])
      var key = Keys.rsa1024
      key.modulus = .random(bitCount: bitCount, isOdd: true)
      key.publicExponent = key.modulus - BigNumber(2)
      let spec = AKCipherSpec.rsa(.raw, key: key.publicKey)
      let task = KeyTask(.encrypt, spec, Self.text, room: key.modulusByteCount)
      // The textbook would take longer than the test.
      let expected = bitCount > 4096 ? nil : key.rawPublic(Self.text)
      try bench.expect(task, givesOrRefuses: expected, "\(bitCount) bits")
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// The true exponent plus a multiple of the group's order: right, if anybody computes it.
    @Test(arguments: [1024, 4096])
    func privateExponentOf100000BitsTakesNoTime(bitCount: Int) throws {
      let bench = try AsymmetricBench([.revision1, .stateless])
      let good = try RSATests.key(bitCount)
      var key = good
      let one = BigNumber(1)
      let order = (key.prime1 - one) * (key.prime2 - one)
      let multiple = BigNumber.powerOfTwo(100_000 - bitCount) * order
      key.privateExponent = key.privateExponent + multiple
      #expect(key.privateExponent.bitCount >= 99_990)
      let spec = AKCipherSpec.rsa(.raw, key: key.privateKey)
      let task = KeyTask(.decrypt, spec, Self.text, room: key.modulusByteCount)
      try bench.expect(task, givesOrRefuses: good.rawPrivate(Self.text))
      // Without its primes, too, where there is no shorter way.
      (key.prime1, key.prime2) = (BigNumber(0), BigNumber(0))
      let bare = AKCipherSpec.rsa(.raw, key: key.privateKey)
      try bench.expect(
        KeyTask(.decrypt, bare, Self.text, room: key.modulusByteCount),
        givesOrRefuses: good.rawPrivate(Self.text))
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func privateExponentZeroIsRefusedOrUnused() throws {
      let bench = try AsymmetricBench()
      var key = Keys.rsa1024
      key.privateExponent = BigNumber(0)
      try bench.expect(Self.tasks(key)[1], givesOrRefuses: Keys.rsa1024.rawPrivate(Self.text))
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
