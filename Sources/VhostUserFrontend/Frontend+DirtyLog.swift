internal import VhostUserProtocol
internal import VirtioSpec

/// Dirty page logging, as QEMU does it when a migration starts and when it ends.
extension Frontend {
  /// SET_LOG_BASE: where pages are logged from now on.
  public func setLogBase(_ bitmap: DirtyBitmap) throws(FrontendError) {
    try require(ProtocolFeature.logSharedMemory, "PROTOCOL_F_LOG_SHMFD")
    let payload = LogPayload(
      mmapByteCount: UInt64(bitmap.byteCount), mmapOffset: UInt64(bitmap.fileOffset)
    ).encoded
    let reply = try call(
      .setLogBase, payload: payload, descriptors: [bitmap.file.descriptor])
    // QEMU takes any payload, rust-vmm wants its own back.
    guard reply.payload == payload else {
      throw .unexpectedReply("SET_LOG_BASE with \(reply.payload.count) bytes")
    }
  }

  /// SET_LOG_FD: what is signalled when pages were logged.
  public func setLogEvent(_ event: EventFile) throws(FrontendError) {
    try command(.setLogDescriptor, descriptors: [event.descriptor])
  }

  /// Begins or ends logging: SET_FEATURES, then SET_VRING_ADDR of every ring.
  ///
  /// `queues`: by index, all that were started.
  public func setLogging(_ isOn: Bool, queues: [Int: DriverQueue]) throws(FrontendError) {
    let bit = VhostUserLimit.logAllBit
    try setFeatures(isOn ? features | bit : features & ~bit)
    for (index, queue) in queues.sorted(by: { $0.key < $1.key }) {
      try setVringAddress(index, queue, isLogged: isOn)
    }
  }

  /// SET_VRING_ADDR.
  ///
  /// `logAddress`: where the used part's pages are logged; nil: at its own guest address.
  public func setVringAddress(
    _ index: Int, _ queue: DriverQueue, isLogged: Bool = false, logAddress: UInt64? = nil
  ) throws(FrontendError) {
    try command(
      .setVringAddress,
      payload: VringAddress(
        index: UInt32(truncatingIfNeeded: index), flags: isLogged ? VringAddress.logFlag : 0,
        descriptorTable: queue.memory.frontendAddress(of: queue.layout.descriptorTable),
        usedRing: queue.memory.frontendAddress(of: queue.layout.used),
        availableRing: queue.memory.frontendAddress(of: queue.layout.available),
        log: isLogged ? logAddress ?? queue.layout.used : 0
      ).encoded)
  }
}

extension CryptoClient {
  /// The queues that were started, by index.
  public func startedQueues() throws(FrontendError) -> [Int: DriverQueue] {
    var queues = Dictionary(uniqueKeysWithValues: dataQueues.enumerated().map { ($0, $1) })
    if case .queue(let queue) = control {
      queues[Int(try frontend.readConfiguration().maxDataQueues)] = queue
    }
    return queues
  }

  /// Has the back-end log every write from now on.
  public func startLogging(_ bitmap: DirtyBitmap) throws(FrontendError) {
    try frontend.setLogBase(bitmap)
    try frontend.setLogging(true, queues: try startedQueues())
  }
}
