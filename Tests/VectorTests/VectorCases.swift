import CryptoTypes
import TestSupport
import VhostUserFrontend
import VirtioSpec

/// What a vector file is about: from each of its tests to requests with known answers.
enum VectorKind: Sendable {
  case cipher(CipherAlgorithm)
  /// By result length in bytes.
  case hash([Int: HashAlgorithm])
  case extendableHash(HashAlgorithm)
  case mac(MACAlgorithm)
  case gmac
  case aead(AEADAlgorithm)

  /// The requests of one test; never none.
  func probes(_ test: VectorFile.Test) throws -> [Probe] {
    switch self {
    case .cipher(let algorithm): return try Self.cipherProbes(algorithm, test)
    case .hash(let algorithms):
      let tag = try test.tagBytes
      guard let algorithm = algorithms[tag.count] else {
        throw TestSupportError("test \(test.tcId): no hash of \(tag.count) bytes")
      }
      return [try Self.hashProbe(algorithm, test)]
    case .extendableHash(let algorithm): return [try Self.hashProbe(algorithm, test)]
    case .mac(let algorithm):
      return try Self.macProbes(algorithm, test, source: test.messageBytes)
    case .gmac: return try Self.gmacProbes(test)
    case .aead(let algorithm): return try Self.aeadProbes(algorithm, test)
    }
  }

  // MARK: Ciphers

  private static func cipherProbes(
    _ algorithm: CipherAlgorithm, _ test: VectorFile.Test
  ) throws -> [Probe] {
    let (key, message, ciphertext) = try (test.keyBytes, test.messageBytes, test.ciphertextBytes)
    let iv = try block(algorithm, test.ivBytes)
    return [
      (CryptoDirection.encrypt, message, ciphertext), (.decrypt, ciphertext, message),
    ].map { direction, source, output in
      Probe(
        session: .cipher(algorithm, direction, key: key), iv: iv, source: source,
        expected: algorithm.accepts(keyByteCount: key.count)
          ? .answer(output: output, result: []) : .sessionRefused(.notsupp))
    }
  }

  /// What the guest makes of a short IV: RFC 3686's first counter block, XTS's little-endian sector
  /// number.
  private static func block(_ algorithm: CipherAlgorithm, _ iv: [UInt8]) -> [UInt8] {
    switch algorithm {
    case .aesCTR where iv.count == 12: iv + [0, 0, 0, 1]
    case .aesXTS where iv.count < 16: iv + [UInt8](repeating: 0, count: 16 - iv.count)
    default: iv
    }
  }

  // MARK: Hashes and MACs

  private static func hashProbe(
    _ algorithm: HashAlgorithm, _ test: VectorFile.Test
  ) throws -> Probe {
    let tag = try test.tagBytes
    return Probe(
      session: .hash(algorithm, resultByteCount: tag.count), source: try test.messageBytes,
      expected: test.isValid ? .answer(output: [], result: tag) : .otherResult(than: tag))
  }

  /// A code of the vector's length, and the same as the head of a full one.
  private static func macProbes(
    _ algorithm: MACAlgorithm, _ test: VectorFile.Test, source: [UInt8]
  ) throws -> [Probe] {
    let (key, tag) = try (test.keyBytes, test.tagBytes)
    let full = algorithm.maximumResultByteCount
    guard algorithm.accepts(keyByteCount: key.count) else {
      return [
        Probe(
          session: .mac(algorithm, key: key, resultByteCount: full), source: source,
          expected: .sessionRefused(.notsupp))
      ]
    }
    let expected =
      test.isValid ? Probe.Expectation.answer(output: [], result: tag) : .otherResult(than: tag)
    let probe = Probe(
      session: .mac(algorithm, key: key, resultByteCount: tag.count), source: source,
      expected: expected)
    guard tag.count < full else { return [probe] }
    var head = probe
    head.session = .mac(algorithm, key: key, resultByteCount: full)
    head.resultByteCount = tag.count
    return [probe, head]
  }

