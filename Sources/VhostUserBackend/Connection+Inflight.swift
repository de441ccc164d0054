internal import GuestMemory
internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// The record of requests in flight, with which a daemon goes on where another was killed.
extension Connection {
  /// Makes a buffer and gives it away: nothing of it stays here, however often it is asked for.
  ///
  /// A size of 0 and no descriptor is the protocol's sign that there is none.
  func getInflight(_ message: borrowing Message) throws(Refusal) {
    try requireInflight()
    var payload = try parse(message, InflightPayload.init(parsing:))
    payload.mmapByteCount = 0
    payload.mmapOffset = 0
    var file: FileDescriptor?
    if payload.queueCount > 0, Int(payload.queueCount) <= rings.count, payload.queueSize > 0,
      Int(payload.queueSize) <= VhostUserLimit.ringEntries
    {
      let queueCount = Int(payload.queueCount)
      let byteCount = InflightAnnex.bufferByteCount(
        regionsByteCount: queueCount
          * InflightLayout.regionByteCount(
            queueSize: Int(payload.queueSize), isPacked: usesPackedRings),
        queueCount: queueCount, dataByteCount: device.inflightAnnexByteCount)
      do throws(SystemError) {
        file = try InflightBuffer.makeFile(byteCount: byteCount)
        payload.mmapByteCount = UInt64(byteCount)
      } catch {
        // The answer says so.
      }
    }
    let encoded = payload.encoded(byteCount: message.payload.count)
    switch file {
    case .some(let file):
      reply(to: .getInflightDescriptor, encoded, descriptors: [file.rawValue])
    case nil:
      log.log(
        .warning, "no buffer for requests in flight",
        ["queues": "\(payload.queueCount)", "size": "\(payload.queueSize)"])
      reply(to: .getInflightDescriptor, encoded)
    }
  }

  /// Takes the buffer that rings record in from their next start on; what is in flight in it is taken up again then.
  func setInflight(_ message: inout Message) throws(Refusal) {
    try requireInflight()
    let payload = try parse(message, InflightPayload.init(parsing:))
    guard let file = message.descriptors.take() else { throw .descriptorCount(0) }
    let buffer = try InflightBuffer(payload, file: file, maximumQueueCount: rings.count)
    stopAll()
    inflight = buffer
    startWhatMayRun()
  }

  /// Where a ring records; nil: nowhere.
  func inflightRegion(of ring: Ring) throws(QueueStartError) -> InflightRegion? {
    try inflight?.region(
      ofQueue: ring.index, size: ring.size, isPacked: usesPackedRings,
      annexByteCount: device.inflightAnnexByteCount)
  }

  /// Makes a stopped ring's record one that nobody has begun: the front-end says where the ring goes on.
  func forgetInflight(of ring: Ring) {
    guard !ring.isRunning, let region = try? inflightRegion(of: ring) else { return }
    // SAFETY: every region has a head, in which the version is.
    unsafe (region.slice.pointer + InflightLayout.versionOffset).withMemoryRebound(
      to: UInt16.self, capacity: 1
    ) { unsafe $0.pointee = 0 }
  }

  private func requireInflight() throws(Refusal) {
    guard protocolFeatures & ProtocolFeature.inflightSharedMemory != 0 else {
      throw .notNegotiated
    }
  }
}
