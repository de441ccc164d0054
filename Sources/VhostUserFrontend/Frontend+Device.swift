internal import VhostUserProtocol
public import VirtioSpec

/// Negotiation, configuration and life of the device.
extension Frontend {
  /// Features and protocol features, as the options say; then SET_OWNER.
  public func negotiate() throws(FrontendError) {
    offeredFeatures = try number(in: call(.getFeatures))
    let bit30 = VhostUserLimit.protocolFeaturesBit
    if let wanted = options.protocolFeatures, offeredFeatures & bit30 != 0 {
      offeredProtocolFeatures = try number(in: call(.getProtocolFeatures))
      let accepted = wanted & offeredProtocolFeatures
      try command(.setProtocolFeatures, payload: NumberPayload(accepted).encoded)
      protocolFeatures = accepted
    }
    try command(.setOwner)
    try setFeatures(options.forcesFeatures ? options.features : options.features & offeredFeatures)
  }

  /// SET_FEATURES, with bit 30 added where protocol features are in use.
  public func setFeatures(_ word: UInt64) throws(FrontendError) {
    let bit30 = VhostUserLimit.protocolFeaturesBit
    let usesProtocolFeatures = options.protocolFeatures != nil && offeredFeatures & bit30 != 0
    try command(
      .setFeatures, payload: NumberPayload(usesProtocolFeatures ? word | bit30 : word).encoded)
    features = word & ~bit30
  }

  /// GET_QUEUE_NUM: how many queues the back-end has.
  public func queueCount() throws(FrontendError) -> Int {
    try require(ProtocolFeature.multiqueue, "PROTOCOL_F_MQ")
    return Int(clamping: try number(in: call(.getQueueNum)))
  }

  /// GET_MAX_MEM_SLOTS.
  public func maximumMemorySlotCount() throws(FrontendError) -> Int {
    try require(ProtocolFeature.configureMemorySlots, "PROTOCOL_F_CONFIGURE_MEM_SLOTS")
    return Int(clamping: try number(in: call(.getMaxMemorySlots)))
  }

  /// GET_CONFIG of the whole configuration space.
  public func readConfiguration() throws(FrontendError) -> VirtioCryptoConfig {
    let bytes = try readConfiguration(
      offset: 0, byteCount: VirtioCryptoConfig.byteCount(options.dialect))
    guard let config = VirtioCryptoConfig(bytes: bytes) else {
      throw .unexpectedReply("a configuration of \(bytes.count) bytes")
    }
    return config
  }

  /// GET_CONFIG of a part of the configuration space.
  public func readConfiguration(offset: Int, byteCount: Int) throws(FrontendError) -> [UInt8] {
    try require(ProtocolFeature.config, "PROTOCOL_F_CONFIG")
    let window = ConfigurationPayload(
      offset: UInt32(truncatingIfNeeded: offset), window: [UInt8](repeating: 0, count: byteCount))
    let reply = try call(.getConfig, payload: window.encoded)
    do throws(PayloadError) {
      return try ConfigurationPayload(parsing: reply.payload.span).window
    } catch {
      throw .refused(message: "GET_CONFIG", value: UInt64(reply.payload.count))
    }
  }

  /// SET_STATUS.
  public func setStatus(_ status: UInt64) throws(FrontendError) {
    try require(ProtocolFeature.status, "PROTOCOL_F_STATUS")
    try command(.setStatus, payload: NumberPayload(status).encoded)
  }

  /// GET_STATUS.
  public func status() throws(FrontendError) -> UInt64 {
    try require(ProtocolFeature.status, "PROTOCOL_F_STATUS")
    return try number(in: call(.getStatus))
  }

  /// RESET_DEVICE.
  public func resetDevice() throws(FrontendError) {
    try require(ProtocolFeature.resetDevice, "PROTOCOL_F_RESET_DEVICE")
    try command(.resetDevice)
  }

  /// Waits until the back-end has handled everything sent so far (by a message that always has a
  /// reply).
  public func synchronize() throws(FrontendError) { _ = try call(.getFeatures) }

  func require(_ feature: UInt64, _ name: String) throws(FrontendError) {
    guard protocolFeatures & feature != 0 else { throw .notNegotiated(name) }
  }
}
