// Independent answers: one-shot calls of libcrypto with fresh contexts, and GHASH bit by bit.

import COpenSSL
import CryptoTypes

public enum Reference {
  /// A library context with RC4 and DES in it; kept for the life of the process.
  nonisolated(unsafe) private static let library: OpaquePointer? = {
    let library = OSSL_LIB_CTX_new()
    for provider in ["default", "legacy"] where OSSL_PROVIDER_load(library, provider) == nil {
      return nil
    }
    return library
  }()

  /// EVP from scratch: fetch by name, one context, one update.
  public static func cipher(
    _ name: String, encrypt: Bool, key: [UInt8], iv: [UInt8], source: [UInt8]
  ) -> [UInt8] {
    guard let cipher = EVP_CIPHER_fetch(library, name, nil), let context = EVP_CIPHER_CTX_new()
    else {
      return []
    }
    defer {
      EVP_CIPHER_CTX_free(context)
      EVP_CIPHER_free(cipher)
    }
    var output = [UInt8](repeating: 0, count: source.count + 32)
    var written: Int32 = 0
    var trailer = [UInt8](repeating: 0, count: 32)
    var rest: Int32 = 0
    guard EVP_CipherInit_ex2(context, cipher, key, iv, encrypt ? 1 : 0, nil) == 1,
      EVP_CIPHER_CTX_set_padding(context, 0) == 1,
      EVP_CipherUpdate(context, &output, &written, source, Int32(source.count)) == 1,
      EVP_CipherFinal_ex(context, &trailer, &rest) == 1, rest == 0
    else { return [] }
    return Array(output.prefix(Int(written)))
  }

  public static func digest(_ name: String, _ source: [UInt8]) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 64)
    var written = 0
    guard EVP_Q_digest(nil, name, nil, source, source.count, &output, &written) == 1 else {
      return []
    }
    return Array(output.prefix(written))
  }

  public static func hmac(_ digest: String, key: [UInt8], _ source: [UInt8]) -> [UInt8] {
    mac("HMAC", digest, key: key, source)
  }

  public static func cmac(_ cipher: String, key: [UInt8], _ source: [UInt8]) -> [UInt8] {
    mac("CMAC", cipher, key: key, source)
  }

  private static func mac(
    _ name: String, _ algorithm: String, key: [UInt8], _ source: [UInt8]
  ) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 64)
    var written = 0
    guard
      EVP_Q_mac(
        nil, name, nil, algorithm, nil, key, key.count, source, source.count, &output,
        output.count, &written) != nil
    else { return [] }
    return Array(output.prefix(written))
  }

  /// J0 of an IV that is not 12 bytes long: GHASH(IV, padded ‖ 64 zero bits ‖ its length in bits).
  public static func preCounterBlock(key: [UInt8], iv: [UInt8]) -> [UInt8] {
    if iv.count == 12 { return iv + [0, 0, 0, 1] }
    let subkey = cipher(
      "AES-\(key.count * 8)-ECB", encrypt: true, key: key, iv: [],
      source: [UInt8](repeating: 0, count: 16))
    var text = iv + [UInt8](repeating: 0, count: (16 - iv.count % 16) % 16 + 8)
    let bitCount = UInt64(iv.count * 8)
    text += (0..<8).map { UInt8(truncatingIfNeeded: bitCount >> UInt64(56 - 8 * $0)) }
    return ghash(subkey: subkey, text)
  }

  /// SP 800-38D §6.3 and §6.4, a bit at a time.
  public static func ghash(subkey: [UInt8], _ text: [UInt8]) -> [UInt8] {
    var sum = [UInt8](repeating: 0, count: 16)
    for start in stride(from: 0, to: text.count, by: 16) {
      let factor = zip(sum, text[start..<start + 16]).map { $0 ^ $1 }
      var product = [UInt8](repeating: 0, count: 16)
      var shifted = subkey
      for bit in 0..<128 {
        if factor[bit / 8] >> UInt8(7 - bit % 8) & 1 == 1 {
          for index in 0..<16 { product[index] ^= shifted[index] }
        }
        let isOdd = shifted[15] & 1 == 1
        for index in (1..<16).reversed() {
          shifted[index] = shifted[index] >> 1 | shifted[index - 1] << 7
        }
        shifted[0] >>= 1
        if isOdd { shifted[0] ^= 0xe1 }
      }
      sum = product
    }
    return sum
  }

  public static func name(_ cipher: CipherAlgorithm, keyByteCount: Int) -> String {
    switch cipher {
    case .aesECB: "AES-\(keyByteCount * 8)-ECB"
    case .aesCBC: "AES-\(keyByteCount * 8)-CBC"
    case .aesCTR: "AES-\(keyByteCount * 8)-CTR"
    case .aesXTS: "AES-\(keyByteCount * 4)-XTS"
    case .tripleDESECB: "DES-EDE3-ECB"
    case .tripleDESCBC: "DES-EDE3-CBC"
    case .desECB: "DES-ECB"
    case .desCBC: "DES-CBC"
    default: "none"
    }
  }

  public static func name(_ hash: HashAlgorithm) -> String {
    switch hash {
    case .md5: "MD5"
    case .sha1: "SHA1"
    case .sha224: "SHA2-224"
    case .sha256: "SHA2-256"
    case .sha384: "SHA2-384"
    case .sha512: "SHA2-512"
    case .sha3_224: "SHA3-224"
    case .sha3_256: "SHA3-256"
    case .sha3_384: "SHA3-384"
    case .sha3_512: "SHA3-512"
    case .shake128: "SHAKE-128"
    case .shake256: "SHAKE-256"
    }
  }
}
