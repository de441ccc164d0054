import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Every published vector of every algorithm, in every layout, on every engine that claims it.
extension DeviceTests {
  @Suite("Published vectors")
  struct PublishedVectorTests {
    struct VectorSet: Sendable, CustomTestStringConvertible {
      var file: String
      var kind: VectorKind
      /// Tests whose algorithm variant the device does not have: how many, and why.
      var refused: (count: Int, reason: String)
      /// The one engine that has the algorithm, which a build for another processor goes without.
      var soleEngine: String?
      var testDescription: String { file }

      init(
        _ file: String, _ kind: VectorKind, refused: (count: Int, reason: String) = (0, ""),
        onlyOn soleEngine: String? = nil
      ) {
        self.file = file
        self.kind = kind
        self.refused = refused
        self.soleEngine = soleEngine
      }

      /// What the requests of each test ask for; a test of several algorithms is in several.
      func algorithms() throws -> Set<CryptoAlgorithm> {
        let tests = try Vectors.load(file).testGroups.flatMap(\.tests)
        return Set(try tests.flatMap { try kind.probes($0).map(\.algorithm) })
      }
    }

    /// A file, and an engine that claims at least one of its algorithms.
    struct VectorRun: Sendable, CustomTestStringConvertible {
      var set: VectorSet
      var engine: EngineUnderTest
      var testDescription: String { "\(set.file) on \(engine)" }
    }

    /// Empty when the engines or the vectors cannot be read, which `everyEngineIsHeldToItsClaims` reports.
    static let runs: [VectorRun] =
      (try? EngineUnderTest.all())?.flatMap { engine in
        served.filter { set in
          (try? set.algorithms()).map { !$0.isDisjoint(with: engine.claims) } ?? false
        }
        .map { VectorRun(set: $0, engine: engine) }
      } ?? []

    static let served: [VectorSet] = [
      VectorSet("kat/ecb_test.json", .cipher(.aesECB)),
      VectorSet("kat/cbc_test.json", .cipher(.aesCBC)),
      VectorSet("kat/ctr_test.json", .cipher(.aesCTR)),
      VectorSet("kat/des3_test.json", .cipher(.tripleDESCBC)),
      VectorSet("kat/des_test.json", .cipher(.desCBC)),
      VectorSet(
        "wycheproof/aes_xts_test.json", .cipher(.aesXTS),
        refused: (41, "XTS with AES-192 has no key size in virtio-crypto, IEEE 1619 or libcrypto")),
      VectorSet(
        "kat/sha_test.json",
        .hash([20: .sha1, 28: .sha224, 32: .sha256, 48: .sha384, 64: .sha512])),
      VectorSet(
        "kat/sha3_test.json",
        .hash([28: .sha3_224, 32: .sha3_256, 48: .sha3_384, 64: .sha3_512])),
      VectorSet("kat/shake128_test.json", .extendableHash(.shake128)),
      VectorSet("kat/shake256_test.json", .extendableHash(.shake256)),
      VectorSet("kat/hmac_md5_test.json", .mac(.hmacMD5)),
      VectorSet("kat/hmac_sha1_test.json", .mac(.hmacSHA1)),
      VectorSet("kat/hmac_sha224_test.json", .mac(.hmacSHA224)),
      VectorSet("kat/hmac_sha256_test.json", .mac(.hmacSHA256)),
      VectorSet("kat/hmac_sha384_test.json", .mac(.hmacSHA384)),
      VectorSet("kat/hmac_sha512_test.json", .mac(.hmacSHA512)),
      VectorSet("wycheproof/hmac_sha1_test.json", .mac(.hmacSHA1)),
      VectorSet("wycheproof/hmac_sha256_test.json", .mac(.hmacSHA256)),
      VectorSet("wycheproof/hmac_sha512_test.json", .mac(.hmacSHA512)),
      VectorSet("kat/cmac_128_test.json", .mac(.cmacAES)),
      VectorSet("kat/cmac_256_test.json", .mac(.cmacAES)),
      VectorSet(
        "wycheproof/aes_cmac_test.json", .mac(.cmacAES),
        refused: (5, "keys of 0, 8, 64, 160 and 320 bits are no AES keys: invalid on purpose")),
      VectorSet("kat/xcbc_test.json", .mac(.xcbcAES)),
      VectorSet("kat/gmac_test.json", .gmac),
      VectorSet("wycheproof/aes_gmac_test.json", .gmac),
      VectorSet("kat/gcm_test.json", .aead(.gcm)),
      VectorSet("wycheproof/aes_gcm_test.json", .aead(.gcm)),
      VectorSet("kat/ccm_128_test.json", .aead(.ccm)),
      VectorSet("kat/ccm_256_test.json", .aead(.ccm)),
      VectorSet("kat/chacha20_poly1305_test.json", .aead(.chacha20Poly1305)),
      VectorSet("wycheproof/chacha20_poly1305_test.json", .aead(.chacha20Poly1305)),
      VectorSet("kat/kasumi_f8_test.json", .cipher(.kasumiF8), onlyOn: "ipsec-mb"),
      VectorSet("kat/kasumi_f9_test.json", .kasumiMAC, onlyOn: "ipsec-mb"),
      VectorSet("kat/snow3g_f8_test.json", .cipher(.snow3gUEA2), onlyOn: "ipsec-mb"),
      VectorSet("kat/snow3g_f8_linear_test.json", .cipher(.snow3gUEA2), onlyOn: "ipsec-mb"),
      VectorSet("kat/snow3g_f9_test.json", .snow3gMAC, onlyOn: "ipsec-mb"),
      VectorSet("kat/zuc_eea3_128_test.json", .zucCipher, onlyOn: "ipsec-mb"),
      VectorSet("kat/zuc_eia3_128_test.json", .zucMAC, onlyOn: "ipsec-mb"),
    ]

