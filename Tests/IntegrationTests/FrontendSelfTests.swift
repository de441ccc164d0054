import CryptoTypes
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// The test front-end is tested too: builders against the kernel's structs, the ring against a
/// device that shares no code with it, reference answers against published vectors.
@Suite("The test front-end")
struct FrontendSelfTests {
  static let key: [UInt8] = Array(0..<16)

  // MARK: Layouts. Offsets of <linux/virtio_crypto.h>, as `offsetof` gives them.

  @Test func legacyControlRequestsHaveTheKernelsOffsets() {
    let cipher = CryptoRequestBuilder.createSession(
      .cipher(.aesCBC, .decrypt, key: Self.key), format: .legacy)
    #expect(cipher.fixed.count == 72)
    #expect(cipher.fixed.get32(at: 0) == 0x002)
    #expect(cipher.fixed.get32(at: 4) == 3)
    #expect(cipher.fixed.get32(at: 16) == 3)
    #expect(cipher.fixed.get32(at: 20) == 16)
    #expect(cipher.fixed.get32(at: 24) == 2)
    #expect(cipher.fixed.get32(at: 64) == 1)
    #expect(cipher.keys == Self.key)
    #expect(cipher.writableByteCount == 16)

    let chain = CryptoRequestBuilder.createSession(
      .chain(
        .init(
          .aesCBC, .encrypt, key: Self.key, order: .cipherThenHash,
          second: .authenticated(.hmacSHA1, key: [9, 8, 7]), resultByteCount: 12, aadByteCount: 5)),
      format: .legacy)
    #expect(chain.fixed.count == 72)
    let expected: [(Int, UInt32)] = [
      (16, 2), (20, 2), (24, 3), (28, 16), (32, 1), (40, 2), (44, 12), (48, 3), (56, 5), (64, 2),
    ]
    for (offset, value) in expected { #expect(chain.fixed.get32(at: offset) == value) }
    #expect(chain.keys == Self.key + [9, 8, 7])

    let aead = CryptoRequestBuilder.createSession(
      .aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16, aadByteCount: 8), format: .legacy)
    for (offset, value) in [(16, 1), (20, 16), (24, 16), (28, 8), (32, 1)] as [(Int, UInt32)] {
      #expect(aead.fixed.get32(at: offset) == value)
    }
    let mac = CryptoRequestBuilder.createSession(
      .mac(.cmacAES, key: Self.key, resultByteCount: 16), format: .legacy)
    for (offset, value) in [(0, 0x202), (16, 26), (20, 16), (24, 16)] as [(Int, UInt32)] {
      #expect(mac.fixed.get32(at: offset) == value)
    }
    let destroy = CryptoRequestBuilder.destroySession(
      0x1122_3344_5566_7788, service: .aead, format: .legacy)
    #expect(destroy.fixed.count == 72)
    #expect(destroy.fixed.get32(at: 0) == 0x303)
    #expect(destroy.fixed.get64(at: 16) == 0x1122_3344_5566_7788)
    #expect(destroy.writableByteCount == 1)
  }

  @Test func revision1ControlRequestsHaveExactSizes() {
    func count(_ spec: SessionSpec) -> Int {
      CryptoRequestBuilder.createSession(spec, format: .revision1).fixed.count - 16
    }
    #expect(count(.cipher(.aesCTR, .encrypt, key: Self.key)) == 56)
    #expect(count(.hash(.sha256, resultByteCount: 32)) == 8)
    #expect(count(.mac(.hmacSHA1, key: [], resultByteCount: 20)) == 16)
    #expect(count(.aead(.ccm, .decrypt, key: Self.key, tagByteCount: 8)) == 24)
    let destroy = CryptoRequestBuilder.destroySession(1, service: .hash, format: .revision1)
    #expect(destroy.fixed.count == 16 + 8)
  }

  static let chain = SessionSpec.chain(
    .init(
      .aesCBC, .encrypt, key: key, order: .hashThenCipher, second: .plain(.sha256)))

