import Glibc
import LinuxSystem
import Testing
import VhostUserProtocol

/// Plays a front-end byte by byte, so that it can also break every rule.
final class RawFrontend {
  let socket: Int32
  /// Kept running for as long as somebody talks to it.
  var server: AnyObject?

  init(socket: Int32) {
    self.socket = socket
    // A test that waits for an answer that never comes fails instead of hanging.
    var timeout = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(
      socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(socket) }

  /// Connects to a path, retrying while the server is not there yet.
  static func connect(path: String) throws -> RawFrontend {
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    for _ in 0..<500 {
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 { return RawFrontend(socket: socket) }
      usleep(10_000)
    }
    close(socket)
    throw Problem("nobody listens at \(path)")
  }

  struct Problem: Error {
    var text: String
    init(_ text: String) { self.text = text }
  }

  /// Sends bytes as they are; false when the other side is gone.
  @discardableResult
  func send(bytes: [UInt8], descriptors: [Int32] = []) -> Bool {
    var bytes = bytes
    // struct cmsghdr: length (8), level (4), type (4), then the descriptors, padded to 8.
    var control: [UInt64] = []
    if !descriptors.isEmpty {
      control = [UInt64](repeating: 0, count: 2 + (descriptors.count + 1) / 2)
      control.withUnsafeMutableBytes { raw in
        raw.storeBytes(of: UInt64(16 + 4 * descriptors.count), as: UInt64.self)
        raw.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
        raw.storeBytes(of: Int32(SCM_RIGHTS), toByteOffset: 12, as: Int32.self)
        for (index, descriptor) in descriptors.enumerated() {
          raw.storeBytes(of: descriptor, toByteOffset: 16 + 4 * index, as: Int32.self)
        }
      }
    }
    return bytes.withUnsafeMutableBytes { data in
      control.withUnsafeMutableBytes { control in
        var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          if !descriptors.isEmpty {
            message.msg_control = control.baseAddress
            message.msg_controllen = control.count
          }
          return sendmsg(socket, &message, Int32(MSG_NOSIGNAL)) == data.count
        }
      }
    }
  }

  @discardableResult
  func send(
    _ request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [Int32] = [],
    needsReply: Bool = false
  ) -> Bool {
    let header = MessageHeader(request, needsReply: needsReply, payloadByteCount: payload.count)
    return send(bytes: header.encoded + payload, descriptors: descriptors)
  }

  /// Reads so many bytes, or nil when the other side closed or five seconds passed.
  func receive(count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var have = 0
    while have < count {
      let result = bytes.withUnsafeMutableBytes {
        recv(socket, $0.baseAddress?.advanced(by: have), count - have, 0)
      }
      guard result > 0 else { return nil }
      have += result
    }
    return bytes
  }

  /// Whether the other side has closed: the next read finds the end rather than bytes or a timeout.
  func isCutOff() -> Bool {
    var byte: UInt8 = 0
    let result = recv(socket, &byte, 1, 0)
    return result == 0 || (result < 0 && errno == ECONNRESET)
  }

  /// Reads one answer and checks its header.
  func answer(to request: FrontendRequest) throws -> [UInt8] {
    guard let bytes = receive(count: MessageHeader.byteCount) else {
      throw Problem("no answer to \(request)")
    }
    let header = try MessageHeader(parsing: bytes.span)
    guard header.request == request, header.isReply, header.hasKnownVersion else {
      throw Problem("answer to \(header.request) instead of \(request)")
    }
    guard let payload = receive(count: Int(header.payloadByteCount)) else {
      throw Problem("half an answer to \(request)")
    }
    return payload
  }