    /// Files that no request to the device can express, and those that other tests run.
    static let notServed: [(file: String, reason: String)] = [
      ("wycheproof/dsa_2048_256_sha256_test.json", "virtio-crypto has no DSA"),
      ("wycheproof/ecdh_secp256r1_ecpoint_test.json", "virtio-crypto has no key agreement"),
      ("wycheproof/ecdsa_secp256r1_sha256_test.json", "in AsymmetricTests"),
      ("wycheproof/ecdsa_secp384r1_sha384_test.json", "in AsymmetricTests"),
      ("wycheproof/rsa_pkcs1_2048_test.json", "in AsymmetricTests"),
      ("wycheproof/rsa_signature_2048_sha256_test.json", "in AsymmetricTests"),
    ]

    @Test(arguments: runs)
    func everyVectorGivesItsAnswerOnEveryEngine(_ run: VectorRun) throws {
      try check(run, Transport.layouts)
    }

    /// Another decoder in front of the same device: one engine for each file says what it computes.
    @Test(arguments: runs.filter { $0.engine.name == $0.set.soleEngine ?? "openssl" })
    func everyVectorGivesItsAnswerInDraftV15(_ run: VectorRun) throws {
      try check(run, Transport.drafts)
    }

    private func check(_ run: VectorRun, _ transports: [Transport]) throws {
      let (set, engine) = (run.set, run.engine)
      let bench = try TestBench(transports, algorithms: engine.algorithms)
      let file = try Vectors.load(set.file)
      let shapes = Shape.allCases
      var met: [Set<Shape>] = bench.guests.map { _ in [] }
      var faults: [String] = []
      var testCount = 0
      var refusedCount = 0
      var probeCount = 0
      for test in file.testGroups.flatMap(\.tests) {
        let probes = try set.kind.probes(test)
        if probes.isEmpty { faults.append("test \(test.tcId) asks for nothing") }
        if probes.contains(where: \.isRefusedSession) { refusedCount += 1 }
        for probe in probes where engine.claims.contains(probe.algorithm) {
          for (index, guest) in bench.guests.enumerated() {
            // Neighbouring layouts differ in shape, and each layout meets every shape.
            let shape = shapes[(probeCount + 2 * index) % shapes.count]
            met[index].insert(shape)
            if let fault = try probe.run(guest, shape) {
              faults.append(
                "test \(test.tcId), \(probe.session.service), \(guest.transport), \(shape): \(fault)"
              )
            }
          }
          probeCount += 1
        }
        testCount += 1
      }
      #expect(faults.isEmpty, "\(faults.count) faults: \(faults.prefix(8).joined(separator: "\n"))")
      #expect(testCount == (try Self.writtenTestCount(set.file)))
      #expect(refusedCount == set.refused.count, "\(set.refused.reason)")
      #expect(probeCount > 0)
      if probeCount >= shapes.count {
        #expect(met.allSatisfy { $0.count == shapes.count })
      }
      try bench.finish()
    }

