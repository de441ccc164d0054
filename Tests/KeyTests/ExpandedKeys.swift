import CryptoTypes
import VhostUserFrontend

/// What engines work out of an AES key and need to keep as secret as the key.
enum ExpandedKeys {
  /// Last round keys, and the ciphertext of zeros that GHASH and CMAC start from; empty for other algorithms.
  static func forms(_ session: SessionSpec) -> [(name: String, bytes: [UInt8])] {
    aesKeys(session).flatMap { key -> [(name: String, bytes: [UInt8])] in
      let zeros = [UInt8](repeating: 0, count: 16)
      let enciphered =
        ReferenceCrypto.cipher(.aesECB, .encrypt, key: key, iv: [], source: zeros) ?? []
      return [
        ("as its last round key", lastRoundKey(key)), ("enciphering zeros", enciphered),
        ("enciphering zeros, reversed", enciphered.reversed()),
      ]
    }
  }

  private static func aesKeys(_ session: SessionSpec) -> [[UInt8]] {
    func halves(_ key: [UInt8]) -> [[UInt8]] {
      [Array(key.prefix(key.count / 2)), Array(key.suffix(key.count / 2))]
    }
    switch session {
    case .cipher(let cipher, _, let key):
      switch cipher {
      case .aesECB, .aesCBC, .aesCTR: return [key]
      case .aesXTS: return halves(key)
      case .aesF8: return [halves(key)[0]]
      default: return []
      }
    case .mac(let mac, let key, _):
      return [.cmacAES, .gmacAES, .cbcmacAES].contains(mac) ? [key] : []
    case .aead(let aead, _, let key, _, _): return aead == .chacha20Poly1305 ? [] : [key]
    case .chain(let chain): return [chain.cipherKey]
    case .hash, .akcipher: return []
    }
  }

  /// Spec: FIPS 197 §5.2.
  static func lastRoundKey(_ key: [UInt8]) -> [UInt8] {
    let width = key.count / 4
    var words = stride(from: 0, to: key.count, by: 4).map { Array(key[$0..<$0 + 4]) }
    var constant: UInt8 = 1
    for index in width..<4 * (width + 7) {
      var word = words[index - 1]
      if index % width == 0 {
        word = (Array(word[1...]) + [word[0]]).map { box[Int($0)] }
        word[0] ^= constant
        constant = doubled(constant)
      } else if width > 6 && index % width == 4 {
        word = word.map { box[Int($0)] }
      }
      words.append(zip(words[index - width], word).map { $0 ^ $1 })
    }
    return Array(words.suffix(4).joined())
  }

  private static func doubled(_ byte: UInt8) -> UInt8 { byte << 1 ^ (byte >> 7) * 0x1B }

  /// The S-box: powers of 3 give the inverses.
  private static let box: [UInt8] = {
    var powers = [UInt8](repeating: 1, count: 255)
    for index in 1..<255 { powers[index] = powers[index - 1] ^ doubled(powers[index - 1]) }
    var box = [UInt8](repeating: 0x63, count: 256)
    for index in 0..<255 {
      let inverse = powers[(255 - index) % 255]
      // The sum of the inverse and its rotations by one to four bits.
      let twice = UInt16(inverse) << 8 | UInt16(inverse)
      var mixed: UInt8 = 0
      for turn: UInt16 in 0..<5 { mixed ^= UInt8(truncatingIfNeeded: twice >> (8 - turn)) }
      box[Int(powers[index])] = mixed ^ 0x63
    }
    return box
  }()
}
