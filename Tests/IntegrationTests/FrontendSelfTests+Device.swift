import CryptoTypes
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// The test front-end's ring, socket and client, against a device that is played.
extension FrontendSelfTests {
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
}