    /// Vectors or known answers run for whatever an engine claims.
    @Test func everyEngineIsHeldToItsClaims() throws {
      var covered = Set(KnownAnswerCase.all.map(\.algorithm))
      for set in Self.served { covered.formUnion(try set.algorithms()) }
      for engine in try EngineUnderTest.all() {
        let unproved = engine.claims.subtracting(covered).map(\.name).sorted()
        #expect(unproved.isEmpty, "\(engine) claims what nothing here proves: \(unproved)")
        let runs = Self.runs.filter { $0.engine == engine }
        #expect(!runs.isEmpty, "\(engine) claims nothing that has vectors")
      }
    }

    /// Engines that are chosen need not have everything; all that the host has must.
    @Test(.enabled(if: !EngineUnderTest.areChosen))
    func everyVectorFileRunsOnAnEngine() throws {
      let engines = try EngineUnderTest.all()
      for set in Self.served {
        if let sole = set.soleEngine, !engines.contains(where: { $0.name == sole }) { continue }
        for algorithm in try set.algorithms() {
          #expect(
            engines.contains { $0.claims.contains(algorithm) },
            "\(set.file): no engine has \(algorithm.name)")
        }
      }
    }

    /// The file's own count, read apart from the decoder, and the tests that it really has.
    static func writtenTestCount(_ file: String) throws -> Int {
      let data = try #require(FileManager.default.contents(atPath: Vectors.directory + "/" + file))
      let text = String(decoding: data, as: UTF8.self)
      let head = try JSONDecoder().decode(Head.self, from: data)
      let count = text.components(separatedBy: "\"tcId\"").count - 1
      #expect(count == head.numberOfTests)
      return count
    }

    private struct Head: Decodable { var numberOfTests: Int }

    @Test func everyVectorFileIsServedOrHasAReason() throws {
      let known = Self.served.map(\.file) + Self.notServed.map(\.file)
      #expect(Set(known).count == known.count)
      let present = try ["kat", "wycheproof"].flatMap { folder in
        try Vectors.names(in: folder).map { "\(folder)/\($0)" }
      }
      #expect(Set(known) == Set(present))
    }
  }
}

extension Probe {
  /// What an engine must claim to answer: of a chain, its cipher.
  var algorithm: CryptoAlgorithm {
    switch session {
    case .cipher(let cipher, _, _): .cipher(cipher)
    case .hash(let hash, _): .hash(hash)
    case .mac(let mac, _, _): .mac(mac)
    case .aead(let aead, _, _, _, _): .aead(aead)
    case .chain(let chain): .cipher(chain.cipher)
    case .akcipher: preconditionFailure("no probe has an asymmetric key")
    }
  }

  var isRefusedSession: Bool {
    if case .sessionRefused = expected { return true }
    return false
  }
}
