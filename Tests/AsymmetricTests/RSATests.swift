import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Good RSA keys of all sizes, against the textbook.
extension AsymmetricTests {
  @Suite("RSA")
  struct RSATests {
    /// Odd sizes have results whose first byte is never full.
    static let bitCounts = [512, 513, 768, 1000, 1023, 1024, 1025, 2048, 3072, 4096]

    static func key(_ bitCount: Int) throws -> RSAKeyPair {
      switch bitCount {
      case 512: Keys.rsa512
      case 1024: Keys.rsa1024
      case 2048: Keys.rsa2048
      case 4096, 8192, 16384: try #require(RSAKeyPair.ofKnownPrimes(bitCount: bitCount))
      default: RSAKeyPair.generated(bitCount: bitCount)
      }
    }

    /// A random number below the modulus, as long as that.
    static func text(_ key: RSAKeyPair, _ random: inout SeededRandom) throws -> [UInt8] {
      let number = BigNumber(bytes: random.bytes(key.modulusByteCount + 8)) % key.modulus
      return try #require(number.bytes(count: key.modulusByteCount))
    }

    @Test(arguments: bitCounts)
    func withoutPadding(bitCount: Int) throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = try Self.key(bitCount)
      let count = key.modulusByteCount
      // The hash is ignored, whatever it says.
      var odd = AKCipherSpec.rsa(.raw, .md3, key: key.privateKey)
      odd.parameters[1] = 4711
      for spec in [AKCipherSpec.rsa(.raw, key: key.privateKey), odd] {
        let text = try Self.text(key, &random)
        try bench.expect(
          KeyTask(.decrypt, spec, text, room: count), gives: key.rawPrivate(text))
        // A private key has the public one in it.
        try bench.expect(KeyTask(.encrypt, spec, text, room: count), gives: key.rawPublic(text))
      }
      let spec = AKCipherSpec.rsa(.raw, key: key.publicKey)
      // Linux leaves the leading zero of a padded block out.
      for text in [try Self.text(key, &random), random.bytes(count - 1), [2]] {
        for room in [count, count + 77] {
          try bench.expect(
            KeyTask(.encrypt, spec, text, room: room), gives: key.rawPublic(text),
            "\(text.count) bytes")
        }
      }
      try bench.finish()
    }

