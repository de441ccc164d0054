package import CryptoTypes

/// One published answer, in hexadecimal; white space does not count.
package struct KnownAnswer: Sendable {
  package var algorithm: CryptoAlgorithm
  /// The publication and the place in it.
  package var origin: String
  package var key: String
  /// IV, counter block, tweak, nonce or (GCM with 16 bytes) J0.
  package var iv: String
  package var aad: String
  /// Plaintext or message.
  package var input: String
  /// Ciphertext, hash or MAC.
  package var output: String
  /// AEAD only.
  package var tag: String
  /// A variant that an engine may lack and serve the algorithm all the same: GCM with a J0 that no 12-byte IV makes.
  package var isOptional: Bool {
    algorithm == .aead(.gcm) && Self.bytes(iv).count == 16
  }

  package init(
    _ algorithm: CryptoAlgorithm, from origin: String, key: String = "", iv: String = "",
    aad: String = "", input: String = "", output: String, tag: String = ""
  ) {
    self.algorithm = algorithm
    self.origin = origin
    self.key = key
    self.iv = iv
    self.aad = aad
    self.input = input
    self.output = output
    self.tag = tag
  }

  /// What the self-test runs: every algorithm in every key size (of ARC4's, those that have published answers).
  package static var all: [KnownAnswer] {
    ciphers + furtherCiphers + hashesAndMACs + furtherMACs + mobile + aeads
  }

  /// The bytes of a hexadecimal string.
  package static func bytes(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count & ~1, by: 2).map {
      UInt8(truncatingIfNeeded: digits[$0] << 4 | digits[$0 + 1])
    }
  }
}
