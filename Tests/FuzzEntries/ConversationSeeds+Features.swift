import VhostUserProtocol

extension ConversationSeeds {
  /// Conversations about requests in flight, dirty pages, notifications in messages, and the device's state.
  enum OtherFeatures {
    private static let split: UInt64 = 1 << 32 | 1 << 29 | 1 << 28
    private static let packed = split | 1 << 34
    private static let withoutInBand = ~ProtocolFeature.inBandNotifications
    /// The sealed file, among the descriptors.
    private static let sealed = 10

    static var all: [[UInt8]] {
      [
        splitInFlight, packedInFlight, wrongInFlight, dirtyPages(split), dirtyPages(packed),
        wrongLogs, inBand(answer: rightAnswer), inBand(answer: [1, 2, 3] + rightAnswer),
        inBand(answer: [1, 2]), inBandWithoutChannel, state,
      ]
    }

    /// Descriptors for one chain, which is available.
    private static func offer(_ talk: inout Conversation) {
      let descriptor = bytes64(0x3000) + bytes64(32 | 2 << 32)
      talk.write(descriptor + descriptor, at: 0)
      talk.write([0, 0, 1, 0, 0, 0], at: 0x1000)
    }

    private static func buffer(_ size: UInt16 = 64, offset: UInt64 = 0) -> [UInt8] {
      InflightPayload(mmapByteCount: 0x4000, mmapOffset: offset, queueCount: 3, queueSize: size)
        .encoded()
    }

