internal import LinuxSystem
internal import VhostUserProtocol

/// Descriptors that came with a message; what nobody takes is closed with it.
struct IncomingDescriptors: ~Copyable {
  /// The most that any message carries; a surplus is closed on arrival and noted.
  static let limit = VhostUserLimit.memoryTableRegions

  private var descriptors: [Int32] = []
  private var taken = 0
  /// More came than `limit`, and the surplus is closed already.
  private(set) var wereTruncated = false

  /// How many are left.
  var count: Int { descriptors.count - taken }

  /// Takes ownership of descriptors that a read brought.
  mutating func append(_ received: [Int32], wereTruncated truncated: Bool) {
    wereTruncated = wereTruncated || truncated
    for rawValue in received {
      if descriptors.count < Self.limit {
        descriptors.append(rawValue)
      } else {
        wereTruncated = true
        _ = FileDescriptor(owning: rawValue)
      }
    }
  }

  /// The next in the order of their arrival.
  mutating func take() -> FileDescriptor? {
    guard taken < descriptors.count else { return nil }
    defer { taken += 1 }
    return FileDescriptor(owning: descriptors[taken])
  }

  deinit {
    for rawValue in descriptors[taken...] { _ = FileDescriptor(owning: rawValue) }
  }
}

/// One message as it came.
struct Message: ~Copyable {
  let header: MessageHeader
  private(set) var payload: [UInt8]
  var descriptors: IncomingDescriptors

  init(header: MessageHeader, payload: [UInt8], descriptors: consuming IncomingDescriptors) {
    self.header = header
    self.payload = payload
    self.descriptors = descriptors
  }

  /// Overwrites the payload, which may hold keys.
  mutating func wipe() { payload.wipe() }
}

/// Puts messages together from whatever pieces the socket delivers, without ever waiting for one.
///
/// It never reads beyond the message at hand, so descriptors belong to the message whose bytes they came with.
final class MessageReader {
  /// What a read led to.
  enum Progress {
    /// The message at hand is not complete and the socket has nothing more now.
    case wait
    /// A whole message is there to take.
    case complete
    /// The front-end is gone.
    case closed
    /// The header announces more than any message has: the bytes behind it cannot be made sense of.
    case oversized(MessageHeader)
    case failed(SystemError)
  }

  private var header: MessageHeader?
  private var bytes = [UInt8](repeating: 0, count: MessageHeader.byteCount)
  private var filled = 0
  private var descriptors = IncomingDescriptors()

  /// Reads until a message is complete or the socket has nothing more.
  func advance(from socket: borrowing FileDescriptor) -> Progress {
    while true {
      if filled == bytes.count {
        if header != nil { return .complete }
        guard let parsed = try? MessageHeader(parsing: bytes.span) else { return .closed }
        guard parsed.payloadByteCount <= UInt32(VhostUserLimit.payloadByteCount) else {
          return .oversized(parsed)
        }
        header = parsed
        bytes = [UInt8](repeating: 0, count: Int(parsed.payloadByteCount))
        filled = 0
        continue
      }
      switch socket.receive(into: &bytes, from: filled, descriptors: &descriptors) {
      case .bytes(let count): filled += count
      case .wouldBlock: return .wait
      case .closed: return .closed
      case .failed(let error): return .failed(error)
      }
    }
  }

  /// Hands out the message that `advance` completed and begins the next.
  func takeMessage() -> Message {
    let taken = Message(
      header: header ?? MessageHeader(code: 0, flags: 0, payloadByteCount: 0), payload: bytes,
      descriptors: exchange(&descriptors, with: IncomingDescriptors()))
    header = nil
    // The array is the message's alone from here, so wiping it reaches the only copy.
    bytes = [UInt8](repeating: 0, count: MessageHeader.byteCount)
    filled = 0
    return taken
  }

  deinit { bytes.wipe() }
}
