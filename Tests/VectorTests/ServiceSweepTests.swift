import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Every service in every layout, sessions made in every way, against ReferenceCrypto on random
/// input.
extension DeviceTests {
  @Suite("Services against the reference")
  struct ServiceSweepTests {
    /// Runs operations of one session and collects what is wrong.
    private func sweep(
      _ guest: Guest, _ session: SessionSpec, _ maker: inout OperationMaker, _ counts: [Int],
      make: (inout OperationMaker, UInt64?, Int) -> OperationSpec?
    ) throws -> [String] {
      var faults: [String] = []
      let id = try guest.open(session)
      for count in counts {
        let shape = maker.shape()
        guard let operation = make(&maker, id, count), let probe = Probe(reference: operation)
        else {
          faults.append("\(session): no reference for \(count) bytes")
          continue
        }
        let plan = shape.plan(
          for: CryptoRequestBuilder.data(operation, format: guest.client.format),
          seed: maker.random.next())
        let outcome = try guest.perform(
          CryptoRequestBuilder.data(operation, format: guest.client.format), plan: plan)
        if let fault = probe.complaint(about: outcome) {
          faults.append("\(session), \(operation.source.count) bytes, \(shape): \(fault)")
        }
      }
      try guest.close(id, session)
      return faults
    }

    private func report(_ faults: [String]) {
      #expect(
        faults.isEmpty, "\(faults.count) faults: \(faults.prefix(5).joined(separator: "\n"))")
    }

    @Test(arguments: Transport.allCases)
    func ciphersAgreeWithTheReference(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      var faults: [String] = []
      for cipher in OperationMaker.ciphers {
        for keyByteCount in OperationMaker.keyByteCounts(cipher) {
          for direction in [CryptoDirection.encrypt, .decrypt] {
            let key = maker.random.bytes(keyByteCount)
            let session = SessionSpec.cipher(cipher, direction, key: key)
            let counts = maker.byteCounts(4)
            faults += try sweep(try bench.guest, session, &maker, counts) {
              $0.cipher(session, id: $1, $2)
            }
          }
        }
      }
      report(faults)
      try bench.finish()
    }

    @Test(arguments: Transport.allCases.filter { $0.carries(.hash) })
    func hashesAgreeWithTheReference(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      var faults: [String] = []
      for hash in HashAlgorithm.allCases {
        let full = hash.isExtendable ? 300 : hash.maximumResultByteCount
        let session = SessionSpec.hash(hash, resultByteCount: full)
        let counts = maker.byteCounts(8)
        faults += try sweep(try bench.guest, session, &maker, counts) {
          $0.digest(session, id: $1, $2)
        }
      }
      report(faults)
      try bench.finish()
    }

    @Test(arguments: Transport.allCases.filter { $0.carries(.mac) })
    func codesAgreeWithTheReference(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      var faults: [String] = []
      for mac in OperationMaker.macs {
        for _ in 0..<3 {
          let session = SessionSpec.mac(
            mac, key: maker.key(mac), resultByteCount: mac.maximumResultByteCount)
          let counts = maker.byteCounts(3)
          faults += try sweep(try bench.guest, session, &maker, counts) {
            $0.digest(session, id: $1, $2)
          }
        }
      }
      report(faults)
      try bench.finish()
    }

    @Test(arguments: Transport.allCases.filter { $0.carries(.aead) })
    func authenticatedCiphersAgreeWithTheReference(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      var faults: [String] = []
      for aead in AEADAlgorithm.allCases {
        for keyByteCount in [16, 24, 32] where aead.accepts(keyByteCount: keyByteCount) {
          for tagByteCount in 1...16 where aead.accepts(tagByteCount: tagByteCount) {
            let session = SessionSpec.aead(
              aead, maker.direction(), key: maker.random.bytes(keyByteCount),
              tagByteCount: tagByteCount)
            let counts = maker.byteCounts(1)
            faults += try sweep(try bench.guest, session, &maker, counts) {
              $0.aead(session, id: $1, $2)
            }
          }
        }
      }
      report(faults)
      try bench.finish()
    }

    /// Every mode with hashes and MACs of all kinds; nil where the reference has no such chain.
    private static func seconds(_ maker: inout OperationMaker) -> [ChainSecond] {
      let plain: [HashAlgorithm] = [.md5, .sha1, .sha256, .sha512, .sha3_384, .shake128, .shake256]
      let nested: [(HashAlgorithm, Int)] = [(.sha1, 0), (.sha256, 128), (.sha512, 256), (.md5, 2)]
      return plain.map { .plain($0) }
        + OperationMaker.macs.map { .authenticated($0, key: maker.key($0)) }
        + nested.map { .nested($0.0, key: maker.random.bytes($0.1)) }
    }

    @Test(arguments: Transport.allCases)
    func chainsAgreeWithTheReference(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      var faults: [String] = []
      for cipher in OperationMaker.ciphers {
        for second in Self.seconds(&maker) {
          for order in [ChainOrder.hashThenCipher, .cipherThenHash] {
            let keyByteCount = OperationMaker.keyByteCounts(cipher).randomElement(
              using: &maker.random)
            let key = maker.random.bytes(keyByteCount ?? cipher.maximumKeyByteCount)
            let session = SessionSpec.chain(
              .init(cipher, maker.direction(), key: key, order: order, second: second))
            let large = maker.below(16) == 0 ? 65536 : 512
            let counts = [maker.below(2) * 64, 1 + maker.below(large)]
            faults += try sweep(try bench.guest, session, &maker, counts) {
              $0.chain(session, id: $1, $2)
            }
          }
        }
      }
      report(faults)
      try bench.finish()
    }

    /// One device, many sessions of all services at once, requests in random order.
    @Test(arguments: Transport.everyLayout)
    func sessionsOfAllServicesLiveSideBySide(_ transport: Transport) throws {
      var maker = OperationMaker(random: .printed())
      let bench = try TestBench([transport])
      let guest = try bench.guest
      var sessions: [(SessionSpec, UInt64?)] = []
      for index in 0..<60 {
        let key = maker.random.bytes(32)
        let specs: [SessionSpec] = [
          .cipher(.aesCBC, .encrypt, key: key), .hash(.sha256, resultByteCount: 32),
          .mac(.hmacSHA1, key: key, resultByteCount: 20),
          .aead(.gcm, .decrypt, key: key, tagByteCount: 16),
          .chain(
            .init(.aesCTR, .encrypt, key: key, order: .cipherThenHash, second: .plain(.sha1))),
        ]
        let spec = specs[index % specs.count]
        sessions.append((spec, try guest.open(spec)))
      }
      var faults: [String] = []
      for _ in 0..<300 {
        let (spec, id) = sessions[maker.below(sessions.count)]
        let count = maker.below(700)
        let operation: OperationSpec? =
          switch spec {
          case .cipher: maker.cipher(spec, id: id, count)
          case .hash, .mac: maker.digest(spec, id: id, count)
          case .aead: maker.aead(spec, id: id, count)
          case .chain: maker.chain(spec, id: id, count)
          case .akcipher: nil
          }
        let probe = try #require(operation.flatMap { Probe(reference: $0) })
        let outcome = try guest.perform(probe.operation(id), maker.shape())
        if let fault = probe.complaint(about: outcome) { faults.append("\(spec): \(fault)") }
      }
      report(faults)
      for (spec, id) in sessions { try guest.close(id, spec) }
      try bench.finish()
    }
  }
}