  @Test func legacyDataRequestsHaveTheKernelsOffsets() {
    let operation = OperationSpec(
      Self.chain, sessionID: 0xABCD_EF01_2345_6789, iv: Array(repeating: 1, count: 16),
      source: Array(repeating: 2, count: 48), aad: [3, 3],
      ranges: ChainRanges(cipher: 16..<48, hash: 4..<40))
    let request = CryptoRequestBuilder.data(operation, format: .legacy)
    #expect(request.fixed.count == 72)
    #expect(request.fixed.get64(at: 8) == 0xABCD_EF01_2345_6789)
    let expected: [(Int, UInt32)] = [
      (0, 0), (4, 3), (16, 1), (24, 16), (28, 48), (32, 48), (36, 16), (40, 32), (44, 4), (48, 36),
      (52, 2), (56, 32), (64, 2),
    ]
    for (offset, value) in expected { #expect(request.fixed.get32(at: offset) == value) }
    #expect(request.fields.map(\.kind) == [.iv, .source, .aad])
    #expect(request.destinationByteCount == 48)
    #expect(request.resultByteCount == 32)

    let aead = CryptoRequestBuilder.data(
      OperationSpec(
        .aead(.gcm, .decrypt, key: Self.key, tagByteCount: 16), sessionID: 1,
        iv: Array(repeating: 0, count: 12), source: Array(repeating: 0, count: 36), aad: [1]),
      format: .legacy)
    for (offset, value) in [(0, 0x301), (24, 12), (28, 1), (32, 36), (36, 20), (40, 16)]
      as [(Int, UInt32)]
    {
      #expect(aead.fixed.get32(at: offset) == value)
    }
  }

  @Test func dataRequestsHaveTheSizesOfTheirFormat() {
    let sessions: [(SessionSpec, legacy: Int, revision1: Int, stateless: Int)] = [
      (.cipher(.aesCBC, .encrypt, key: Self.key), 48, 48, 76), (Self.chain, 48, 48, 76),
      (.hash(.sha1, resultByteCount: 20), 48, 8, 16),
      (.mac(.hmacSHA1, key: Self.key, resultByteCount: 20), 48, 8, 16),
      (.aead(.gcm, .encrypt, key: Self.key, tagByteCount: 16), 48, 24, 32),
    ]
    for (spec, legacy, revision1, stateless) in sessions {
      for (sessionID, sizes) in [
        (
          UInt64(5),
          [(RequestFormat.legacy, legacy), (.revision1, revision1), (.stateless, revision1)]
        ),
        (nil, [(.stateless, stateless)]),
      ] as [(UInt64?, [(RequestFormat, Int)])] {
        for (format, size) in sizes {
          let operation = OperationSpec(spec, sessionID: sessionID, source: Self.key)
          let request = CryptoRequestBuilder.data(operation, format: format)
          #expect(request.fixed.count == 24 + size, "\(spec.service) \(format)")
          #expect(request.fixed.get32(at: 16) == (sessionID == nil ? 0 : 1))
        }
      }
    }
  }

  @Test func statelessRequestsCarryKeysInTheSpecificationsOrder() {
    let chain = CryptoRequestBuilder.data(
      OperationSpec(
        .chain(
          .init(
            .aesCTR, .decrypt, key: Self.key, order: .cipherThenHash,
            second: .authenticated(.hmacSHA256, key: [1, 2]))),
        sessionID: nil, iv: Self.key, source: [5, 6, 7], aad: [4]), format: .stateless)
    #expect(chain.fields.map(\.kind) == [.cipherKey, .authKey, .iv, .aad, .source])
    let expected: [UInt32] = [2, 1, 4, 16, 2, 4, 2, 2, 16, 3, 3, 0, 3, 0, 3, 1, 32, 0, 2]
    for (index, value) in expected.enumerated() {
      #expect(chain.fixed.get32(at: 24 + 4 * index) == value, "word \(index)")
    }
    #expect(chain.fixed.count == 24 + 4 * expected.count)

    let aead = CryptoRequestBuilder.data(
      OperationSpec(
        .aead(.chacha20Poly1305, .encrypt, key: Array(0..<32), tagByteCount: 16), sessionID: nil,
        iv: Array(0..<12), source: [1, 2, 3], aad: [4, 5]), format: .stateless)
    #expect(aead.fields.map(\.kind) == [.cipherKey, .iv, .source, .aad])
    let aeadWords: [UInt32] = [3, 32, 1, 12, 16, 2, 3, 19]
    for (index, value) in aeadWords.enumerated() {
      #expect(aead.fixed.get32(at: 24 + 4 * index) == value, "word \(index)")
    }
    let cipher = CryptoRequestBuilder.data(
      OperationSpec(
        .cipher(.aesCBC, .decrypt, key: Self.key), sessionID: nil, iv: Self.key, source: Self.key),
      format: .stateless)
    for (index, value) in ([3, 16, 2, 16, 16, 16] as [UInt32]).enumerated() {
      #expect(cipher.fixed.get32(at: 24 + 4 * index) == value, "word \(index)")
    }
    #expect(cipher.fixed.get32(at: 24 + 72) == 1)
    let mac = CryptoRequestBuilder.data(
      OperationSpec(
        .mac(.hmacSHA1, key: [1, 2, 3], resultByteCount: 20), sessionID: nil, source: [9]),
      format: .stateless)
    for (index, value) in ([2, 3, 1, 20] as [UInt32]).enumerated() {
      #expect(mac.fixed.get32(at: 24 + 4 * index) == value, "word \(index)")
    }
  }

  // MARK: Placement

  @Test func linuxScatterListsOverlap() throws {
    let memory = try GuestRAM.scattered(regionByteCount: 4 << 20)
    let free = memory.freeByteCount
    let source = (0..<64).map { UInt8($0) }
    let request = CryptoRequestBuilder.data(
      OperationSpec(
        .cipher(.aesCBC, .encrypt, key: Self.key), sessionID: 1, iv: Self.key, source: source),
      format: .legacy)
    let placed = try PlacedRequest(
      request, plan: .linux(sourceEntries: 4, destinationEntries: 3), in: memory)
    // Header and IV, 4·5/2 source descriptors, 3·4/2 destination descriptors, status.
    #expect(placed.buffers.count == 2 + 10 + 6 + 1)
    let readable = try PlacedRequest.content(
      of: placed.buffers.filter { !$0.isWritable }, in: memory)
    #expect(Array(readable[88..<88 + 64]) == source)
    #expect(Array(readable[152..<152 + 48]) == Array(source[16...]))
    placed.free(in: memory)
    #expect(memory.freeByteCount == free)
  }

  @Test(arguments: 0..<20)
  func segmentsAddUpToTheBytes(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let count = Int.random(in: 1...5000, using: &random)
    for plan in [
      .contiguous, .count(7), .lengths([1, 0, 16]), .overlapping(5),
      .random(seed: UInt64(seed), maximum: 40),
    ] as [Segmentation] {
      #expect(plan.lengths(of: count).reduce(0, +) == count)
    }
    #expect(Segmentation.random(seed: 1, maximum: 9).lengths(of: 0) == [])
  }

  @Test func guestMemoryReachesAcrossNeighbouringRegions() throws {
    let memory = try GuestRAM.scattered(regionByteCount: 1 << 20)
    let free = memory.freeByteCount
    let start = try memory.allocateCrossing(1000)
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try memory.write(bytes, at: start)
    #expect(try memory.read(start, byteCount: 1000) == bytes)
    #expect(throws: FrontendError.self) { try memory.pointer(at: start, byteCount: 1000) }
    memory.freeCrossing(start)
    #expect(memory.freeByteCount == free)
    let end = try #require(memory.regions.last?.guestRange.upperBound)
    #expect(throws: FrontendError.self) { try memory.write([1, 2], at: end - 1) }
    #expect(throws: FrontendError.self) {
      try GuestRAM(regions: [
        GuestRegionSpec(guestAddress: 0, byteCount: 8192),
        GuestRegionSpec(guestAddress: 4096, byteCount: 8192),
      ])
    }
  }

  @Test func allocatorGivesDisjointRangesAndMergesThemAgain() throws {
    let memory = try GuestRAM(byteCount: 1 << 20)
    let free = memory.freeByteCount
    var random = SeededRandom.printed()
    var taken: [(UInt64, Int)] = []
    for _ in 0..<2000 {
      if Bool.random(using: &random) || taken.isEmpty {
        let count = Int.random(in: 1...700, using: &random)
        guard let start = try? memory.allocate(count, alignment: 16) else { continue }
        #expect(start % 16 == 0)
        #expect(
          taken.allSatisfy { start >= $0.0 + UInt64($0.1) || start + UInt64(count) <= $0.0 })
        taken.append((start, count))
      } else {
        memory.free(taken.remove(at: Int.random(in: 0..<taken.count, using: &random)).0)
      }
    }
    for range in taken { memory.free(range.0) }
    #expect(memory.freeByteCount == free)
    #expect(try memory.allocate(1 << 20) == 1 << 30)
  }
}
