public import CryptoTypes

extension ReferenceCrypto {
  /// Ciphertext followed by the tag.
  public static func seal(
    _ algorithm: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8],
    tagByteCount: Int
  ) -> [UInt8]? {
    if algorithm == .gcm && iv.count == 16 {
      return galois(key: key, counter: iv, aad: aad, source, encrypts: true).map {
        $0.text + $0.tag.prefix(tagByteCount)
      }
    }
    return evpSeal(
      name(algorithm, key), isCCM: algorithm == .ccm, key: key, iv: iv, aad: aad, source,
      tagByteCount: tagByteCount)
  }

  /// Plaintext of ciphertext followed by its tag; nil when the tag is wrong.
  public static func open(
    _ algorithm: AEADAlgorithm, key: [UInt8], iv: [UInt8], aad: [UInt8], source: [UInt8],
    tagByteCount: Int
  ) -> [UInt8]? {
    guard source.count >= tagByteCount else { return nil }
    let text = Array(source.dropLast(tagByteCount))
    let tag = Array(source.suffix(tagByteCount))
    if algorithm == .gcm && iv.count == 16 {
      guard
        let opened = galois(key: key, counter: iv, aad: aad, text, encrypts: false),
        Array(opened.tag.prefix(tagByteCount)) == tag
      else { return nil }
      return opened.text
    }
    return evpOpen(
      name(algorithm, key), isCCM: algorithm == .ccm, key: key, iv: iv, aad: aad, text, tag: tag)
  }

  private static func name(_ algorithm: AEADAlgorithm, _ key: [UInt8]) -> String {
    switch algorithm {
    case .gcm: "AES-\(key.count * 8)-GCM"
    case .ccm: "AES-\(key.count * 8)-CCM"
    case .chacha20Poly1305: "ChaCha20-Poly1305"
    }
  }

  /// GCM from a given J0, which libcrypto has no way to be told.
  ///
  /// Spec: NIST SP 800-38D §7.
  private static func galois(
    key: [UInt8], counter: [UInt8], aad: [UInt8], _ source: [UInt8], encrypts: Bool
  ) -> (text: [UInt8], tag: [UInt8])? {
    func encrypt(_ block: [UInt8]) -> [UInt8]? {
      evp("AES-\(key.count * 8)-ECB", key: key, iv: [], block, encrypts: true)
    }
    guard
      let hashKey = encrypt([UInt8](repeating: 0, count: 16)), let mask = encrypt(counter)
    else { return nil }
    var text: [UInt8] = []
    var low = counter.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    for start in stride(from: 0, to: source.count, by: 16) {
      low &+= 1
      guard
        let stream = encrypt(counter.prefix(12) + bigEndian(UInt64(low)).suffix(4))
      else { return nil }
      text += exclusiveOr(source[start..<min(start + 16, source.count)], stream)
    }
    let lengths = bigEndian(UInt64(aad.count) * 8) + bigEndian(UInt64(source.count) * 8)
    let hashed = padded(aad) + padded(encrypts ? text : source) + lengths
    return (text, exclusiveOr(ghash(hashKey, hashed)[...], mask))
  }

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: (16 - bytes.count % 16) % 16)
  }

  /// GHASH of whole blocks, one bit at a time.
  ///
  /// Spec: NIST SP 800-38D §6.3, §6.4.
  private static func ghash(_ key: [UInt8], _ blocks: [UInt8]) -> [UInt8] {
    func words(_ bytes: ArraySlice<UInt8>) -> (UInt64, UInt64) {
      let half = bytes.startIndex + 8
      return (
        bytes[..<half].reduce(0) { $0 << 8 | UInt64($1) },
        bytes[half...].reduce(0) { $0 << 8 | UInt64($1) }
      )
    }
    let start = words(key[...])
    var state: (UInt64, UInt64) = (0, 0)
    for offset in stride(from: 0, to: blocks.count, by: 16) {
      let block = words(blocks[offset..<offset + 16])
      let factor = (state.0 ^ block.0, state.1 ^ block.1)
      var product: (UInt64, UInt64) = (0, 0)
      var shifted = start
      for bit in 0..<128 {
        let word = bit < 64 ? factor.0 : factor.1
        if word >> (63 - UInt64(bit % 64)) & 1 == 1 {
          product = (product.0 ^ shifted.0, product.1 ^ shifted.1)
        }
        let carry = shifted.1 & 1
        shifted = (shifted.0 >> 1, shifted.1 >> 1 | shifted.0 << 63)
        if carry == 1 { shifted.0 ^= 0xE1 << 56 }
      }
      state = product
    }
    return bigEndian(state.0) + bigEndian(state.1)
  }
}
