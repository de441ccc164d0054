/// The numbers of the ASYM service.
///
/// Spec: the asymmetric RFC, version 3.
public enum VirtioCryptoASYM {
  /// `VIRTIO_CRYPTO_ASYM_*`: an algorithm in the header's `algo`, a bit of `asym_algo`.
  public enum Algorithm {
    @inlinable public static var rsa: UInt32 { 1 }
    @inlinable public static var dsa: UInt32 { 2 }
    @inlinable public static var dh: UInt32 { 3 }
    @inlinable public static var ecdsa: UInt32 { 4 }
    @inlinable public static var ecdh: UInt32 { 5 }
  }

  /// `VIRTIO_CRYPTO_RSA_*_PADDING`: a bit of `rsa_padding`.
  public enum Padding {
    @inlinable public static var none: UInt32 { 0 }
    @inlinable public static var pkcs1: UInt32 { 1 }
    @inlinable public static var sslv23: UInt32 { 2 }
    @inlinable public static var oaep: UInt32 { 3 }
    @inlinable public static var x931: UInt32 { 4 }
    @inlinable public static var pss: UInt32 { 5 }
    /// What the device has: all but SSLv23's.
    @inlinable public static var all: UInt32 {
      1 << none | 1 << pkcs1 | 1 << oaep | 1 << x931 | 1 << pss
    }
  }

  /// Opcodes.
  @inlinable public static var sign: UInt32 { 0x400 }
  @inlinable public static var verify: UInt32 { 0x401 }
  @inlinable public static var encrypt: UInt32 { 0x402 }
  @inlinable public static var decrypt: UInt32 { 0x403 }
  @inlinable public static var generateKey: UInt32 { 0x404 }
  @inlinable public static var exchangeKey: UInt32 { 0x405 }

  /// `VIRTIO_CRYPTO_KEY_EXCHANGE_*`.
  @inlinable public static var exchangeGeneratesKey: UInt32 { 0 }
  @inlinable public static var exchangeComputesSecret: UInt32 { 1 }
  @inlinable public static var exchangeGeneratesParameters: UInt32 { 2 }

  /// `VIRTIO_CRYPTO_EC_FIELD_TYPE_*`.
  @inlinable public static var primeField: UInt32 { 0 }
  @inlinable public static var binaryField: UInt32 { 1 }

  /// `VIRTIO_CRYPTO_RSA_PRIV_KEY_REPTYPE*`.
  @inlinable public static var representation1: UInt32 { 0 }
  @inlinable public static var representation2: UInt32 { 1 }
}
