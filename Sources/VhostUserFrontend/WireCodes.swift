public import CryptoTypes
import VirtioSpec

// The front-end's own table from algorithms to virtio-crypto's numbers; the device has another one,
// so that a slip in either shows up as a failing test.

extension CipherAlgorithm {
  /// `VIRTIO_CRYPTO_CIPHER_*`.
  public var wireCode: UInt32 {
    typealias Code = VirtioCryptoAlgorithm.Cipher
    return switch self {
    case .arc4: Code.arc4
    case .aesECB: Code.aesECB
    case .aesCBC: Code.aesCBC
    case .aesCTR: Code.aesCTR
    case .desECB: Code.desECB
    case .desCBC: Code.desCBC
    case .tripleDESECB: Code.tripleDESECB
    case .tripleDESCBC: Code.tripleDESCBC
    case .tripleDESCTR: Code.tripleDESCTR
    case .kasumiF8: Code.kasumiF8
    case .snow3gUEA2: Code.snow3gUEA2
    case .aesF8: Code.aesF8
    case .aesXTS: Code.aesXTS
    case .zucEEA3: Code.zucEEA3
    }
  }
}

extension HashAlgorithm {
  /// `VIRTIO_CRYPTO_HASH_*`.
  public var wireCode: UInt32 {
    typealias Code = VirtioCryptoAlgorithm.Hash
    return switch self {
    case .md5: Code.md5
    case .sha1: Code.sha1
    case .sha224: Code.sha224
    case .sha256: Code.sha256
    case .sha384: Code.sha384
    case .sha512: Code.sha512
    case .sha3_224: Code.sha3_224
    case .sha3_256: Code.sha3_256
    case .sha3_384: Code.sha3_384
    case .sha3_512: Code.sha3_512
    case .shake128: Code.shake128
    case .shake256: Code.shake256
    }
  }
}

extension MACAlgorithm {
  /// `VIRTIO_CRYPTO_MAC_*`.
  public var wireCode: UInt32 {
    typealias Code = VirtioCryptoAlgorithm.MAC
    return switch self {
    case .hmacMD5: Code.hmacMD5
    case .hmacSHA1: Code.hmacSHA1
    case .hmacSHA224: Code.hmacSHA224
    case .hmacSHA256: Code.hmacSHA256
    case .hmacSHA384: Code.hmacSHA384
    case .hmacSHA512: Code.hmacSHA512
    case .cmac3DES: Code.cmac3DES
    case .cmacAES: Code.cmacAES
    case .kasumiF9: Code.kasumiF9
    case .snow3gUIA2: Code.snow3gUIA2
    case .gmacAES: Code.gmacAES
    case .gmacTwofish: Code.gmacTwofish
    case .cbcmacAES: Code.cbcmacAES
    case .cbcmacKasumiF9: Code.cbcmacKasumiF9
    case .xcbcAES: Code.xcbcAES
    case .zucEIA3: Code.zucEIA3
    }
  }
}

extension AEADAlgorithm {
  /// `VIRTIO_CRYPTO_AEAD_*`.
  public var wireCode: UInt32 {
    switch self {
    case .gcm: VirtioCryptoAlgorithm.AEAD.gcm
    case .ccm: VirtioCryptoAlgorithm.AEAD.ccm
    case .chacha20Poly1305: VirtioCryptoAlgorithm.AEAD.chacha20Poly1305
    }
  }
}

extension CryptoDirection {
  /// `VIRTIO_CRYPTO_OP_ENCRYPT` or `…_DECRYPT`.
  public var wireCode: UInt32 {
    self == .encrypt ? VirtioCryptoWire.operationEncrypt : VirtioCryptoWire.operationDecrypt
  }
}

extension ChainOrder {
  /// `VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_*`.
  public var wireCode: UInt32 {
    self == .hashThenCipher ? VirtioCryptoWire.hashThenCipher : VirtioCryptoWire.cipherThenHash
  }
}

extension ChainHashMode {
  /// `VIRTIO_CRYPTO_SYM_HASH_MODE_*`.
  public var wireCode: UInt32 {
    switch self {
    case .plain: VirtioCryptoWire.hashModePlain
    case .authenticated: VirtioCryptoWire.hashModeAuthenticated
    case .nested: VirtioCryptoWire.hashModeNested
    }
  }
}
