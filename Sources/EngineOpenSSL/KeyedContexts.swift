import COpenSSL

/// What a session's operations take: service and algorithm, resolved when its keys are expanded.
enum Recipe {
  /// Nothing is expanded here. As the first case it is all zeros in memory, which a test holds it to.
  case empty
  case cipher
  case hash
  case mac, gmac
  case gcm, ccm, chacha20Poly1305
  case chain
  case asymmetric

  var isEmpty: Bool {
    @_noAllocation @_noLocks get { if case .empty = self { true } else { false } }
  }
}

/// What the cipher of a session or a chain takes.
enum CipherConstruction {
  /// libcrypto's own mode, with an IV per request or without.
  case withIV, withoutIV
  /// A key stream that every request starts anew, by keying the context again.
  case rekeyed
  /// Counter mode with a block of 8 bytes, on ECB.
  case counter64
  /// RFC 3711's f8, on CBC and (for the IV) ECB.
  case f8
}

/// The second half of a chain.
enum ChainTail {
  case digest, nestedDigest, mac, gmac
}

/// The expanded keys of one session in one lane.
///
/// All bytes zero is a valid, empty value: tables of it are made by mapping memory.
@safe
struct KeyedContexts {
  var recipe: Recipe
  /// Valid if `recipe` is `chain`.
  var tail: ChainTail
  /// Valid if `recipe` is `cipher` or `chain`.
  var cipherConstruction: CipherConstruction
  /// The lengths that a CCM context was keyed for; 0 before the first request.
  var ccmNonceByteCount: UInt8
  var ccmTagByteCount: UInt8
  /// The generation of the session that the keys belong to.
  var generation: UInt32
  /// `EVP_CIPHER_CTX` of the cipher or AEAD.
  var cipher: OpaquePointer?
  /// What `cmac` is built on; valid if there is one.
  var cmacPrimitive: CMACPrimitive
  /// `EVP_MAC_CTX` of CMAC.
  var cmac: OpaquePointer?
  /// `EVP_MD_CTX` of HMAC's two hashes, each past its padded key.
  var hmacInner: OpaquePointer?
  var hmacOuter: OpaquePointer?
  /// `EVP_CIPHER_CTX` of GCM in encryption, for GMAC and for GCM with a 16-byte J0; or of AES-CBC in encryption, for
  /// CBC-MAC and (under K1) XCBC.
  var authenticator: OpaquePointer?
  /// XCBC's K2 and K3.
  var wholeBlockKey: copenssl_block
  var paddedBlockKey: copenssl_block
  /// `EVP_CIPHER_CTX` of AES-CTR and AES-ECB under the same key: for GCM with a 16-byte J0, made at first use.
  ///
  /// With f8, `block` is AES-ECB under key ⊕ mask.
  var counter: OpaquePointer?
  var block: OpaquePointer?
  /// `copenssl_key` of a public-key session; always the entry's own.
  var key: OpaquePointer?
}
