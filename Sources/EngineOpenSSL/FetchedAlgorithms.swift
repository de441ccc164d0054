import COpenSSL
import CryptoTypes
import Glibc

/// Everything that lanes take from libcrypto, fetched once: tables indexed by the raw values of the enums.
///
/// A plain view that lanes copy; the engine owns the memory and outlives its lanes. An entry that is nil was not
/// offered by the providers.
@safe
struct FetchedAlgorithms {
  let library: OpaquePointer
  /// `EVP_CIPHER`, by `CipherPrimitive`.
  let ciphers: UnsafeMutablePointer<OpaquePointer?>
  /// `EVP_MD`, by `HashAlgorithm`.
  let digests: UnsafeMutablePointer<OpaquePointer?>
  /// `EVP_MAC` of CMAC.
  let cmac: OpaquePointer?
  /// The cipher of a CMAC, by `CMACPrimitive`.
  let cmacCipherNames: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  /// The property query, for what MACs fetch themselves.
  let properties: UnsafeMutablePointer<CChar>?
  /// Modular multiplications that this host does in a millisecond, by which the time that a key takes is judged.
  let unitsPerMillisecond: Double

  static let cipherCount = CipherPrimitive.allCases.count
  static let digestCount = HashAlgorithm.allCases.count
  static let cmacCount = CMACPrimitive.allCases.count

  /// Fetches what the library context's providers offer.
  init(from library: OpaquePointer, propertyQuery: String?) {
    // SAFETY: tables are sized by the enums that index them; fetched objects stay ours until `release`.
    unsafe self.library = library
    unsafe properties = propertyQuery.flatMap { unsafe strdup($0) }
    let nanoseconds = copenssl_nanoseconds_per_unit()
    unitsPerMillisecond = nanoseconds > 0 ? 1e6 / nanoseconds : .infinity
    unsafe ciphers = .allocate(capacity: Self.cipherCount)
    unsafe digests = .allocate(capacity: Self.digestCount)
    unsafe cmac = EVP_MAC_fetch(library, "CMAC", properties)
    unsafe cmacCipherNames = .allocate(capacity: Self.cmacCount)
    for primitive in CipherPrimitive.allCases {
      unsafe (ciphers + primitive.index).initialize(
        to: EVP_CIPHER_fetch(library, primitive.fetchName, properties))
    }
    for hash in HashAlgorithm.allCases {
      unsafe (digests + hash.index).initialize(
        to: EVP_MD_fetch(library, hash.fetchName, properties))
    }
    for primitive in CMACPrimitive.allCases {
      unsafe (cmacCipherNames + primitive.index).initialize(to: strdup(primitive.fetchName))
    }
    copenssl_clear_errors()
  }

  /// Gives everything back; no lane may be left.
  func release() {
    // SAFETY: the engine calls this from its deinit, and every lane retains the engine.
    for index in 0..<Self.cipherCount { unsafe EVP_CIPHER_free(ciphers[index]) }
    for index in 0..<Self.digestCount { unsafe EVP_MD_free(digests[index]) }
    for index in 0..<Self.cmacCount { unsafe free(cmacCipherNames[index]) }
    unsafe EVP_MAC_free(cmac)
    unsafe ciphers.deallocate()
    unsafe digests.deallocate()
    unsafe cmacCipherNames.deallocate()
    unsafe free(properties)
  }
}
