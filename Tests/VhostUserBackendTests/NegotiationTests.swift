import Testing
import VhostUserProtocol

extension OneAtATime {
  @Suite("Negotiation")
  struct NegotiationTests {
    @Test func offersWhatTheDeviceOffers() throws {
      let (harness, frontend) = try Harness.connected()
      #expect(try frontend.number(.getFeatures) == harness.device.offeredFeatures)
      #expect(try frontend.number(.getProtocolFeatures) == harness.device.offeredProtocolFeatures)
      #expect(try frontend.number(.getQueueNum) == 3)
      #expect(try frontend.number(.getMaxMemorySlots) == 509)
    }

    @Test func acceptedFeaturesReachTheDevice() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate(features: 1 << 30 | 1 << 32 | 1 << 29 | 1)
      #expect(harness.device.calls.contains(.features(1 << 30 | 1 << 32 | 1 << 29 | 1)))
    }

    @Test func wordWithForeignBitsChangesNothingInHowRingsAreRead() throws {
      let lines = LogLines()
      let (harness, frontend) = try Harness.connected(lines: lines)
      for _ in 0..<3 {
        frontend.send(.setFeatures, NumberPayload(1 << 30 | 1 << 29 | 1 << 7 | 0b11).encoded)
      }
      try frontend.settle()
      #expect(harness.device.calls == [.opened, .features(1 << 30)])
      #expect(lines.all.filter { $0.contains("not offered") }.count == 1)
    }

    @Test func acknowledgesOnlyWhenNegotiatedAndAsked() throws {
      let (_, frontend) = try Harness.connected()
      // Not negotiated: the flag is ignored and the next answer is the next message's.
      frontend.send(.setOwner, needsReply: true)
      try frontend.settle()
      try frontend.negotiate()
      #expect(try frontend.acknowledged(.setOwner) == 0)
      #expect(try frontend.acknowledged(.setStatus, NumberPayload(0x100).encoded) == 1)
      // Not asked.
      frontend.send(.setOwner)
      try frontend.settle()
      // A message with an answer of its own gets no second one.
      frontend.send(.getFeatures, needsReply: true)
      #expect(try frontend.answer(to: .getFeatures).count == 8)
      try frontend.settle()
    }

    @Test func statusIsKeptAndResetReachesTheDevice() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      #expect(try frontend.acknowledged(.setStatus, NumberPayload(0x0F).encoded) == 0)
      #expect(try frontend.number(.getStatus) == 0x0F)
      #expect(try frontend.acknowledged(.resetDevice) == 0)
      #expect(harness.device.calls.contains(.reset))
    }

    @Test func configurationIsReadInWindowsAndNotWritten() throws {
      let (_, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.send(
        .getConfig, ConfigurationPayload(offset: 4, window: [0, 0, 0, 0]).encoded)
      let bytes = try frontend.answer(to: .getConfig)
      let answer = try ConfigurationPayload(parsing: bytes.span)
      #expect(answer.offset == 4)
      #expect(answer.window == [4, 5, 6, 7])
      frontend.send(
        .getConfig,
        ConfigurationPayload(offset: 50, window: [UInt8](repeating: 0, count: 8)).encoded)
      #expect(try frontend.answer(to: .getConfig).isEmpty)
      frontend.send(
        .getConfig, ConfigurationPayload(offset: .max, window: [0]).encoded)
      #expect(try frontend.answer(to: .getConfig).isEmpty)
      let write = ConfigurationPayload(offset: 0, window: [1]).encoded
      #expect(try frontend.acknowledged(.setConfig, write) == 1)
      frontend.send(.setConfig, write)
      try frontend.settle()
    }

    @Test func configurationChangeReachesTheFrontend() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate(
        protocolFeatures: ProtocolFeature.replyAcknowledgement | ProtocolFeature.backendRequests
          | ProtocolFeature.config)
      let channel = try #require(harness.device.state.withLock { $0.channel })
      #expect(!channel.notifyConfigurationChange())
      let pair = try SocketPair()
      #expect(
        try frontend.acknowledged(.setBackendRequestDescriptor, descriptors: [pair.theirs]) == 0)
      #expect(channel.notifyConfigurationChange())
      let bytes = try #require(pair.ours.receive(count: MessageHeader.byteCount))
      let header = try MessageHeader(parsing: bytes.span)
      #expect(header.code == BackendRequest.configChange.rawValue)
      #expect(header.payloadByteCount == 0 && !header.isReply && header.hasKnownVersion)
      harness.server.stop()
      #expect(harness.ended())
      #expect(!channel.notifyConfigurationChange())
    }

    @Test func serviceDescriptorsAreWatchedInTheSameLoop() throws {
      let (harness, frontend) = try Harness.connected()
      let pair = try SocketPair()
      harness.device.state.withLock { $0.services = [pair.theirs] }
      try frontend.settle()
      pair.ours.send(bytes: [1])
      #expect(eventually { harness.device.calls.contains(.ready(pair.theirs)) })
    }
  }
}
