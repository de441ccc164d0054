import CryptoTypes
import Foundation
import StatsEndpoint
import TestSupport
import Testing
import VhostUserFrontend

#if IPSEC_MB

  extension TheDaemon {
    /// Which engine a request goes to, seen in the statistics; needs two engines.
    @Suite("Engines by size")
    struct EngineSizeTests {
      private static let bySize = """
        version: 1
        algorithms:
          cipher:
            aes-cbc: { engine: [ { openssl: { max-size: 1024 } }, ipsec-mb ] }

        """

      /// Requests by engine, of one algorithm.
      private func requests(
        _ daemon: DaemonProcess, _ algorithm: String
      ) throws -> [String: UInt64] {
        let rows = try daemon.device().algorithms.filter { $0.algorithm == algorithm }
        #expect(rows.allSatisfy { $0.errors == 0 })
        return Dictionary(rows.map { ($0.engine, $0.requests) }, uniquingKeysWith: +)
      }

      private func expectRight(_ client: CryptoClient, _ operation: OperationSpec) throws {
        let answer = try client.perform(operation)
        let expected = try #require(ReferenceCrypto.answer(to: operation))
        #expect(answer.status == .ok)
        #expect(answer.output == expected.output && answer.result == expected.result)
      }

      @Test func lengthOfTheSourceDecides() throws {
        let daemon = try DaemonProcess.withStatistics(Self.bySize)
        let client = try daemon.client()
        let session = try client.openSession(Samples.encryption)
        // 7216 and 136,272 bytes.
        for (byteCount, count) in [(1024, 7), (1040, 5), (16, 3), (65536, 2)] {
          for salt in 0..<count {
            try expectRight(
              client, Samples.encrypt(session, byteCount: byteCount, salt: salt))
          }
        }
        #expect(try requests(daemon, "aes-cbc") == ["openssl": 10, "ipsec-mb": 7])
        let rows = try daemon.device().algorithms
        let bytes = Dictionary(rows.map { ($0.engine, $0.bytes) }, uniquingKeysWith: +)
        let expected: [String: UInt64] = ["openssl": 7216, "ipsec-mb": 136_272]
        #expect(bytes == expected)
        // Wrong lengths count where the length would have been served.
        #expect(try client.perform(Samples.encrypt(session, byteCount: 17)).status == .err)
        #expect(try daemon.terminate() == .status(0))
      }

      /// One session, both engines, many at once.
      @Test func sizesMayMixInOneBatch() throws {
        let daemon = try DaemonProcess.withStatistics(Self.bySize)
        let client = try daemon.client()
        let session = try client.openSession(Samples.encryption)
        let carousel = try Carousel(
          client,
          (0..<8).map {
            Samples.encrypt(session, byteCount: $0 % 2 == 0 ? 1024 : 1040, salt: $0)
          })
        try carousel.run(6400, batch: 64)
        try carousel.expectRightAnswers()
        #expect(try requests(daemon, "aes-cbc") == ["openssl": 3200, "ipsec-mb": 3200])
      }

      @Test func requestsWithoutASessionAreRoutedAlike() throws {
        let daemon = try DaemonProcess.withStatistics(Self.bySize)
        var options = Frontend.Options()
        options.features |= RequestFormat.stateless.features
        let client = try daemon.client(options: options)
        for (byteCount, count) in [(1024, 4), (1040, 6)] {
          for salt in 0..<count {
            try expectRight(
              client,
              OperationSpec(
                Samples.encryption, sessionID: nil, iv: Samples.bytes(16, salt),
                source: Samples.bytes(byteCount, salt)))
          }
        }
        #expect(try requests(daemon, "aes-cbc") == ["openssl": 4, "ipsec-mb": 6])
      }

      /// A chain takes its cipher's engines with their sizes, as far as they do the other half.
      @Test func chainsFollowTheirCipher() throws {
        let daemon = try DaemonProcess.withStatistics(
          Self.bySize + "  mac: { hmac-sha256: { engine: [ipsec-mb, openssl] } }\n"
            + "  hash: { sha256: { engine: [openssl] } }\n")
        let client = try daemon.client()
        func perform(_ second: ChainSecond, byteCount: Int) throws {
          let chain = SessionSpec.chain(
            SessionSpec.Chain(
              .aesCBC, .encrypt, key: Samples.bytes(16), order: .hashThenCipher, second: second))
          let session = try client.openSession(chain)
          try expectRight(
            client,
            OperationSpec(
              chain, sessionID: session, iv: Samples.bytes(16),
              source: Samples.bytes(byteCount)))
        }
        let mac = ChainSecond.authenticated(.hmacSHA256, key: Samples.bytes(32))
        try perform(mac, byteCount: 1024)
        try perform(mac, byteCount: 1040)
        try perform(mac, byteCount: 4096)
        #expect(
          try requests(daemon, "aes-cbc+hmac-sha256") == ["openssl": 1, "ipsec-mb": 2])
        // Of these two, only openssl does both: it takes every size.
        try perform(.plain(.sha256), byteCount: 64)
        try perform(.plain(.sha256), byteCount: 4096)
        #expect(try requests(daemon, "aes-cbc+sha256") == ["openssl": 2])
      }

      /// An engine that lacks an algorithm here leaves its sizes to the first of the others.
      @Test func sizesOfAnEngineThatIsMissingFallToAnother() throws {
        let daemon = try DaemonProcess.withStatistics(
          """
          version: 1
          engines: { openssl: { property-query: "provider=nobody" } }
          algorithms:
            cipher:
              aes-cbc: { engine: [ { openssl: { max-size: 1024 } }, ipsec-mb ] }

          """)
        let client = try daemon.client()
        let session = try client.openSession(Samples.encryption)
        for byteCount in [16, 1024, 1040] {
          try expectRight(client, Samples.encrypt(session, byteCount: byteCount))
        }
        #expect(try requests(daemon, "aes-cbc") == ["ipsec-mb": 3])
      }

      // MARK: Measured

      /// Speeds as a host would have them where openssl is good at short requests.
      @Test func autoFollowsWhatTheCacheSays() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("speeds.json")
        try DaemonProcess(arguments: ["--calibration-cache=\(path)"]).terminate()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        var file = try #require(object as? [String: Any])
        var speeds = try #require(file["bytesPerSecond"] as? [String: [String: [Double]]])
        #expect(speeds["cipher/aes-cbc"]?["openssl"]?.count == 3)
        speeds["cipher/aes-cbc"] = [
          "openssl": [9e9, 1e9, 9e9], "ipsec-mb": [1e9, 9e9, 1e9],
        ]
        file["bytesPerSecond"] = speeds
        try JSONSerialization.data(withJSONObject: file).write(to: URL(filePath: path))

        let daemon = try DaemonProcess.withStatistics(
          arguments: ["--calibration-cache=\(path)"])
        let client = try daemon.client()
        let session = try client.openSession(Samples.encryption)
        for byteCount in [16, 256, 272, 4096, 4112, 65536] {
          try expectRight(client, Samples.encrypt(session, byteCount: byteCount))
        }
        #expect(try requests(daemon, "aes-cbc") == ["openssl": 4, "ipsec-mb": 2])
        #expect(!daemon.standardError.contains("engines measured"))
      }
    }
  }

#endif