  /// Reads one answer and the descriptors that come with it, which the caller owns.
  func answerWithDescriptors(
    to request: FrontendRequest
  ) throws -> (payload: [UInt8], descriptors: [Int32]) {
    var bytes = [UInt8](repeating: 0, count: MessageHeader.byteCount)
    let file = FileDescriptor(owning: dup(socket))
    guard poll(milliseconds: 5000) else { throw Problem("no answer to \(request)") }
    let received = try bytes.withUnsafeMutableBytes {
      try file.receive(into: $0, maximumDescriptors: 8)
    }
    guard received.byteCount == bytes.count else { throw Problem("half a header") }
    let header = try MessageHeader(parsing: bytes.span)
    guard header.request == request, header.isReply,
      let payload = receive(count: Int(header.payloadByteCount))
    else { throw Problem("answer to \(header.request) instead of \(request)") }
    return (payload, received.descriptors)
  }

  private func poll(milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return Glibc.poll(&entry, 1, milliseconds) == 1
  }

  /// Whether something comes within the time.
  func hasInput(milliseconds: Int32) -> Bool { poll(milliseconds: milliseconds) }

  /// Reads an answer of one 64-bit number.
  func answeredNumber(to request: FrontendRequest) throws -> UInt64 {
    let bytes = try answer(to: request)
    return try NumberPayload(parsing: bytes.span).value
  }

  /// Asks and reads a 64-bit answer.
  func number(_ request: FrontendRequest) throws -> UInt64 {
    send(request)
    return try answeredNumber(to: request)
  }

  /// Sends with `need_reply` and reads the acknowledgement: 0 is success.
  func acknowledged(
    _ request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws -> UInt64 {
    send(request, payload, descriptors: descriptors, needsReply: true)
    return try answeredNumber(to: request)
  }

  /// A round trip, after which all that was sent before has been handled.
  func settle() throws { _ = try number(.getQueueNum) }

  /// Negotiates; bit 30 and acknowledgements unless told otherwise.
  func negotiate(
    features: UInt64 = VhostUserLimit.protocolFeaturesBit | 1 << 32,
    protocolFeatures: UInt64 = ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue
      | ProtocolFeature.configureMemorySlots
  ) throws {
    send(.setOwner)
    _ = try number(.getFeatures)
    send(.setFeatures, NumberPayload(features).encoded)
    _ = try number(.getProtocolFeatures)
    send(.setProtocolFeatures, NumberPayload(protocolFeatures).encoded)
    try settle()
  }

  func getVringBase(_ index: UInt32) throws -> UInt32 {
    send(.getVringBase, VringState(index: index, number: 0).encoded)
    let bytes = try answer(to: .getVringBase)
    return try VringState(parsing: bytes.span).number
  }
}

/// A memfd that closes itself.
final class SharedFile {
  private let file: FileDescriptor

  init(byteCount: Int) throws {
    file = try MemoryFile.make(name: "vhost-user-test", byteCount: byteCount)
  }

  var descriptor: Int32 { file.rawValue }
}

/// An eventfd that closes itself.
final class Event {
  private let event: EventFD

  init() throws { event = try EventFD() }

  var descriptor: Int32 { event.rawValue }

  /// Whether it was signalled within a second.
  func wasSignalled() -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 1000) == 1
  }
}

/// Open descriptors of this process.
func openDescriptorCount() -> Int {
  var count = 0
  guard let directory = opendir("/proc/self/fd") else { return -1 }
  defer { closedir(directory) }
  while readdir(directory) != nil { count += 1 }
  return count
}

/// Open descriptors once what earlier tests left has gone: the same for a twentieth of a second.
func settledDescriptorCount() -> Int {
  var last = openDescriptorCount()
  for _ in 0..<40 {
    usleep(50_000)
    let now = openDescriptorCount()
    if now == last { break }
    last = now
  }
  return last
}

/// Two connected sockets: one to give away, one to read.
final class SocketPair {
  let ours: RawFrontend
  let theirs: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
      throw RawFrontend.Problem("socketpair failed")
    }
    ours = RawFrontend(socket: ends[0])
    theirs = ends[1]
  }

  deinit { close(theirs) }
}
