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
  /// IVs as COUNT, BEARER and DIRECTION, or as the 16 bytes that are made of them.
  case zucCipher
  /// The message behind its IV.
  case snow3gMAC
  case zucMAC
  /// KASUMI F9, also by its other name.
  case kasumiMAC

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
    case .zucCipher:
      return try Self.cipherProbes(.zucEEA3, test, iv: MobileIV.zucEEA3(test.ivBytes))
    case .snow3gMAC:
      return try Self.macProbes(.snow3gUIA2, test, source: test.ivBytes + test.messageBytes)
    case .zucMAC:
      return try Self.macProbes(
        .zucEIA3, test, source: MobileIV.zucEIA3(test.ivBytes) + test.messageBytes)
    case .kasumiMAC:
      let source = try MobileIV.kasumiF9Source(iv: test.ivBytes, message: test.messageBytes)
      return try [MACAlgorithm.kasumiF9, .cbcmacKasumiF9].flatMap {
        try Self.macProbes($0, test, source: source)
      }
    }
  }

  // MARK: Ciphers

  private static func cipherProbes(
    _ algorithm: CipherAlgorithm, _ test: VectorFile.Test, iv: [UInt8]? = nil
  ) throws -> [Probe] {
    let (key, message, ciphertext) = try (test.keyBytes, test.messageBytes, test.ciphertextBytes)
    let iv = try iv ?? block(algorithm, test.ivBytes)
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
      iv = try firstCounterBlock(key: key, iv: iv)
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

extension VectorKind {
  /// What the guest makes of a GCM IV of another length than 12 bytes: J0.
  ///
  /// Spec: NIST SP 800-38D §7.1, step 2.
  private static func firstCounterBlock(key: [UInt8], iv: [UInt8]) throws -> [UInt8] {
    let zero = [UInt8](repeating: 0, count: 16)
    guard
      let hashKey = ReferenceCrypto.cipher(.aesECB, .encrypt, key: key, iv: [], source: zero)
    else { throw TestSupportError("no AES key of \(key.count) bytes") }
    return GHASH.hash(hashKey, iv, isAssociated: false)
  }
}

/// How the vector files write the IVs of 3GPP's algorithms, and what the device takes.
enum MobileIV {
  /// COUNT in little-endian order, BEARER, DIRECTION; or the IV itself.
  ///
  /// Spec: 3GPP TS 35.221 §3.4.
  static func zucEEA3(_ iv: [UInt8]) throws -> [UInt8] {
    guard iv.count == 6 else { return iv }
    let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3 | iv[5] << 2, 0, 0, 0]
    return half + half
  }

  /// The same for the integrity algorithm, whose direction is in two places.
  ///
  /// Spec: 3GPP TS 35.221 §4.4.
  static func zucEIA3(_ iv: [UInt8]) throws -> [UInt8] {
    guard iv.count == 6 else { throw TestSupportError("an EIA3 IV of \(iv.count) bytes") }
    let half = Array(iv.prefix(4).reversed()) + [iv[4] << 3, 0, 0, 0]
    var whole = half + half
    whole[8] ^= iv[5] << 7
    whole[14] ^= iv[5] << 7
    return whole
  }

  /// COUNT ‖ FRESH ‖ message ‖ direction ‖ 1, padded, of which the files write all, or the message apart from a
  /// direction, COUNT and FRESH.
  ///
  /// Spec: 3GPP TS 35.201 §4.4.
  static func kasumiF9Source(iv: [UInt8], message: [UInt8]) throws -> [UInt8] {
    switch iv.count {
    case 0: return message
    case 8: return message
    case 9: return Array(iv.dropFirst()) + message + [iv[0] << 7 | 0x40]
    default: throw TestSupportError("an F9 IV of \(iv.count) bytes")
    }
  }
}
