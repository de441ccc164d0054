import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// RSA keys whose numbers do not belong together, and operands that do not belong to their key.
extension AsymmetricTests {
  @Suite("Hostile RSA numbers")
  struct HostileRSANumberTests {
    /// A result with one wrong half would give the factors away: never that.
    @Test func wrongPartsNeverGiveWrongResults() throws {
      let bench = try AsymmetricBench()
      let good = Keys.rsa1024
      let two = BigNumber(2)
      let changes: [(String, (inout RSAKeyPair) -> Void)] = [
        ("p·q is not n", { $0.prime1 = $0.prime1 + two }),
        ("q is p", { $0.prime2 = $0.prime1 }),
        ("p is 0", { $0.prime1 = BigNumber(0) }),
        ("p is even", { $0.prime1 = $0.prime1 - BigNumber(1) }),
        ("p is 1 and q is n", { ($0.prime1, $0.prime2) = (BigNumber(1), $0.modulus) }),
        ("p and q are swapped", { ($0.prime1, $0.prime2) = ($0.prime2, $0.prime1) }),
        ("dP is wrong", { $0.exponent1 = $0.exponent1 + two }),
        ("dQ is wrong", { $0.exponent2 = $0.exponent2 + two }),
        ("dP is huge", { $0.exponent1 = .random(bitCount: 3000) }),
        ("dQ is 0", { $0.exponent2 = BigNumber(0) }),
        ("qInv is wrong", { $0.coefficient = $0.coefficient + two }),
        ("qInv is 0", { $0.coefficient = BigNumber(0) }),
        ("qInv is huge", { $0.coefficient = .random(bitCount: 3000) }),
      ]
      for (name, change) in changes {
        var key = good
        change(&key)
        let spec = AKCipherSpec.rsa(.raw, key: key.privateKey)
        try bench.expect(
          KeyTask(.decrypt, spec, HostileRSAKeyTests.text, room: 128),
          givesOrRefuses: good.rawPrivate(HostileRSAKeyTests.text), name)
        let signing = AKCipherSpec.rsa(.pkcs1, .sha256, key: key.privateKey)
        try bench.expect(
          KeyTask(.sign, signing, HostileRSAKeyTests.text, room: 128),
          givesOrRefuses: good.sign(HostileRSAKeyTests.text, .sha256), name)
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func inconsistentExponentsDoNoHarm() throws {
      let bench = try AsymmetricBench()
      var key = Keys.rsa1024
      key.privateExponent = key.privateExponent + BigNumber(2)
      for task in HostileRSAKeyTests.tasks(key) {
        for reply in try bench.replies(task) {
          let statuses: [VirtioCryptoStatus] = [.ok, .err, .keyRejected]
          #expect(statuses.contains(reply.status), "\(reply.status)")
        }
      }
      try bench.expectAllIsWell()
      try bench.finish()
    }

    // MARK: Operands

    @Test func inputsThatAreNotBelowTheModulusAreRefused() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      let n = key.modulus.bytes
      let over = (key.modulus + BigNumber(1)).bytes
      let most = [UInt8](repeating: 0xFF, count: 128)
      for (name, input) in [
        ("n", n), ("n + 1", over), ("all ones", most), ("a byte more", [1] + n),
        ("4096 bytes", [UInt8](repeating: 0xFF, count: 4096)),
      ] {
        for task in [
          KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), input, room: 128),
          KeyTask(.decrypt, .rsa(.raw, key: key.privateKey), input, room: 128),
          KeyTask(.decrypt, .rsa(.pkcs1, key: key.privateKey), input, room: 128),
        ] { try bench.expect(task, refusedWith: .err, ofSession: false, comment: name) }
        let verifying = AKCipherSpec.rsa(.pkcs1, .sha256, key: key.publicKey)
        try bench.expect(
          KeyTask(verify: input, of: HostileRSAKeyTests.text, verifying), refusedWith: .keyRejected,
          ofSession: false, comment: name)
      }
      let last = (key.modulus - BigNumber(1)).bytes
      try bench.expect(
        KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), last, room: 128),
        gives: key.rawPublic(last))
      try bench.expectAllIsWell()
      try bench.finish()
    }

    @Test func emptyInputsDoNoHarm() throws {
      let bench = try AsymmetricBench()
      let key = Keys.rsa1024
      try bench.expect(
        KeyTask(.decrypt, .rsa(.pkcs1, key: key.privateKey), [], room: 128), refusedWith: .err)
      try bench.expect(
        KeyTask(verify: [], of: HostileRSAKeyTests.text, .rsa(.pkcs1, .sha256, key: key.publicKey)),
        refusedWith: .keyRejected, .err)
      for task in [
        KeyTask(.encrypt, .rsa(.raw, key: key.publicKey), [], room: 128),
        KeyTask(.decrypt, .rsa(.raw, key: key.privateKey), [], room: 128),
      ] {
        // No bytes may be the number 0.
        try bench.expect(task, givesOrRefuses: [UInt8](repeating: 0, count: 128))
      }
      try bench.expect(
        KeyTask(.sign, .rsa(.pkcs1, key: key.privateKey), [], room: 128),
        givesOrRefuses: key.sign([], .none))
      try bench.expectAllIsWell()
      try bench.finish()
    }
  }
}
