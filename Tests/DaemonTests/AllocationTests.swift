import CryptoTypes
import Foundation
import TestSupport
import Testing
import VhostUserFrontend

extension TheDaemon {
  /// The real allocator calls of the daemon's data workers, counted by a preloaded library.
  ///
  /// The compiler proves the same of our own code (`@_noAllocation`); this is about libraries, too.
  @Suite("Allocations")
  struct AllocationTests {
    /// What the counter's file says of one thread.
    struct Count: Equatable {
      var allocations: UInt64
      var releases: UInt64
    }

    /// The counter beside the test bundle, wherever the daemon is from.
    private static func counterLibrary() throws -> String {
      try DaemonProcess.besideTests("libAllocationCounter.so")
    }

    /// A daemon under the counter, and a front-end with one queue.
    private struct Setting {
      let directory: TemporaryDirectory
      let daemon: DaemonProcess
      let client: CryptoClient
      let counters: String

      /// Starts both.
      ///
      /// `engine`: who serves everything; nil: whoever is best on this host. `workers`: their section of the capability
      /// file.
      init(engine: String? = nil, ring: RingKind = .usual, workers: String = "") throws {
        directory = try TemporaryDirectory()
        counters = directory.file("counters")
        let rules = engine.map { name in
          "version: 1\nalgorithms:\n"
            + ["cipher", "hash", "mac", "aead"].map {
              "  \($0): { default: { engine: [\(name)] } }\n"
            }.joined()
        }
        daemon = try DaemonProcess(
          configuration: (rules ?? "version: 1\n") + workers,
          environment: [
            "LD_PRELOAD": try AllocationTests.counterLibrary(), "ALLOCATION_COUNTER_FILE": counters,
          ])
        var options = Frontend.Options()
        options.ring = ring
        client = try daemon.client(options: options)
        try client.expectService()
      }

      /// Counts of the threads whose names begin so; the file's records are three 64-bit numbers.
      func counts(of name: String) throws -> [Count] {
        let data = try Data(contentsOf: URL(fileURLWithPath: counters))
        let words = data.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
        return stride(from: 0, to: words.count, by: 3).compactMap { index in
          let path = "/proc/\(daemon.pid)/task/\(words[index])/comm"
          guard words[index] != 0,
            let comm = try? String(contentsOfFile: path, encoding: .utf8), comm.hasPrefix(name)
          else { return nil }
          return Count(allocations: words[index + 1], releases: words[index + 2])
        }
      }

      var worker: Count {
        get throws { try #require(counts(of: "vcrypto-q0").first) }
      }
    }

    /// One memory run, several segments, empty descriptors in between, and cut anywhere.
    ///
    /// Not in place: requests are sent again as they are.
    private static let plans: [RequestPlan] = {
      var segments = RequestPlan()
      segments.source = .count(5)
      segments.destination = .count(3)
      var gaps = segments
      gaps.hasZeroLengthDescriptors = true
      var shredded = RequestPlan()
      shredded.front = .shredded(seed: 7, maximum: 9)
      shredded.destination = .random(seed: 9, maximum: 6)
      shredded.status = .tailOfLastBuffer
      let contiguous = RequestPlan()
      return [contiguous, segments, gaps, shredded]
    }()

