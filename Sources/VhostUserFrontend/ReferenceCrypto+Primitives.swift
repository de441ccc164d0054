internal import COpenSSL
public import CryptoTypes

extension ReferenceCrypto {
  // MARK: Ciphers

  /// Enciphers or deciphers; nil for an algorithm that is not available, or lengths that do not
  /// fit.
  public static func cipher(
    _ algorithm: CipherAlgorithm, _ direction: CryptoDirection, key: [UInt8], iv: [UInt8],
    source: [UInt8]
  ) -> [UInt8]? {
    let encrypts = direction == .encrypt
    switch algorithm {
    case .arc4: return evp("RC4", key: key, iv: [], source, encrypts: encrypts)
    case .aesECB:
      return evp("AES-\(key.count * 8)-ECB", key: key, iv: [], source, encrypts: encrypts)
    case .aesCBC:
      return evp("AES-\(key.count * 8)-CBC", key: key, iv: iv, source, encrypts: encrypts)
    case .aesCTR:
      return evp("AES-\(key.count * 8)-CTR", key: key, iv: iv, source, encrypts: encrypts)
    case .aesXTS:
      return evp("AES-\(key.count * 4)-XTS", key: key, iv: iv, source, encrypts: encrypts)
    case .desECB: return evp("DES-ECB", key: key, iv: [], source, encrypts: encrypts)
    case .desCBC: return evp("DES-CBC", key: key, iv: iv, source, encrypts: encrypts)
    case .tripleDESECB: return evp("DES-EDE3-ECB", key: key, iv: [], source, encrypts: encrypts)
    case .tripleDESCBC: return evp("DES-EDE3-CBC", key: key, iv: iv, source, encrypts: encrypts)
    case .tripleDESCTR: return tripleDESCounter(key: key, counter: iv, source)
    case .aesF8: return aesF8(key: key, iv: iv, source)
    case .kasumiF8, .snow3gUEA2, .zucEEA3: return nil
    }
  }

  /// CTR with a 64-bit big-endian counter block that wraps.
  private static func tripleDESCounter(
    key: [UInt8], counter: [UInt8], _ source: [UInt8]
  ) -> [UInt8]? {
    guard counter.count == 8 else { return nil }
    var value = counter.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    var output: [UInt8] = []
    for start in stride(from: 0, to: source.count, by: 8) {
      let block = bigEndian(value)
      guard
        let stream = evp("DES-EDE3-ECB", key: key, iv: [], block, encrypts: true)
      else { return nil }
      output += exclusiveOr(source[start..<min(start + 8, source.count)], stream)
      value &+= 1
    }
    return output
  }

  /// AES in f8 mode, RFC 3711 §4.1.2: the key is followed by the key mask.
  private static func aesF8(key: [UInt8], iv: [UInt8], _ source: [UInt8]) -> [UInt8]? {
    let cipherKey = Array(key.prefix(key.count / 2))
    let maskedKey = exclusiveOr(cipherKey[...], Array(key.dropFirst(key.count / 2)))
    let ecb = "AES-\(cipherKey.count * 8)-ECB"
    guard
      iv.count == 16,
      let secretIV = evp(ecb, key: maskedKey, iv: [], iv, encrypts: true)
    else { return nil }
    var stream = [UInt8](repeating: 0, count: 16)
    var output: [UInt8] = []
    for (index, start) in stride(from: 0, to: source.count, by: 16).enumerated() {
      let position = [UInt8](repeating: 0, count: 8) + bigEndian(UInt64(index))
      let input = exclusiveOr(exclusiveOr(secretIV[...], stream)[...], position)
      guard let next = evp(ecb, key: cipherKey, iv: [], input, encrypts: true) else { return nil }
      stream = next
      output += exclusiveOr(source[start..<min(start + 16, source.count)], stream)
    }
    return output
  }

  // MARK: Hashes

