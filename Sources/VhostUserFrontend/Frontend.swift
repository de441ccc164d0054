public import VhostUserProtocol
public import VirtioSpec

/// A vhost-user front-end over one connection: what a virtual machine monitor does.
///
/// Ordinary use: `connect`, `negotiate`, `shareMemory`, `startQueue`. Every call waits for the
/// answer that the protocol gives it, up to the options' timeout. `sendRaw` and `receive` are there
/// for those who break the protocol on purpose. One thread at a time uses a front-end.
public final class Frontend: @unchecked Sendable {
  /// How the front-end behaves.
  public struct Options: Hashable, Sendable {
    /// Device features to accept, as far as they are offered.
    ///
    /// The default is a modern driver with indirect descriptors and event indices, without crypto
    /// features (the legacy request layout).
    public var features: UInt64 =
      VirtioFeature.version1 | VirtioFeature.ringIndirectDescriptors | VirtioFeature.ringEventIndex
      | RingKind.usual.features
    /// Accept features although the back-end does not offer them.
    public var forcesFeatures = false
    /// Protocol features to accept, as far as they are offered; nil: a front-end that does not know
    /// bit 30.
    public var protocolFeatures: UInt64? = Options.allProtocolFeatures
    /// Send SET_VRING_ENABLE (QEMU's cryptodev never does).
    public var sendsEnable = true
    /// The text that the driver speaks; it must be the device's.
    public var dialect = Dialect.virtio13
    /// Share memory by ADD_MEM_REG instead of SET_MEM_TABLE.
    public var usesMemorySlots = false
    /// Ask for an acknowledgement of every message, where that is negotiated.
    public var asksForReplies = true
    public var timeoutMilliseconds = 5000

    public static let allProtocolFeatures =
      ProtocolFeature.multiqueue | ProtocolFeature.replyAcknowledgement
      | ProtocolFeature.cryptoSession | ProtocolFeature.config
      | ProtocolFeature.configureMemorySlots | ProtocolFeature.status
      | ProtocolFeature.resetDevice | ProtocolFeature.deviceState
      | ProtocolFeature.inflightSharedMemory | ProtocolFeature.logSharedMemory

    /// The kind of rings to ask for.
    public var ring: RingKind {
      get { RingKind(features: features) }
      set {
        features &= ~RingKind.packedInOrder.features
        features |= newValue.features
      }
    }

    public init() {}

    /// A front-end whose driver wants this request format.
    public init(format: RequestFormat, ring: RingKind = RingKind.usual) {
      features |= format.features
      dialect = format.dialect
      self.ring = ring
    }
  }

  /// A message as it came.
  public struct Message: Sendable {
    public var header: MessageHeader
    public var payload: [UInt8]
    public var files: [OwnedFile]
  }

  public let options: Options
  let channel: SocketChannel
  public internal(set) var offeredFeatures: UInt64 = 0
  public internal(set) var features: UInt64 = 0
  public internal(set) var offeredProtocolFeatures: UInt64 = 0
  public internal(set) var protocolFeatures: UInt64 = 0
  /// Per started queue: the eventfd that the back-end signals when it gives up on the ring.
  public internal(set) var errorEvents: [Int: EventFile] = [:]
  public internal(set) var memory: GuestRAM?

  /// Takes over a connected socket.
  public init(socket: OwnedFile, options: Options = Options()) {
    channel = SocketChannel(socket)
    self.options = options
  }

  /// Connects to a back-end's socket, and keeps trying while nobody listens there yet.
  ///
  /// `patienceMilliseconds`: how long to keep trying; nil: the options' timeout.
  public static func connect(
    path: String, options: Options = Options(), patienceMilliseconds: Int? = nil
  ) throws(FrontendError) -> Frontend {
    let channel = try SocketChannel.connect(
      path: path, timeoutMilliseconds: patienceMilliseconds ?? options.timeoutMilliseconds)
    return Frontend(socket: channel.file, options: options)
  }

  /// The request format that negotiation led to.
  public var requestFormat: RequestFormat {
    RequestFormat(features: features, dialect: options.dialect)
  }

