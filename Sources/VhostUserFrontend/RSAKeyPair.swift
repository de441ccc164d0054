/// An RSA key as numbers, any of which a test may replace, and what it computes by the textbook: modular powers and
/// the paddings of RFC 8017, written apart from libcrypto's.
public struct RSAKeyPair: Sendable {
  public var modulus: BigNumber
  public var publicExponent: BigNumber
  public var privateExponent: BigNumber
  public var prime1: BigNumber
  public var prime2: BigNumber
  public var exponent1: BigNumber
  public var exponent2: BigNumber
  public var coefficient: BigNumber

  /// The key of two primes; nil when the public exponent has no inverse.
  public init?(primes: (BigNumber, BigNumber), publicExponent: UInt64 = 65537) {
    let (p, q) = primes
    let one = BigNumber(1)
    let e = BigNumber(publicExponent)
    guard
      let d = e.inverse(modulo: (p - one) * (q - one)), let inverse = q.inverse(modulo: p)
    else { return nil }
    modulus = p * q
    self.publicExponent = e
    privateExponent = d
    (prime1, prime2) = (p, q)
    exponent1 = d % (p - one)
    exponent2 = d % (q - one)
    coefficient = inverse
  }

  /// A fresh key whose modulus has exactly so many bits.
  public static func generated(bitCount: Int, publicExponent: UInt64 = 65537) -> RSAKeyPair {
    while true {
      let primes = (
        BigNumber.randomPrime(bitCount: (bitCount + 1) / 2),
        BigNumber.randomPrime(bitCount: bitCount / 2)
      )
      if let key = RSAKeyPair(primes: primes, publicExponent: publicExponent) { return key }
    }
  }

  /// A key of 4096, 8192 or 16384 bits of well-known primes, at once instead of within minutes; nil for other sizes.
  public static func ofKnownPrimes(bitCount: Int) -> RSAKeyPair? {
    let primes = BigNumber.groupPrimes(bitCount: bitCount / 2)
    return primes.count == 2 ? RSAKeyPair(primes: (primes[0], primes[1])) : nil
  }

  public var modulusByteCount: Int { (modulus.bitCount + 7) / 8 }

  // MARK: Encodings

  /// `RSAPublicKey`.
  ///
  /// Spec: RFC 8017 appendix A.1.1.
  public var publicBytes: [UInt8] {
    DER.sequence(DER.integer(modulus), DER.integer(publicExponent))
  }

  /// `RSAPrivateKey` of two primes.
  ///
  /// Spec: RFC 8017 appendix A.1.2.
  public var privateBytes: [UInt8] {
    DER.sequence(
      DER.integer(0), DER.integer(modulus), DER.integer(publicExponent),
      DER.integer(privateExponent), DER.integer(prime1), DER.integer(prime2),
      DER.integer(exponent1), DER.integer(exponent2), DER.integer(coefficient))
  }

  public var publicKey: AKCipherKey { .publicKey(publicBytes) }
  public var privateKey: AKCipherKey { .privateKey(privateBytes) }

  // MARK: Without padding

  /// input^e, as long as the modulus; nil when the input is not less than that.
  public func rawPublic(_ input: [UInt8]) -> [UInt8]? { power(input, publicExponent) }

  /// input^d, as long as the modulus; nil when the input is not less than that.
  public func rawPrivate(_ input: [UInt8]) -> [UInt8]? { power(input, privateExponent) }

  private func power(_ input: [UInt8], _ exponent: BigNumber) -> [UInt8]? {
    let number = BigNumber(bytes: input)
    guard number < modulus else { return nil }
    return number.power(exponent, modulo: modulus).bytes(count: modulusByteCount)
  }

  // MARK: PKCS#1 v1.5

  /// A padded block of type 1 (signatures) or 2; nil when the message is too long.
  public func padded(
    _ message: [UInt8], type: UInt8, random: inout SeededRandom
  ) -> [UInt8]? {
    let paddingByteCount = modulusByteCount - 3 - message.count
    guard paddingByteCount >= 8 else { return nil }
    let padding =
      type == 1
      ? [UInt8](repeating: 0xFF, count: paddingByteCount)
      : random.bytes(paddingByteCount).map { $0 == 0 ? 0x55 : $0 }
    return [0, type] + padding + [0] + message
  }

  /// The message of a padded block of type 2; nil when it is none.
  private static func unpadded(_ block: [UInt8]) -> [UInt8]? {
    guard block.starts(with: [0, 2]), let end = block.dropFirst(2).firstIndex(of: 0), end >= 10
    else { return nil }
    return Array(block[(end + 1)...])
  }

  /// RSAES-PKCS1-v1_5; nil when the message is too long.
  public func encrypt(_ message: [UInt8], random: inout SeededRandom) -> [UInt8]? {
    padded(message, type: 2, random: &random).flatMap(rawPublic)
  }

  /// The message of a ciphertext; nil for one of the wrong length, or with a wrong padding.
  public func decrypt(_ ciphertext: [UInt8]) -> [UInt8]? {
    guard ciphertext.count == modulusByteCount else { return nil }
    return rawPrivate(ciphertext).flatMap(Self.unpadded)
  }

  /// What is padded for a signature: the digest with its hash's name around it, or the digest itself.
  ///
  /// Spec: RFC 8017 §9.2 and appendix B.1.
  public static func digestInfo(_ digest: [UInt8], _ hash: AKCipherHash) -> [UInt8] {
    let rsadsi: [UInt8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02]
    let nist: [UInt8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02]
    let arcs: [UInt8] =
      switch hash {
      case .none: []
      case .md2: rsadsi + [2]
      case .md3: []
      case .md4: rsadsi + [4]
      case .md5: rsadsi + [5]
      case .sha1: [0x2B, 0x0E, 0x03, 0x02, 0x1A]
      case .sha256: nist + [1]
      case .sha384: nist + [2]
      case .sha512: nist + [3]
      case .sha224: nist + [4]
      }
    guard !arcs.isEmpty else { return digest }
    return DER.sequence(
      DER.sequence(DER.identifier(arcs), DER.null), DER.octetString(digest))
  }

  /// RSASSA-PKCS1-v1_5 of a digest; nil when the modulus is too short for it.
  public func sign(_ digest: [UInt8], _ hash: AKCipherHash) -> [UInt8]? {
    var unused = SeededRandom(seed: 0)
    return padded(Self.digestInfo(digest, hash), type: 1, random: &unused).flatMap(rawPrivate)
  }

  /// Whether a signature is the one of the digest.
  public func verify(_ signature: [UInt8], of digest: [UInt8], _ hash: AKCipherHash) -> Bool {
    var unused = SeededRandom(seed: 0)
    guard
      signature.count == modulusByteCount, let block = rawPublic(signature),
      let expected = padded(Self.digestInfo(digest, hash), type: 1, random: &unused)
    else { return false }
    return block == expected
  }
}
