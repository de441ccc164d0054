internal import GuestMemory
internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// Negotiation, status and reset.
extension Connection {
  /// What is believed of a word that holds bits we never offered: bit 30 and `VIRTIO_F_VERSION_1`, which change nothing
  /// in how requests and rings are read.
  private static let harmlessBits: UInt64 = VhostUserLimit.protocolFeaturesBit | 1 << 32

  /// `VIRTIO_F_RING_PACKED` and `VIRTIO_F_IN_ORDER`, which no driver has without `VIRTIO_F_VERSION_1`: alone they are what
  /// uninitialized memory looks like.
  private static let modernRingBits: UInt64 = 1 << 34 | 1 << 35

  /// Whether rings begin disabled: the front-end accepted bit 30.
  var speaksProtocolFeatures: Bool { features & VhostUserLimit.protocolFeaturesBit != 0 }

  func getFeatures() {
    reply(to: .getFeatures, NumberPayload(device.offeredFeatures).encoded)
  }

  /// Takes what was both offered and accepted; the rings pause if that changes anything.
  ///
  /// QEMU before 10.0 sends uninitialized bits with cryptodev-vhost-user. A word that holds bits we never offered is
  /// such a word, and none of its bits is believed that would change the layout of requests, or when the guest is called.
  func setFeatures(_ message: borrowing Message) throws(Refusal) {
    let value = try parse(message, NumberPayload.init(parsing:)).value
    var accepted = value & device.offeredFeatures
    if value & ~device.offeredFeatures != 0 {
      accepted &= Self.harmlessBits
      if !complainedAboutFeatures {
        complainedAboutFeatures = true
        log.log(
          .warning, "front-end accepted features that were not offered, ignored",
          ["features": "0x\(String(value & ~device.offeredFeatures, radix: 16))"])
      }
    }
    if accepted & 1 << 32 == 0 { accepted &= ~Self.modernRingBits }
    // QEMU repeats the word once per data queue: only a change is worth a pause.
    if !hasFeatures || accepted != features {
      stopAll()
      hasFeatures = true
      features = accepted
      device.setFeatures(accepted)
    }
    // Without bit 30 rings start enabled, and accepting it later does not disable them again.
    if !speaksProtocolFeatures {
      for ring in rings where ring.enable == nil { ring.enable = true }
    }
    startWhatMayRun()
  }

  func getProtocolFeatures() {
    reply(to: .getProtocolFeatures, NumberPayload(device.offeredProtocolFeatures).encoded)
  }

  func setProtocolFeatures(_ message: borrowing Message) throws(Refusal) {
    let value = try parse(message, NumberPayload.init(parsing:)).value
    if value & ~device.offeredProtocolFeatures != 0 {
      log.log(
        .warning, "front-end accepted protocol features that were not offered, ignored",
        ["features": "0x\(String(value & ~device.offeredProtocolFeatures, radix: 16))"])
    }
    var accepted = value & device.offeredProtocolFeatures
    // It means nothing without a buffer to leave requests in.
    if accepted & ProtocolFeature.inflightSharedMemory == 0 {
      accepted &= ~ProtocolFeature.getVringBaseInflight
    }
    try checkInBand(accepted)
    protocolFeatures = accepted
    channel.setProtocolFeatures(protocolFeatures)
    device.setProtocolFeatures(protocolFeatures)
  }

  func getQueueNum() {
    reply(to: .getQueueNum, NumberPayload(UInt64(rings.count)).encoded)
  }

  /// Stops all rings, the reading of this retired message that harms nobody.
  func resetOwner() {
    for ring in rings {
      stop(ring)
      forgetInflight(of: ring)
      ring.forgetKick()
    }
  }

  /// Hands the status on; 0 is no `reset()`, since QEMU sends it when a guest is merely paused and will go on with its
  /// sessions.
  func setStatus(_ message: borrowing Message) throws(Refusal) {
    let value = try parse(message, NumberPayload.init(parsing:)).value
    guard let status = UInt8(exactly: value) else { throw .status(value) }
    device.status = status
  }

  func getStatus() {
    reply(to: .getStatus, NumberPayload(UInt64(device.status)).encoded)
  }

  /// Disables all rings and resets the device; memory and descriptors stay, as the protocol has it.
  func resetDevice() {
    for ring in rings {
      stop(ring)
      forgetInflight(of: ring)
      ring.forgetKick()
      ring.base = nil
      ring.isCorrupt = false
      ring.enable = speaksProtocolFeatures ? nil : true
    }
    device.reset()
  }

  /// Opens the channel for messages of ours; the shape of the message promises one descriptor.
  func setBackendRequestDescriptor(_ message: inout Message) {
    if let socket = message.descriptors.take() { channel.open(socket) }
  }
}
