import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Every published vector of the service, in every way.
extension AsymmetricTests {
  @Suite("Published vectors")
  struct PublishedVectorTests {
    /// A file of signatures, and what its keys are for.
    struct SignatureSet: Sendable, CustomTestStringConvertible {
      var file: String
      var hash: HashAlgorithm
      var spec: @Sendable (AKCipherKey) -> AKCipherSpec
      var testDescription: String { file }
    }

    static let signatureSets = [
      SignatureSet(file: "wycheproof/rsa_signature_2048_sha256_test.json", hash: .sha256) {
        .rsa(.pkcs1, .sha256, key: $0)
      },
      SignatureSet(file: "wycheproof/ecdsa_secp256r1_sha256_test.json", hash: .sha256) {
        .ecdsa(.p256, key: $0)
      },
      SignatureSet(file: "wycheproof/ecdsa_secp384r1_sha384_test.json", hash: .sha384) {
        .ecdsa(.p384, key: $0)
      },
    ]

    /// "Acceptable" signatures lack the NULL of the hash's parameters; libcrypto compares whole blocks and refuses them.
    @Test(arguments: signatureSets)
    func everySignatureIsJudgedAsPublished(_ set: SignatureSet) throws {
      let bench = try AsymmetricBench()
      var faults: [String] = []
      var counts: [VirtioCryptoStatus: Int] = [:]
      for group in try Vectors.load(set.file).testGroups {
        let key = try #require(AKCipherKey(subjectPublicKeyInfo: try group.publicKeyInfo))
        let spec = set.spec(key)
        for guest in bench.guests {
          let session =
            guest.way == .stateless ? nil : try guest.client.openSession(.akcipher(spec))
          for test in group.tests {
            let digest = try #require(
              ReferenceCrypto.hash(
                set.hash, test.messageBytes, byteCount: set.hash.maximumResultByteCount))
            let task = KeyTask(verify: try test.signatureBytes, of: digest, spec)
            let reply = try guest.perform(task, session: session)
            let expected: VirtioCryptoStatus = test.result == "valid" ? .ok : .keyRejected
            if reply.status != expected || reply.fault != nil {
              faults.append(
                "test \(test.tcId) \(guest.way): \(reply.status), \(reply.fault ?? "no fault")")
            }
            counts[reply.status, default: 0] += 1
          }
          if let session {
            #expect(try guest.client.destroySession(session, service: .akcipher) == .ok)
          }
        }
      }
      #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(20))")
      #expect(
        counts.values.reduce(0, +) == (try Vectors.load(set.file).testCount) * Way.allCases.count)
      #expect(counts[.ok, default: 0] > 0 && counts[.keyRejected, default: 0] > 0)
      try bench.finish()
    }

    /// A private key of 2048 bits has 1190 bytes or so, for which a session message has no room: the other three ways.
    @Test func everyCiphertextIsDecipheredOrRefusedAsPublished() throws {
      let file = try Vectors.load("wycheproof/rsa_pkcs1_2048_test.json")
      let ways = Way.allCases.filter { $0 != .messages }
      let bench = try AsymmetricBench(ways)
      var faults: [String] = []
      var decipheredCount = 0
      for group in file.testGroups {
        let key = try #require(AKCipherKey(privateKeyInfo: try group.privateKeyInfo))
        #expect(key.bytes.count > 1024)
        let spec = AKCipherSpec.rsa(.pkcs1, key: key)
        for guest in bench.guests {
          let session =
            guest.way == .stateless ? nil : try guest.client.openSession(.akcipher(spec))
          for test in group.tests {
            let task = KeyTask(.decrypt, spec, try test.ciphertextBytes, room: 256)
            let reply = try guest.perform(task, session: session)
            let isRight =
              try test.result == "valid"
              ? reply.status == .ok && reply.result == test.messageBytes : reply.status == .err
            if !isRight || reply.fault != nil {
              faults.append(
                "test \(test.tcId) \(guest.way): \(reply.status), \(reply.fault ?? "no fault")")
            }
            if reply.status == .ok { decipheredCount += 1 }
          }
          if let session {
            #expect(try guest.client.destroySession(session, service: .akcipher) == .ok)
          }
        }
      }
      #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(20))")
      let validCount = file.testGroups.flatMap(\.tests).count { $0.result == "valid" }
      #expect(decipheredCount == validCount * ways.count)
      try bench.finish()
    }
  }
}