    @Test func resultsKeepTheirLeadingZeros() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      for small in [[0], [1], [7, 7, 7]] as [[UInt8]] {
        let text = [UInt8](repeating: 0, count: 128 - small.count) + small
        let cipher = try #require(key.rawPublic(text))
        let spec = AKCipherSpec.rsa(.raw, key: key.privateKey)
        try bench.expect(KeyTask(.decrypt, spec, cipher, room: 128), gives: text)
      }
      try bench.finish()
    }

    @Test(arguments: bitCounts)
    func encryptionWithPKCS1(bitCount: Int) throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = try Self.key(bitCount)
      let count = key.modulusByteCount
      for messageByteCount in [0, 1, 20, count - 12, count - 11] {
        let message = random.bytes(messageByteCount)
        let comment = "\(messageByteCount) bytes"
        let cipher = try #require(key.encrypt(message, random: &random))
        // The hash is ignored here.
        let opening = AKCipherSpec.rsa(.pkcs1, .sha512, key: key.privateKey)
        for room in [count, messageByteCount] {
          try bench.expect(
            KeyTask(.decrypt, opening, cipher, room: room), gives: message, comment)
        }
        let closing = AKCipherSpec.rsa(.pkcs1, .md5, key: key.publicKey)
        for reply in try bench.replies(KeyTask(.encrypt, closing, message, room: count), comment) {
          #expect(reply.status == .ok, "\(comment)")
          #expect(reply.result.count == count, "\(comment)")
          #expect(key.decrypt(reply.result) == message, "\(comment)")
        }
      }
      let long = KeyTask(
        .encrypt, .rsa(.pkcs1, key: key.publicKey), random.bytes(count - 10), room: count)
      try bench.expect(long, refusedWith: .err, ofSession: false)
      try bench.finish()
    }

    @Test(arguments: bitCounts)
    func signaturesOfEveryHash(bitCount: Int) throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = try Self.key(bitCount)
      let count = key.modulusByteCount
      for hash in AKCipherHash.allCases where hash != .md3 {
        let digest = random.bytes(hash.digestByteCount ?? 29)
        let signing = AKCipherSpec.rsa(.pkcs1, hash, key: key.privateKey)
        let verifying = AKCipherSpec.rsa(.pkcs1, hash, key: key.publicKey)
        guard let signature = key.sign(digest, hash) else {
          // A modulus that is too short for the hash's name and value.
          try bench.expect(
            KeyTask(.sign, signing, digest, room: count), refusedWith: .err, .notsupp)
          continue
        }
        try bench.expect(
          KeyTask(.sign, signing, digest, room: count), gives: signature, "\(hash)")
        for spec in [verifying, signing] {
          try bench.expect(KeyTask(verify: signature, of: digest, spec), gives: [], "\(hash)")
        }
        var other = digest
        other[random.bytes(1).map { Int($0) % digest.count }[0]] ^= 1
        var spoilt = signature
        spoilt[count / 2] ^= 1
        for task in [
          KeyTask(verify: signature, of: other, verifying),
          KeyTask(verify: spoilt, of: digest, verifying),
          KeyTask(verify: signature.dropLast(), of: digest, verifying),
          KeyTask(verify: signature + [0], of: digest, verifying),
        ] {
          try bench.expect(task, refusedWith: .keyRejected, ofSession: false, comment: "\(hash)")
        }
      }
      try bench.finish()
    }

    @Test func signatureOfOneHashIsNoneOfAnother() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      let digest = [UInt8](repeating: 9, count: 16)
      for (made, said) in [(AKCipherHash.md5, AKCipherHash.md4), (.md4, .md2), (.md2, .none)] {
        let signature = try #require(key.sign(digest, made))
        let spec = AKCipherSpec.rsa(.pkcs1, said, key: key.publicKey)
        try bench.expect(
          KeyTask(verify: signature, of: digest, spec), refusedWith: .keyRejected,
          comment: "\(made) as \(said)")
      }
      // What is signed without a hash may be a hash with its name.
      let named = RSAKeyPair.digestInfo(digest, .md5)
      let spec = AKCipherSpec.rsa(.pkcs1, .none, key: key.publicKey)
      let signature = try #require(key.sign(digest, .md5))
      try bench.expect(KeyTask(verify: signature, of: named, spec), gives: [])
      try bench.finish()
    }

    @Test func digestsOfTheWrongLengthAreRefused() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      for count in [0, 19, 21, 32] {
        let digest = [UInt8](repeating: 1, count: count)
        let signing = AKCipherSpec.rsa(.pkcs1, .sha1, key: key.privateKey)
        try bench.expect(
          KeyTask(.sign, signing, digest, room: 128), refusedWith: .err, ofSession: false,
          comment: "\(count) bytes")
        // A signature that would be right if the length were.
        let signature = try #require(key.sign(digest, .sha1))
        try bench.expect(
          KeyTask(verify: signature, of: digest, .rsa(.pkcs1, .sha1, key: key.publicKey)),
          refusedWith: .keyRejected, .err, ofSession: false, comment: "\(count) bytes")
      }
      let long = [UInt8](repeating: 1, count: 118)
      let spec = AKCipherSpec.rsa(.pkcs1, .none, key: key.privateKey)
      try bench.expect(KeyTask(.sign, spec, long, room: 128), refusedWith: .err)
      try bench.expect(
        KeyTask(.sign, spec, long.dropLast(), room: 128), gives: key.sign(long.dropLast(), .none))
      try bench.finish()
    }

    @Test func resultsThatHaveNoRoomAreRefused() throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = Keys.rsa1024
      let text = try Self.text(key, &random)
      let message = random.bytes(40)
      let cipher = try #require(key.encrypt(message, random: &random))
      for room in [0, 1, 39, 127] {
        var tasks = [
          KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), text, room: room),
          KeyTask(.decrypt, .rsa(.raw, key: key.privateKey), text, room: room),
          KeyTask(.encrypt, .rsa(.pkcs1, key: key.publicKey), message, room: room),
          KeyTask(.sign, .rsa(.pkcs1, key: key.privateKey), message, room: room),
        ]
        if room < 40 {
          tasks.append(KeyTask(.decrypt, .rsa(.pkcs1, key: key.privateKey), cipher, room: room))
        }
        for task in tasks {
          try bench.expect(
            task, refusedWith: .err, ofSession: false, comment: "\(task.operation) into \(room)")
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    /// Few requests, because each takes long, on slow hosts longer than is allowed by default; the keys are longer than
    /// messages have room for.
    @Test(arguments: [8192, 16384])
    func theLargestKeys(bitCount: Int) throws {
      let bench = try AsymmetricBench(
        [.revision1, .stateless], device: ["max-operation-ms: 60000"])
      var random = SeededRandom.printed()
      let key = try Self.key(bitCount)
      let count = key.modulusByteCount
      let message = random.bytes(32)
      let cipher = try #require(key.encrypt(message, random: &random))
      let spec = AKCipherSpec.rsa(.pkcs1, .sha256, key: key.privateKey)
      try bench.expect(KeyTask(.decrypt, spec, cipher, room: count), gives: message)
      let text = try Self.text(key, &random)
      let raw = AKCipherSpec.rsa(.raw, key: key.publicKey)
      try bench.expect(KeyTask(.encrypt, raw, text, room: count), gives: key.rawPublic(text))
      // Signed by the device, looked at with the public exponent.
      let signing = KeyTask(.sign, spec, message, room: count)
      for reply in try bench.replies(signing) {
        #expect(reply.status == .ok)
        #expect(key.verify(reply.result, of: message, .sha256))
      }
      try bench.finish()
    }
  }
}
