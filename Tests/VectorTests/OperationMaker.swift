import CryptoTypes
import VhostUserFrontend

/// Seeded random sessions and requests over everything that the device offers.
struct OperationMaker {
  var random: SeededRandom

  static let ciphers: [CipherAlgorithm] = [
    .aesECB, .aesCBC, .aesCTR, .aesXTS, .tripleDESECB, .tripleDESCBC,
  ]
  static let macs: [MACAlgorithm] = [
    .hmacMD5, .hmacSHA1, .hmacSHA224, .hmacSHA256, .hmacSHA384, .hmacSHA512, .cmac3DES, .cmacAES,
    .gmacAES,
  ]

  /// Lengths around the blocks of every algorithm, up to 64 KiB.
  static let byteCounts = [
    0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 71, 72, 111, 112, 127, 128, 129, 135, 136, 143,
    144, 255, 256, 1000, 1024, 1500, 4095, 4096, 4097, 9000, 16384, 65535, 65536,
  ]

  /// `small` lengths and one of each `large` kind, so that a sweep meets both ends quickly.
  mutating func byteCounts(_ count: Int) -> [Int] {
    [0, [4096, 16384, 65535, 65536].randomElement(using: &random) ?? 65536]
      + (0..<count).map { _ in Self.byteCounts.randomElement(using: &random) ?? 0 }
  }

  func fitting(_ byteCount: Int, _ cipher: CipherAlgorithm) -> Int {
    let whole = byteCount / cipher.granuleByteCount * cipher.granuleByteCount
    return max(whole, cipher.minimumSourceByteCount)
  }

  static func keyByteCounts(_ cipher: CipherAlgorithm) -> [Int] {
    (0...cipher.maximumKeyByteCount).filter { cipher.accepts(keyByteCount: $0) }
  }

  mutating func key(_ mac: MACAlgorithm) -> [UInt8] {
    let candidates =
      switch mac {
      case .cmac3DES: [24]
      case .cmacAES, .gmacAES: [16, 24, 32]
      default: [0, 1, 20, 63, 64, 65, 127, 128, 129, 512]
      }
    return random.bytes(candidates.randomElement(using: &random) ?? 16)
  }

  mutating func shape() -> Shape { Shape.allCases.randomElement(using: &random) ?? .contiguous }

  mutating func direction() -> CryptoDirection { Bool.random(using: &random) ? .encrypt : .decrypt }

  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<max(1, limit), using: &random) }

  // MARK: Operations

  mutating func cipher(_ session: SessionSpec, id: UInt64?, _ byteCount: Int) -> OperationSpec? {
    guard case .cipher(let algorithm, _, _) = session else { return nil }
    return OperationSpec(
      session, sessionID: id, iv: random.bytes(algorithm.ivByteCount),
      source: random.bytes(fitting(byteCount, algorithm)))
  }

  /// A hash or a MAC, of which often only the head is wanted.
  mutating func digest(_ session: SessionSpec, id: UInt64?, _ byteCount: Int) -> OperationSpec {
    var byteCount = byteCount
    if case .mac(let algorithm, _, _) = session { byteCount += algorithm.ivByteCount }
    let full = session.resultByteCount
    return OperationSpec(
      session, sessionID: id, source: random.bytes(byteCount),
      resultByteCount: Bool.random(using: &random) ? nil : 1 + below(full))
  }

  mutating func aead(_ session: SessionSpec, id: UInt64?, _ byteCount: Int) -> OperationSpec? {
    guard case .aead(let algorithm, let direction, let key, let tagByteCount, _) = session else {
      return nil
    }
    // The reference's GHASH for a J0 is slow, so that long texts take a 12-byte IV. CCM counts the
    // text in the 15 − n bytes that its nonce leaves: 65536 do not fit beside 13.
    let ivs = (0...16).filter {
      algorithm.accepts(ivByteCount: $0) && ($0 < 16 || byteCount <= 512)
        && (algorithm != .ccm || $0 < 13 || byteCount < 65536)
    }
    let iv = random.bytes(ivs.randomElement(using: &random) ?? 12)
    let aad = random.bytes([0, 1, 12, 16, 20, 65, 300].randomElement(using: &random) ?? 0)
    let text = random.bytes(byteCount)
    guard direction == .decrypt else {
      return OperationSpec(session, sessionID: id, iv: iv, source: text, aad: aad)
    }
    let sealed = ReferenceCrypto.seal(
      algorithm, key: key, iv: iv, aad: aad, source: text, tagByteCount: tagByteCount)
    return sealed.map { OperationSpec(session, sessionID: id, iv: iv, source: $0, aad: aad) }
  }

  /// A chain over random ranges of its source.
  mutating func chain(_ session: SessionSpec, id: UInt64?, _ byteCount: Int) -> OperationSpec? {
    guard case .chain(let chain) = session else { return nil }
    let minimum = chain.cipher.minimumSourceByteCount
    let sourceCount = max(byteCount, minimum)
    var ranges: ChainRanges?
    if Bool.random(using: &random) || sourceCount % chain.cipher.granuleByteCount != 0 {
      let start = below(sourceCount - minimum + 1)
      let room = sourceCount - start
      let count = fitting(minimum + below(room - minimum + 1), chain.cipher)
      let hashStart = below(sourceCount + 1)
      ranges = ChainRanges(
        cipher: start..<start + count,
        hash: hashStart..<hashStart + below(sourceCount - hashStart + 1))
    }
    var aad = random.bytes([0, 0, 1, 13, 64, 200].randomElement(using: &random) ?? 0)
    if case .authenticated(let mac, _) = chain.second, mac.ivByteCount > 0 {
      aad = random.bytes(mac.ivByteCount)
    }
    return OperationSpec(
      session, sessionID: id, iv: random.bytes(chain.cipher.ivByteCount),
      source: random.bytes(sourceCount), aad: aad,
      resultByteCount: Bool.random(using: &random) ? nil : 1 + below(chain.resultByteCount),
      ranges: ranges)
  }
}
