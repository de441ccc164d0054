import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Good keys on every curve, against libcrypto's own signatures.
extension AsymmetricTests {
  @Suite("ECDSA")
  struct ECDSATests {
    @Test(arguments: AKCipherCurve.allCases)
    func signaturesAreTheReferences(curve: AKCipherCurve) throws {
      let bench = try AsymmetricBench()
      var random = SeededRandom.printed()
      let key = try Keys.on(curve)
      let signing = AKCipherSpec.ecdsa(curve, key: key.privateKey)
      let verifying = AKCipherSpec.ecdsa(curve, key: key.publicKey)
      let room = curve.maximumSignatureByteCount
      // Of a digest longer than the order, the leading bits count.
      for count in [20, 28, 32, 48, 64, 66, 100] {
        let digest = random.bytes(count)
        let task = KeyTask(.sign, signing, digest, room: room + count)
        for reply in try bench.replies(task, "\(count) bytes") {
          #expect(reply.status == .ok, "\(count) bytes")
          #expect(reply.result.count <= room)
          #expect(key.verify(reply.result, of: digest), "\(count) bytes")
        }
        let signature = try #require(key.sign(digest))
        for spec in [verifying, signing] {
          try bench.expect(KeyTask(verify: signature, of: digest, spec), gives: [])
        }
        var other = digest
        other[0] ^= 0x80
        try bench.expect(
          KeyTask(verify: signature, of: other, verifying), refusedWith: .keyRejected,
          ofSession: false, comment: "\(count) bytes")
      }
      try bench.finish()
    }

    @Test(arguments: AKCipherCurve.allCases, ECKeyPair.Parts.allCases)
    func privateKeysNeedNoneOfTheirOptionalParts(
      curve: AKCipherCurve, parts: ECKeyPair.Parts
    ) throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(curve)
      let spec = AKCipherSpec.ecdsa(curve, key: .privateKey(key.privateBytes(parts)))
      let digest = [UInt8](repeating: 0x77, count: 32)
      let room = curve.maximumSignatureByteCount
      for reply in try bench.replies(KeyTask(.sign, spec, digest, room: room)) {
        #expect(reply.status == .ok)
        #expect(key.verify(reply.result, of: digest))
      }
      let signature = try #require(key.sign(digest))
      try bench.expect(KeyTask(verify: signature, of: digest, spec), gives: [])
      try bench.finish()
    }

    /// A signature of the greatest length and the room for it; without room, no byte of it.
    @Test(arguments: AKCipherCurve.allCases)
    func signaturesThatHaveNoRoomAreRefused(curve: AKCipherCurve) throws {
      let bench = try AsymmetricBench()
      let key = try Keys.on(curve)
      let spec = AKCipherSpec.ecdsa(curve, key: key.privateKey)
      let digest = [UInt8](repeating: 0x77, count: 32)
      for room in [0, 1, 7, curve.byteCount] {
        try bench.expect(
          KeyTask(.sign, spec, digest, room: room), refusedWith: .err, ofSession: false,
          comment: "\(room) bytes of room")
      }
      try bench.finish()
    }

    @Test func keysOfAnotherCurveAreRefused() throws {
      let bench = try AsymmetricBench()
      let signature = [UInt8](repeating: 1, count: 64)
      for curve in AKCipherCurve.allCases {
        let key = try Keys.on(curve)
        for other in AKCipherCurve.allCases where other != curve {
          for made in [key.publicKey, .privateKey(key.privateBytes(.both))]
            + [AKCipherKey.privateKey(key.privateBytes(.parameters))]
          {
            let task = KeyTask(verify: signature, of: signature, .ecdsa(other, key: made))
            try bench.expect(
              task, refusedWith: .err, ofSession: true, comment: "\(curve) as \(other)")
          }
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
