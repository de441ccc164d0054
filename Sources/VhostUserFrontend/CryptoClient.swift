public import VhostUserProtocol
public import VirtioSpec

/// What became of one data request.
public struct OperationAnswer: Hashable, Sendable {
  public var status: VirtioCryptoStatus
  /// `dst_data`, all of it, whatever the status.
  public var output: [UInt8]
  /// `hash_result` of a hash, MAC or chain.
  public var result: [UInt8]
  /// The used length, as the device says.
  public var usedByteCount: Int
  /// Bytes in the chain's device-writable part.
  public var writableByteCount: Int

  /// The leading part of `output` that the used length tells of: an asymmetric result.
  public var writtenOutput: [UInt8] { Array(output.prefix(max(0, usedByteCount - 1))) }
}

/// One request after the other, in plain calls: the guest's driver for tests that care about
/// answers.
public final class CryptoClient {
  /// How sessions are made.
  public enum Control {
    /// By requests on a control queue.
    case queue(DriverQueue)
    /// By messages, in one of the layouts.
    case messages(SessionLayout)
  }

  public let frontend: Frontend
  public let memory: GuestRAM
  public let dataQueues: [DriverQueue]
  public let control: Control
  /// The shape of requests; from negotiation, and open to change by tests that lie.
  public var format: RequestFormat
  /// Wait by polling the used ring; otherwise sleep until called.
  public var polls = true
  public var timeoutMilliseconds: Int

  public init(
    frontend: Frontend, memory: GuestRAM, dataQueues: [DriverQueue], control: Control
  ) {
    self.frontend = frontend
    self.memory = memory
    self.dataQueues = dataQueues
    self.control = control
    format = frontend.requestFormat
    timeoutMilliseconds = frontend.options.timeoutMilliseconds
  }

  /// Negotiates, shares memory, and starts data queues and (unless sessions come by message) the
  /// control queue.
  ///
  /// `dataQueueCount`: how many data queues to start; the control queue's index is what the
  /// configuration says. `messageLayout`: nil for a control queue, otherwise the layout of session
  /// messages.
  public static func start(
    path: String, options: Frontend.Options = .init(), memory: GuestRAM? = nil,
    dataQueueCount: Int = 1, queueSize: UInt16 = 256, controlQueueSize: UInt16 = 64,
    messageLayout: SessionLayout? = nil
  ) throws(FrontendError) -> CryptoClient {
    let frontend = try Frontend.connect(path: path, options: options)
    return try start(
      frontend, memory: memory, dataQueueCount: dataQueueCount, queueSize: queueSize,
      controlQueueSize: controlQueueSize, messageLayout: messageLayout)
  }

  /// The same over a connection that is there already and has not negotiated.
  ///
  /// `recordsInflight`: give the back-end a buffer to record the data queues' requests in.
  public static func start(
    _ frontend: Frontend, memory: GuestRAM? = nil, dataQueueCount: Int = 1,
    queueSize: UInt16 = 256, controlQueueSize: UInt16 = 64, recordsInflight: Bool = false,
    messageLayout: SessionLayout? = nil
  ) throws(FrontendError) -> CryptoClient {
    try frontend.negotiate()
    if recordsInflight {
      try frontend.setInflightArea(
        frontend.inflightArea(queueCount: dataQueueCount, queueSize: queueSize))
    }
    let memory = if let memory { memory } else { try GuestRAM.scattered() }
    try frontend.shareMemory(memory)
    var queues: [DriverQueue] = []
    for index in 0..<dataQueueCount {
      let queue = try frontend.makeQueue(size: queueSize)
      try frontend.startQueue(index, queue)
      queues.append(queue)
    }
    if let messageLayout {
      return CryptoClient(
        frontend: frontend, memory: memory, dataQueues: queues, control: .messages(messageLayout))
    }
    let controlIndex = try frontend.readConfiguration().maxDataQueues
    let queue = try frontend.makeQueue(size: controlQueueSize)
    try frontend.startQueue(Int(controlIndex), queue)
    return CryptoClient(
      frontend: frontend, memory: memory, dataQueues: queues, control: .queue(queue))
  }

  // MARK: Sessions

  /// Creates a session; the answer has its id or a status.
  public func createSession(_ spec: SessionSpec) throws(FrontendError) -> SessionAnswer {
    switch control {
    case .messages(let layout): return try frontend.createSession(spec, layout: layout)
    case .queue:
      return try create(CryptoRequestBuilder.createSession(spec, format: format))
    }
  }

