public import CryptoTypes
import VirtioSpec

extension ASYMRequest {
  /// `struct virtio_crypto_rsa_priv_key` and its data.
  public enum RSAPrivateKey: Hashable, Sendable {
    /// Representation 1.
    case exponents(n: [UInt8], d: [UInt8])
    /// Representation 2: p, q, dp, dq, qinv; of each further prime the prime, its exponent and its coefficient.
    case primes(
      [UInt8], [UInt8], [UInt8], [UInt8], [UInt8], further: [[[UInt8]]] = [])

    var words: [Int] {
      switch self {
      case .exponents(let n, let d): [2, 0, n.count, d.count, 0, 0, 0, 0, 0, 0]
      case .primes(let p, let q, let dp, let dq, let qinv, let further):
        [2 + further.count, 1, p.count, q.count, dp.count, dq.count, qinv.count]
          + (0..<3).map { further.first?[$0].count ?? 0 }
      }
    }

    var parts: [[UInt8]] {
      switch self {
      case .exponents(let n, let d): [n, d]
      case .primes(let p, let q, let dp, let dq, let qinv, let further):
        [p, q, dp, dq, qinv] + (0..<3).flatMap { kind in further.map { $0[kind] } }
      }
    }
  }

  public static func rsaSign(
    _ key: RSAPrivateKey, _ message: [UInt8], _ hash: HashAlgorithm?, padding: UInt32,
    signatureByteCount: Int
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.sign, VirtioCryptoASYM.Algorithm.rsa,
      words: [number(hash), Int(padding)] + key.words + [message.count, signatureByteCount],
      bytes: key.parts + [message], resultByteCount: signatureByteCount)
  }

  /// `saysLength`: whether `reserved` has the signature's length.
  public static func rsaVerify(
    n: [UInt8], e: [UInt8], signature: [UInt8], _ message: [UInt8], _ hash: HashAlgorithm?,
    padding: UInt32, saysLength: Bool = true
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.verify, VirtioCryptoASYM.Algorithm.rsa,
      words: [
        number(hash), Int(padding), n.count, e.count, message.count,
        saysLength ? signature.count : 0,
      ],
      bytes: [n, e, signature, message], resultByteCount: 0)
  }

  public static func rsaEncrypt(
    n: [UInt8], e: [UInt8], _ message: [UInt8], padding: UInt32, resultByteCount: Int? = nil
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.encrypt, VirtioCryptoASYM.Algorithm.rsa,
      words: [Int(padding), n.count, e.count, message.count], bytes: [n, e, message],
      resultByteCount: resultByteCount ?? n.drop { $0 == 0 }.count)
  }

  public static func rsaDecrypt(
    _ key: RSAPrivateKey, _ ciphertext: [UInt8], padding: UInt32
  ) -> DataRequest {
    make(
      VirtioCryptoASYM.decrypt, VirtioCryptoASYM.Algorithm.rsa,
      words: [Int(padding)] + key.words + [ciphertext.count], bytes: key.parts + [ciphertext],
      resultByteCount: ciphertext.count)
  }

  /// `representation`: 0 or 1, as on the wire.
  public static func rsaKey(
    modulusByteCount: Int, primeCount: Int = 2, representation: Int, e: [UInt8] = [1, 0, 1]
  ) -> DataRequest {
    let lengths = rsaKeyLengths(
      modulusByteCount: modulusByteCount, primeCount: primeCount, representation: representation,
      exponentByteCount: e.count)
    return make(
      VirtioCryptoASYM.generateKey, VirtioCryptoASYM.Algorithm.rsa,
      words: [modulusByteCount, primeCount, representation, e.count], bytes: [e],
      resultByteCount: 48 + lengths.reduce(0, +))
  }

  /// The lengths of a generated key's parts, as docs/wire.md has them.
  public static func rsaKeyLengths(
    modulusByteCount: Int, primeCount: Int, representation: Int, exponentByteCount: Int
  ) -> [Int] {
    let publicKey = [modulusByteCount, exponentByteCount]
    guard representation == 1 else { return [modulusByteCount, modulusByteCount] + publicKey }
    let factor =
      primeCount == 2
      ? (modulusByteCount + 1) / 2 : modulusByteCount / max(primeCount, 1) + 1
    let numbers = 5 + 3 * max(0, primeCount - 2)
    return [Int](repeating: factor, count: numbers) + publicKey
  }
}
