import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Wycheproof's vectors of RSA, ECDSA, DSA and ECDH as requests of the ASYM service.
extension DeviceTests {
  @Suite("ASYM vectors")
  struct ASYMVectorTests {
    typealias Padding = VirtioCryptoASYM.Padding

    private func bytes(_ text: String?) throws -> [UInt8] {
      let text = try #require(text)
      return try #require([UInt8](hexadecimal: text.count % 2 == 0 ? text : "0" + text))
    }

    /// What a file asks for, test by test: each signature verifies exactly if it is valid; those that are no two natural
    /// numbers cannot be sent, and none of them is valid.
    private func checkSignatures(
      _ file: String,
      _ request: (VectorFile.Group, VectorFile.Test, (r: [UInt8], s: [UInt8])) throws -> DataRequest
    ) throws {
      let bench = try ASYMBench()
      let vectors = try Vectors.load(file)
      var (right, wrong, unsendable) = (0, 0, 0)
      for group in vectors.testGroups {
        for test in group.tests {
          guard let pair = signatureNumbers(try test.signatureBytes) else {
            #expect(test.result != "valid", "\(file) \(test.tcId)")
            unsendable += 1
            continue
          }
          let verdict = try bench.verdict(try request(group, test, pair))
          #expect(verdict == (test.result != "invalid"), "\(file) \(test.tcId)")
          if verdict == true { right += 1 } else { wrong += 1 }
        }
      }
      #expect(right + wrong + unsendable == vectors.testCount)
      #expect(right > 50 && wrong > 50)
      try bench.finish()
    }

    @Test func dsaSignatures() throws {
      try checkSignatures("wycheproof/dsa_2048_256_sha256_test.json") { group, test, pair in
        let key = try #require(group.publicKey)
        let parameters = ASYMRequest.DSAGroup(
          p: try bytes(key.p), q: try bytes(key.q), g: try bytes(key.g))
        return ASYMRequest.dsaVerify(
          parameters, y: try bytes(key.y), r: pair.r, s: pair.s, try test.messageBytes, .sha256)
      }
    }

    @Test(
      arguments: [
        ("secp256r1_sha256", "prime256v1", HashAlgorithm.sha256),
        ("secp384r1_sha384", "secp384r1", .sha384),
      ])
    func ecdsaSignatures(_ file: String, _ curve: String, _ hash: HashAlgorithm) throws {
      let parameters = try #require(ECCurve(curve)).parameters
      try checkSignatures("wycheproof/ecdsa_\(file)_test.json") { group, test, pair in
        let key = try #require(group.publicKey)
        return ASYMRequest.ecdsaVerify(
          parameters, x: try bytes(key.wx), y: try bytes(key.wy), r: pair.r, s: pair.s,
          try test.messageBytes, hash)
      }
    }

    @Test func rsaSignatures() throws {
      let bench = try ASYMBench()
      let vectors = try Vectors.load("wycheproof/rsa_signature_2048_sha256_test.json")
      for group in vectors.testGroups {
        let key = try #require(group.publicKey)
        for test in group.tests {
          let request = ASYMRequest.rsaVerify(
            n: try bytes(key.modulus), e: try bytes(key.publicExponent),
            signature: try test.signatureBytes, try test.messageBytes, .sha256,
            padding: Padding.pkcs1)
          let verdict = try bench.verdict(request)
          if try test.signatureBytes.isEmpty {
            // Its length is the word for "as long as the modulus", and so many bytes are not there.
            #expect(verdict == nil && test.result == "invalid", "\(test.tcId)")
          } else if test.result != "acceptable" {
            #expect(verdict == (test.result == "valid"), "\(test.tcId)")
          } else {
            #expect(verdict != nil, "\(test.tcId)")
          }
        }
      }
      try bench.finish()
    }

    /// With both representations of the private key.
    @Test func rsaCiphertexts() throws {
      let bench = try ASYMBench()
      for group in try Vectors.load("wycheproof/rsa_pkcs1_2048_test.json").testGroups {
        let numbers = try #require(group.privateKey)
        let keys = [
          ASYMRequest.RSAPrivateKey.exponents(
            n: try bytes(numbers.modulus), d: try bytes(numbers.privateExponent)),
          .primes(
            try bytes(numbers.prime1), try bytes(numbers.prime2), try bytes(numbers.exponent1),
            try bytes(numbers.exponent2), try bytes(numbers.coefficient)),
        ]
        for test in group.tests {
          for key in keys {
            let request = ASYMRequest.rsaDecrypt(
              key, try test.ciphertextBytes, padding: Padding.pkcs1)
            if test.result == "invalid" {
              try bench.expectRefusal(request, .err, "\(test.tcId)")
            } else {
              #expect(try bench.result(request, "\(test.tcId)") == test.messageBytes)
            }
          }
        }
      }
      try bench.finish()
    }

    @Test func ecdhSecrets() throws {
      let bench = try ASYMBench()
      let curve = try #require(ECCurve("prime256v1"))
      var refused = 0
      for test in try Vectors.load("wycheproof/ecdh_secp256r1_ecpoint_test.json").testGroups
        .flatMap(\.tests)
      {
        let point = try bytes(test.public)
        var (x, y): ([UInt8], [UInt8])
        if point.first == 4 {
          (x, y) = (Array(point[1..<33]), Array(point[33...]))
        } else if let coordinates = curve.coordinates(ofPoint: point) {
          (x, y) = coordinates
        } else {
          // Not even a number that has a square root: no y can be sent that would be right.
          (x, y) = (Array(point.dropFirst()), [])
        }
        let request = ASYMRequest.ecdhSecret(
          curve.parameters, d: try bytes(test.private), x: x, y: y, secretByteCount: 32)
        if test.result == "invalid" {
          try bench.expectRefusal(request, .err, "\(test.tcId)")
          refused += 1
        } else {
          #expect(try bench.result(request, "\(test.tcId)") == bytes(test.shared))
        }
      }
      #expect(refused == 24)
      try bench.finish()
    }
  }
}
