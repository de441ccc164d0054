import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What the ASYM service computes and generates, compared with arithmetic on this side.
extension DeviceTests {
  @Suite("ASYM operations")
  struct ASYMOperationTests {
    typealias Padding = VirtioCryptoASYM.Padding
    static let message = Array("what is signed".utf8)

    @Test func theConfigurationHasItsTwoWordsMore() throws {
      let bench = try ASYMBench()
      let config = try bench.client.frontend.readConfiguration()
      #expect(config.cryptoServices == 0b11111)
      #expect(config.asymmetric == .init(algorithms: 0b111110, rsaPaddings: 0b111011))
      #expect(config.maxDataQueues == 4 && config.maxRequestByteCount == 1 << 20)
      #expect(config.maxCipherKeyByteCount == 256 && config.maxAuthKeyByteCount == 512)
      let bytes = try bench.client.frontend.readConfiguration(offset: 0, byteCount: 64)
      let words = (0..<16).map { WireBytes(bytes).get32(at: 4 * $0) }
      #expect(words[9] == 0b111110 && words[10] == 0b111011 && words[11] == 256)
      #expect(words[12] == 512 && words[13] == 0 && words[14] == 1 << 20)
      try bench.finish()
    }

    /// What the file switches off is neither in the mask nor served.
    @Test func algorithmsThatAreOffAreNotOffered() throws {
      let bench = try ASYMBench(
        algorithms: "algorithms: { akcipher: { rsa: off, dh: off } }\n")
      let config = try bench.client.frontend.readConfiguration()
      #expect(config.asymmetric == .init(algorithms: 0b110100, rsaPaddings: 0))
      try bench.expectRefusal(ASYMRequest.dhParameters(modulusByteCount: 256), .notsupp, "DH")
      try bench.expectRefusal(
        ASYMRequest.rsaKey(modulusByteCount: 256, representation: 0), .notsupp, "RSA")
      try bench.finish()
    }

    /// Only this dialect has the service; the others answer its opcodes as their own, or not at all.
    @Test func otherDialectsDoNotHaveIt() throws {
      for transport in [Transport.draftV15, .legacy] {
        let bench = try TestBench([transport])
        let client = try bench.guest.client
        let answer = try client.perform(ASYMRequest.dhParameters(modulusByteCount: 256))
        #expect(answer.status == .notsupp && answer.usedByteCount == 1, "\(transport)")
        #expect(try client.frontend.readConfiguration().asymmetric == nil)
        try bench.finish()
      }
    }

    // MARK: RSA

