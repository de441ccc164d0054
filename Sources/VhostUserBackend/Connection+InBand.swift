internal import LinuxSystem
internal import VhostUserProtocol

/// Which of a ring's events are eventfds of ours: the front-end wants messages instead.
struct InBandEvents {
  var kick = false
  var call = false
  var error = false
}

/// An event that a front-end gave, or that stands in for its messages.
struct RingEvent: ~Copyable {
  var descriptor: FileDescriptor?
  let isOurs: Bool

  /// Hands the descriptor over.
  mutating func take() -> FileDescriptor? { descriptor.take() }
}

/// Notifications in messages (`VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS`), for front-ends that simulate time.
///
/// Workers know nothing of it: where a front-end gives no descriptor, they get an eventfd of ours. A `VRING_KICK` signals
/// it; what they signal goes out as `VRING_CALL` or `VRING_ERR`, one message at a time, each after the reply to the last.
extension Connection {
  private var speaksInBand: Bool {
    protocolFeatures & ProtocolFeature.inBandNotifications != 0
  }

  /// Refuses in-band notifications without the two features that they need, as the protocol asks.
  func checkInBand(_ accepted: UInt64) throws(Refusal) {
    let needed = ProtocolFeature.backendRequests | ProtocolFeature.replyAcknowledgement
    guard accepted & ProtocolFeature.inBandNotifications == 0 || accepted & needed == needed else {
      throw .notNegotiated
    }
  }

  /// The event of a `SET_VRING_KICK`, `_CALL` or `_ERR`: its descriptor, or one of ours where messages do instead.
  func event(of message: inout Message, _ ring: Ring) throws(Refusal) -> RingEvent {
    if let descriptor = message.descriptors.take() {
      return RingEvent(descriptor: descriptor, isOurs: false)
    }
    guard speaksInBand else { return RingEvent(descriptor: nil, isOurs: false) }
    do throws(SystemError) {
      return RingEvent(descriptor: try EventFD().release(), isOurs: true)
    } catch {
      throw .queueStart(index: ring.index, reason: "\(error)")
    }
  }

  /// `VRING_KICK`: buffers are available.
  func kickInBand(_ message: borrowing Message) throws(Refusal) {
    let state = try parse(message, VringState.init(parsing:))
    guard speaksInBand else { throw .notNegotiated }
    let ring = try ring(state.index)
    guard ring.notifiesInBand.kick else { throw .notNegotiated }
    ring.kick?.signal()
  }

  /// What the server has to watch: the events of rings, or the channel while a reply is awaited.
  var notificationDescriptors: [Int32] {
    if let awaited = channel.awaitedDescriptor { return [awaited] }
    guard speaksInBand, channel.isFreeForNotifications else { return [] }
    var descriptors: [Int32] = []
    for ring in rings {
      if ring.notifiesInBand.call { descriptors.append(Self.rawValue(ring.call)) }
      if ring.notifiesInBand.error { descriptors.append(Self.rawValue(ring.error)) }
    }
    return descriptors
  }

  /// Takes in the reply that is awaited, or sends the next notification.
  func notifyInBand() {
    if channel.awaitedDescriptor != nil { channel.takeReply() }
    // The first rings do not keep the others from their turn.
    for step in rings.indices {
      guard channel.isFreeForNotifications else { return }
      let ring = rings[(nextNotified + step) % rings.count]
      if ring.notifiesInBand.error, EventFD.drain(Self.rawValue(ring.error)) > 0 {
        nextNotified = ring.index + 1
        channel.notify(.vringError, ring: ring.index)
      } else if ring.notifiesInBand.call, EventFD.drain(Self.rawValue(ring.call)) > 0 {
        nextNotified = ring.index + 1
        channel.notify(.vringCall, ring: ring.index)
      }
    }
  }

  private static func rawValue(_ descriptor: borrowing FileDescriptor?) -> Int32 {
    switch descriptor {
    case .some(let descriptor): descriptor.rawValue
    case nil: -1
    }
  }
}
