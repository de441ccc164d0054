import CRingShims
import CryptoTypes
import Foundation
import LinuxSystem
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// The running daemon and its record of requests in flight: left empty when a ring is taken back, taken up when another
/// back-end has left something in it; and notifications in messages.
@Suite("Records", .serialized)
struct RecordTests {
  /// What stands in the annex of the record of a request in place.
  enum Saved: CaseIterable {
    case whole, nothing, ofAnother, empty, longerThanItsBuffers, longerThanItsPlace, endless
  }

  /// A front-end with guest memory and a record for one queue of 64 descriptors.
  private final class Guest {
    let frontend: Frontend
    let memory: GuestRAM
    let queue: DriverQueue
    let record: MappedMemory

    init(_ daemon: DaemonProcess, _ ring: RingKind, more: UInt64 = 0) throws {
      var options = Frontend.Options(format: .stateless, ring: ring)
      options.protocolFeatures =
        Frontend.Options.allProtocolFeatures | ProtocolFeature.getVringBaseInflight | more
      frontend = try Frontend.connect(path: daemon.socketPath, options: options)
      try frontend.negotiate()
      let area = try frontend.inflightArea(queueCount: 1, queueSize: 64)
      try frontend.setInflightArea(area)
      record = try MappedMemory(
        sharing: FileDescriptor(owning: dup(area.file.descriptor)), offset: 0,
        byteCount: Int(area.payload.mmapByteCount))
      memory = try GuestRAM(byteCount: 4 << 20)
      try frontend.shareMemory(memory)
      queue = try frontend.makeQueue(size: 64)
    }

    func set<Word: FixedWidthInteger>(_ word: Word, _ offset: Int) {
      record.base.storeBytes(of: word, toByteOffset: offset, as: Word.self)
    }

    var version: UInt16 { record.base.load(fromByteOffset: 8, as: UInt16.self) }

