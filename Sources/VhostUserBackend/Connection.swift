internal import GuestMemory
internal import LinuxSystem
internal import Logging
internal import VhostUserProtocol

/// One front-end: its socket, what was negotiated with it, its memory and its rings.
///
/// This file reads messages, sends each to its own function and answers; the functions are in `Connection+*.swift`.
final class Connection {
  let device: any VhostUserDevice
  let log: PeerLog
  let channel: FrontendChannel
  let rings: [Ring]
  var memory = MemoryMap()
  /// Where rings record what is in flight; nil: nowhere.
  var inflight: InflightBuffer?
  /// Where dirty pages are logged, if the front-end has said.
  var dirtyLog: DirtyLog?
  /// Signalled when pages were logged (SET_LOG_FD).
  var logEvent: FileDescriptor?
  /// Accepted feature bits; valid once `hasFeatures`.
  var features: UInt64 = 0
  var hasFeatures = false
  var protocolFeatures: UInt64 = 0
  /// `SET_VRING_ENABLE` was seen: from then on rings run only when told to.
  var sawRingEnable = false
  /// The complaint about feature bits that were never offered is made once per connection.
  var complainedAboutFeatures = false

  /// Where the search for the next in-band notification begins.
  var nextNotified = 0

  private let socket: FileDescriptor
  private let reader = MessageReader()

  /// Takes over a connected stream socket.
  init(socket: consuming FileDescriptor, device: any VhostUserDevice, log: PeerLog) {
    channel = FrontendChannel(peer: .of(socket))
    self.socket = socket
    self.device = device
    self.log = log
    rings = (0..<min(max(device.queueCount, 0), 256)).map(Ring.init(index:))
  }

  /// For polling.
  var descriptor: Int32 { socket.rawValue }

  func open() {
    device.connectionOpened(channel)
    log.log(.info, "front-end connected")
  }

  /// Stops every ring, then tells the device; the socket closes with the last reference.
  ///
  /// `serverStops`: it is not the front-end that has left.
  func close(serverStops: Bool = false) {
    for ring in rings {
      stop(ring)
      ring.forgetAll()
    }
    channel.close()
    if serverStops { device.connectionInterrupted() } else { device.connectionClosed() }
    memory = MemoryMap()
    inflight = nil
    dirtyLog = nil
    logEvent = nil
    log.log(.info, "front-end disconnected")
  }

  /// Handles what the socket has to give without waiting; false when the connection is over.
  ///
  /// At most a few messages are handled per turn, so that a chatty front-end cannot starve the device's own
  /// descriptors.
  func handleInput() -> Bool {
    for _ in 0..<16 {
      switch reader.advance(from: socket) {
      case .wait: return true
      case .closed: return false
      case .oversized(let header):
        log.log(
          .warning, "message too long, connection closed",
          ["request": "\(header.request)", "bytes": "\(header.payloadByteCount)"])
        return false
      case .failed(let error):
        log.log(.warning, "reading from the front-end failed", ["error": "\(error)"])
        return false
      case .complete:
        var message = reader.takeMessage()
        let goesOn = handle(&message)
        message.wipe()
        UnusedStack.wipe()
        guard goesOn else { return false }
      }
    }
    return true
  }

  /// Obeys or refuses one message and answers it; false when the connection is over.
  private func handle(_ message: inout Message) -> Bool {
    let header = message.header
    do {
      try check(message)
      try dispatch(&message)
    } catch {
      return refuse(header, error)
    }
    guard header.needsReply, acknowledges, header.request.shape?.hasOwnReply == false else {
      return !isBroken
    }
    reply(to: header.request, NumberPayload(0).encoded)
    return !isBroken
  }

  private var acknowledges: Bool {
    protocolFeatures & ProtocolFeature.replyAcknowledgement != 0
  }

