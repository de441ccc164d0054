import TestSupport
import VhostUserFrontend

/// Keys that are the same in every process, so that an input means the same in each.
enum StandardKeys {
  static let rsa = RSAKeyPair.ofCurveNumbers

  /// The scalar 5 on each curve.
  static func scalar(_ curve: AKCipherCurve) -> [UInt8] {
    [UInt8](repeating: 0, count: curve.byteCount - 1) + [5]
  }

  static func privateKey(_ curve: AKCipherCurve) -> [UInt8] {
    DER.sequence(DER.integer(1), DER.octetString(scalar(curve)))
  }

  /// The generator of P-256, compressed and whole.
  static let compressedPoint: [UInt8] = [3] + generatorX
  static let point: [UInt8] = [4] + generatorX + generatorY
  static let generatorX: [UInt8] = [
    0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2,
    0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96,
  ]
  static let generatorY: [UInt8] = [
    0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16,
    0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
  ]

  static let specs: [SessionSpec] = [
    .akcipher(.rsa(.raw, key: rsa.privateKey)), .akcipher(.rsa(.raw, key: rsa.publicKey)),
    .akcipher(.rsa(.pkcs1, .sha1, key: rsa.privateKey)),
    .akcipher(.rsa(.pkcs1, .none, key: rsa.publicKey)),
    .akcipher(.ecdsa(.p256, key: .privateKey(privateKey(.p256)))),
    .akcipher(.ecdsa(.p256, key: .publicKey(point))),
    .akcipher(.ecdsa(.p192, key: .privateKey(privateKey(.p192)))),
  ]
}
