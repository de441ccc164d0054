import Testing
import VhostUserProtocol

/// A message that some rule forbids.
struct BadMessage: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var request: FrontendRequest
  var payload: [UInt8] = []
  var descriptorCount = 0
  var announcedByteCount: UInt32?
  var version: UInt32 = 1
  /// The stream behind it is lost, so even an acknowledging front-end is cut off.
  var isFatal = false

  init(
    _ description: String, _ request: FrontendRequest, _ payload: [UInt8] = [],
    descriptors: Int = 0, isFatal: Bool = false
  ) {
    testDescription = description
    self.request = request
    self.payload = payload
    descriptorCount = descriptors
    self.isFatal = isFatal
  }

  func header(needsReply: Bool) -> MessageHeader {
    var header = MessageHeader(request, needsReply: needsReply, payloadByteCount: payload.count)
    header.flags = header.flags & ~0b11 | version
    if let announcedByteCount { header.payloadByteCount = announcedByteCount }
    return header
  }

  func send(over frontend: RawFrontend, needsReply: Bool, file: Int32) {
    frontend.send(
      bytes: header(needsReply: needsReply).encoded + payload,
      descriptors: [Int32](repeating: file, count: descriptorCount))
  }

  static let all: [BadMessage] = {
    let number = NumberPayload(0).encoded
    var table = MemoryTablePayload(
      regions: [MemoryRegionPayload](
        repeating: MemoryRegionPayload(
          guestAddress: 0, regionByteCount: 4096, frontendAddress: 0, mmapOffset: 0), count: 8)
    ).encoded
    table[0] = 9
    var lyingConfig = ConfigurationPayload(offset: 0, window: [1, 2, 3]).encoded
    lyingConfig[4] = 4
    var oversized = BadMessage("oversized payload", .setFeatures)
    oversized.announcedByteCount = 0xFFFF_FFFF
    oversized.isFatal = true
    var justOver = oversized
    justOver.testDescription = "payload one byte too long"
    justOver.announcedByteCount = UInt32(VhostUserLimit.payloadByteCount) + 1
    var version = BadMessage("version 2", .setFeatures, number)
    version.version = 2
    var reply = BadMessage("request that calls itself a reply", .setFeatures, number)
    reply.version = 1 | 1 << 2
    return [
      oversized, justOver, version, reply,
      BadMessage("features of seven bytes", .setFeatures, [UInt8](repeating: 0, count: 7)),
      BadMessage("features without payload", .setFeatures),
      BadMessage("owner with payload", .setOwner, number),
      BadMessage("ring address of 39 bytes", .setVringAddress, [UInt8](repeating: 0, count: 39)),
      BadMessage("ring size 0", .setVringNum, VringState(index: 0, number: 0).encoded),
      BadMessage("ring size 3", .setVringNum, VringState(index: 0, number: 3).encoded),
      BadMessage("ring size 65536", .setVringNum, VringState(index: 0, number: 65536).encoded),
      BadMessage("ring size of ring 3", .setVringNum, VringState(index: 3, number: 8).encoded),
      BadMessage("ring size of ring 256", .setVringNum, VringState(index: 256, number: 8).encoded),
      BadMessage("base beyond 16 bits", .setVringBase, VringState(index: 0, number: 65536).encoded),
      BadMessage("enable with 2", .setVringEnable, VringState(index: 0, number: 2).encoded),
      BadMessage(
        "enable of ring 2^32-1", .setVringEnable, VringState(index: .max, number: 1).encoded),
      BadMessage(
        "kick of ring 255", .setVringKick, VringDescriptor(index: 255).encoded, descriptors: 1),
      BadMessage("kick without its descriptor", .setVringKick, VringDescriptor(index: 0).encoded),
      BadMessage(
        "kick with two descriptors", .setVringKick, VringDescriptor(index: 0).encoded,
        descriptors: 2),
      BadMessage(
        "call with a descriptor it denies", .setVringCall,
        VringDescriptor(index: 0, hasNoDescriptor: true).encoded, descriptors: 1),
      BadMessage("features with a descriptor", .setFeatures, number, descriptors: 1),
      BadMessage("nine descriptors", .setFeatures, number, descriptors: 9),
      BadMessage("253 descriptors", .setFeatures, number, descriptors: 253),
      BadMessage("table of nine regions", .setMemoryTable, table, descriptors: 8),
      BadMessage("table of no bytes", .setMemoryTable),
      BadMessage(
        "table whose count its size belies", .setMemoryTable, [1, 0, 0, 0, 0, 0, 0, 0],
        descriptors: 1),
      BadMessage(
        "region without padding", .addMemoryRegion, [UInt8](repeating: 0, count: 32), descriptors: 1
      ),
      BadMessage("configuration whose size lies", .setConfig, lyingConfig),
      BadMessage("status of nine bits", .setStatus, NumberPayload(256).encoded),
      BadMessage("channel without descriptor", .setBackendRequestDescriptor),
      BadMessage("unknown request", FrontendRequest(rawValue: 77), number, descriptors: 1),
      BadMessage("request 0", FrontendRequest(rawValue: 0)),
      BadMessage(
        "inflight descriptor that was not negotiated", .setInflightDescriptor,
        [UInt8](repeating: 0, count: 24), descriptors: 1),
      BadMessage(
        "inflight descriptor of 21 bytes", .setInflightDescriptor,
        [UInt8](repeating: 0, count: 21), descriptors: 1),
      BadMessage(
        "kick in a message that was not negotiated", .vringKick,
        VringState(index: 0, number: 0).encoded),
    ] + logs
  }()

  /// Front-ends take any answer to SET_LOG_BASE for consent, so there is none.
  private static let logs: [BadMessage] = {
    func log(_ byteCount: UInt64, _ offset: UInt64) -> [UInt8] {
      LogPayload(mmapByteCount: byteCount, mmapOffset: offset).encoded
    }
    let good = log(4096, 0)
    return [
      BadMessage("log without bytes", .setLogBase, log(0, 0), descriptors: 1, isFatal: true),
      BadMessage(
        "log longer than its file", .setLogBase, log(1 << 21, 0), descriptors: 1, isFatal: true),
      BadMessage(
        "log behind its file", .setLogBase, log(1, 1 << 21), descriptors: 1, isFatal: true),
      BadMessage(
        "log whose size and offset overflow", .setLogBase, log(4096, .max - 4095), descriptors: 1,
        isFatal: true),
      BadMessage("log of 2^64-1 bytes", .setLogBase, log(.max, 1), descriptors: 1, isFatal: true),
      BadMessage("log without its descriptor", .setLogBase, good, isFatal: true),
      BadMessage("log with two descriptors", .setLogBase, good, descriptors: 2, isFatal: true),
      BadMessage(
        "log of eight bytes", .setLogBase, Array(good.prefix(8)), descriptors: 1, isFatal: true),
      BadMessage("log event without its descriptor", .setLogDescriptor),
      BadMessage("log event with a payload", .setLogDescriptor, good, descriptors: 1),
    ]
  }()
}