  /// Sends a creation request as it is, over the control queue.
  public func create(_ request: ControlRequest) throws(FrontendError) -> SessionAnswer {
    let (used, bytes) = try send(request)
    let outcome = WireBytes(bytes)
    return SessionAnswer(
      sessionID: outcome.get64(at: 0), statusWord: outcome.get32(at: 8), usedByteCount: used)
  }

  /// Creates a session that has to work.
  ///
  /// - Throws: `refused` with the status otherwise.
  public func openSession(_ spec: SessionSpec) throws(FrontendError) -> UInt64 {
    let answer = try createSession(spec)
    guard answer.statusWord == 0 else {
      throw .refused(message: "the session (\(answer.status))", value: UInt64(answer.statusWord))
    }
    return answer.sessionID
  }

  /// Destroys a session.
  ///
  /// With session messages an unknown id shows as INVSESS only where replies are negotiated.
  @discardableResult
  public func destroySession(
    _ session: UInt64, service: VirtioCryptoService
  ) throws(FrontendError) -> VirtioCryptoStatus {
    switch control {
    case .messages:
      do throws(FrontendError) {
        try frontend.closeSession(session)
        return .ok
      } catch {
        guard case .refused = error else { throw error }
        return .invsess
      }
    case .queue:
      let request = CryptoRequestBuilder.destroySession(session, service: service, format: format)
      return VirtioCryptoStatus(rawValue: try send(request).outcome.first ?? 0xFF)
    }
  }

  /// Sends a control request and gives the used length and the outcome's bytes.
  public func send(
    _ request: ControlRequest, isIndirect: Bool = true
  ) throws(FrontendError) -> (usedByteCount: Int, outcome: [UInt8]) {
    guard case .queue(let queue) = control else {
      throw .request("a control request without a control queue")
    }
    let placed = try PlacedRequest(request, in: memory)
    let used = try run(placed, on: queue, isIndirect: isIndirect)
    let outcome = try PlacedRequest.content(of: placed.result, in: memory)
    placed.free(in: memory)
    return (Int(used.byteCount), outcome)
  }

  // MARK: Data

  /// Sends one data request and waits for its answer.
  public func perform(
    _ operation: OperationSpec, plan: RequestPlan = RequestPlan(), queue: Int = 0
  ) throws(FrontendError) -> OperationAnswer {
    try perform(CryptoRequestBuilder.data(operation, format: format), plan: plan, queue: queue)
  }

  /// Sends one data request as it is and waits for its answer.
  public func perform(
    _ request: DataRequest, plan: RequestPlan = RequestPlan(), queue: Int = 0
  ) throws(FrontendError) -> OperationAnswer {
    guard dataQueues.indices.contains(queue) else { throw .ring("no data queue \(queue)") }
    let placed = try PlacedRequest(request, plan: plan, in: memory)
    let used = try run(placed, on: dataQueues[queue], isIndirect: plan.isIndirect)
    let answer = try answer(placed, used)
    placed.free(in: memory)
    return answer
  }

  /// Reads the answer of a placed request that the device has finished.
  public func answer(
    _ placed: PlacedRequest, _ used: UsedElement
  ) throws(FrontendError) -> OperationAnswer {
    var status = PlacedRequest.untouched
    if let address = placed.statusAddress {
      status = try memory.read(address, byteCount: 1).first ?? status
    }
    return OperationAnswer(
      status: VirtioCryptoStatus(rawValue: status),
      output: try PlacedRequest.content(of: placed.destination, in: memory),
      result: try PlacedRequest.content(of: placed.result, in: memory),
      usedByteCount: Int(used.byteCount), writableByteCount: placed.writableByteCount)
  }

  /// Submits a chain and waits for it.
  ///
  /// When nothing comes back, its memory stays taken: the device may still write it.
  private func run(
    _ placed: PlacedRequest, on queue: DriverQueue, isIndirect: Bool
  ) throws(FrontendError) -> UsedElement {
    if polls { queue.disableCalls() }
    let head = try queue.submit(placed.buffers, indirect: isIndirect)
    let used =
      polls
      ? try queue.pollUsed(timeoutMilliseconds: timeoutMilliseconds)
      : try queue.waitUsed(timeoutMilliseconds: timeoutMilliseconds)
    guard used.head == UInt32(head) else {
      throw .ring("the device finished chain \(used.head) instead of \(head)")
    }
    queue.release(head)
    return used
  }
}
