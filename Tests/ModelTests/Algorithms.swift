// ModelTests: random guests against a model of the specification.
//
// The model is written from the specification and docs/wire.md, and knows nothing of the daemon's sources: its tables are
// its own. It says for every step of a guest what the device has to answer: status, used length, result. Results come from
// the front-end's ReferenceCrypto.

import CryptoTypes

/// What the specification, or the standard that an algorithm is named for, says about a cipher.
struct CipherModel {
  /// `VIRTIO_CRYPTO_CIPHER_*`.
  var number: UInt32
  var algorithm: CipherAlgorithm
  /// Lengths in bytes.
  var keys: [Int]
  var iv: Int
  /// What the source's length is a multiple of.
  var block: Int
  var least = 0

  static let all = [
    CipherModel(number: 1, algorithm: .arc4, keys: Array(5...256), iv: 0, block: 1),
    CipherModel(number: 2, algorithm: .aesECB, keys: [16, 24, 32], iv: 0, block: 16),
    CipherModel(number: 3, algorithm: .aesCBC, keys: [16, 24, 32], iv: 16, block: 16),
    CipherModel(number: 4, algorithm: .aesCTR, keys: [16, 24, 32], iv: 16, block: 1),
    CipherModel(number: 5, algorithm: .desECB, keys: [8], iv: 0, block: 8),
    CipherModel(number: 6, algorithm: .desCBC, keys: [8], iv: 8, block: 8),
    CipherModel(number: 7, algorithm: .tripleDESECB, keys: [24], iv: 0, block: 8),
    CipherModel(number: 8, algorithm: .tripleDESCBC, keys: [24], iv: 8, block: 8),
    CipherModel(number: 9, algorithm: .tripleDESCTR, keys: [24], iv: 8, block: 1),
    CipherModel(number: 12, algorithm: .aesF8, keys: [32, 48, 64], iv: 16, block: 1),
    CipherModel(number: 13, algorithm: .aesXTS, keys: [32, 64], iv: 16, block: 1, least: 16),
  ]
  /// Numbers that the device under test does not offer.
  static let absent: [UInt32] = [0, 10, 11, 14, 15, 63, 64, 0xFFFF_FFFF]
}

struct HashModel {
  var number: UInt32
  var algorithm: HashAlgorithm
  /// The longest result.
  var result: Int

  static let all = [
    HashModel(number: 1, algorithm: .md5, result: 16),
    HashModel(number: 2, algorithm: .sha1, result: 20),
    HashModel(number: 3, algorithm: .sha224, result: 28),
    HashModel(number: 4, algorithm: .sha256, result: 32),
    HashModel(number: 5, algorithm: .sha384, result: 48),
    HashModel(number: 6, algorithm: .sha512, result: 64),
    HashModel(number: 7, algorithm: .sha3_224, result: 28),
    HashModel(number: 8, algorithm: .sha3_256, result: 32),
    HashModel(number: 9, algorithm: .sha3_384, result: 48),
    HashModel(number: 10, algorithm: .sha3_512, result: 64),
    HashModel(number: 11, algorithm: .shake128, result: 65536),
    HashModel(number: 12, algorithm: .shake256, result: 65536),
  ]
  static let absent: [UInt32] = [0, 13, 31, 64, 0xFFFF_FFFF]
}

struct MACModel {
  var number: UInt32
  var algorithm: MACAlgorithm
  var keys: [Int]
  var result: Int
  /// Bytes of IV at the head of the source.
  var iv = 0
  var block = 1

  static let all: [MACModel] =
    [
      (1, MACAlgorithm.hmacMD5, 16), (2, .hmacSHA1, 20), (3, .hmacSHA224, 28), (4, .hmacSHA256, 32),
      (5, .hmacSHA384, 48), (6, .hmacSHA512, 64),
    ].map { MACModel(number: $0, algorithm: $1, keys: Array(0...512), result: $2) } + [
      MACModel(number: 25, algorithm: .cmac3DES, keys: [24], result: 8),
      MACModel(number: 26, algorithm: .cmacAES, keys: [16, 24, 32], result: 16),
      MACModel(number: 41, algorithm: .gmacAES, keys: [16, 24, 32], result: 16, iv: 12),
      MACModel(number: 49, algorithm: .cbcmacAES, keys: [16, 24, 32], result: 16, block: 16),
      MACModel(number: 53, algorithm: .xcbcAES, keys: [16], result: 16),
    ]
  static let absent: [UInt32] = [0, 7, 27, 28, 42, 50, 54, 63, 64, 0xFFFF_FFFF]
}

struct AEADModel {
  var number: UInt32
  var algorithm: AEADAlgorithm
  var keys: [Int]
  var ivs: [Int]
  var tags: [Int]

  static let all = [
    AEADModel(
      number: 1, algorithm: .gcm, keys: [16, 24, 32], ivs: [12, 16],
      tags: [4, 8, 12, 13, 14, 15, 16]),
    AEADModel(
      number: 2, algorithm: .ccm, keys: [16, 24, 32], ivs: Array(7...13),
      tags: [4, 6, 8, 10, 12, 14, 16]),
    AEADModel(number: 3, algorithm: .chacha20Poly1305, keys: [32], ivs: [12], tags: [16]),
  ]
  static let absent: [UInt32] = [0, 4, 63, 64, 0xFFFF_FFFF]
}
