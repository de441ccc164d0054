import Glibc
import LinuxSystem
import Logging
import VhostUserBackend
import VhostUserProtocol

/// A front-end's whole conversation, sent before the server reads the first byte.
///
/// Input: messages: code (1 byte), flags (1 byte), descriptors (1 byte: how many, and the first in the collection), length
/// of the payload (2 bytes), payload. In flags, bits 2 and 3 are the header's (and the version is 1, changed by the lowest
/// two); bit 6: the header's size word follows the length as it is (4 bytes); bit 7: the header's code word is 0x100 more.
/// Bit 5: no message, the payload goes elsewhere: into the memory file, 256 bytes times the code from its start; with bit
/// 7 so into the sealed file, with bit 6 to whoever has the first of the two sockets.
final class MessagesEntry: FuzzEntry {
  private let collection: DescriptorCollection
  private let logger = Logger(label: "fuzz") { _ in FormattingHandler() }

  init() throws { collection = try DescriptorCollection() }

  func run(_ input: inout FuzzInput) throws {
    try collection.reset()
    let before = Self.lowestFreeDescriptor
    try talk(&input)
    try require(Self.lowestFreeDescriptor == before, "file descriptors are left open")
  }

  private func talk(_ input: inout FuzzInput) throws {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
      throw Finding("no socket pair, errno \(errno)")
    }
    let frontend = FileDescriptor(owning: ends[0])
    let backend = FileDescriptor(owning: ends[1])
    // Where all do not fit into the socket, the rest is left out.
    try frontend.setNonBlocking()
    try backend.setNonBlocking()
    while !input.isAtEnd, try sendMessage(&input, to: frontend.rawValue) {}
    shutdown(frontend.rawValue, Int32(SHUT_WR))
    let device = RecordingDevice()
    do {
      let server = try VhostUserServer(
        endpoint: .connected(backend), device: device, logger: logger)
      try server.run()
    }
    try device.checkEnd()
  }

  private func sendMessage(_ input: inout FuzzInput, to socket: Int32) throws -> Bool {
    let code = UInt32(input.byte())
    let flags = UInt32(input.byte())
    let descriptors = input.byte()
    let count = Int(input.word16())
    if flags & 0x20 != 0 {
      let bytes = input.take(count)
      if flags & 0x40 != 0 {
        collection.sendReply(bytes)
      } else {
        collection.write(bytes, at: Int(code) << 8, toSealed: flags & 0x80 != 0)
      }
      return true
    }
    var header = MessageHeader(
      code: flags & 0x80 != 0 ? code | 0x100 : code, flags: flags & 0x0F ^ 1,
      payloadByteCount: UInt32(count))
    if flags & 0x40 != 0 { header.payloadByteCount = input.word32() }
    let payload = input.take(count)
    try PayloadRoundTrip.check(FrontendRequest(rawValue: header.code), payload)
    return DescriptorMessage.send(
      header.encoded + payload, collection.some(Int(descriptors & 15), from: Int(descriptors >> 4)),
      to: socket)
  }

  private static var lowestFreeDescriptor: Int32 {
    let probe = dup(STDERR_FILENO)
    close(probe)
    return probe
  }
}

/// Files of all kinds that a front-end could send.
private final class DescriptorCollection {
  private let files: [Int32]
  static let memoryByteCount = 256 << 10
  static let sealedByteCount = 64 << 10
  /// Where sockets are, and the file that cannot get shorter.
  private static let sockets = 7...8
  private static let sealed = 10

  init() throws {
    var pipes: [Int32] = [-1, -1]
    var sockets: [Int32] = [-1, -1]
    guard pipe(&pipes) == 0,
      socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &sockets) == 0
    else { throw Finding("no pipe or no socket, errno \(errno)") }
    files = [
      try MemoryFile.make(name: "fuzz-ram", byteCount: Self.memoryByteCount).release(),
      try MemoryFile.make(name: "fuzz-page", byteCount: 4096).release(),
      try MemoryFile.make(name: "fuzz-nothing", byteCount: 0).release(),
      try EventFD().release().release(), try Self.blockingEvent(), pipes[0], pipes[1], sockets[0],
      sockets[1],
      open("/dev/null", O_RDWR | O_CLOEXEC),
      try MemoryFile.makeSealed(name: "fuzz-sealed", byteCount: Self.sealedByteCount).release(),
    ]
  }

  deinit { for file in files { close(file) } }

  private static func blockingEvent() throws -> Int32 {
    let event = try EventFD().release().release()
    _ = fcntl(event, F_SETFL, fcntl(event, F_GETFL) & ~O_NONBLOCK)
    return event
  }

  /// Memory is zero again, and has its size.
  func reset() throws {
    for (file, byteCount) in zip(files, [Self.memoryByteCount, 4096, 0]) {
      guard ftruncate(file, 0) == 0, ftruncate(file, byteCount) == 0 else {
        throw Finding("a memory file cannot be emptied, errno \(errno)")
      }
    }
    for event in files[3...4] { EventFD.drain(event) }
    for socket in files[Self.sockets] {
      var bytes = [UInt8](repeating: 0, count: 4096)
      while recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
    }
    let zeros = [UInt8](repeating: 0, count: Self.sealedByteCount)
    guard pwrite(files[Self.sealed], zeros, zeros.count, 0) == zeros.count else {
      throw Finding("the sealed file cannot be emptied, errno \(errno)")
    }
  }

  func write(_ bytes: [UInt8], at offset: Int, toSealed: Bool) {
    _ = pwrite(files[toSealed ? Self.sealed : 0], bytes, bytes.count, offset)
  }

  /// What the back-end's channel receives, if it is the first of the sockets.
  func sendReply(_ bytes: [UInt8]) {
    _ = send(
      files[Self.sockets.upperBound], bytes, bytes.count,
      Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
  }

  /// One after the other, from a place on, over and over again.
  func some(_ count: Int, from first: Int) -> [Int32] {
    (0..<count).map { files[(first + $0) % files.count] }
  }
}

/// Writes every message, as a log would.
private struct FormattingHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { _ = "\(event.message) \(event.metadata ?? [:])" }
}

/// `sendmsg` with descriptors.
enum DescriptorMessage {
  /// False where the socket takes no more.
  static func send(_ bytes: [UInt8], _ descriptors: [Int32], to socket: Int32) -> Bool {
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
}