    /// A record of another daemon: the first two heads are in flight.
    private static var splitInFlight: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split, protocolFeatures: withoutInBand)
      talk.send(.getInflightDescriptor, buffer())
      offer(&talk)
      talk.setMemory()
      talk.write(
        bytes64(0) + bytes16(1) + bytes16(64) + bytes16(1) + bytes16(0xFFFF)
          + state(inFlight: 1, counter: 8) + state(inFlight: 1, counter: 7)
          + state(inFlight: 0, counter: 6), at: 0, toSealed: true)
      talk.send(.setInflightDescriptor, buffer(), descriptors: 1, from: sealed)
      talk.startRing(0)
      talk.startRing(1)
      talk.setMemory()
      talk.send(.getVringBase, VringState(index: 0, number: 0).encoded)
      talk.startRing(0)
      talk.send(.resetOwner)
      return talk.bytes
    }

    private static func state(inFlight: UInt8, counter: UInt64) -> [UInt8] {
      [inFlight, 0, 0, 0, 0, 0, 0, 0] + bytes64(counter)
    }

    /// A packed ring's: state 0 is in flight with one descriptor, the others are free.
    private static var packedInFlight: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: packed, protocolFeatures: withoutInBand)
      talk.send(.getInflightDescriptor, buffer())
      talk.setMemory()
      talk.send(.setInflightDescriptor, buffer(), descriptors: 1, from: sealed)
      talk.startRing(0, base: 0x8000_8000)
      let wrap: UInt64 = 1 | 1 << 8
      var record = bytes64(0) + bytes16(1) + bytes16(64) + bytes16(1) + bytes16(1)
      record += bytes64(wrap << 32) + bytes64(0)
      for index in 0..<64 {
        let next = index + 1
        record += [index == 0 ? 1 : 0, 0] + bytes16(next) + bytes16(0) + bytes16(1)
        record += bytes64(5) + bytes16(0) + bytes16(2) + bytes16(16) + bytes16(0)
        record += bytes64(0x3000)
      }
      talk.send(.getVringBase, VringState(index: 0, number: 0).encoded)
      talk.write(record, at: 0, toSealed: true)
      talk.startRing(0, base: 0x8000_8000)
      talk.setMemory()
      talk.send(.resetDevice)
      return talk.bytes
    }

    /// Buffers that are refused, and records of rings that do not start.
    private static var wrongInFlight: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split, protocolFeatures: withoutInBand)
      talk.send(.getInflightDescriptor, buffer(0))
      let all: [(payload: InflightPayload, file: Int)] = [
        (.init(mmapByteCount: 0x4000, queueCount: 0, queueSize: 64), sealed),
        (.init(mmapByteCount: 0x4000, queueCount: 3, queueSize: 0), sealed),
        (.init(mmapByteCount: 0x4000, mmapOffset: 5, queueCount: 3, queueSize: 64), sealed),
        (.init(mmapByteCount: 0x40, queueCount: 3, queueSize: 64), sealed),
        (.init(mmapByteCount: 0x4000, queueCount: 3, queueSize: 64), 0),
        (.init(mmapByteCount: 0x8000_0000, queueCount: 3, queueSize: 64), sealed),
      ]
      for (payload, file) in all {
        talk.send(.setInflightDescriptor, payload.encoded(), descriptors: 1, from: file)
      }
      talk.setMemory()
      talk.send(.setInflightDescriptor, buffer(32), descriptors: 1, from: sealed)
      talk.startRing(0)
      talk.send(.setInflightDescriptor, buffer(), descriptors: 1, from: sealed)
      // A version that nobody has, another number of states, a last batch that does not exist.
      for head in [[2, 0, 64, 0], [1, 0, 63, 0], [1, 0, 64, 0, 64, 0, 0xFF, 0xFF]] as [[UInt8]] {
        talk.write(head, at: 0, toSealed: true, from: 8)
        talk.startRing(0)
      }
      return talk.bytes
    }

    private static func dirtyPages(_ features: UInt64) -> [UInt8] {
      var talk = Conversation()
      talk.negotiate(
        features: features | VhostUserLimit.logAllBit, protocolFeatures: withoutInBand)
      offer(&talk)
      talk.setMemory()
      let log = LogPayload(mmapByteCount: 0x1000, mmapOffset: 0).encoded
      talk.send(.setLogBase, log, descriptors: 1)
      talk.send(.setLogDescriptor, descriptors: 1, from: 3)
      talk.startRing(0, base: features & 1 << 34 != 0 ? 0x8000_8000 : 0)
      talk.send(.setLogBase, log, descriptors: 1)
      // The ring's own part alone, at an address that is none of guest memory; and no log that reaches so far.
      talk.send(.setFeatures, NumberPayload(features | 1 << 30).encoded)
      talk.send(
        .setVringAddress,
        VringAddress(
          index: 0, flags: VringAddress.logFlag, descriptorTable: 0x7000_0000,
          usedRing: 0x7000_2000, availableRing: 0x7000_1000, log: .max - 3
        ).encoded)
      talk.send(
        .setLogBase, LogPayload(mmapByteCount: 8, mmapOffset: 0).encoded, descriptors: 1, from: 1)
      return talk.bytes
    }

    /// Logs that are refused; the last one ends the connection.
    private static var wrongLogs: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split, protocolFeatures: withoutInBand)
      talk.send(.setLogBase, LogPayload(mmapByteCount: .max, mmapOffset: 9).encoded, descriptors: 1)
      return talk.bytes
    }

    private static let rightAnswer =
      MessageHeader(
        FrontendRequest(rawValue: BackendRequest.vringCall.rawValue), isReply: true,
        payloadByteCount: NumberPayload.byteCount
      ).encoded + NumberPayload(0).encoded

    /// Calls and kicks in messages; the front-end's answer has come before the question.
    private static func inBand(answer: [UInt8]) -> [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split)
      talk.send(.setBackendRequestDescriptor, descriptors: 1, from: 7)
      offer(&talk)
      talk.setMemory()
      talk.answer(answer)
      talk.startRing(0)
      let none = VringDescriptor(index: 0, hasNoDescriptor: true).encoded
      talk.send(.setVringCall, none)
      talk.send(.setVringError, none)
      talk.send(.setVringKick, none)
      talk.send(.vringKick, VringState(index: 0, number: 0).encoded)
      talk.send(.vringKick, VringState(index: 1, number: 0).encoded)
      // An index jump, which is an error.
      talk.write([0, 0, 0xFF, 0x7F], at: 0x1000)
      talk.setMemory()
      talk.send(.getQueueNum)
      return talk.bytes
    }

    private static var inBandWithoutChannel: [UInt8] {
      var talk = Conversation()
      talk.negotiate(
        features: split,
        protocolFeatures: ProtocolFeature.inBandNotifications | ProtocolFeature.replyAcknowledgement
      )
      return talk.bytes
    }

    /// The device's state through a pipe, a socket and a file, with rings that run and without; directions that there are
    /// not.
    private static var state: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split, protocolFeatures: withoutInBand)
      talk.send(.checkDeviceState)
      for (direction, file) in [(0, 6), (1, 5), (0, 5), (1, 9), (0, 7), (1, 0)] as [(UInt32, Int)] {
        talk.send(
          .setDeviceStateDescriptor, StateTransferPayload(direction: direction).encoded,
          descriptors: 1, from: file)
        talk.send(.checkDeviceState)
      }
      talk.send(
        .setDeviceStateDescriptor, StateTransferPayload(direction: 2).encoded, descriptors: 1)
      talk.setMemory()
      talk.startRing(0)
      talk.send(
        .setDeviceStateDescriptor, StateTransferPayload(direction: 0).encoded, descriptors: 1)
      talk.send(.checkDeviceState)
      return talk.bytes
    }
  }
}

extension ConversationSeeds.Conversation {
  /// Writes into the memory file, or the sealed one; `from` is where in the first 256 bytes, which are written from there.
  mutating func write(_ content: [UInt8], at offset: Int, toSealed: Bool = false, from: Int = 0) {
    let content = [UInt8](repeating: 0, count: from) + content
    bytes += [UInt8(offset >> 8), toSealed ? 0xA0 : 0x20, 0] + bytes16(content.count) + content
  }

  /// Sends what the back-end's channel receives.
  mutating func answer(_ content: [UInt8]) {
    bytes += [0, 0x60, 0] + bytes16(content.count) + content
  }
}
