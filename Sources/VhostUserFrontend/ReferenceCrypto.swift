import CryptoTypes

/// What a device should answer, computed apart from it: one-shot libcrypto calls, and by hand what
/// libcrypto lacks.
///
/// It shares nothing with the engines but the library underneath, is in no hurry, and gives nil for
/// what it cannot compute (KASUMI, SNOW 3G, ZUC, Twofish): tests take published vectors for those.
public enum ReferenceCrypto {
  /// What comes back of an operation that succeeds.
  public struct Answer: Hashable, Sendable {
    public var output: [UInt8]
    public var result: [UInt8]

    public init(output: [UInt8] = [], result: [UInt8] = []) {
      self.output = output
      self.result = result
    }
  }

  /// The expected answer of a well-formed request; nil when it cannot be computed here, or when a
  /// tag does not verify.
  public static func answer(to operation: OperationSpec) -> Answer? {
    let wanted = operation.wireResultByteCount
    switch operation.session {
    case .cipher(let algorithm, let direction, let key):
      return cipher(
        algorithm, direction, key: key, iv: operation.iv, source: operation.source
      ).map { Answer(output: $0) }
    case .hash(let algorithm, _):
      return hash(algorithm, operation.source, byteCount: wanted).map { Answer(result: $0) }
    case .mac(let algorithm, let key, _):
      let iv = Array(operation.source.prefix(algorithm.ivByteCount))
      let message = Array(operation.source.dropFirst(algorithm.ivByteCount))
      return mac(algorithm, key: key, iv: iv, message).map {
        Answer(result: Array($0.prefix(wanted)))
      }
    case .aead(let algorithm, .encrypt, let key, _, _):
      return seal(
        algorithm, key: key, iv: operation.iv, aad: operation.aad, source: operation.source,
        tagByteCount: wanted
      ).map { Answer(output: $0) }
    case .aead(let algorithm, .decrypt, let key, _, _):
      return open(
        algorithm, key: key, iv: operation.iv, aad: operation.aad, source: operation.source,
        tagByteCount: wanted
      ).map { Answer(output: $0) }
    case .chain(let chain): return self.chain(chain, operation)
    // Its results depend on chance, or are judged with the other half of the key: RSAKeyPair, ECKeyPair.
    case .akcipher: return nil
    }
  }

  /// A chain: bytes outside of the cipher's range are copied; the hash covers source or output, as
  /// the order says.
  private static func chain(_ chain: SessionSpec.Chain, _ operation: OperationSpec) -> Answer? {
    let source = operation.source
    let ranges = operation.wireRanges
    let cipherEnd = ranges.cipherOffset + ranges.cipherByteCount
    let hashEnd = ranges.hashOffset + ranges.hashByteCount
    guard cipherEnd <= source.count, hashEnd <= source.count else { return nil }
    guard
      let ciphered = cipher(
        chain.cipher, chain.direction, key: chain.cipherKey, iv: operation.iv,
        source: Array(source[ranges.cipherOffset..<cipherEnd]))
    else { return nil }
    let output = source[..<ranges.cipherOffset] + ciphered + source[cipherEnd...]
    let hashed = chain.order == .hashThenCipher ? source[...] : output
    // Associated data is hashed in front of the range, except where it is a MAC's IV (docs/wire.md).
    var iv: [UInt8] = []
    var prefix = operation.aad
    if case .authenticated(let algorithm, _) = chain.second, algorithm.ivByteCount > 0 {
      swap(&iv, &prefix)
    }
    let covered = prefix + hashed[ranges.hashOffset..<hashEnd]
    let wanted = operation.wireResultByteCount
    let result: [UInt8]? =
      switch chain.second {
      case .plain(let algorithm): hash(algorithm, covered, byteCount: wanted)
      case .authenticated(let algorithm, let key):
        mac(algorithm, key: key, iv: iv, covered).map { Array($0.prefix(wanted)) }
      case .nested(let algorithm, let key):
        nested(algorithm, prefixes: key, covered, byteCount: wanted)
      }
    return result.map { Answer(output: Array(output), result: $0) }
  }

  /// H(outer ‖ H(inner ‖ data)), where the first half of the key is `inner` and the second half
  /// `outer`.
  private static func nested(
    _ algorithm: HashAlgorithm, prefixes: [UInt8], _ data: [UInt8], byteCount: Int
  ) -> [UInt8]? {
    guard prefixes.count % 2 == 0, !algorithm.isExtendable else { return nil }
    let half = prefixes.count / 2
    let full = algorithm.maximumResultByteCount
    guard
      let inner = hash(algorithm, prefixes.prefix(half) + data, byteCount: full)
    else { return nil }
    return hash(algorithm, prefixes.dropFirst(half) + inner, byteCount: byteCount)
  }
}
