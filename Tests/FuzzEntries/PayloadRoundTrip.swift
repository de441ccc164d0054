import VhostUserProtocol

/// What is read of a message's payload is the same once it was written and read again.
enum PayloadRoundTrip {
  static func check(_ request: FrontendRequest, _ bytes: [UInt8]) throws {
    switch request {
    case .setFeatures, .setProtocolFeatures, .setStatus, .closeCryptoSession:
      try same(request, bytes, NumberPayload.init(parsing:), \.encoded)
    case .setVringNum, .setVringBase, .setVringEnable, .vringKick, .getVringBase:
      try same(request, bytes, VringState.init(parsing:), \.encoded)
    case .setVringAddress: try same(request, bytes, VringAddress.init(parsing:), \.encoded)
    case .setVringKick, .setVringCall, .setVringError:
      try same(request, bytes, VringDescriptor.init(parsing:), \.encoded)
    case .setLogBase: try same(request, bytes, LogPayload.init(parsing:), \.encoded)
    case .setMemoryTable:
      try same(request, bytes, MemoryTablePayload.init(parsing:), \.encoded)
    case .addMemoryRegion, .removeMemoryRegion:
      try same(request, bytes, MemoryRegionPayload.init(parsingSingle:), \.encodedSingle)
    case .getConfig, .setConfig:
      try same(request, bytes, ConfigurationPayload.init(parsing:), \.encoded)
    case .getInflightDescriptor, .setInflightDescriptor:
      try same(request, bytes, InflightPayload.init(parsing:)) {
        $0.encoded(byteCount: bytes.count)
      }
    case .setDeviceStateDescriptor:
      try same(request, bytes, StateTransferPayload.init(parsing:), \.encoded)
    case .createCryptoSession:
      try same(request, bytes, SessionRequest.init(parsing:)) { $0.encoded ?? [] }
    default: break
    }
  }

  private static func same<Payload>(
    _ request: FrontendRequest, _ bytes: [UInt8],
    _ parse: (Span<UInt8>) throws(PayloadError) -> Payload, _ encode: (Payload) -> [UInt8]
  ) throws {
    guard let payload = try? parse(bytes.span) else { return }
    let written = encode(payload)
    try require(
      try encode(parse(written.span)) == written, "\(request): read again, this is another payload")
  }
}
