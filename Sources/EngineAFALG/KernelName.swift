import CryptoTypes

/// The kernel's names of algorithms, and what it says of them.
///
/// Spec: Linux, Documentation/crypto/architecture.rst, "Crypto API Cipher References And Priority".
enum KernelName {
  /// The kind of socket and the name to bind it to; nil for what the kernel does not have.
  static func of(_ algorithm: CryptoAlgorithm) -> (TransformKind, String)? {
    switch algorithm {
    case .cipher(let cipher): of(cipher).map { (.skcipher, $0) }
    case .hash(let hash): of(hash).map { (.hash, $0) }
    case .mac(.gmacAES): (.aead, "gcm(aes)")
    case .mac(.gmacTwofish): (.aead, "gcm(twofish)")
    case .mac(let mac): of(mac).map { (.hash, $0) }
    case .aead(.gcm): (.aead, "gcm(aes)")
    case .aead(.ccm): (.aead, "ccm(aes)")
    case .aead(.chacha20Poly1305): (.aead, "rfc7539(chacha20,poly1305)")
    // AF_ALG has no socket for public keys.
    case .akcipher: nil
    }
  }

  private static func of(_ cipher: CipherAlgorithm) -> String? {
    switch cipher {
    case .aesECB: "ecb(aes)"
    // F8 is put together from CBC and one block of ECB.
    case .aesCBC, .aesF8: "cbc(aes)"
    case .aesCTR: "ctr(aes)"
    case .aesXTS: "xts(aes)"
    case .desECB: "ecb(des)"
    case .desCBC: "cbc(des)"
    case .tripleDESECB: "ecb(des3_ede)"
    case .tripleDESCBC: "cbc(des3_ede)"
    case .tripleDESCTR: "ctr(des3_ede)"
    case .arc4, .kasumiF8, .snow3gUEA2, .zucEEA3: nil
    }
  }

  private static func of(_ hash: HashAlgorithm) -> String? {
    switch hash {
    case .md5, .sha1, .sha224, .sha256, .sha384, .sha512, .sha3_224, .sha3_256, .sha3_384,
      .sha3_512:
      hash.name
    case .shake128, .shake256: nil
    }
  }

  private static func of(_ mac: MACAlgorithm) -> String? {
    switch mac {
    case .hmacMD5: "hmac(md5)"
    case .hmacSHA1: "hmac(sha1)"
    case .hmacSHA224: "hmac(sha224)"
    case .hmacSHA256: "hmac(sha256)"
    case .hmacSHA384: "hmac(sha384)"
    case .hmacSHA512: "hmac(sha512)"
    case .cmac3DES: "cmac(des3_ede)"
    case .cmacAES: "cmac(aes)"
    case .cbcmacAES: "cbcmac(aes)"
    case .xcbcAES: "xcbc(aes)"
    case .kasumiF9, .snow3gUIA2, .cbcmacKasumiF9, .zucEIA3, .gmacAES, .gmacTwofish: nil
    }
  }

  /// The IV that the kernel wants, and the result that it gives, in bytes; 0 where there is none.
  static func traits(of algorithm: CryptoAlgorithm) -> (
    ivByteCount: UInt32, resultByteCount: UInt32
  ) {
    switch algorithm {
    case .cipher(let cipher): (UInt32(cipher.ivByteCount), 0)
    case .hash(let hash): (0, UInt32(hash.maximumResultByteCount))
    case .mac(.gmacAES), .mac(.gmacTwofish): (12, 16)
    case .mac(let mac): (0, UInt32(mac.maximumResultByteCount))
    case .aead(.ccm): (16, 16)
    case .aead: (12, 16)
    case .akcipher: (0, 0)
    }
  }

  /// A key length for a trial, in bytes.
  static func trialKeyByteCount(of algorithm: CryptoAlgorithm) -> Int {
    switch algorithm {
    case .cipher(.aesF8): 16
    case .cipher(let cipher): [16, 32, 24, 8].first { cipher.accepts(keyByteCount: $0) } ?? 16
    case .hash: 0
    case .mac(let mac): [16, 24].first { mac.accepts(keyByteCount: $0) } ?? 16
    case .aead(let aead): [16, 32].first { aead.accepts(keyByteCount: $0) } ?? 16
    case .akcipher: 0
    }
  }
}