    /// Places a request and posts it; what its answer has to be.
    ///
    /// - `opcode`: another one than the request's.
    /// - `part`: the destination ends in the first bytes of this one of the buffers to be read, by its number.
    func post(
      byteCount: Int = 64, isInPlace: Bool = false, opcode: UInt32? = nil, over part: Int? = nil
    ) throws -> (PlacedRequest, [UInt8], UInt16) {
      var operation = OperationSpec(
        .cipher(.aesCBC, .encrypt, key: [UInt8](repeating: 7, count: 16)), sessionID: nil,
        source: [UInt8](repeating: 9, count: byteCount))
      operation.iv = [UInt8](repeating: 3, count: 16)
      var plan = RequestPlan()
      plan.isInPlace = isInPlace
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: frontend.requestFormat), plan: plan,
        in: memory)
      var buffers = placed.buffers
      if let opcode { try write(opcode, at: buffers[0].guestAddress) }
      if let part {
        let index = try #require(buffers.firstIndex { $0.isWritable })
        buffers[index].guestAddress =
          buffers[part].guestAddress + 8 - UInt64(buffers[index].byteCount)
        let source = try #require(placed.source.first)
        let distance = source.guestAddress &- buffers[index].guestAddress
        try #require(distance >= 64 && distance < 1 << 20, "the source is written over, too")
      }
      let head = try queue.reserve(buffers, indirect: true)
      queue.post(head)
      return (placed, ReferenceCrypto.answer(to: operation)?.output ?? [], head)
    }

    private func write(_ word: UInt32, at address: UInt64) throws {
      try memory.write(withUnsafeBytes(of: word.littleEndian) { Array($0) }, at: address)
    }

    /// The status and the destination of a request that has to come back.
    func answer(_ placed: PlacedRequest, _ head: UInt16) throws -> (UInt8?, [UInt8]) {
      let used = try queue.pollUsed()
      #expect(used.head == UInt32(head))
      let status = try placed.statusAddress.flatMap { try memory.read($0, byteCount: 1).first }
      return (status, try PlacedRequest.content(of: placed.destination, in: memory))
    }

    /// Puts into the annex what a daemon would that was to compute the first chain in place: its head is on the page behind
    /// the record, with 16 bytes for each of 64 requests from 64 on, and their bytes on the pages behind that.
    func save(_ bytes: [UInt8], _ saved: Saved) {
      let index = 5
      let stride = (Int(record.byteCount) - 8192) / 64
      for (offset, byte) in bytes.enumerated() { set(byte, 8192 + index * stride + offset) }
      let byteCount =
        switch saved {
        case .whole, .nothing, .ofAnother: bytes.count
        case .empty: 0
        case .longerThanItsBuffers: 4000
        case .longerThanItsPlace: stride + 1
        case .endless: -1
        }
      set(Int64(byteCount), 4096 + 64 + 16 * index + 8)
      guard saved != .nothing else { return }
      set(UInt64(saved == .ofAnother ? 6 : 5), 4096 + 64 + 16 * index)
    }

    /// Says in the record that the ring's first chain is in flight, as another back-end would.
    func recordFirstChain(_ head: UInt16) throws {
      set(UInt16(64), 10)
      if queue.kind.isPacked {
        for index in 0..<64 { set(UInt16(index + 1), 32 + 32 * index + 2) }
        set(UInt16(1), 12)
        set(UInt16(1), 14)
        set(UInt16(0x0101), 20)
        let ring = try memory.pointer(at: queue.layout.descriptorTable, byteCount: 16)
        let word = ring.load(fromByteOffset: 8, as: UInt64.self)
        set(UInt16(1), 32 + 6)
        set(UInt64(5), 32 + 8)
        set(word >> 32 | word << 32, 32 + 16)
        set(ring.load(as: UInt64.self), 32 + 24)
        set(UInt8(1), 32)
      } else {
        set(UInt64(5), 16 + 16 * Int(head) + 8)
        set(UInt8(1), 16 + 16 * Int(head))
      }
      set(UInt16(1), 8)
    }
  }

  /// `GET_VRING_BASE` leaves no request in the record, also where it might.
  @Test(arguments: [RingKind.split, .packed])
  func ringThatIsTakenBackLeavesNothingInTheRecord(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    #expect(guest.frontend.protocolFeatures & ProtocolFeature.getVringBaseInflight != 0)
    for _ in 0..<3 {
      try guest.frontend.startQueue(0, guest.queue)
      #expect(guest.version == 1)
      let (placed, expected, head) = try guest.post()
      if guest.queue.publish() { try guest.queue.kick() }
      let answer = try guest.answer(placed, head)
      let base = try guest.frontend.stopQueue(0)
      #expect(answer.0 == VirtioCryptoStatus.ok.rawValue && answer.1 == expected)
      #expect(guest.queue.index(ofBase: base) == guest.queue.usedIndex)
      #expect(guest.version == 0)
    }
  }

  /// Also where it comes while they are computed, and however many of them there are.
  @Test(arguments: [RingKind.split, .packed])
  func requestsInFlightAreFinishedBeforeTheRingIsTakenBack(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    var (rounds, finishedMeanwhile) = (0, 0)
    while rounds < 20 || finishedMeanwhile == 0 && rounds < 500 {
      rounds += 1
      try guest.frontend.startQueue(0, guest.queue)
      var waiting: [UInt32: (PlacedRequest, [UInt8])] = [:]
      for _ in 0..<60 {
        let (placed, expected, head) = try guest.post(byteCount: 16384)
        waiting[UInt32(head)] = (placed, expected)
      }
      func takeFinished() throws -> Int {
        var count = 0
        while let used = guest.queue.popUsed() {
          let found = waiting.removeValue(forKey: used.head)
          let (placed, expected) = try #require(found, "answered twice")
          #expect(
            try PlacedRequest.content(of: placed.destination, in: guest.memory) == expected)
          guest.queue.release(UInt16(truncatingIfNeeded: used.head))
          placed.free(in: guest.memory)
          count += 1
        }
        return count
      }
      if guest.queue.publish() { try guest.queue.kick() }
      _ = try takeFinished()
      let base = try guest.frontend.stopQueue(0)
      finishedMeanwhile += try takeFinished()
      // No more than what is finished is gone from the ring, and nothing is left in the record.
      #expect(guest.queue.index(ofBase: base) == guest.queue.usedIndex)
      #expect(guest.version == 0)
      try guest.frontend.startQueue(0, guest.queue, base: base)
      try guest.queue.kick()
      try waitUntil("the rest") {
        _ = try takeFinished()
        return waiting.isEmpty
      }
      try guest.frontend.stopQueue(0)
    }
    #expect(finishedMeanwhile > 0, "nothing was in flight")
  }

  @Test(arguments: [RingKind.split, .packed])
  func requestThatAnotherBackEndLeftIsAnswered(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    let (placed, expected, head) = try guest.post()
    _ = guest.queue.publish()
    try guest.recordFirstChain(head)
    try guest.frontend.startQueue(0, guest.queue)
    let answer = try guest.answer(placed, head)
    #expect(answer.0 == VirtioCryptoStatus.ok.rawValue && answer.1 == expected)
    // And no second time.
    let (next, _, nextHead) = try guest.post()
    if guest.queue.publish() { try guest.queue.kick() }
    #expect(try guest.answer(next, nextHead).0 == VirtioCryptoStatus.ok.rawValue)
    #expect(guest.queue.popUsed() == nil)
  }

  /// Its source may be half a result.
  @Test(arguments: [RingKind.split, .packed])
  func requestInPlaceIsRefusedWhenItIsTakenAgain(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    let (placed, _, head) = try guest.post(isInPlace: true)
    _ = guest.queue.publish()
    try guest.recordFirstChain(head)
    try guest.frontend.startQueue(0, guest.queue)
    let answer = try guest.answer(placed, head)
    #expect(answer.0 == VirtioCryptoStatus.err.rawValue)
    #expect(answer.1 == [UInt8](repeating: 9, count: 64))
    let (next, _, nextHead) = try guest.post(isInPlace: true)
    if guest.queue.publish() { try guest.queue.kick() }
    #expect(try guest.answer(next, nextHead).0 == VirtioCryptoStatus.ok.rawValue)
  }

  /// What the daemon before saved is put back, and the request computed from that; one for which nothing good is saved was
  /// never begun, whatever stands there.
  @Test(arguments: [RingKind.split, .packed], Saved.allCases)
  func requestInPlaceIsComputedFromWhatWasSaved(ring: RingKind, saved: Saved) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    // Begun by a daemon that saves.
    try guest.frontend.startQueue(0, guest.queue)
    _ = try guest.frontend.stopQueue(0)
    let (placed, expected, head) = try guest.post(isInPlace: true)
    _ = guest.queue.publish()
    try guest.recordFirstChain(head)
    let source = try PlacedRequest.content(of: placed.source, in: guest.memory)
    if saved == .whole {
      let destination = try #require(placed.destination.first)
      try guest.memory.fill(destination.guestAddress, byteCount: 40, with: 0xEE)
    }
    guest.save(source + [PlacedRequest.untouched], saved)
    try guest.frontend.startQueue(0, guest.queue)
    let answer = try guest.answer(placed, head)
    #expect(answer.0 == VirtioCryptoStatus.ok.rawValue)
    #expect(answer.1 == expected)
    // And on as if nothing had been.
    let (after, _, afterHead) = try guest.post(isInPlace: true)
    if guest.queue.publish() { try guest.queue.kick() }
    #expect(try guest.answer(after, afterHead) == (answer.0, expected))
  }

  /// A front-end that copies pages has it, also where the request then writes no result.
  @Test(arguments: [RingKind.split, .packed])
  func whatIsPutBackIsLogged(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    try guest.frontend.startQueue(0, guest.queue)
    _ = try guest.frontend.stopQueue(0)
    let (placed, _, head) = try guest.post(byteCount: 16384, isInPlace: true, opcode: 0x7777)
    _ = guest.queue.publish()
    try guest.recordFirstChain(head)
    let source = try PlacedRequest.content(of: placed.source, in: guest.memory)
    let destination = try #require(placed.destination.first)
    try guest.memory.fill(destination.guestAddress, byteCount: 9000, with: 0xEE)
    guest.save(source + [PlacedRequest.untouched], .whole)
    let log = try DirtyBitmap(covering: guest.memory)
    try guest.frontend.setLogBase(log)
    try guest.frontend.setLogging(true, queues: [:])
    try guest.frontend.startQueue(0, guest.queue)
    let answer = try guest.answer(placed, head)
    #expect(answer.0 == VirtioCryptoStatus.notsupp.rawValue && answer.1 == source)
    let pages = GuestRAM.pages(destination.guestAddress, byteCount: 16384)
    #expect(pages.count >= 4 && Set(pages).isSubset(of: log.take()))
  }

  /// Header, key and IV: whether a daemon has begun with a request that is written over them nobody can know.
  @Test(arguments: [RingKind.split, .packed], 0..<3)
  func resultOverAnotherPartThanTheSourceIsRefusedWhenItIsTakenAgain(
    ring: RingKind, part: Int
  ) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(daemon, ring)
    try guest.frontend.startQueue(0, guest.queue)
    _ = try guest.frontend.stopQueue(0)
    let (placed, _, head) = try guest.post(over: part)
    #expect(placed.buffers.filter { !$0.isWritable }.count == 4)
    _ = guest.queue.publish()
    try guest.recordFirstChain(head)
    let before = try PlacedRequest.content(of: placed.buffers.dropLast(1), in: guest.memory)
    try guest.frontend.startQueue(0, guest.queue)
    #expect(try guest.answer(placed, head).0 == VirtioCryptoStatus.err.rawValue)
    #expect(
      try PlacedRequest.content(of: placed.buffers.dropLast(1), in: guest.memory) == before)
    // Taken for the first time, it is computed.
    let (next, _, nextHead) = try guest.post(over: part)
    if guest.queue.publish() { try guest.queue.kick() }
    #expect(try guest.answer(next, nextHead).0 == VirtioCryptoStatus.ok.rawValue)
  }

  @Test(arguments: [RingKind.split, .packed])
  func kicksAndCallsGoInMessages(ring: RingKind) throws {
    let daemon = try DaemonProcess()
    let guest = try Guest(
      daemon, ring, more: ProtocolFeature.backendRequests | ProtocolFeature.inBandNotifications)
    let pair = try UnixSocketPair()
    try guest.frontend.command(
      .setBackendRequestDescriptor, descriptors: [pair.second.rawValue])
    let channel = Frontend(socket: OwnedFile(descriptor: dup(pair.first.rawValue)))
    try guest.frontend.startQueue(0, guest.queue)
    let word = VringDescriptor(index: 0, hasNoDescriptor: true).encoded
    for request in [.setVringCall, .setVringError, .setVringKick] as [FrontendRequest] {
      try guest.frontend.command(request, payload: word)
    }
    /// The next notification, which is replied to; nil where none comes.
    func notification(within milliseconds: Int32) throws -> BackendRequest? {
      var ready = pollfd(fd: pair.first.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, milliseconds) > 0 else { return nil }
      let message = try channel.receive(waitingFor: "a notification")
      #expect(try VringState(parsing: message.payload.span).index == 0)
      let reply = MessageHeader(code: message.header.code, flags: 0b101, payloadByteCount: 8)
      try channel.sendRaw(reply.encoded + NumberPayload(0).encoded)
      return BackendRequest(rawValue: message.header.code)
    }
    // Each start of the ring calls once.
    while let call = try notification(within: 200) { #expect(call == .vringCall) }
    var kickCount = 0
    for _ in 0..<100 where kickCount < 5 {
      // The worker goes to sleep meanwhile, and it is the message that wakes it.
      usleep(20_000)
      let (placed, expected, head) = try guest.post()
      _ = guest.queue.enableCalls()
      if guest.queue.publish() {
        usleep(20_000)
        // On a busy machine it may have looked once more.
        if !guest.queue.hasUsed { kickCount += 1 }
        try guest.frontend.command(
          .vringKick, payload: VringState(index: 0, number: 0).encoded)
      }
      let answer = try guest.answer(placed, head)
      #expect(answer.1 == expected)
      #expect(try notification(within: 5000) == .vringCall)
      #expect(try notification(within: 20) == nil)
    }
    #expect(kickCount == 5, "the device looks at its ring all the time")
    // A chain that leads out of memory stops the ring, which is told in the same way.
    let outside = ChainBuffer(guestAddress: 1 << 60, byteCount: 72, isWritable: false)
    guest.queue.post(try guest.queue.reserve([outside], indirect: false))
    _ = guest.queue.publish()
    try guest.frontend.command(.vringKick, payload: VringState(index: 0, number: 0).encoded)
    #expect(try notification(within: 5000) == .vringError)
  }
}