  /// The process that the back-end is, as far as it can be seen from here.
  public var backendProcess: Int32? { channel.peerProcess }

  /// Ends the connection in both directions, as a crash of the front-end does.
  public func disconnect() { channel.shutdownBoth() }

  // MARK: Messages

  /// Sends a message as it is, right or wrong.
  public func sendRaw(_ bytes: [UInt8], descriptors: [Int32] = []) throws(FrontendError) {
    try channel.send(bytes, descriptors: descriptors)
  }

  /// Sends a message with a proper header.
  public func send(
    _ request: FrontendRequest, payload: [UInt8] = [], descriptors: [Int32] = [],
    needsReply: Bool = false
  ) throws(FrontendError) {
    let header = MessageHeader(request, needsReply: needsReply, payloadByteCount: payload.count)
    try channel.send(header.encoded + payload, descriptors: descriptors)
  }

  /// The next message of the back-end.
  public func receive(
    waitingFor what: String = "message", timeoutMilliseconds: Int? = nil
  ) throws(FrontendError) -> Message {
    let milliseconds = timeoutMilliseconds ?? options.timeoutMilliseconds
    let deadline = Deadline(milliseconds: milliseconds)
    let first = try channel.receive(
      MessageHeader.byteCount, doing: what, deadline: deadline, timeoutMilliseconds: milliseconds)
    let header: MessageHeader
    do throws(PayloadError) {
      header = try MessageHeader(parsing: first.bytes.span)
    } catch {
      throw .unexpectedReply("a header of \(first.bytes.count) bytes")
    }
    guard header.payloadByteCount <= 1 << 20 else {
      throw .unexpectedReply("a payload of \(header.payloadByteCount) bytes")
    }
    let rest = try channel.receive(
      Int(header.payloadByteCount), doing: what, deadline: deadline,
      timeoutMilliseconds: milliseconds)
    return Message(header: header, payload: rest.bytes, files: first.files + rest.files)
  }

  /// Sends a message that has a reply of its own, and gives that.
  public func call(
    _ request: FrontendRequest, payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws(FrontendError) -> Message {
    try send(request, payload: payload, descriptors: descriptors)
    return try receiveReply(to: request)
  }

  /// Sends a message that has no reply of its own; waits for its acknowledgement where that is
  /// negotiated.
  ///
  /// - Throws: `refused` when the back-end answers with another value than 0.
  public func command(
    _ request: FrontendRequest, payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws(FrontendError) {
    let needsReply =
      options.asksForReplies && protocolFeatures & ProtocolFeature.replyAcknowledgement != 0
    try send(request, payload: payload, descriptors: descriptors, needsReply: needsReply)
    guard needsReply else { return }
    let value = try number(in: receiveReply(to: request))
    guard value == 0 else { throw .refused(message: request.description, value: value) }
  }

  /// Whether the back-end closes the connection within the time; bytes that it still sends are
  /// skipped.
  public func isClosedByBackend(timeoutMilliseconds: Int? = nil) throws(FrontendError) -> Bool {
    let milliseconds = timeoutMilliseconds ?? options.timeoutMilliseconds
    let deadline = Deadline(milliseconds: milliseconds)
    while true {
      do throws(FrontendError) {
        _ = try channel.receive(
          1, doing: "end of the connection", deadline: deadline, timeoutMilliseconds: milliseconds)
      } catch {
        switch error {
        case .disconnected: return true
        case .timedOut: return false
        default: throw error
        }
      }
    }
  }

  private func receiveReply(to request: FrontendRequest) throws(FrontendError) -> Message {
    let message = try receive(waitingFor: "reply to \(request)")
    guard
      message.header.request == request, message.header.isReply, message.header.hasKnownVersion
    else {
      throw .unexpectedReply(
        "to \(request) came \(message.header.request), flags \(message.header.flags)")
    }
    return message
  }

  func number(in message: Message) throws(FrontendError) -> UInt64 {
    do throws(PayloadError) {
      return try NumberPayload(parsing: message.payload.span).value
    } catch {
      throw .unexpectedReply(
        "\(message.header.request) with \(message.payload.count) bytes instead of 8")
    }
  }
}
