// CryptoDevice: virtio-crypto itself. Config space, control requests, sessions, data requests, status.
//
// Here virtio words become crypto words, in one table each way, and the guest's lengths are checked. It leaves the
// ring to VirtQueue, threads to QueueWorkers, sockets to VhostUserBackend, and the crypto to the engines.

public import CryptoTypes
import VirtioSpec

/// The numbers that virtio-crypto gives to algorithms: values in requests and bits in the masks.
public enum AlgorithmNumbers {
  private typealias Cipher = VirtioCryptoAlgorithm.Cipher
  private typealias Hash = VirtioCryptoAlgorithm.Hash
  private typealias MAC = VirtioCryptoAlgorithm.MAC
  private typealias AEAD = VirtioCryptoAlgorithm.AEAD
  private typealias AKCipher = VirtioCryptoAlgorithm.AKCipher

  /// `VIRTIO_CRYPTO_CIPHER_*` of an algorithm.
  public static func number(of algorithm: CipherAlgorithm) -> UInt32 {
    switch algorithm {
    case .arc4: Cipher.arc4
    case .aesECB: Cipher.aesECB
    case .aesCBC: Cipher.aesCBC
    case .aesCTR: Cipher.aesCTR
    case .desECB: Cipher.desECB
    case .desCBC: Cipher.desCBC
    case .tripleDESECB: Cipher.tripleDESECB
    case .tripleDESCBC: Cipher.tripleDESCBC
    case .tripleDESCTR: Cipher.tripleDESCTR
    case .kasumiF8: Cipher.kasumiF8
    case .snow3gUEA2: Cipher.snow3gUEA2
    case .aesF8: Cipher.aesF8
    case .aesXTS: Cipher.aesXTS
    case .zucEEA3: Cipher.zucEEA3
    }
  }

  /// `VIRTIO_CRYPTO_HASH_*` of an algorithm.
  public static func number(of algorithm: HashAlgorithm) -> UInt32 {
    switch algorithm {
    case .md5: Hash.md5
    case .sha1: Hash.sha1
    case .sha224: Hash.sha224
    case .sha256: Hash.sha256
    case .sha384: Hash.sha384
    case .sha512: Hash.sha512
    case .sha3_224: Hash.sha3_224
    case .sha3_256: Hash.sha3_256
    case .sha3_384: Hash.sha3_384
    case .sha3_512: Hash.sha3_512
    case .shake128: Hash.shake128
    case .shake256: Hash.shake256
    }
  }

  /// `VIRTIO_CRYPTO_MAC_*` of an algorithm.
  public static func number(of algorithm: MACAlgorithm) -> UInt32 {
    switch algorithm {
    case .hmacMD5: MAC.hmacMD5
    case .hmacSHA1: MAC.hmacSHA1
    case .hmacSHA224: MAC.hmacSHA224
    case .hmacSHA256: MAC.hmacSHA256
    case .hmacSHA384: MAC.hmacSHA384
    case .hmacSHA512: MAC.hmacSHA512
    case .cmac3DES: MAC.cmac3DES
    case .cmacAES: MAC.cmacAES
    case .kasumiF9: MAC.kasumiF9
    case .snow3gUIA2: MAC.snow3gUIA2
    case .gmacAES: MAC.gmacAES
    case .gmacTwofish: MAC.gmacTwofish
    case .cbcmacAES: MAC.cbcmacAES
    case .cbcmacKasumiF9: MAC.cbcmacKasumiF9
    case .xcbcAES: MAC.xcbcAES
    case .zucEIA3: MAC.zucEIA3
    }
  }

  /// `VIRTIO_CRYPTO_AEAD_*` of an algorithm.
  public static func number(of algorithm: AEADAlgorithm) -> UInt32 {
    switch algorithm {
    case .gcm: AEAD.gcm
    case .ccm: AEAD.ccm
    case .chacha20Poly1305: AEAD.chacha20Poly1305
    }
  }

  /// `VIRTIO_CRYPTO_AKCIPHER_*` of an algorithm; nil for those that only the asymmetric RFC has.
  public static func number(of algorithm: AsymmetricAlgorithm) -> UInt32? {
    switch algorithm {
    case .rsa: AKCipher.rsa
    case .ecdsa: AKCipher.ecdsa
    case .dsa, .dh, .ecdh: nil
    }
  }

  /// The number of any algorithm within its service; nil where the specification has none.
  public static func number(of algorithm: CryptoAlgorithm) -> UInt32? {
    switch algorithm {
    case .cipher(let algorithm): number(of: algorithm)
    case .hash(let algorithm): number(of: algorithm)
    case .mac(let algorithm): number(of: algorithm)
    case .aead(let algorithm): number(of: algorithm)
    case .akcipher(let algorithm): number(of: algorithm)
    }
  }
}
