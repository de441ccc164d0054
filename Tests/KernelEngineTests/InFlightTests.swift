import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension KernelEngine {
  /// Operations overlap in the kernel, and what is short and elsewhere overtakes them.
  @Suite struct InFlightTests {
    struct Case: Sendable, CustomTestStringConvertible {
      var service: String
      var algorithm: String
      var driver: String?
      var session: SessionSpec
      var ivByteCount: Int
      var testDescription: String { "\(algorithm) by \(driver ?? "the kernel's choice")" }
    }

    private static let key = KernelHost.bytes(16)
    private static let cbc = SessionSpec.cipher(.aesCBC, .encrypt, key: key)
    private static let gcm = SessionSpec.aead(.gcm, .encrypt, key: key, tagByteCount: 16)

    /// Drivers that finish at once, and such (cryptd) that have others do the work and finish later.
    static let cases = [
      Case(service: "cipher", algorithm: "aes-cbc", driver: nil, session: cbc, ivByteCount: 16),
      Case(
        service: "cipher", algorithm: "aes-cbc", driver: "cryptd(cbc(aes-generic))", session: cbc,
        ivByteCount: 16),
      Case(service: "aead", algorithm: "aes-gcm", driver: nil, session: gcm, ivByteCount: 12),
      Case(
        service: "aead", algorithm: "aes-gcm",
        driver: "gcm_base(cryptd(ctr(aes-generic)),ghash-generic)", session: gcm, ivByteCount: 12),
      Case(
        service: "hash", algorithm: "sha256", driver: "cryptd(sha256-generic)",
        session: .hash(.sha256, resultByteCount: 32), ivByteCount: 0),
      Case(
        service: "mac", algorithm: "hmac-sha256", driver: "cryptd(hmac(sha256-generic))",
        session: .mac(.hmacSHA256, key: key, resultByteCount: 32), ivByteCount: 0),
    ]

    @Test(arguments: cases)
    func sixtyFourRequestsOverlapInTheKernel(_ test: Case) async throws {
      let daemon = try KernelHost.daemon([
        (test.service, KernelHost.entry(test.algorithm, driver: test.driver))
      ])
      let client = try daemon.client()
      let session = try client.openSession(test.session)
      let burst = try Burst(
        client,
        (0..<64).map {
          OperationSpec(
            test.session, sessionID: session, iv: KernelHost.bytes(test.ivByteCount, $0),
            source: KernelHost.bytes(16384, $0))
        })
      for _ in 0..<3 { #expect(try burst.run().count == 64) }
      let queue = try await KernelHost.queue(daemon)
      #expect(queue.inFlightMaximum > 1, "never more than one operation in the kernel")
      #expect(queue.inFlight == 0 && queue.requests == 192)
      let row = try #require(try await KernelHost.rows(daemon).first)
      #expect(row.engine == "kernel" && row.requests == 192 && row.errors == 0)
      print("in-flight: \(test.testDescription): \(queue.inFlightMaximum) at once")
      burst.dispose()
      client.frontend.disconnect()
      #expect(try daemon.terminate() == .status(0))
    }

    @Test(arguments: [nil, "cryptd(cbc(aes-generic))"] as [String?])
    func shortRequestsOnAnotherEngineOvertake(driver: String?) throws {
      let daemon = try KernelHost.daemon([
        ("cipher", KernelHost.entry("aes-cbc", driver: driver)),
        ("hash", "sha256: { engine: [openssl] }"),
      ])
      let client = try daemon.client()
      let cipher = try client.openSession(Self.cbc)
      let hash = SessionSpec.hash(.sha256, resultByteCount: 32)
      let hashSession = try client.openSession(hash)
      let long = (0..<64).map {
        OperationSpec(
          Self.cbc, sessionID: cipher, iv: KernelHost.bytes(16, $0),
          source: KernelHost.bytes(65536, $0))
      }
      let short = (0..<16).map {
        OperationSpec(hash, sessionID: hashSession, source: KernelHost.bytes(64, $0))
      }
      // The long ones come first in the ring.
      let burst = try Burst(client, long + short)
      let order = try burst.run()
      let lastShort = try #require(order.lastIndex { $0 >= 64 })
      let overtaken = order[lastShort...].count { $0 < 64 }
      print(
        "overtaking: \(driver ?? "the kernel's choice"): \(overtaken) of 64 long ones behind all short ones"
      )
      #expect(overtaken >= 32)
      burst.dispose()
      client.frontend.disconnect()
      #expect(try daemon.terminate() == .status(0))
    }

    /// `engines.kernel.in-flight` bounds what is in the kernel; the rest waits in the lane.
    @Test func whatExceedsTheLimitWaitsForItsTurn() throws {
      let configuration =
        KernelHost.configuration([("cipher", KernelHost.entry("aes-cbc", driver: nil))])
        + "engines: { kernel: { in-flight: 2 } }\n"
      let daemon = try DaemonProcess(
        arguments: ["--calibration-cache=none"], configuration: configuration)
      let client = try daemon.client()
      let session = try client.openSession(Self.cbc)
      let burst = try Burst(
        client,
        (0..<64).map {
          OperationSpec(
            Self.cbc, sessionID: session, iv: KernelHost.bytes(16, $0),
            source: KernelHost.bytes(1024 + 16 * $0, $0))
        })
      #expect(try burst.run().count == 64)
      burst.dispose()
    }

    /// Stopping a ring waits for what is in the kernel, and nothing is written afterwards.
    @Test func aRingThatStopsGivesBackWhatIsInTheKernel() throws {
      let daemon = try KernelHost.daemon([
        ("cipher", KernelHost.entry("aes-cbc", driver: "cryptd(cbc(aes-generic))"))
      ])
      let client = try daemon.client()
      let session = try client.openSession(Self.cbc)
      let queue = client.dataQueues[0]
      var heads: [UInt16] = []
      for index in 0..<32 {
        let operation = OperationSpec(
          Self.cbc, sessionID: session, iv: KernelHost.bytes(16, index),
          source: KernelHost.bytes(65536, index))
        let placed = try PlacedRequest(
          CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
          in: client.memory)
        heads.append(try queue.reserve(placed.buffers, indirect: true))
      }
      for head in heads { queue.post(head) }
      if queue.publish() { try queue.kick() }
      let base = try client.frontend.stopQueue(0)
      var finished = 0
      while queue.popUsed() != nil { finished += 1 }
      // What was taken is finished; what was not is still there to take.
      #expect(finished == Int(base))
      #expect(daemon.isRunning)
      client.frontend.disconnect()
      #expect(try daemon.terminate() == .status(0))
    }
  }
}
