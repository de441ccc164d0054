import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// `device.max-operation-ms`: what would hold a queue up for longer is refused beforehand.
extension AsymmetricTests {
  @Suite("The longest operation")
  struct BoundedTimeTests {
    private func bench(_ limit: Int) throws -> AsymmetricBench {
      try AsymmetricBench([.revision1, .stateless], device: ["max-operation-ms: \(limit)"])
    }

    @Test func keysThatWouldTakeLongerAreNotSupported() throws {
      let bench = try bench(1)
      let key = try RSATests.key(4096)
      let text = [UInt8](repeating: 1, count: 32)
      for padding in AKCipherPadding.allCases {
        let spec = AKCipherSpec.rsa(padding, key: key.privateKey)
        try bench.expect(
          KeyTask(.decrypt, spec, text, room: 512), refusedWith: .notsupp, ofSession: true)
      }
      let small = AKCipherSpec.rsa(.raw, key: Keys.rsa512.publicKey)
      try bench.expect(
        KeyTask(.encrypt, small, text, room: 64), gives: Keys.rsa512.rawPublic(text))
      try bench.finish()
    }

    @Test func theSameKeysAreServedWithinALongerLimit() throws {
      let bench = try bench(5000)
      let key = try RSATests.key(4096)
      let text = [UInt8](repeating: 1, count: 32)
      try bench.expect(
        KeyTask(.decrypt, .rsa(.raw, key: key.privateKey), text, room: 512),
        gives: key.rawPrivate(text))
      try bench.finish()
    }

    /// The exponent's length counts, not the modulus's alone.
    @Test func longPublicExponentsCount() throws {
      let bench = try bench(1)
      var key = Keys.rsa2048
      let text = [UInt8](repeating: 1, count: 32)
      try bench.expect(
        KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), text, room: 256),
        gives: key.rawPublic(text))
      key.publicExponent = key.modulus - BigNumber(2)
      try bench.expect(
        KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), text, room: 256),
        refusedWith: .notsupp, .err, ofSession: true)
      try bench.finish()
    }
  }
}
