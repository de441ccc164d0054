import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend

/// A published answer for an algorithm that has no vector file.
struct KnownAnswerCase: Sendable {
  var algorithm: CryptoAlgorithm
  var source: String
  var key: String
  var iv = ""
  var input: String
  var output: String

  init(
    _ algorithm: CryptoAlgorithm, from source: String, key: String, iv: String = "",
    input: String, output: String
  ) {
    self.algorithm = algorithm
    self.source = source
    self.key = key
    self.iv = iv
    self.input = input
    self.output = output
  }

  static let all = ciphers + hashes + macs

  private static let zeros32 = String(repeating: "00", count: 32)
  private static let now = "4e6f77206973207468652074696d6520666f7220616c6c20"
  private static let nist = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
  private static let tripleKey = "0123456789abcdef23456789abcdef01456789abcdef0123"

  private static let ciphers: [KnownAnswerCase] = [
    .init(
      .cipher(.arc4), from: "RFC 6229 §2, 40 bits", key: "0102030405", input: zeros32,
      output: "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919"),
    .init(
      .cipher(.arc4), from: "RFC 6229 §2, 128 bits", key: "0102030405060708090a0b0c0d0e0f10",
      input: zeros32, output: "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c"),
    .init(
      .cipher(.arc4), from: "RFC 6229 §2, 256 bits",
      key: "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", input: zeros32,
      output: "eaa6bd25880bf93d3f5d1e4ca2611d91cfa45c9f7e714b54bdfa80027cb14380"),
    .init(
      .cipher(.desECB), from: "FIPS 81 table B1", key: "0123456789abcdef", input: now,
      output: "3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53"),
    .init(
      .cipher(.tripleDESECB), from: "NIST SP 800-67 B.1", key: tripleKey,
      input: "5468652071756663 6b2062726f776e20 666f78206a756d70",
      output: "a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900"),
    .init(
      .cipher(.tripleDESCTR), from: "NIST example values, TDES_CTR", key: tripleKey,
      iv: "f69f2445df4f9b17", input: nist,
      output: "078bb74e59ce7ed619aa11d25004fb65a03cedf1ba0b09baa3bc81b8f69c1da9"),
    .init(
      .cipher(.aesF8), from: "RFC 3711 B.1",
      key: "234829008467be186c3de14aae72d62c 32f2870d555555555555555555555555",
      iv: "006e5cba50681de55c621599d462564a",
      input: "70736575646f72616e646f6d6e65737320697320746865206e6578742062657374207468696e67",
      output: "019ce7a26e7854014a6366aa95d4eefd1ad4172a14f9faf455b7f1d4b62bd08f562c0eef7c4802"),
  ]

