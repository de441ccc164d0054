/// What a message must look like before anybody reads its payload.
public struct MessageShape: Hashable, Sendable {
  /// Payload sizes that the code allows, in bytes.
  public enum PayloadSize: Hashable, Sendable {
    case exactly(Int)
    case within(ClosedRange<Int>)
    /// The two sizes of ``SessionLayout``.
    case session
  }

  public var payload: PayloadSize
  /// How many file descriptors may come along.
  public var descriptorCounts: ClosedRange<Int>
  /// Whether an answer is part of the message, so that REPLY_ACK adds none.
  public var hasOwnReply: Bool

  init(_ payload: PayloadSize, descriptors: ClosedRange<Int> = 0...0, ownReply: Bool = false) {
    self.payload = payload
    self.descriptorCounts = descriptors
    self.hasOwnReply = ownReply
  }

  /// Whether a payload of this many bytes has a size that the code allows.
  public func accepts(payloadByteCount: Int) -> Bool {
    switch payload {
    case .exactly(let count): payloadByteCount == count
    case .within(let counts): counts.contains(payloadByteCount)
    case .session: SessionLayout.accepts(payloadByteCount: payloadByteCount)
    }
  }
}

extension FrontendRequest {
  /// The shape of each message that a back-end of ours understands; nil for all others.
  public var shape: MessageShape? {
    switch self {
    case .getFeatures, .getProtocolFeatures, .getQueueNum, .getMaxMemorySlots, .getStatus:
      MessageShape(.exactly(0), ownReply: true)
    case .setOwner, .resetOwner, .resetDevice:
      MessageShape(.exactly(0))
    case .setFeatures, .setProtocolFeatures, .setStatus, .closeCryptoSession:
      MessageShape(.exactly(NumberPayload.byteCount))
    case .setLogBase:
      // The answer says that from now on nothing is logged in the log before.
      MessageShape(.exactly(LogPayload.byteCount), descriptors: 1...1, ownReply: true)
    case .setLogDescriptor:
      MessageShape(.exactly(0), descriptors: 1...1)
    case .setVringNum, .setVringBase, .setVringEnable, .vringKick:
      MessageShape(.exactly(VringState.byteCount))
    case .getVringBase:
      MessageShape(.exactly(VringState.byteCount), ownReply: true)
    case .setVringAddress:
      MessageShape(.exactly(VringAddress.byteCount))
    case .setVringKick, .setVringCall, .setVringError:
      MessageShape(.exactly(VringDescriptor.byteCount), descriptors: 0...1)
    case .setMemoryTable:
      MessageShape(
        .within(MemoryTablePayload.byteCounts), descriptors: 0...VhostUserLimit.memoryTableRegions)
    case .addMemoryRegion:
      MessageShape(.exactly(MemoryRegionPayload.singleByteCount), descriptors: 1...1)
    case .removeMemoryRegion:
      // The protocol lets front-ends of old send a descriptor here; it is closed unused.
      MessageShape(.exactly(MemoryRegionPayload.singleByteCount), descriptors: 0...1)
    case .setBackendRequestDescriptor:
      MessageShape(.exactly(0), descriptors: 1...1)
    case .getConfig:
      MessageShape(.within(ConfigurationPayload.byteCounts), ownReply: true)
    case .setConfig:
      MessageShape(.within(ConfigurationPayload.byteCounts))
    case .createCryptoSession:
      MessageShape(.session, ownReply: true)
    case .setDeviceStateDescriptor:
      MessageShape(.exactly(StateTransferPayload.byteCount), descriptors: 1...1, ownReply: true)
    case .checkDeviceState:
      MessageShape(.exactly(0), ownReply: true)
    case .getInflightDescriptor:
      MessageShape(.within(InflightPayload.byteCounts), ownReply: true)
    case .setInflightDescriptor:
      MessageShape(.within(InflightPayload.byteCounts), descriptors: 1...1)
    default:
      nil
    }
  }
}

extension MemoryTablePayload {
  /// Payload sizes from no region to eight.
  static let byteCounts =
    headerByteCount...(headerByteCount + VhostUserLimit.memoryTableRegions
    * MemoryRegionPayload.byteCount)
}

extension ConfigurationPayload {
  /// Payload sizes from an empty window to the largest.
  static let byteCounts =
    headerByteCount...(headerByteCount + VhostUserLimit.configurationByteCount)
}
