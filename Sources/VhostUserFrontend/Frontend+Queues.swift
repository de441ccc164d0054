internal import VhostUserProtocol

/// Memory and rings.
extension Frontend {
  /// Shares guest memory with the back-end: all regions at once, or slot by slot when the options
  /// say so.
  public func shareMemory(_ memory: GuestRAM) throws(FrontendError) {
    self.memory = memory
    if options.usesMemorySlots {
      for index in memory.regions.indices { try addMemoryRegion(index) }
      return
    }
    try command(
      .setMemoryTable,
      payload: MemoryTablePayload(regions: memory.regions.map(\.payload)).encoded,
      descriptors: memory.regions.map(\.file.descriptor))
  }

  /// ADD_MEM_REG of one region of the shared memory.
  public func addMemoryRegion(_ index: Int) throws(FrontendError) {
    let region = try region(index)
    try command(
      .addMemoryRegion, payload: region.payload.encodedSingle,
      descriptors: [region.file.descriptor])
  }

  /// REM_MEM_REG of one region of the shared memory.
  public func removeMemoryRegion(_ index: Int) throws(FrontendError) {
    try command(.removeMemoryRegion, payload: try region(index).payload.encodedSingle)
  }

  private func region(_ index: Int) throws(FrontendError) -> GuestRAM.Region {
    guard let memory, memory.regions.indices.contains(index) else {
      throw .guestMemory("no region \(index)")
    }
    return memory.regions[index]
  }

  /// Makes a queue in the shared memory that fits what was negotiated.
  public func makeQueue(
    size: UInt16, startIndex: UInt16 = 0, region: Int? = nil, alignment: Int = 4
  ) throws(FrontendError) -> DriverQueue {
    guard let memory else { throw .guestMemory("no memory is shared yet") }
    return try DriverQueue(
      size: size, memory: memory, hasEventIndex: features & (1 << 29) != 0,
      kind: RingKind(features: features), startIndex: startIndex, region: region,
      alignment: alignment)
  }

  /// Gives a ring to the back-end and starts it.
  ///
  /// `base`: where to go on; nil: where the driver is.
  public func startQueue(
    _ index: Int, _ queue: DriverQueue, base: UInt32? = nil
  ) throws(FrontendError) {
    let number = UInt32(truncatingIfNeeded: index)
    try command(
      .setVringNum, payload: VringState(index: number, number: UInt32(queue.size)).encoded)
    try command(
      .setVringBase,
      payload: VringState(index: number, number: base ?? queue.base).encoded)
    try setVringAddress(index, queue)
    let errorEvent = try EventFile()
    errorEvents[index] = errorEvent
    try setVringDescriptor(.setVringError, index, errorEvent.descriptor)
    try setVringDescriptor(.setVringKick, index, queue.kickEvent.descriptor)
    try setVringDescriptor(.setVringCall, index, queue.callEvent.descriptor)
    if options.sendsEnable && options.protocolFeatures != nil {
      try setEnabled(index, true)
    }
  }

  /// SET_VRING_KICK, SET_VRING_CALL or SET_VRING_ERR; a nil descriptor sets the "no descriptor"
  /// bit.
  private func setVringDescriptor(
    _ request: FrontendRequest, _ index: Int, _ descriptor: Int32?
  ) throws(FrontendError) {
    let payload = VringDescriptor(
      index: UInt8(truncatingIfNeeded: index), hasNoDescriptor: descriptor == nil)
    try command(
      request, payload: payload.encoded, descriptors: descriptor.map { [$0] } ?? [])
  }

  /// SET_VRING_ENABLE.
  public func setEnabled(_ index: Int, _ isEnabled: Bool) throws(FrontendError) {
    try command(
      .setVringEnable,
      payload: VringState(index: UInt32(truncatingIfNeeded: index), number: isEnabled ? 1 : 0)
        .encoded)
  }

  /// GET_VRING_BASE: stops the ring.
  ///
  /// The available index that the back-end would go on from.
  @discardableResult
  public func stopQueue(_ index: Int) throws(FrontendError) -> UInt32 {
    let reply = try call(
      .getVringBase,
      payload: VringState(index: UInt32(truncatingIfNeeded: index), number: 0).encoded)
    let state: VringState
    do throws(PayloadError) {
      state = try VringState(parsing: reply.payload.span)
    } catch {
      throw .unexpectedReply("GET_VRING_BASE with \(reply.payload.count) bytes")
    }
    guard state.index == UInt32(truncatingIfNeeded: index) else {
      throw .unexpectedReply("GET_VRING_BASE of queue \(state.index)")
    }
    return state.number
  }

  /// Whether the back-end has signalled the ring's error eventfd, waiting for it up to the given
  /// time.
  public func hasRingError(_ index: Int, timeoutMilliseconds: Int = 0) throws(FrontendError) -> Bool
  {
    guard let event = errorEvents[index] else { return false }
    return try event.wait(milliseconds: timeoutMilliseconds)
  }
}

extension GuestRAM.Region {
  /// The region as SET_MEM_TABLE describes it.
  var payload: MemoryRegionPayload {
    MemoryRegionPayload(
      guestAddress: spec.guestAddress, regionByteCount: UInt64(spec.byteCount),
      frontendAddress: frontendAddress, mmapOffset: UInt64(spec.fileOffset))
  }
}
