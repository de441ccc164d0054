public import VhostUserProtocol

/// The buffer in which a back-end records what is in flight; a front-end keeps it from one connection to the next.
public struct InflightArea: Sendable {
  /// What the back-end said of it; open to change by tests that lie.
  public var payload: InflightPayload
  public var file: OwnedFile

  public init(payload: InflightPayload, file: OwnedFile) {
    self.payload = payload
    self.file = file
  }
}

/// Requests in flight, and coming back to a back-end that was restarted.
extension Frontend {
  /// GET_INFLIGHT_FD: a new buffer for so many queues of so many descriptors.
  ///
  /// - Throws: `refused` when the back-end has none for these numbers.
  public func inflightArea(
    queueCount: Int, queueSize: UInt16
  ) throws(FrontendError) -> InflightArea {
    try require(ProtocolFeature.inflightSharedMemory, "PROTOCOL_F_INFLIGHT_SHMFD")
    let question = InflightPayload(
      queueCount: UInt16(truncatingIfNeeded: queueCount), queueSize: queueSize)
    let reply = try call(.getInflightDescriptor, payload: question.encoded())
    let payload: InflightPayload
    do throws(PayloadError) {
      payload = try InflightPayload(parsing: reply.payload.span)
    } catch {
      throw .unexpectedReply("GET_INFLIGHT_FD with \(reply.payload.count) bytes")
    }
    guard payload.mmapByteCount > 0, let file = reply.files.first else {
      throw .refused(message: "GET_INFLIGHT_FD", value: payload.mmapByteCount)
    }
    return InflightArea(payload: payload, file: file)
  }

  /// SET_INFLIGHT_FD: rings record there from their next start on.
  public func setInflightArea(_ area: InflightArea) throws(FrontendError) {
    try require(ProtocolFeature.inflightSharedMemory, "PROTOCOL_F_INFLIGHT_SHMFD")
    try command(
      .setInflightDescriptor, payload: area.payload.encoded(),
      descriptors: [area.file.descriptor])
  }

  /// Over a new connection, gives a back-end everything again that the one before had: the buffer, the memory, and the
  /// rings as they are.
  ///
  /// `queues`: by index.
  public func resume(
    _ area: InflightArea?, memory: GuestRAM, queues: [Int: DriverQueue]
  ) throws(FrontendError) {
    try negotiate()
    if let area { try setInflightArea(area) }
    try shareMemory(memory)
    for (index, queue) in queues.sorted(by: { $0.key < $1.key }) {
      try startQueue(index, queue)
    }
  }
}