  private static let hashes: [KnownAnswerCase] = [
    ("", "d41d8cd98f00b204e9800998ecf8427e"), ("a", "0cc175b9c0f1b6a831c399e269772661"),
    ("abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
    (
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
      "d174ab98d277d9f5a5611c2c9f419d9f"
    ),
    (String(repeating: "1234567890", count: 8), "57edf4a22be3c955ac49da2e2107b67a"),
  ].map {
    .init(
      .hash(.md5), from: "RFC 1321 A.5", key: "", input: hexadecimal(Array($0.utf8)), output: $1)
  }

  private static let macs: [KnownAnswerCase] = {
    let triple = "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5"
    let codes = [
      (0, "b7a688e122ffaf95"), (8, "8e8f293136283797"), (20, "743ddbe0ce2dc2ed"),
      (32, "33e6b1092400eae5"),
    ]
    // CBC from SP 800-38A F.2, its IV mixed into the first block, is a CBC-MAC's way.
    let mixed = "6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e51"
    let rest = "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    let blocks = [
      ("2b7e151628aed2a6abf7158809cf4f3c", "3ff1caa1681fac09120eca307586e1a7"),
      ("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "08b0e27988598881d920a9e64f5615cd"),
      (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "b2eb05e2c39be9fcda6c19078c6a9d1b"
      ),
    ]
    return codes.map {
      .init(
        .mac(.cmac3DES), from: "NIST SP 800-38B D.4", key: triple,
        input: String(nist.prefix(2 * $0.0)), output: $0.1)
    }
      + blocks.map {
        .init(
          .mac(.cbcmacAES), from: "NIST SP 800-38A F.2", key: $0.0, input: mixed + rest,
          output: $0.1)
      } + twofish
  }()

  /// Lengths of key and message, and GMAC-Twofish's answer: it has no publication.
  ///
  /// Computed with the Twofish of its authors (by way of PyPI's twofish), and again with libgcrypt 1.10.1, which has no
  /// keys of 24 bytes.
  private static let twofish: [KnownAnswerCase] = {
    let answers = [
      (16, 0, "3be2d56adeffb07f4d55b0550f579e49"),
      (16, 1, "fc56a86d6f766cab6289387805543464"),
      (16, 16, "1241bfa3776cb68d37f0bcd0b0940a34"),
      (16, 40, "827dae0b475083b4f1df227cb40b9b06"),
      (24, 0, "b79a7f450387d1f26715ac00d677f75d"),
      (24, 1, "27f7b4e19245a15d7df15d5b59be9c68"),
      (24, 16, "0de4bb78d77c5ac96d16098b84fe199b"),
      (24, 40, "96faee53f012035ff3455b2c26743e0c"),
      (32, 0, "a6ce01d8983ce72aadc07943c3f5973c"),
      (32, 1, "4034d774aa81d986c9e238ab0b4d47e2"),
      (32, 16, "d92f646c94afdc81f160e1ec874c48c5"),
      (32, 40, "0eb9586bc13a1ca81d4736e9c93f681a"),
    ]
    return answers.map { keyByteCount, byteCount, code in
      .init(
        .mac(.gmacTwofish), from: "two implementations",
        key: hexadecimal((0..<keyByteCount).map { UInt8(truncatingIfNeeded: $0 * 7 + byteCount) }),
        iv: hexadecimal((0..<12).map { UInt8($0 + keyByteCount) }),
        input: hexadecimal((0..<byteCount).map { UInt8($0 * 5 + 1) }), output: code)
    }
  }()

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// Both directions of a cipher; a hash or MAC, and its head.
  func probes() throws -> [Probe] {
    func bytes(_ text: String) throws -> [UInt8] {
      try #require([UInt8](hexadecimal: text.filter { $0 != " " }))
    }
    let (key, iv, input, output) = try (bytes(key), bytes(iv), bytes(input), bytes(output))
    switch algorithm {
    case .cipher(let cipher):
      return [(CryptoDirection.encrypt, input, output), (.decrypt, output, input)].map {
        Probe(
          session: .cipher(cipher, $0, key: key), iv: iv, source: $1,
          expected: .answer(output: $2, result: []))
      }
    case .mac(let mac):
      return [output.count, output.count / 2].map {
        Probe(
          session: .mac(mac, key: key, resultByteCount: $0), source: iv + input,
          expected: .answer(output: [], result: Array(output.prefix($0))))
      }
    case .hash(let hash):
      return [output.count, output.count / 2].map {
        Probe(
          session: .hash(hash, resultByteCount: $0), source: input,
          expected: .answer(output: [], result: Array(output.prefix($0))))
      }
    case .aead, .akcipher: throw TestSupportError("all of these have vector files")
    }
  }
}

extension DeviceTests {
  @Suite("Known answers beside the vector files")
  struct KnownAnswerTests {
    static let engines = (try? EngineUnderTest.all()) ?? []

    @Test(arguments: engines, [Transport.layouts, Transport.drafts])
    func everyKnownAnswerComesFromEveryEngine(
      _ engine: EngineUnderTest, _ transports: [Transport]
    ) throws {
      let bench = try TestBench(transports, algorithms: engine.algorithms)
      var faults: [String] = []
      for known in KnownAnswerCase.all where engine.claims.contains(known.algorithm) {
        for probe in try known.probes() {
          for guest in bench.guests {
            for shape in Shape.allCases {
              if let fault = try probe.run(guest, shape) {
                faults.append("\(known.source), \(guest.transport), \(shape): \(fault)")
              }
            }
          }
        }
      }
      #expect(faults.isEmpty, "\(faults.count) faults: \(faults.prefix(8).joined(separator: "\n"))")
      try bench.finish()
    }

    /// What turns IVs of any length into J0 (VectorCases), held against libcrypto's.
    @Test func gmacAgreesWithTheReference() throws {
      var random = SeededRandom.printed()
      for count in [0, 1, 15, 16, 17, 100] {
        let (key, iv, message) = (random.bytes(16), random.bytes(12), random.bytes(count))
        let code = GHASH.code(iv: iv, message) {
          ReferenceCrypto.cipher(.aesECB, .encrypt, key: key, iv: [], source: $0) ?? []
        }
        #expect(code == ReferenceCrypto.mac(.gmacAES, key: key, iv: iv, message))
      }
    }
  }
}
