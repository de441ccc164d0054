import LinuxSystem
import Testing
import VhostUserProtocol

extension OneAtATime {
  /// Kicks, calls and errors in messages, where a front-end gives no descriptors for them.
  @Suite("In-band notifications")
  struct InBandTests {
    private static let features =
      ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue
      | ProtocolFeature.backendRequests | ProtocolFeature.inBandNotifications

    private let region: GuestRegion
    private let channel: SocketPair

    init() throws {
      region = try GuestRegion()
      channel = try SocketPair()
    }

    private func connect(_ features: UInt64 = Self.features) throws -> (Harness, RawFrontend) {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate(protocolFeatures: features)
      frontend.setMemory([region])
      #expect(
        try frontend.acknowledged(.setBackendRequestDescriptor, descriptors: [channel.theirs]) == 0)
      return (harness, frontend)
    }

    /// Starts a ring, whose first call comes with that.
    private func start(
      _ index: UInt32, _ frontend: RawFrontend, speaksInBand: Bool = true
    ) throws {
      frontend.send(.setVringNum, VringState(index: index, number: 256).encoded)
      frontend.send(.setVringAddress, region.address(ring: index).encoded)
      let word = VringDescriptor(index: UInt8(index), hasNoDescriptor: true).encoded
      for request in [.setVringCall, .setVringError, .setVringKick] as [FrontendRequest] {
        #expect(try frontend.acknowledged(request, word) == 0)
      }
      frontend.enableRing(index)
      try frontend.settle()
      guard speaksInBand else { return }
      #expect(try notification() == [4, index])
      reply(.vringCall)
    }

    /// The next message of the back-end: its code and the ring.
    private func notification() throws -> [UInt32]? {
      guard let bytes = channel.ours.receive(count: MessageHeader.byteCount) else { return nil }
      let header = try MessageHeader(parsing: bytes.span)
      #expect(header.payloadByteCount == 8 && header.needsReply && !header.isReply)
      guard let payload = channel.ours.receive(count: 8) else { return nil }
      let state = try VringState(parsing: payload.span)
      #expect(state.number == 0)
      return [header.code, state.index]
    }

    private func reply(_ code: BackendRequest) {
      let header = MessageHeader(code: code.rawValue, flags: 0b101, payloadByteCount: 8)
      channel.ours.send(bytes: header.encoded + NumberPayload(0).encoded)
    }

    @Test func kickMessageReachesTheRing() throws {
      let (harness, frontend) = try connect()
      try start(1, frontend)
      let kick = try #require(harness.device.state.withLock { $0.kicks[1] })
      #expect(EventFD.drain(kick) == 0)
      let message = VringState(index: 1, number: 0).encoded
      #expect(try frontend.acknowledged(.vringKick, message) == 0)
      #expect(EventFD.drain(kick) == 1)
      // Of a ring that has none, and of one that does not exist.
      #expect(try frontend.acknowledged(.vringKick, VringState(index: 0, number: 0).encoded) == 1)
      #expect(try frontend.acknowledged(.vringKick, VringState(index: 9, number: 0).encoded) == 1)
    }

    @Test func callsAndErrorsComeOneAtATime() throws {
      let (harness, frontend) = try connect()
      for index in 0..<2 as Range<UInt32> { try start(index, frontend) }
      let (calls, errors) = harness.device.state.withLock { ($0.callEvents, $0.errors) }
      EventFD.signal(try #require(calls[0]))
      #expect(try notification() == [4, 0])
      // The next ones wait for the reply, however many there are.
      EventFD.signal(try #require(calls[0]))
      EventFD.signal(try #require(calls[0]))
      EventFD.signal(try #require(errors[1]))
      try frontend.settle()
      #expect(!channel.ours.hasInput(milliseconds: 50))
      reply(.vringCall)
      #expect(try notification() == [5, 1])
      reply(.vringError)
      #expect(try notification() == [4, 0])
      reply(.vringCall)
      #expect(!channel.ours.hasInput(milliseconds: 50))
    }

    @Test func replyThatIsNoneClosesTheChannel() throws {
      let (harness, frontend) = try connect()
      try start(0, frontend)
      let call = try #require(harness.device.state.withLock { $0.callEvents[0] })
      EventFD.signal(call)
      #expect(try notification() == [4, 0])
      channel.ours.send(bytes: [UInt8](repeating: 0xFF, count: 20))
      EventFD.signal(call)
      try frontend.settle()
      #expect(try notification() == nil)
    }

    @Test func withoutTheFeatureTheMessageIsRefused() throws {
      let (_, frontend) = try connect(
        ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue
          | ProtocolFeature.backendRequests)
      try start(0, frontend, speaksInBand: false)
      #expect(try frontend.acknowledged(.vringKick, VringState(index: 0, number: 0).encoded) == 1)
    }

    /// The protocol wants the connection closed.
    @Test func featureWithoutChannelAndRepliesEndsTheConnection() throws {
      for missing in [ProtocolFeature.backendRequests, ProtocolFeature.replyAcknowledgement] {
        let (harness, frontend) = try Harness.connected()
        frontend.send(
          .setProtocolFeatures, NumberPayload(Self.features & ~missing).encoded)
        #expect(frontend.isCutOff())
        #expect(harness.ended())
      }
    }
  }
}