    /// Signatures with each padding, made with both representations; libcrypto's and the textbook's say the same.
    @Test(
      arguments: [
        (Padding.none, HashAlgorithm.sha256), (Padding.pkcs1, .md5), (Padding.pkcs1, .sha1),
        (Padding.pkcs1, .sha512), (Padding.pkcs1, .sha3_256), (Padding.pkcs1, nil),
        (Padding.x931, .sha1), (Padding.x931, .sha256), (Padding.pss, .sha256),
        (Padding.pss, .sha384), (Padding.none, nil),
      ] as [(UInt32, HashAlgorithm?)])
    func rsaSignaturesVerify(_ padding: UInt32, _ hash: HashAlgorithm?) throws {
      let bench = try ASYMBench()
      let key = RSAKeyPair.generated(bitCount: 2048)
      let (n, e) = (key.modulus.bytes, key.publicExponent.bytes)
      var signatures: [[UInt8]] = []
      for representation in key.asymKeys {
        let signature = try bench.result(
          ASYMRequest.rsaSign(
            representation, Self.message, hash, padding: padding, signatureByteCount: 256))
        for saysLength in [true, false] {
          let good = ASYMRequest.rsaVerify(
            n: n, e: e, signature: signature, Self.message, hash, padding: padding,
            saysLength: saysLength)
          #expect(try bench.verdict(good) == true)
        }
        for (spoilt, message) in [
          (signature.changed(at: 200), Self.message), (signature, Self.message.changed(at: 3)),
        ] {
          let bad = ASYMRequest.rsaVerify(
            n: n, e: e, signature: spoilt, message, hash, padding: padding)
          #expect(try bench.verdict(bad) == false)
        }
        signatures.append(signature)
      }
      if padding != Padding.pss { #expect(signatures[0] == signatures[1]) }
      let digest = try hash.map { try hashed(Self.message, $0) } ?? Self.message
      switch padding {
      case Padding.none:
        let block = [UInt8](repeating: 0, count: 256 - digest.count) + digest
        #expect(signatures[0] == key.rawPrivate(block))
      case Padding.pkcs1:
        if let name = hash?.akcipherHash {
          #expect(key.verify(signatures[0], of: digest, name))
        } else if hash == nil {
          #expect(key.verify(signatures[0], of: digest, .none))
        }
      case Padding.x931:
        // ANSI X9.31: 6b bb … ba, digest, the hash's number, cc; or its counterpart modulo n.
        let power = try #require(key.rawPublic(signatures[0]))
        let block =
          power.last.map { $0 & 0xf == 0xc } == true
          ? power : try #require((key.modulus - BigNumber(bytes: power)).bytes(count: 256))
        #expect(block.starts(with: [0x6b, 0xbb]) && block.last == 0xcc)
        #expect(Array(block.dropLast(2).suffix(digest.count)) == digest)
      default: break
      }
      try bench.finish()
    }

    /// Ciphertexts with each padding go both ways, between the device and the textbook where that has the padding.
    @Test(arguments: [Padding.none, Padding.pkcs1, Padding.oaep])
    func rsaCiphertextsGoBothWays(_ padding: UInt32) throws {
      let bench = try ASYMBench()
      let key = RSAKeyPair.generated(bitCount: 2048)
      let text =
        padding == Padding.none
        ? [UInt8](repeating: 0, count: 256 - Self.message.count) + Self.message : Self.message
      let encryption = ASYMRequest.rsaEncrypt(
        n: [0] + key.modulus.bytes, e: key.publicExponent.bytes, Self.message, padding: padding)
      let ciphertext = try bench.result(encryption)
      #expect(ciphertext.count == 256)
      for representation in key.asymKeys {
        let decryption = ASYMRequest.rsaDecrypt(representation, ciphertext, padding: padding)
        #expect(try bench.result(decryption) == text)
        if padding != Padding.none {
          try bench.expectRefusal(
            ASYMRequest.rsaDecrypt(representation, ciphertext.changed(at: 9), padding: padding),
            .err, "a changed ciphertext")
        }
      }
      switch padding {
      case Padding.none: #expect(key.rawPrivate(ciphertext) == text)
      case Padding.pkcs1: #expect(key.decrypt(ciphertext) == text)
      default: break
      }
      try bench.finish()
    }

    /// SSLv23 is no longer to be had; OAEP is for texts, X9.31 and PSS are for signatures.
    @Test func paddingsOfOtherUsesAreNotSupported() throws {
      let bench = try ASYMBench()
      let key = RSAKeyPair.generated(bitCount: 1024)
      for padding in [Padding.sslv23, Padding.oaep, 6] {
        try bench.expectRefusal(
          ASYMRequest.rsaSign(
            key.asymKeys[0], Self.message, .sha256, padding: padding, signatureByteCount: 128),
          .notsupp, "sign \(padding)")
      }
      for padding in [Padding.sslv23, Padding.x931, Padding.pss, 6] {
        try bench.expectRefusal(
          ASYMRequest.rsaEncrypt(
            n: key.modulus.bytes, e: key.publicExponent.bytes, Self.message, padding: padding),
          .notsupp, "encrypt \(padding)")
        try bench.expectRefusal(
          ASYMRequest.rsaDecrypt(
            key.asymKeys[0], [UInt8](repeating: 1, count: 128), padding: padding), .notsupp,
          "decrypt \(padding)")
      }
      for (padding, hash) in [
        (Padding.pss, nil), (Padding.x931, nil), (Padding.x931, .md5), (Padding.pkcs1, .shake128),
      ] as [(UInt32, HashAlgorithm?)] {
        try bench.expectRefusal(
          ASYMRequest.rsaSign(
            key.asymKeys[0], Self.message, hash, padding: padding, signatureByteCount: 128),
          .notsupp, "\(padding) with \(String(describing: hash))")
      }
      try bench.finish()
    }

    /// Generated keys have the length, the public exponent and the primes that were asked for, and what belongs together does.
    @Test(arguments: [(256, 2, 0), (256, 2, 1), (129, 2, 1), (256, 3, 1), (512, 4, 1)])
    func rsaKeysAreGenerated(_ byteCount: Int, _ primeCount: Int, _ representation: Int) throws {
      let bench = try ASYMBench(["max-operation-ms: 60000"])
      let answer = try bench.ask(
        ASYMRequest.rsaKey(
          modulusByteCount: byteCount, primeCount: primeCount, representation: representation))
      try #require(answer.status == 0)
      let lengths = ASYMRequest.rsaKeyLengths(
        modulusByteCount: byteCount, primeCount: primeCount, representation: representation,
        exponentByteCount: 3)
      let parts = try #require(answer.parts([48] + lengths)).map { BigNumber(bytes: $0) }
      let factor = lengths[0]
      let further = primeCount > 2 ? factor : 0
      #expect(answer.word(0) == primeCount && answer.word(1) == representation)
      #expect(
        (2..<10).map(answer.word)
          == (representation == 0
            ? [byteCount, byteCount, 0, 0, 0, 0, 0, 0]
            : [Int](repeating: factor, count: 5) + [further, further, further]))
      #expect(answer.word(10) == byteCount && answer.word(11) == 3)
      let (n, e) = (parts[parts.count - 2], parts[parts.count - 1])
      #expect(n.bitCount == byteCount * 8 && e == BigNumber(65537))
      let one = BigNumber(1)
      let text = BigNumber(bytes: Self.message)
      if representation == 0 {
        #expect(parts[1] == n)
        #expect(text.power(e, modulo: n).power(parts[2], modulo: n) == text)
      } else {
        let (p, q, dp, dq, qinv) = (parts[1], parts[2], parts[3], parts[4], parts[5])
        #expect(e * dp % (p - one) == one && e * dq % (q - one) == one && q * qinv % p == one)
        var product = p * q
        for index in 0..<primeCount - 2 {
          let prime = parts[6 + index]
          let exponent = parts[6 + (primeCount - 2) + index]
          let coefficient = parts[6 + 2 * (primeCount - 2) + index]
          #expect(e * exponent % (prime - one) == one)
          #expect(product * coefficient % prime == one)
          product = product * prime
        }
        #expect(product == n)
      }
      try bench.finish()
    }