  /// The MAC service where it has a place for the IV (12 bytes), and GCM without text for any IV.
  private static func gmacProbes(_ test: VectorFile.Test) throws -> [Probe] {
    let iv = try test.ivBytes
    var asAEAD = test
    (asAEAD.aad, asAEAD.msg, asAEAD.ct) = (test.msg, "", "")
    var probes = try aeadProbes(.gcm, asAEAD)
    if iv.count == MACAlgorithm.gmacAES.ivByteCount {
      probes += try macProbes(.gmacAES, test, source: iv + test.messageBytes)
    }
    return probes
  }

  // MARK: AEADs

  private static func aeadProbes(
    _ algorithm: AEADAlgorithm, _ test: VectorFile.Test
  ) throws -> [Probe] {
    let (key, aad, text) = try (test.keyBytes, test.aadBytes, test.messageBytes)
    var iv = try test.ivBytes
    // A vector whose nonce is wrong has no tag; the request has room for one all the same.
    let tag = try test.tagBytes.isEmpty ? [UInt8](repeating: 0, count: 16) : test.tagBytes
    let sealed = try test.ciphertextBytes + tag
    if algorithm == .gcm && iv.count != 12 && !iv.isEmpty {
      iv = try GHASH.firstCounterBlock(key: key, iv: iv)
    }
    let opening = SessionSpec.aead(
      algorithm, .decrypt, key: key, tagByteCount: tag.count, aadByteCount: aad.count)
    let sealing = SessionSpec.aead(
      algorithm, .encrypt, key: key, tagByteCount: tag.count, aadByteCount: aad.count)
    var open = Probe(
      session: opening, iv: iv, source: sealed, aad: aad, expected: .refused(.badmsg))
    var seal = Probe(session: sealing, iv: iv, source: text, aad: aad, expected: .refused(.err))
    guard algorithm.accepts(ivByteCount: iv.count) else {
      open.expected = .refused(.err)
      return [open, seal]
    }
    guard test.isValid else { return [open] }
    open.expected = .answer(output: text, result: [])
    seal.expected = .answer(output: sealed, result: [])
    return [open, seal]
  }
}

/// GHASH bit by bit, for the guest that turns a GCM IV of another length than 12 bytes into J0.
///
/// Spec: NIST SP 800-38D §6.3, §6.4, §7.1.
enum GHASH {
  static func firstCounterBlock(key: [UInt8], iv: [UInt8]) throws -> [UInt8] {
    let zero = [UInt8](repeating: 0, count: 16)
    guard
      let hashKey = ReferenceCrypto.cipher(.aesECB, .encrypt, key: key, iv: [], source: zero)
    else { throw TestSupportError("no AES key of \(key.count) bytes") }
    var blocks = iv + [UInt8](repeating: 0, count: (16 - iv.count % 16) % 16 + 8)
    let bits = UInt64(iv.count) * 8
    blocks += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
    var state = zero
    for start in stride(from: 0, to: blocks.count, by: 16) {
      state = product(zip(state, blocks[start..<start + 16]).map { $0 ^ $1 }, hashKey)
    }
    return state
  }

  /// The product in GF(2^128), most significant bit first.
  private static func product(_ a: [UInt8], _ b: [UInt8]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: 16)
    var shifted = b
    for bit in 0..<128 {
      if a[bit / 8] >> (7 - UInt8(bit % 8)) & 1 == 1 {
        for index in 0..<16 { result[index] ^= shifted[index] }
      }
      let isReduced = shifted[15] & 1 == 1
      for index in (1..<16).reversed() {
        shifted[index] = shifted[index] >> 1 | shifted[index - 1] << 7
      }
      shifted[0] >>= 1
      if isReduced { shifted[0] ^= 0xE1 }
    }
    return result
  }
}
