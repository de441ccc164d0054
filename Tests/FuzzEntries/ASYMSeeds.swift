import VhostUserFrontend
import VirtioSpec

/// One request of each of the asymmetric RFC's, with small numbers.
enum ASYMSeeds {
  static var all: [DataRequest] {
    let key = StandardKeys.rsa
    let text = StandardSessions.key(20)
    var all: [DataRequest] = rsa(key, text)
    let number = StandardSessions.key(20)
    let group = ASYMRequest.DSAGroup(
      p: [0xFF] + StandardSessions.key(126) + [1], q: [0x81] + StandardSessions.key(18) + [1],
      g: [2])
    all += [
      ASYMRequest.dsaSign(group, x: number, text, .sha1, k: [1, 2], widths: (20, 20)),
      ASYMRequest.dsaVerify(group, y: number, r: number, s: number, text, .sha1),
      ASYMRequest.dsaKey(modulusByteCount: 64),
      ASYMRequest.dhParameters(modulusByteCount: 64), ASYMRequest.dhKey(p: group.p, g: [2]),
      ASYMRequest.dhSecret(p: group.p, g: [2], x: [5], y: number, secretByteCount: 128),
    ]
    if let curve = ECCurve("prime256v1") ?? ECCurve("P-256") {
      let scalar = StandardKeys.scalar(.p256)
      let (x, y) = (StandardKeys.generatorX, StandardKeys.generatorY)
      all += [
        ASYMRequest.ecdsaSign(curve.parameters, d: scalar, text, .sha256, widths: (32, 32)),
        ASYMRequest.ecdsaVerify(
          curve.parameters, x: x, y: y, r: scalar, s: scalar, text, .sha256),
        ASYMRequest.ecKey(curve.parameters, widths: (32, 32, 32)),
        ASYMRequest.ecKey(
          curve.parameters, widths: (32, 32, 32), algorithm: VirtioCryptoASYM.Algorithm.ecdh),
        ASYMRequest.ecdhKey(curve.parameters, widths: (32, 32, 32)),
        ASYMRequest.ecdhSecret(curve.parameters, d: scalar, x: x, y: y, secretByteCount: 32),
      ]
    }
    return all
  }

  private static func rsa(_ key: RSAKeyPair, _ text: [UInt8]) -> [DataRequest] {
    let (n, e, d) = (key.modulus.bytes, key.publicExponent.bytes, key.privateExponent.bytes)
    let whole = StandardSessions.key(64)
    let keys: [ASYMRequest.RSAPrivateKey] = [
      .exponents(n: n, d: d),
      .primes(
        key.prime1.bytes, key.prime2.bytes, key.exponent1.bytes, key.exponent2.bytes,
        key.coefficient.bytes),
      .primes(
        key.prime1.bytes, key.prime2.bytes, key.exponent1.bytes, key.exponent2.bytes,
        key.coefficient.bytes, further: [[[3], [1], [1]]]),
    ]
    var all: [DataRequest] = []
    for padding in [UInt32](0...5) {
      for key in keys {
        all.append(
          ASYMRequest.rsaSign(key, text, .sha1, padding: padding, signatureByteCount: 64))
        all.append(ASYMRequest.rsaDecrypt(key, whole, padding: padding))
      }
      all.append(
        ASYMRequest.rsaVerify(n: n, e: e, signature: whole, text, .sha1, padding: padding))
      all.append(ASYMRequest.rsaEncrypt(n: n, e: e, padding == 0 ? whole : text, padding: padding))
    }
    all.append(
      ASYMRequest.rsaVerify(
        n: n, e: e, signature: whole, text, nil, padding: 1, saysLength: false))
    for representation in 0...1 {
      all.append(ASYMRequest.rsaKey(modulusByteCount: 64, representation: representation))
    }
    return all
  }
}