    static let sessions: [(String, SessionSpec)] = [
      ("aes-cbc", Samples.encryption),
      ("aes-cbc decryption", Samples.decryption),
      ("aes-xts", .cipher(.aesXTS, .encrypt, key: Samples.bytes(32))),
      ("3des-cbc", .cipher(.tripleDESCBC, .encrypt, key: Samples.bytes(24))),
      ("sha256", .hash(.sha256, resultByteCount: 32)),
      ("shake128", .hash(.shake128, resultByteCount: 40)),
      ("hmac-sha256", .mac(.hmacSHA256, key: Samples.bytes(32), resultByteCount: 32)),
      ("cmac-aes", .mac(.cmacAES, key: Samples.bytes(16), resultByteCount: 16)),
      ("gmac-aes", .mac(.gmacAES, key: Samples.bytes(16), resultByteCount: 16)),
      (
        "aes-gcm", .aead(.gcm, .encrypt, key: Samples.bytes(16), tagByteCount: 16, aadByteCount: 12)
      ),
      (
        "aes-ccm", .aead(.ccm, .encrypt, key: Samples.bytes(16), tagByteCount: 16, aadByteCount: 12)
      ),
      (
        "chacha20-poly1305",
        .aead(
          .chacha20Poly1305, .encrypt, key: Samples.bytes(32), tagByteCount: 16, aadByteCount: 12)
      ),
      (
        "aes-cbc+hmac-sha1",
        .chain(
          .init(
            .aesCBC, .encrypt, key: Samples.bytes(16), order: .cipherThenHash,
            second: .authenticated(.hmacSHA1, key: Samples.bytes(20)), aadByteCount: 8))
      ),
    ]

    private static func operation(
      _ spec: SessionSpec, _ session: UInt64, byteCount: Int = 240
    ) -> OperationSpec {
      let ivByteCount: Int
      var aad: [UInt8] = []
      switch spec {
      case .cipher(let algorithm, _, _): ivByteCount = algorithm.ivByteCount
      case .aead: (ivByteCount, aad) = (12, Samples.bytes(12))
      case .chain: (ivByteCount, aad) = (16, Samples.bytes(8))
      case .hash, .mac, .akcipher: ivByteCount = 0
      }
      return OperationSpec(
        spec, sessionID: session, iv: Samples.bytes(ivByteCount), source: Samples.bytes(byteCount),
        aad: aad)
    }

    @Test(arguments: [(nil, .packedInOrder), ("openssl", .split)] as [(String?, RingKind)])
    func aHundredThousandRequestsAllocateNothing(engine: String?, ring: RingKind) throws {
      let setting = try Setting(engine: engine, ring: ring)
      var total = 0
      for (name, spec) in Self.sessions {
        let session = try setting.client.openSession(spec)
        let carousel = try Carousel(
          setting.client, [Self.operation(spec, session)], plans: Self.plans, count: 60)
        // The first requests expand keys and make contexts.
        try carousel.run(1000)
        let before = try setting.worker
        try carousel.run(100_000)
        let after = try setting.worker
        #expect(after == before, "\(name)")
        try carousel.expectRightAnswers()
        carousel.dispose()
        total += 101_000
      }
      #expect(total == Self.sessions.count * 101_000)
    }

    @Test(arguments: [(nil, .packed), ("openssl", .splitInOrder)] as [(String?, RingKind)])
    func helpersAllocateNothing(engine: String?, ring: RingKind) throws {
      let setting = try Setting(
        engine: engine, ring: ring, workers: "workers: { helpers: 2, helper-min-size: 1KiB }\n")
      for (name, spec) in Self.sessions {
        let session = try setting.client.openSession(spec)
        let carousel = try Carousel(
          setting.client, [Self.operation(spec, session, byteCount: 1024)], plans: Self.plans,
          count: 30)
        // Until both helpers have expanded the keys.
        try carousel.run(2000)
        let before = try (setting.worker, setting.counts(of: "vcrypto-h"))
        #expect(before.1.count == 2)
        try carousel.run(10_000)
        let after = try (setting.worker, setting.counts(of: "vcrypto-h"))
        #expect(after == before, "\(name)")
        try carousel.expectRightAnswers()
        carousel.dispose()
      }
    }

    @Test func theCounterSeesAWorkersAllocations() throws {
      let setting = try Setting(engine: "openssl")
      // Starting a worker makes a lane; new keys make contexts. A counter that saw neither would prove nothing.
      let before = try setting.worker
      #expect(before.allocations > 10)
      let session = try setting.client.openSession(Self.sessions[9].1)
      _ = try setting.client.perform(Self.operation(Self.sessions[9].1, session))
      #expect(try setting.worker.allocations > before.allocations)
      #expect(try setting.counts(of: "vcrypto-ctl").allSatisfy { $0.allocations > 10 })
    }
  }
}
