import CryptoTypes

/// One published answer, in hexadecimal; white space does not count.
struct KnownAnswer: Sendable {
  var algorithm: CryptoAlgorithm
  /// The publication and the place in it.
  var origin: String
  var key: String
  /// IV, counter block, tweak, nonce or (GCM with 16 bytes) J0.
  var iv: String
  var aad: String
  /// Plaintext or message.
  var input: String
  /// Ciphertext, hash or MAC.
  var output: String
  /// AEAD only.
  var tag: String

  init(
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

  /// What the self-test runs: every algorithm that the engine serves, in every key size.
  static var all: [KnownAnswer] { ciphers + hashesAndMACs + aeads }

  /// The bytes of a hexadecimal string.
  static func bytes(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count & ~1, by: 2).map {
      UInt8(truncatingIfNeeded: digits[$0] << 4 | digits[$0 + 1])
    }
  }
}
