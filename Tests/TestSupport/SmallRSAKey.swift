import VhostUserFrontend

extension RSAKeyPair {
  /// 512 bits, of the field's prime and the order of the curve secp256k1 (SEC 2 §2.4.1): the same in every process, quick,
  /// and no secret.
  public static let ofCurveNumbers: RSAKeyPair = {
    let prime = [UInt8](repeating: 0xFF, count: 27) + [0xFE, 0xFF, 0xFF, 0xFC, 0x2F]
    let order =
      [UInt8](repeating: 0xFF, count: 15) + [
        0xFE, 0xBA, 0xAE, 0xDC, 0xE6, 0xAF, 0x48, 0xA0, 0x3B, 0xBF, 0xD2, 0x5E, 0x8C, 0xD0, 0x36,
        0x41, 0x41,
      ]
    let primes = (BigNumber(bytes: prime), BigNumber(bytes: order))
    guard let key = RSAKeyPair(primes: primes) else { preconditionFailure("no RSA key of these") }
    return key
  }()
}