  private func check(_ message: borrowing Message) throws(Refusal) {
    let header = message.header
    guard header.hasKnownVersion, !header.isReply else { throw .flags(header.flags) }
    guard let shape = header.request.shape else { throw .unknownRequest }
    guard shape.accepts(payloadByteCount: message.payload.count) else {
      throw .payloadByteCount(message.payload.count)
    }
    let count = message.descriptors.count
    guard !message.descriptors.wereTruncated, shape.descriptorCounts.contains(count) else {
      throw .descriptorCount(count)
    }
  }

  private func refuse(_ header: MessageHeader, _ refusal: Refusal) -> Bool {
    let answers = header.needsReply && acknowledges && header.request.shape?.hasOwnReply != true
    let goesOn = answers || !refusal.endsConnection
    log.log(
      .warning, "front-end message refused",
      [
        "request": "\(header.request)", "reason": "\(refusal)",
        "answer": answers ? "nack" : goesOn ? "none" : "close",
      ])
    if answers { reply(to: header.request, NumberPayload(1).encoded) }
    return goesOn && !isBroken
  }

  /// Each message has a function of its own.
  private func dispatch(_ message: inout Message) throws(Refusal) {
    switch message.header.request {
    case .getFeatures: getFeatures()
    case .setFeatures: try setFeatures(message)
    case .getProtocolFeatures: getProtocolFeatures()
    case .setProtocolFeatures: try setProtocolFeatures(message)
    case .getQueueNum: getQueueNum()
    case .setOwner: break  // One socket has one front-end: there is nothing to own.
    case .resetOwner: resetOwner()
    case .setMemoryTable: try setMemoryTable(&message)
    case .addMemoryRegion: try addMemoryRegion(&message)
    case .removeMemoryRegion: try removeMemoryRegion(message)
    case .getMaxMemorySlots: getMaxMemorySlots()
    case .setLogBase: try setLogBase(&message)
    case .setLogDescriptor: setLogDescriptor(&message)
    case .setVringNum: try setVringNum(message)
    case .setVringAddress: try setVringAddress(message)
    case .setVringBase: try setVringBase(message)
    case .getVringBase: try getVringBase(message)
    case .setVringKick: try setVringKick(&message)
    case .setVringCall: try setVringCall(&message)
    case .setVringError: try setVringError(&message)
    case .setVringEnable: try setVringEnable(message)
    case .setBackendRequestDescriptor: setBackendRequestDescriptor(&message)
    case .getConfig: try getConfig(message)
    case .setConfig: try setConfig(message)
    case .setStatus: try setStatus(message)
    case .getStatus: getStatus()
    case .resetDevice: resetDevice()
    case .createCryptoSession: createSession(message)
    case .closeCryptoSession: try closeSession(message)
    case .setDeviceStateDescriptor: try setDeviceStateDescriptor(&message)
    case .checkDeviceState: checkDeviceState()
    case .getInflightDescriptor: try getInflight(message)
    case .setInflightDescriptor: try setInflight(&message)
    case .vringKick: try kickInBand(message)
    default: throw .unknownRequest
    }
  }

  // MARK: Answers

  /// Set when an answer could not be sent: a front-end that does not read its answers is cut off rather than waited for.
  private var isBroken = false

  /// Sends an answer without waiting.
  func reply(to request: FrontendRequest, _ payload: [UInt8], descriptors: [Int32] = []) {
    let header = MessageHeader(request, isReply: true, payloadByteCount: payload.count)
    if !socket.sendWhole(header.encoded + payload, descriptors: descriptors) {
      isBroken = true
      log.log(
        .warning, "answer could not be sent, connection closed", ["request": "\(request)"])
    }
  }

  /// Reads a payload, turning its error into a refusal.
  func parse<Payload>(
    _ message: borrowing Message,
    _ parse: (Span<UInt8>) throws(PayloadError) -> Payload
  ) throws(Refusal) -> Payload {
    do {
      return try parse(message.payload.span)
    } catch {
      throw .payload(error)
    }
  }
}
