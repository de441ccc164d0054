/// GHASH bit by bit, for what libcrypto has no call for: a GCM IV of another length than 12 bytes, and GMAC over
/// another cipher than AES.
///
/// Spec: NIST SP 800-38D §6.3, §6.4, §7.1.
public enum GHASH {
  /// GHASH of the data, padded to whole blocks, and of its two lengths in bits.
  ///
  /// `isAssociated`: the data is associated data (in front of an empty text), not text.
  public static func hash(_ hashKey: [UInt8], _ data: [UInt8], isAssociated: Bool) -> [UInt8] {
    let bits = UInt64(data.count) * 8
    let length = (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
    let zeros = [UInt8](repeating: 0, count: 8)
    let padding = [UInt8](repeating: 0, count: (16 - data.count % 16) % 16)
    let blocks = data + padding + (isAssociated ? length + zeros : zeros + length)
    let key = Block(hashKey)
    var state = Block([])
    for start in stride(from: 0, to: blocks.count, by: 16) {
      let block = Block(Array(blocks[start..<start + 16]))
      state.high ^= block.high
      state.low ^= block.low
      state = state.times(key)
    }
    return state.bytes
  }

  /// GMAC over a block cipher.
  public static func code(iv: [UInt8], _ message: [UInt8], cipher: ([UInt8]) -> [UInt8]) -> [UInt8]
  {
    let hashKey = cipher([UInt8](repeating: 0, count: 16))
    let mask = cipher(iv + [0, 0, 0, 1])
    return zip(hash(hashKey, message, isAssociated: true), mask).map { $0 ^ $1 }
  }

  /// Sixteen bytes as a polynomial over GF(2), the most significant bit first.
  private struct Block {
    var high: UInt64
    var low: UInt64

    init(_ bytes: [UInt8]) {
      high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
      low = bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    func times(_ other: Block) -> Block {
      var result = Block([])
      var shifted = other
      for bit in 0..<128 {
        let word = bit < 64 ? high : low
        if word >> (63 - UInt64(bit % 64)) & 1 == 1 {
          result.high ^= shifted.high
          result.low ^= shifted.low
        }
        let isReduced = shifted.low & 1 == 1
        shifted.low = shifted.low >> 1 | shifted.high << 63
        shifted.high = shifted.high >> 1 ^ (isReduced ? 0xE1 << 56 : 0)
      }
      return result
    }

    var bytes: [UInt8] {
      [high, low].flatMap { word in
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) }
      }
    }
  }
}