extension OneAtATime {
  @Suite("Malformed messages")
  struct MalformedMessageTests {
    let file: SharedFile

    init() throws { file = try SharedFile(byteCount: 4096) }

    @Test(arguments: BadMessage.all)
    func malformedMessageIsNackedWhereAcknowledged(bad: BadMessage) throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      bad.send(over: frontend, needsReply: true, file: file.descriptor)
      if bad.isFatal {
        #expect(frontend.isCutOff())
        #expect(harness.ended())
      } else {
        #expect(try frontend.answeredNumber(to: bad.request) == 1)
        try frontend.settle()
      }
      #expect(harness.device.running.isEmpty)
    }

    @Test(arguments: BadMessage.all)
    func malformedMessageEndsTheConnectionOtherwise(bad: BadMessage) throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      bad.send(over: frontend, needsReply: false, file: file.descriptor)
      #expect(frontend.isCutOff())
      #expect(harness.ended())
      #expect(harness.device.calls.last == .closed)
    }

    @Test func malformedQuestionsCannotBeNacked() throws {
      for request in [FrontendRequest.getFeatures, .getVringBase, .getConfig, .createCryptoSession]
      {
        let (harness, frontend) = try Harness.connected()
        try frontend.negotiate()
        frontend.send(request, [1, 2, 3], needsReply: true)
        #expect(frontend.isCutOff())
        #expect(harness.ended())
      }
    }

    @Test func messagesArriveBytewise() throws {
      let (_, frontend) = try Harness.connected()
      let message =
        MessageHeader(.setFeatures, payloadByteCount: 8).encoded + NumberPayload(1 << 30).encoded
      for byte in message { frontend.send(bytes: [byte]) }
      // Two messages in one piece.
      frontend.send(bytes: message + MessageHeader(.getQueueNum).encoded)
      #expect(try frontend.answer(to: .getQueueNum).count == 8)
    }

    @Test func frontendThatDoesNotReadItsAnswersIsCutOff() throws {
      let (harness, frontend) = try Harness.connected()
      var sent = 0
      while sent < 1_000_000, frontend.send(.getFeatures) { sent += 1 }
      #expect(sent < 1_000_000)
      #expect(harness.ended())
    }

    @Test func complaintsAreLimited() throws {
      let lines = LogLines()
      let (_, frontend) = try Harness.connected(lines: lines)
      try frontend.negotiate()
      for _ in 0..<200 {
        _ = try frontend.acknowledged(.setVringNum, VringState(index: 0, number: 3).encoded)
      }
      #expect(lines.all.count <= 20)
      #expect(lines.all.contains { $0.contains("ringSize(3)") })
    }
  }
}