  /// The leading `byteCount` bytes of a hash; nil when it has fewer.
  public static func hash(
    _ algorithm: HashAlgorithm, _ message: [UInt8], byteCount: Int
  ) -> [UInt8]? {
    let name: String =
      switch algorithm {
      case .md5: "MD5"
      case .sha1: "SHA1"
      case .sha224: "SHA224"
      case .sha256: "SHA256"
      case .sha384: "SHA384"
      case .sha512: "SHA512"
      case .sha3_224: "SHA3-224"
      case .sha3_256: "SHA3-256"
      case .sha3_384: "SHA3-384"
      case .sha3_512: "SHA3-512"
      case .shake128: "SHAKE128"
      case .shake256: "SHAKE256"
      }
    guard byteCount <= algorithm.maximumResultByteCount else { return nil }
    return digest(name, message, isExtendable: algorithm.isExtendable, byteCount: byteCount)
  }

  // MARK: MACs

  /// The whole code; `iv` for GMAC.
  public static func mac(
    _ algorithm: MACAlgorithm, key: [UInt8], iv: [UInt8] = [], _ message: [UInt8]
  ) -> [UInt8]? {
    let bits = key.count * 8
    switch algorithm {
    case .hmacMD5: return mac("HMAC", "digest", "MD5", key: key, message)
    case .hmacSHA1: return mac("HMAC", "digest", "SHA1", key: key, message)
    case .hmacSHA224: return mac("HMAC", "digest", "SHA224", key: key, message)
    case .hmacSHA256: return mac("HMAC", "digest", "SHA256", key: key, message)
    case .hmacSHA384: return mac("HMAC", "digest", "SHA384", key: key, message)
    case .hmacSHA512: return mac("HMAC", "digest", "SHA512", key: key, message)
    case .cmacAES: return mac("CMAC", "cipher", "AES-\(bits)-CBC", key: key, message)
    case .cmac3DES: return mac("CMAC", "cipher", "DES-EDE3-CBC", key: key, message)
    case .gmacAES: return seal(.gcm, key: key, iv: iv, aad: message, source: [], tagByteCount: 16)
    case .cbcmacAES:
      let zero = [UInt8](repeating: 0, count: 16)
      guard !message.isEmpty else { return zero }
      return evp("AES-\(bits)-CBC", key: key, iv: zero, message, encrypts: true).map {
        Array($0.suffix(16))
      }
    case .xcbcAES: return xcbc(key: key, message)
    case .kasumiF9, .snow3gUIA2, .gmacTwofish, .cbcmacKasumiF9, .zucEIA3: return nil
    }
  }

  /// AES-XCBC-MAC, RFC 3566 §4, all 16 bytes.
  private static func xcbc(key: [UInt8], _ message: [UInt8]) -> [UInt8]? {
    func encrypt(_ key: [UInt8], _ block: [UInt8]) -> [UInt8]? {
      evp("AES-128-ECB", key: key, iv: [], block, encrypts: true)
    }
    let subkeys = (1...3).compactMap { encrypt(key, [UInt8](repeating: $0, count: 16)) }
    guard key.count == 16, subkeys.count == 3 else { return nil }
    var state = [UInt8](repeating: 0, count: 16)
    let lastStart = message.isEmpty ? 0 : (message.count - 1) / 16 * 16
    for start in stride(from: 0, to: lastStart, by: 16) {
      let mixed = exclusiveOr(message[start..<start + 16], state)
      guard let next = encrypt(subkeys[0], mixed) else { return nil }
      state = next
    }
    var last = Array(message[lastStart...])
    let isWhole = last.count == 16
    if !isWhole {
      last.append(0x80)
      last += [UInt8](repeating: 0, count: 16 - last.count)
    }
    let mixed = exclusiveOr(exclusiveOr(last[...], state)[...], subkeys[isWhole ? 1 : 2])
    return encrypt(subkeys[0], mixed)
  }

  // MARK: Bytes

  static func exclusiveOr(_ a: ArraySlice<UInt8>, _ b: [UInt8]) -> [UInt8] {
    zip(a, b).map { $0 ^ $1 }
  }

  static func bigEndian(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
  }
}
