/// Twofish, enciphering alone: what GMAC-Twofish is checked against, because no library of the host has it.
///
/// Spec: B. Schneier et al., "Twofish: A 128-Bit Block Cipher", 1998, §4.
public struct Twofish {
  private let roundKeys: [UInt32]
  private let sBoxKeys: [UInt32]

  /// Expands a key of 16, 24 or 32 bytes; nil for another length.
  public init?(key: [UInt8]) {
    guard [16, 24, 32].contains(key.count) else { return nil }
    let words = stride(from: 0, to: key.count, by: 4).map { Self.word(key[$0..<$0 + 4]) }
    let even = stride(from: 0, to: words.count, by: 2).map { words[$0] }
    let odd = stride(from: 1, to: words.count, by: 2).map { words[$0] }
    sBoxKeys = stride(from: 0, to: key.count, by: 8).reversed().map {
      Self.reedSolomon(Array(key[$0..<$0 + 8]))
    }
    roundKeys = (0..<20).flatMap { index -> [UInt32] in
      let a = Self.h(UInt32(2 * index) &* 0x0101_0101, even)
      let b = Self.rotated(Self.h(UInt32(2 * index + 1) &* 0x0101_0101, odd), 8)
      return [a &+ b, Self.rotated(a &+ 2 &* b, 9)]
    }
  }

  /// Enciphers 16 bytes.
  public func encrypt(_ block: [UInt8]) -> [UInt8] {
    var r = (0..<4).map { Self.word(block[4 * $0..<4 * $0 + 4]) ^ roundKeys[$0] }
    for round in 0..<16 {
      let t0 = Self.h(r[0], sBoxKeys)
      let t1 = Self.h(Self.rotated(r[1], 8), sBoxKeys)
      let f0 = t0 &+ t1 &+ roundKeys[2 * round + 8]
      let f1 = t0 &+ 2 &* t1 &+ roundKeys[2 * round + 9]
      r = [Self.rotated(r[2] ^ f0, 31), Self.rotated(r[3], 1) ^ f1, r[0], r[1]]
    }
    return (0..<4).flatMap { index -> [UInt8] in
      let word = r[(index + 2) % 4] ^ roundKeys[index + 4]
      return (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
    }
  }

  private static func word(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
    word << count | word >> (32 - count)
  }

  /// The product in GF(2^8) modulo a polynomial.
  private static func product(_ a: UInt8, _ b: UInt8, modulo polynomial: UInt16) -> UInt8 {
    var sum: UInt16 = 0
    for bit in 0..<8 where b >> UInt8(bit) & 1 == 1 { sum ^= UInt16(a) << UInt16(bit) }
    for bit in (8..<15).reversed() where sum >> UInt16(bit) & 1 == 1 {
      sum ^= polynomial << UInt16(bit - 8)
    }
    return UInt8(truncatingIfNeeded: sum)
  }

  private static let codeMatrix: [[UInt8]] = [
    [0x01, 0xA4, 0x55, 0x87, 0x5A, 0x58, 0xDB, 0x9E],
    [0xA4, 0x56, 0x82, 0xF3, 0x1E, 0xC6, 0x68, 0xE5],
    [0x02, 0xA1, 0xFC, 0xC1, 0x47, 0xAE, 0x3D, 0x19],
    [0xA4, 0x55, 0x87, 0x5A, 0x58, 0xDB, 0x9E, 0x03],
  ]

  private static func reedSolomon(_ bytes: [UInt8]) -> UInt32 {
    word(
      codeMatrix.map { row in
        zip(row, bytes).reduce(0) { $0 ^ product($1.0, $1.1, modulo: 0x14D) }
      }[...])
  }

  private static let mixMatrix: [[UInt8]] = [
    [0x01, 0xEF, 0x5B, 0x5B], [0x5B, 0xEF, 0xEF, 0x01], [0xEF, 0x5B, 0x01, 0xEF],
    [0xEF, 0x01, 0xEF, 0x5B],
  ]

  /// Column × byte, as the four bytes of a word.
  private static let mixed: [[UInt32]] = (0..<4).map { column in
    (0..<256).map { byte in
      word(mixMatrix.map { product($0[column], UInt8(byte), modulo: 0x169) }[...])
    }
  }

  private static let q0 = permutation([
    [8, 1, 7, 13, 6, 15, 3, 2, 0, 11, 5, 9, 14, 12, 10, 4],
    [14, 12, 11, 8, 1, 2, 3, 5, 15, 4, 10, 6, 7, 0, 9, 13],
    [11, 10, 5, 14, 6, 13, 9, 0, 12, 8, 15, 3, 2, 4, 7, 1],
    [13, 7, 15, 4, 1, 2, 6, 14, 9, 11, 3, 0, 8, 5, 12, 10],
  ])
  private static let q1 = permutation([
    [2, 8, 11, 13, 15, 7, 6, 14, 3, 1, 9, 4, 0, 10, 12, 5],
    [1, 14, 2, 11, 4, 12, 3, 7, 6, 13, 10, 5, 15, 9, 0, 8],
    [4, 12, 7, 5, 1, 6, 9, 10, 0, 14, 13, 8, 2, 11, 3, 15],
    [11, 9, 5, 1, 12, 3, 13, 14, 6, 4, 7, 15, 2, 0, 8, 10],
  ])

  private static func permutation(_ tables: [[UInt8]]) -> [UInt8] {
    (0..<256).map { byte in
      var (a, b) = (UInt8(byte >> 4), UInt8(byte & 15))
      for step in 0..<2 {
        (a, b) = (a ^ b, a ^ (b >> 1 | b << 3 & 8) ^ (a << 3 & 8))
        (a, b) = (tables[2 * step][Int(a)], tables[2 * step + 1][Int(b)])
      }
      return b << 4 | a
    }
  }

  private static func h(_ input: UInt32, _ keys: [UInt32]) -> UInt32 {
    var y = (0..<4).map { UInt8(truncatingIfNeeded: input >> (8 * UInt32($0))) }
    func mix(_ key: UInt32, _ boxes: [[UInt8]]) {
      for index in 0..<4 {
        y[index] =
          boxes[index][Int(y[index])] ^ UInt8(truncatingIfNeeded: key >> (8 * UInt32(index)))
      }
    }
    if keys.count > 3 { mix(keys[3], [q1, q0, q0, q1]) }
    if keys.count > 2 { mix(keys[2], [q1, q1, q0, q0]) }
    mix(keys[1], [q0, q1, q0, q1])
    mix(keys[0], [q0, q0, q1, q1])
    mix(0, [q1, q0, q1, q0])
    return (0..<4).reduce(0) { $0 ^ mixed[$1][Int(y[$1])] }
  }
}
