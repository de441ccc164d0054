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
        splitInFlight, wrongInFlight, dirtyPages(split), dirtyPages(packed), wrongLogs,
        inBand(answer: rightAnswer), inBand(answer: [1, 2, 3] + rightAnswer),
        inBand(answer: [1, 2]), inBand(answer: rightAnswer + rightAnswer, isCorrupt: true),
        inBandWithoutChannel, state, strangeSessions, tooManyDescriptors,
      ] + packedRecords
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

    private enum Flags {
      static let write: UInt64 = 2
      static let available: UInt64 = 0x80
      static let used: UInt64 = 0x8080
    }

    /// A packed ring with two descriptors, and a record of it; nil: one that nobody has begun.
    ///
    /// - `id`: of both. The device answers chains with an odd one in the reverse order.
    private static func packedInFlight(
      _ record: [UInt8]?, flags: UInt64, id: UInt64 = 0
    ) -> [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: packed, protocolFeatures: withoutInBand)
      talk.send(.getInflightDescriptor, buffer())
      let descriptor = bytes64(0x3000) + bytes64(32 | id << 32 | flags << 48)
      talk.write(descriptor + descriptor, at: 0)
      // The driver wants to be called for the first descriptor.
      talk.write([0, 0x80, 2, 0], at: 0x1000)
      if let record { talk.write(record, at: 0, toSealed: true) }
      talk.setMemory()
      talk.send(.setInflightDescriptor, buffer(), descriptors: 1, from: sealed)
      talk.startRing(0, base: 0x8000_8000)
      talk.setMemory()
      talk.send(.getVringBase, VringState(index: 0, number: 0).encoded)
      talk.startRing(0, base: 0x8002_8002)
      talk.send(.resetDevice)
      return talk.bytes
    }

    /// A packed ring's record: the first states are in flight with one descriptor each, the others are free.
    ///
    /// - `standing`: so many descriptors were taken that stand in the ring.
    private static func packedRecord(
      inFlight: Int, used: Int = 0, old: Int = 0, descriptorCount: Int = 1, standing: UInt64? = nil
    ) -> [UInt8] {
      var record = bytes64(0) + bytes16(1) + bytes16(64) + bytes16(inFlight) + bytes16(inFlight)
      record += bytes16(used) + bytes16(old) + [1, 1, 0, 0]
      record += bytes64(standing.map { 1 << 62 + $0 } ?? 0)
      for index in 0..<64 {
        record += [index < inFlight ? 1 : 0, 0] + bytes16(index + 1) + bytes16(index)
        let isMarked = standing != nil && index == inFlight
        record += bytes16(descriptorCount)
        record += bytes64(isMarked ? 0xA11E_57A9_D1C6_0001 : UInt64(90 - index)) + bytes16(index)
        record += bytes16(2) + bytes16(16) + bytes16(0) + bytes64(0x3000)
      }
      return record
    }

    private static var packedRecords: [[UInt8]] {
      let available = Flags.write | Flags.available
      let used = Flags.write | Flags.used
      return [
        packedInFlight(nil, flags: available), packedInFlight(nil, flags: available, id: 1),
        // Chains that stand in the ring, and one that is not there any more.
        packedInFlight(packedRecord(inFlight: 0, standing: 2), flags: available),
        packedInFlight(packedRecord(inFlight: 0, standing: 2), flags: available, id: 1),
        packedInFlight(packedRecord(inFlight: 0, standing: 3), flags: available),
        packedInFlight(packedRecord(inFlight: 2), flags: available),
        packedInFlight(packedRecord(inFlight: 0), flags: available),
        // A batch that the driver has seen, and one that it has not.
        packedInFlight(packedRecord(inFlight: 1, used: 1), flags: used),
        packedInFlight(packedRecord(inFlight: 2), flags: used),
        // Places that there are not, and more descriptors than the ring has.
        packedInFlight(packedRecord(inFlight: 1, used: 64), flags: available),
        packedInFlight(packedRecord(inFlight: 1, descriptorCount: 65), flags: available),
        packedInFlight(packedRecord(inFlight: 2, descriptorCount: 2), flags: available),
      ]
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

    /// Calls, errors and kicks in messages; the front-end's answers have come before the questions.
    private static func inBand(answer: [UInt8], isCorrupt: Bool = false) -> [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split)
      talk.send(.setBackendRequestDescriptor, descriptors: 1, from: 7)
      offer(&talk)
      // An index jump is an error.
      if isCorrupt { talk.write([0, 0, 0xFF, 0x7F], at: 0x1000) }
      talk.setMemory()
      talk.answer(answer)
      for index in 0..<2 as Range<UInt8> {
        let none = VringDescriptor(index: index, hasNoDescriptor: true).encoded
        talk.send(.setVringCall, none)
        talk.send(.setVringError, none)
        talk.prepareRing(UInt32(index))
        talk.send(.setVringKick, none)
        talk.send(.setVringEnable, VringState(index: UInt32(index), number: 1).encoded)
      }
      talk.send(.vringKick, VringState(index: 0, number: 0).encoded)
      talk.send(.vringKick, VringState(index: 2, number: 0).encoded)
      // The server looks at its rings after some messages.
      for _ in 0..<64 { talk.send(.getQueueNum) }
      return talk.bytes
    }

    /// Session messages that mean nothing.
    private static var strangeSessions: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split)
      talk.send(.createCryptoSession, [UInt8](repeating: 0, count: 632))
      talk.send(.createCryptoSession, [UInt8](repeating: 0, count: 1072))
      talk.send(.createCryptoSession, [9] + [UInt8](repeating: 0, count: 1071))
      talk.send(.createCryptoSession, [2] + [UInt8](repeating: 0xFF, count: 1071))
      return talk.bytes
    }

    /// A message in two pieces, each with as many descriptors as one may have.
    private static var tooManyDescriptors: [UInt8] {
      var talk = Conversation()
      talk.negotiate(features: split)
      talk.bytes += [UInt8(FrontendRequest.setMemoryTable.rawValue), 0x48, 8, 0, 0, 40, 0, 0, 0]
      talk.send(.setMemoryTable, [UInt8](repeating: 0, count: 28), descriptors: 8)
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
