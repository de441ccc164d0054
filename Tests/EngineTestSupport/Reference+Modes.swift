// Modes that libcrypto has not, from single blocks of ECB and byte arithmetic.

import CryptoTypes

extension Reference {
  /// Any cipher that the engine serves.
  public static func cipher(
    _ cipher: CipherAlgorithm, encrypt: Bool, key: [UInt8], iv: [UInt8], source: [UInt8]
  ) -> [UInt8] {
    switch cipher {
    case .tripleDESCTR: tripleDESCounter(key: key, counter: iv, source)
    case .aesF8: f8(key: key, iv: iv, source)
    case .arc4: arc4(key: key, source)
    default:
      self.cipher(
        name(cipher, keyByteCount: key.count), encrypt: encrypt, key: key, iv: iv, source: source)
    }
  }

  /// The key schedule and generator of RC4, in bytes.
  public static func arc4(key: [UInt8], _ source: [UInt8]) -> [UInt8] {
    var state = (0...255).map { UInt8($0) }
    var j: UInt8 = 0
    for i in 0..<256 {
      j &+= state[i] &+ key[i % key.count]
      state.swapAt(i, Int(j))
    }
    var i: UInt8 = 0
    j = 0
    return source.map { byte in
      i &+= 1
      j &+= state[Int(i)]
      state.swapAt(Int(i), Int(j))
      return byte ^ state[Int(state[Int(i)] &+ state[Int(j)])]
    }
  }

  private static func tripleDESCounter(
    key: [UInt8], counter: [UInt8], _ source: [UInt8]
  ) -> [UInt8] {
    var counter = counter
    var counters: [UInt8] = []
    for _ in stride(from: 0, to: source.count, by: 8) {
      counters += counter
      // By hand, from the last byte: a carry out of the first is dropped.
      for index in (0..<8).reversed() {
        counter[index] &+= 1
        if counter[index] != 0 { break }
      }
    }
    let stream = cipher("DES-EDE3-ECB", encrypt: true, key: key, iv: [], source: counters)
    return zip(source, stream).map { $0 ^ $1 }
  }

  /// RFC 3711 §4.1.2.
  private static func f8(key: [UInt8], iv: [UInt8], _ source: [UInt8]) -> [UInt8] {
    let half = key.count / 2
    let cipherKey = Array(key.prefix(half))
    let masked = zip(cipherKey, key.suffix(half)).map { $0 ^ $1 }
    let secret = block(masked, iv)
    var stream = [UInt8](repeating: 0, count: 16)
    var output: [UInt8] = []
    for start in stride(from: 0, to: source.count, by: 16) {
      var input = zip(secret, stream).map { $0 ^ $1 }
      for index in 0..<4 {
        input[15 - index] ^= UInt8(truncatingIfNeeded: (start / 16) >> (8 * index))
      }
      stream = block(cipherKey, input)
      output += zip(source[start..<min(start + 16, source.count)], stream).map { $0 ^ $1 }
    }
    return output
  }

  /// CBC-MAC of whole blocks.
  public static func cbcmac(key: [UInt8], _ text: [UInt8]) -> [UInt8] {
    var state = [UInt8](repeating: 0, count: 16)
    for start in stride(from: 0, to: text.count, by: 16) {
      state = block(key, zip(state, text[start..<start + 16]).map { $0 ^ $1 })
    }
    return state
  }

  /// RFC 3566 §4: a CBC-MAC under K1 of the text, its last block changed.
  public static func xcbc(key: [UInt8], _ text: [UInt8]) -> [UInt8] {
    let keys = (1...3).map { block(key, [UInt8](repeating: UInt8($0), count: 16)) }
    let isWhole = !text.isEmpty && text.count % 16 == 0
    var text = text
    if !isWhole {
      text.append(0x80)
      while text.count % 16 != 0 { text.append(0) }
    }
    for index in 0..<16 { text[text.count - 16 + index] ^= keys[isWhole ? 1 : 2][index] }
    return cbcmac(key: keys[0], text)
  }

  private static func block(_ key: [UInt8], _ input: [UInt8]) -> [UInt8] {
    cipher("AES-\(key.count * 8)-ECB", encrypt: true, key: key, iv: [], source: input)
  }
}