    /// A key of three primes, generated by the device, signs.
    @Test func keysOfSeveralPrimesSign() throws {
      let bench = try ASYMBench()
      let answer = try bench.ask(
        ASYMRequest.rsaKey(modulusByteCount: 256, primeCount: 3, representation: 1))
      let lengths = ASYMRequest.rsaKeyLengths(
        modulusByteCount: 256, primeCount: 3, representation: 1, exponentByteCount: 3)
      let parts = try #require(answer.parts([48] + lengths))
      let key = ASYMRequest.RSAPrivateKey.primes(
        parts[1], parts[2], parts[3], parts[4], parts[5], further: [[parts[6], parts[7], parts[8]]])
      let signature = try bench.result(
        ASYMRequest.rsaSign(
          key, Self.message, .sha256, padding: Padding.pkcs1, signatureByteCount: 256))
      #expect(
        try bench.verdict(
          ASYMRequest.rsaVerify(
            n: parts[9], e: parts[10], signature: signature, Self.message, .sha256,
            padding: Padding.pkcs1)) == true)
      try bench.finish()
    }
  }
}

/// A whole hash, computed on this side.
func hashed(_ message: [UInt8], _ hash: HashAlgorithm) throws -> [UInt8] {
  try #require(
    ReferenceCrypto.hash(hash, message, byteCount: Int(hash.maximumResultByteCount)))
}

extension [UInt8] {
  /// With one bit of a byte changed.
  func changed(at index: Int) -> [UInt8] {
    var bytes = self
    bytes[index] ^= 1
    return bytes
  }
}

extension RSAKeyPair {
  /// Both representations.
  var asymKeys: [ASYMRequest.RSAPrivateKey] {
    [
      .exponents(n: modulus.bytes, d: privateExponent.bytes),
      .primes(
        prime1.bytes, prime2.bytes, exponent1.bytes, exponent2.bytes, coefficient.bytes),
    ]
  }
}

extension HashAlgorithm {
  /// The AKCIPHER service's word for it, where it has one.
  var akcipherHash: AKCipherHash? {
    switch self {
    case .md5: .md5
    case .sha1: .sha1
    case .sha224: .sha224
    case .sha256: .sha256
    case .sha384: .sha384
    case .sha512: .sha512
    default: nil
    }
  }
}
