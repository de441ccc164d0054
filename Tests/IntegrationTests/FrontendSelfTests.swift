import CryptoTypes
import Foundation
import TestSupport
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

  // MARK: The ring

  /// A device that writes the readable bytes back, reversed.
  static func echo(_ queue: DriverQueue) -> FakeDevice {
    FakeDevice(queue) { request in
      let answer = Array(request.readable.reversed().prefix(request.writableByteCount))
      try request.write(answer)
      return answer.count
    }
  }

  static func chain(_ bytes: [UInt8], _ memory: GuestRAM) throws -> [ChainBuffer] {
    let source = try memory.allocate(bytes.count)
    try memory.write(bytes, at: source)
    let half = bytes.count / 2
    let target = try memory.allocate(bytes.count)
    return [
      ChainBuffer(guestAddress: source, byteCount: UInt32(half), isWritable: false),
      ChainBuffer(
        guestAddress: source + UInt64(half), byteCount: UInt32(bytes.count - half),
        isWritable: false),
      ChainBuffer(guestAddress: target, byteCount: UInt32(bytes.count), isWritable: true),
    ]
  }

  @Test(arguments: [true, false], [true, false])
  func everyChainComesBackOnceInAnyOrder(eventIndex: Bool, indirect: Bool) throws {
    let memory = try GuestRAM.scattered()
    // The indices wrap on the way.
    let queue = try DriverQueue(
      size: 64, memory: memory, hasEventIndex: eventIndex, startIndex: 65500)
    let device = Self.echo(queue)
    device.reversesBatches = true
    device.start()
    var random = SeededRandom.printed()
    for _ in 0..<300 {
      var expected: [UInt16: ([ChainBuffer], [UInt8])] = [:]
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        let bytes = random.bytes(Int.random(in: 2...40, using: &random))
        let buffers = try Self.chain(bytes, memory)
        expected[try queue.submit(buffers, indirect: indirect)] = (buffers, bytes)
      }
      while !expected.isEmpty {
        let used =
          Bool.random(using: &random) ? try queue.pollUsed() : try queue.waitUsed()
        let head = try #require(UInt16(exactly: used.head))
        let taken = expected.removeValue(forKey: head)
        let (buffers, bytes) = try #require(taken)
        #expect(Int(used.byteCount) == bytes.count)
        #expect(try PlacedRequest.content(of: [buffers[2]], in: memory) == bytes.reversed())
        queue.release(head)
        memory.free(buffers[0].guestAddress)
        memory.free(buffers[2].guestAddress)
      }
    }
    try device.stop()
    #expect(queue.freeCount == 64)
    #expect(queue.inFlightCount == 0)
  }

  @Test(arguments: [true, false])
  func suppressionHoldsBackKicksAndCalls(eventIndex: Bool) throws {
    let memory = try GuestRAM(byteCount: 1 << 20)
    let queue = try DriverQueue(size: 8, memory: memory, hasEventIndex: eventIndex)
    let device = Self.echo(queue)
    let head = try queue.reserve(try Self.chain([1, 2, 3], memory), indirect: false)
    queue.disableCalls()
    queue.post(head)
    #expect(queue.publish())
    #expect(try device.serve() == 1)
    #expect(device.callCount == 0)
    #expect(queue.popUsed() == UsedElement(head: UInt32(head), byteCount: 3))
    #expect(queue.popUsed() == nil)

    #expect(!queue.enableCalls())
    queue.post(head)
    #expect(queue.publish())
    #expect(try device.serve() == 1)
    #expect(device.callCount == 1)
    #expect(try queue.callEvent.drain() == 1)
    #expect(queue.enableCalls())
    #expect(queue.hasUsed)
    _ = queue.popUsed()

    device.suppressesKicks = true
    if !eventIndex {
      _ = try device.serve()
      queue.post(head)
      #expect(!queue.publish())
      #expect(try device.serve() == 1)
      _ = queue.popUsed()
    } else {
      queue.post(head)
      _ = queue.publish()
      #expect(try device.serve() == 1)
      _ = queue.popUsed()
      // The device's event index stayed behind: nothing that follows crosses it.
      queue.post(head)
      #expect(!queue.publish())
    }
  }

  @Test func fullRingAndMissingAnswerAreSaidClearly() throws {
    let memory = try GuestRAM(byteCount: 1 << 20)
    let queue = try DriverQueue(size: 4, memory: memory, hasEventIndex: true)
    let buffers = try Self.chain([1, 2, 3, 4], memory)
    let head = try queue.submit(buffers, indirect: false)
    #expect(throws: FrontendError.ring("a chain of 3 descriptors, 1 are free")) {
      try queue.reserve(buffers, indirect: false)
    }
    #expect(queue.descriptorIndices(of: head).count == 3)
    #expect(throws: FrontendError.timedOut(waitingFor: "used entry", milliseconds: 30)) {
      try queue.pollUsed(timeoutMilliseconds: 30)
    }
    #expect(throws: FrontendError.timedOut(waitingFor: "call for a used entry", milliseconds: 30)) {
      try queue.waitUsed(timeoutMilliseconds: 30)
    }
    #expect(throws: FrontendError.self) {
      try DriverQueue(size: 5, memory: memory, hasEventIndex: false)
    }
  }

  @Test func spoiledDescriptorsAreWhatTheDeviceReads() throws {
    let memory = try GuestRAM(byteCount: 1 << 20)
    let queue = try DriverQueue(size: 16, memory: memory, hasEventIndex: false)
    let head = try queue.reserve(try Self.chain([1, 2, 3, 4], memory), indirect: false)
    let first = queue.descriptorIndices(of: head)[0]
    var entry = queue.descriptor(first)
    #expect(entry.flags == DriverQueue.DescriptorFlag.next)
    entry.byteCount = 1
    queue.setDescriptor(first, entry)
    var seen: [UInt8] = []
    let device = FakeDevice(queue) { request in
      seen = request.readable
      return 0
    }
    queue.post(head)
    _ = queue.publish()
    try device.serve()
    #expect(seen == [1, 3, 4])
  }

  // MARK: The socket

  @Test func negotiationSendsWhatTheOptionsSay() throws {
    let (ours, theirs) = try FakeBackend.socketPair()
    let backend = FakeBackend(socket: theirs)
    backend.start()
    var options = Frontend.Options(format: .revision1)
    options.usesMemorySlots = true
    let frontend = Frontend(socket: ours, options: options)
    try frontend.negotiate()
    // The back-end does not offer REVISION_1.
    #expect(frontend.features == Frontend.Options().features)
    #expect(frontend.requestFormat == .legacy)
    let memory = try GuestRAM.scattered(regionByteCount: 1 << 20)
    try frontend.shareMemory(memory)
    #expect(backend.descriptorCounts(of: .addMemoryRegion) == [1, 1, 1])
    let regionBytes = backend.payloads(of: .addMemoryRegion)[1]
    let region = try MemoryRegionPayload(parsingSingle: regionBytes.span)
    #expect(region.guestAddress == 0x10_0000 + 1 << 20)
    #expect(region.mmapOffset == 65536)
    #expect(region.frontendAddress == memory.regions[1].frontendAddress)
    #expect(try frontend.queueCount() == 3)
    #expect(try frontend.readConfiguration() == backend.config)
    #expect(try frontend.readConfiguration(offset: 4, byteCount: 4) == [2, 0, 0, 0])
    let queue = try frontend.makeQueue(size: 128, startIndex: 9)
    try frontend.startQueue(1, queue)
    #expect(
      backend.payloads(of: .setVringBase) == [VringState(index: 1, number: 9).encoded])
    #expect(
      backend.payloads(of: .setVringEnable) == [VringState(index: 1, number: 1).encoded])
    let addressBytes = backend.payloads(of: .setVringAddress)[0]
    let address = try VringAddress(parsing: addressBytes.span)
    #expect(address.usedRing == (try memory.frontendAddress(of: queue.layout.used)))
    #expect(backend.descriptorCounts(of: .setVringKick) == [1])
    #expect(try frontend.stopQueue(1) == 7)
    frontend.disconnect()
  }

  @Test func frontendWithoutBit30SendsNeitherProtocolFeaturesNorEnable() throws {
    let (ours, theirs) = try FakeBackend.socketPair()
    let backend = FakeBackend(socket: theirs)
    backend.start()
    var options = Frontend.Options()
    options.protocolFeatures = nil
    let frontend = Frontend(socket: ours, options: options)
    try frontend.negotiate()
    try frontend.shareMemory(try GuestRAM(byteCount: 1 << 20))
    try frontend.startQueue(0, try frontend.makeQueue(size: 16))
    try frontend.synchronize()
    #expect(
      backend.requests == [
        .getFeatures, .setOwner, .setFeatures, .setMemoryTable, .setVringNum, .setVringBase,
        .setVringAddress, .setVringError, .setVringKick, .setVringCall, .getFeatures,
      ])
    let wordBytes = backend.payloads(of: .setFeatures)[0]
    let word = try NumberPayload(parsing: wordBytes.span).value
    #expect(word & VhostUserLimit.protocolFeaturesBit == 0)
    #expect(throws: FrontendError.notNegotiated("PROTOCOL_F_CONFIG")) {
      try frontend.readConfiguration()
    }
    frontend.disconnect()
  }

  @Test(arguments: SessionLayout.allCases)
  func sessionMessagesGiveIDOrStatus(layout: SessionLayout) throws {
    let (ours, theirs) = try FakeBackend.socketPair()
    let backend = FakeBackend(socket: theirs)
    backend.start()
    let frontend = Frontend(socket: ours)
    try frontend.negotiate()
    let answer = try frontend.createSession(
      .cipher(.aesCBC, .encrypt, key: Self.key), layout: layout)
    #expect(answer == SessionAnswer(sessionID: 42, statusWord: 0))
    let refused = try frontend.createSession(
      .cipher(.aesCTR, .encrypt, key: Self.key), layout: layout)
    #expect(refused.status == .notsupp)
    #expect(backend.payloads(of: .createCryptoSession).allSatisfy { $0.count == layout.byteCount })
    try frontend.closeSession(42)
    #expect(throws: FrontendError.refused(message: "CLOSE_CRYPTO_SESSION", value: 1)) {
      try frontend.closeSession(43)
    }
    frontend.disconnect()
  }

  @Test func silenceAndHangUpAreToldApart() throws {
    let (ours, theirs) = try FakeBackend.socketPair()
    var options = Frontend.Options()
    options.timeoutMilliseconds = 50
    let frontend = Frontend(socket: ours, options: options)
    let peer = Frontend(socket: theirs)
    #expect(
      throws: FrontendError.timedOut(waitingFor: "reply to GET_FEATURES", milliseconds: 50)
    ) { try frontend.negotiate() }
    #expect(try !frontend.isClosedByBackend())
    try frontend.sendRaw([1, 2, 3], descriptors: [0, 1, 2])
    peer.disconnect()
    #expect(try frontend.isClosedByBackend())
    #expect(throws: FrontendError.disconnected(doing: "message")) { try frontend.receive() }
    #expect(throws: FrontendError.self) { try frontend.synchronize() }
  }

  // MARK: The client

  @Test(arguments: [RequestPlan(), .linux(sourceEntries: 5, destinationEntries: 4)])
  func clientCarriesOneRequestThroughRingAndBack(plan: RequestPlan) throws {
    let (ours, theirs) = try FakeBackend.socketPair()
    let backend = FakeBackend(socket: theirs)
    backend.start()
    let client = try CryptoClient.start(Frontend(socket: ours))
    guard case .queue(let controlQueue) = client.control else {
      Issue.record("no control queue")
      return
    }
    let control = FakeDevice(controlQueue) { try backend.control($0) }
    let data = FakeDevice(client.dataQueues[0]) { try backend.data($0) }
    control.start()
    data.start()
    let spec = SessionSpec.cipher(.aesCBC, .encrypt, key: Self.key)
    let id = try client.openSession(spec)
    var random = SeededRandom.printed()
    let operation = OperationSpec(
      spec, sessionID: id, iv: random.bytes(16), source: random.bytes(1024))
    for polls in [true, false] {
      client.polls = polls
      let answer = try client.perform(operation, plan: plan)
      #expect(answer.status == .ok)
      #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      #expect(answer.usedByteCount == answer.writableByteCount)
    }
    let unknown = OperationSpec(spec, sessionID: 1, iv: operation.iv, source: operation.source)
    #expect(try client.perform(unknown).status == .invsess)
    #expect(try client.createSession(.hash(.md5, resultByteCount: 16)).status == .notsupp)
    #expect(try client.destroySession(id, service: .cipher) == .ok)
    #expect(try client.destroySession(id, service: .cipher) == .invsess)
    try control.stop()
    try data.stop()
    client.frontend.disconnect()
  }

  @Test(
    arguments: [
      RequestPlan.Front.separate, .joined, .shredded(seed: 3, maximum: 30),
    ], [RequestPlan.Status.ownDescriptor, .tailOfLastBuffer])
  func everyPlanCarriesTheSameBytes(front: RequestPlan.Front, status: RequestPlan.Status) throws {
    let memory = try GuestRAM.scattered(regionByteCount: 1 << 20)
    let free = memory.freeByteCount
    var plan = RequestPlan()
    plan.front = front
    plan.status = status
    plan.source = .count(3)
    plan.destination = .random(seed: 4, maximum: 9)
    plan.hasZeroLengthDescriptors = true
    let source = (0..<64).map { UInt8($0) }
    let request = CryptoRequestBuilder.data(
      OperationSpec(Self.chain, sessionID: 1, iv: Self.key, source: source, aad: [7]),
      format: .revision1)
    let placed = try PlacedRequest(request, plan: plan, in: memory)
    let readable = try PlacedRequest.content(
      of: placed.buffers.filter { !$0.isWritable }, in: memory)
    #expect(readable == request.fixed.bytes + Self.key + source + [7])
    #expect(placed.writableByteCount == 64 + 32 + 1)
    #expect(try PlacedRequest.content(of: placed.destination, in: memory).count == 64)
    let last = try #require(placed.buffers.last { $0.byteCount > 0 })
    #expect(placed.statusAddress == last.guestAddress + UInt64(last.byteCount) - 1)
    let firstWritable = try #require(placed.buffers.firstIndex { $0.isWritable })
    #expect(placed.buffers[firstWritable...].allSatisfy { $0.isWritable })
    placed.free(in: memory)
    #expect(memory.freeByteCount == free)
  }

  // MARK: Reference answers against published vectors

  @Test(
    arguments: [
      ("kat/cbc_test.json", CipherAlgorithm.aesCBC), ("kat/ctr_test.json", .aesCTR),
      ("kat/ecb_test.json", .aesECB), ("kat/des_test.json", .desCBC),
      ("kat/des3_test.json", .tripleDESCBC), ("wycheproof/aes_xts_test.json", .aesXTS),
    ])
  func referenceCiphersMatchPublishedVectors(file: String, algorithm: CipherAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests where test.isValid {
        let iv = try test.ivBytes
        guard iv.count == algorithm.ivByteCount,
          algorithm.accepts(keyByteCount: try test.keyBytes.count),
          try !test.messageBytes.isEmpty
        else { continue }
        let output = ReferenceCrypto.cipher(
          algorithm, .encrypt, key: try test.keyBytes, iv: iv, source: try test.messageBytes)
        #expect(try output == test.ciphertextBytes, "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test(
    arguments: [
      ("kat/gcm_test.json", AEADAlgorithm.gcm), ("wycheproof/aes_gcm_test.json", .gcm),
      ("kat/ccm_128_test.json", .ccm), ("kat/ccm_256_test.json", .ccm),
      ("wycheproof/chacha20_poly1305_test.json", .chacha20Poly1305),
    ])
  func referenceAEADsMatchPublishedVectors(file: String, algorithm: AEADAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests {
        let iv = try test.ivBytes
        // A 16-byte IV is J0 for virtio-crypto and something else for these vectors.
        guard algorithm.accepts(ivByteCount: iv.count), iv.count < 16 else { continue }
        let tag = try test.tagBytes
        let opened = ReferenceCrypto.open(
          algorithm, key: try test.keyBytes, iv: iv, aad: try test.aadBytes,
          source: try test.ciphertextBytes + tag, tagByteCount: tag.count)
        #expect(try opened == (test.isValid ? test.messageBytes : nil), "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test func counterModeFromJ0EqualsGCMWithA96BitIV() throws {
    var random = SeededRandom.printed()
    for count in [0, 1, 16, 17, 100] {
      let (key, iv) = (random.bytes(32), random.bytes(12))
      let (aad, source) = (random.bytes(count + 3), random.bytes(count))
      let direct = ReferenceCrypto.seal(
        .gcm, key: key, iv: iv, aad: aad, source: source, tagByteCount: 16)
      let fromJ0 = ReferenceCrypto.seal(
        .gcm, key: key, iv: iv + [0, 0, 0, 1], aad: aad, source: source, tagByteCount: 16)
      #expect(direct != nil && direct == fromJ0)
      #expect(
        ReferenceCrypto.open(
          .gcm, key: key, iv: iv + [0, 0, 0, 1], aad: aad, source: fromJ0 ?? [], tagByteCount: 16)
          == source)
    }
  }

  @Test(
    arguments: [
      ("kat/hmac_md5_test.json", MACAlgorithm.hmacMD5), ("kat/hmac_sha1_test.json", .hmacSHA1),
      ("kat/hmac_sha256_test.json", .hmacSHA256), ("kat/hmac_sha512_test.json", .hmacSHA512),
      ("kat/cmac_128_test.json", .cmacAES), ("kat/xcbc_test.json", .xcbcAES),
      ("wycheproof/aes_cmac_test.json", .cmacAES), ("kat/gmac_test.json", .gmacAES),
    ])
  func referenceMACsMatchPublishedVectors(file: String, algorithm: MACAlgorithm) throws {
    var checked = 0
    for group in try Vectors.load(file).testGroups {
      for test in group.tests where test.isValid {
        let tag = try test.tagBytes
        let iv = try test.ivBytes
        guard iv.count == algorithm.ivByteCount else { continue }
        let code = ReferenceCrypto.mac(
          algorithm, key: try test.keyBytes, iv: iv, try test.messageBytes)
        #expect(code.map { Array($0.prefix(tag.count)) } == tag, "\(file) \(test.tcId)")
        checked += 1
      }
    }
    #expect(checked > 0)
  }

  @Test func everyAlgorithmThatTheReferenceClaimsGivesAnAnswer() {
    let unknown: Set<CryptoAlgorithm> = [
      .cipher(.kasumiF8), .cipher(.snow3gUEA2), .cipher(.zucEEA3), .mac(.kasumiF9),
      .mac(.snow3gUIA2), .mac(.gmacTwofish), .mac(.cbcmacKasumiF9), .mac(.zucEIA3),
    ]
    let source = [UInt8](repeating: 7, count: 64)
    for algorithm in CryptoAlgorithm.symmetric {
      let output: [UInt8]?
      switch algorithm {
      case .cipher(let cipher):
        // Two different DES keys in a row, since equal ones are refused.
        let key = (0..<cipher.maximumKeyByteCount).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 1) }
        let iv = [UInt8](repeating: 3, count: cipher.ivByteCount)
        output = ReferenceCrypto.cipher(cipher, .encrypt, key: key, iv: iv, source: source)
        if let output {
          #expect(output.count == source.count && output != source)
          #expect(
            ReferenceCrypto.cipher(cipher, .decrypt, key: key, iv: iv, source: output) == source)
        }
      case .hash(let hash): output = ReferenceCrypto.hash(hash, source, byteCount: 16)
      case .mac(let mac):
        let key = (0..<(mac == .cmac3DES ? 24 : 16)).map { UInt8($0 * 9 + 1) }
        output = ReferenceCrypto.mac(mac, key: key, iv: Array(key.prefix(mac.ivByteCount)), source)
        if let output { #expect(output.count == mac.maximumResultByteCount) }
      case .akcipher: continue
      case .aead(let aead):
        output = ReferenceCrypto.seal(
          aead, key: Array(0..<32), iv: Array(0..<12), aad: [1], source: source, tagByteCount: 16)
      }
      #expect((output == nil) == unknown.contains(algorithm), "\(algorithm)")
    }
  }

  @Test func chainsAreComposedAsDocumented() {
    let source = (0..<64).map { UInt8($0) }
    let iv = Array(repeating: UInt8(9), count: 16)
    func answer(_ second: ChainSecond, _ order: ChainOrder) -> ReferenceCrypto.Answer? {
      ReferenceCrypto.answer(
        to: OperationSpec(
          .chain(.init(.aesCBC, .encrypt, key: Self.key, order: order, second: second)),
          sessionID: 1, iv: iv, source: source, aad: [1, 2, 3],
          ranges: ChainRanges(cipher: 16..<48, hash: 8..<40)))
    }
    let middle = ReferenceCrypto.cipher(
      .aesCBC, .encrypt, key: Self.key, iv: iv, source: Array(source[16..<48]))
    let output = source[..<16] + (middle ?? []) + source[48...]
    // Associated data goes in front of the range; the order says whose range.
    let before = answer(.plain(.sha256), .hashThenCipher)
    #expect(before?.output == Array(output))
    #expect(
      before?.result == ReferenceCrypto.hash(.sha256, [1, 2, 3] + source[8..<40], byteCount: 32))
    #expect(
      answer(.authenticated(.hmacSHA1, key: [7]), .cipherThenHash)?.result
        == ReferenceCrypto.mac(.hmacSHA1, key: [7], [1, 2, 3] + output[8..<40]))
    // A nested hash with HMAC's pads is HMAC.
    let padded = Self.key + [UInt8](repeating: 0, count: 48)
    let pads = padded.map { $0 ^ 0x36 } + padded.map { $0 ^ 0x5C }
    #expect(
      answer(.nested(.sha256, key: pads), .hashThenCipher)?.result
        == ReferenceCrypto.mac(.hmacSHA256, key: Self.key, [1, 2, 3] + source[8..<40]))
  }

  @Test func everyVectorFileLoads() throws {
    var count = 0
    for folder in ["kat", "wycheproof"] {
      for name in try Vectors.names(in: folder) {
        count += try Vectors.load("\(folder)/\(name)").testCount
      }
    }
    #expect(count > 1000)
    #expect(throws: TestSupportError.self) { try Vectors.load("kat/no_such_test.json") }
  }
}
