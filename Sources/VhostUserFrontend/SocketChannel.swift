internal import Glibc

/// A connected Unix stream socket that carries bytes and file descriptors.
@safe
final class SocketChannel: Sendable {
  let file: OwnedFile

  init(_ file: OwnedFile) { self.file = file }

  /// Connects to a listening socket; a socket that is not there yet is tried again until the
  /// deadline.
  static func connect(path: String, timeoutMilliseconds: Int) throws(FrontendError) -> SocketChannel
  {
    let deadline = Deadline(milliseconds: timeoutMilliseconds)
    while true {
      do throws(FrontendError) {
        return try connectOnce(path: path)
      } catch {
        guard case .system(_, let code) = error, code == ENOENT || code == ECONNREFUSED,
          !deadline.hasPassed
        else { throw error }
        usleep(5000)
      }
    }
  }

  private static func connectOnce(path: String) throws(FrontendError) -> SocketChannel {
    let bytes = Array(path.utf8)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .request("a socket path of \(bytes.count) bytes")
    }
    // SAFETY: the path is shorter than `sun_path`, which is zero beyond it.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let file = OwnedFile(
      descriptor: try retrying("socket") {
        socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
      })
    _ = try retrying("connecting to \(path)") {
      // SAFETY: `address` is a sockaddr_un of this size for the length of the call.
      unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
          unsafe Glibc.connect(file.descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    }
    return SocketChannel(file)
  }

  /// The process that listened at the other end; nil where it has no number in this one's namespace.
  var peerProcess: Int32? {
    // `struct ucred`: process, user, group.
    var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
    var byteCount = socklen_t(12)
    // SAFETY: the kernel fills at most `byteCount` bytes of the variable.
    let result = unsafe getsockopt(
      file.descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &byteCount)
    return result == 0 && credentials.0 > 0 ? credentials.0 : nil
  }

  /// Sends all bytes; the descriptors travel with the first one.
  func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(FrontendError) {
    var sent = try sendStart(bytes, descriptors)
    while sent < bytes.count {
      sent += try retrying("sending") {
        // SAFETY: `sent` is below the count; the kernel only reads the buffer.
        unsafe bytes.withUnsafeBytes { buffer in
          unsafe Glibc.send(
            file.descriptor, buffer.baseAddress.map { unsafe $0 + sent }, buffer.count - sent,
            Int32(MSG_NOSIGNAL))
        }
      }
    }
  }

  private func sendStart(_ bytes: [UInt8], _ descriptors: [Int32]) throws(FrontendError) -> Int {
    var control = Self.controlMessage(descriptors)
    var payload = bytes
    return try retrying("sending") {
      // SAFETY: header, vector and buffers live for the length of the call.
      unsafe payload.withUnsafeMutableBytes { payload in
        unsafe control.withUnsafeMutableBytes { control in
          var vector = unsafe iovec(iov_base: payload.baseAddress, iov_len: payload.count)
          return unsafe withUnsafeMutablePointer(to: &vector) { vector in
            var header = unsafe msghdr()
            unsafe header.msg_iov = vector
            unsafe header.msg_iovlen = 1
            unsafe header.msg_control = control.isEmpty ? nil : control.baseAddress
            unsafe header.msg_controllen = control.count
            return unsafe sendmsg(file.descriptor, &header, Int32(MSG_NOSIGNAL))
          }
        }
      }
    }
  }

  /// `struct cmsghdr` (length, level, type) and the descriptors, padded to eight bytes.
  ///
  /// Empty for none.
  private static func controlMessage(_ descriptors: [Int32]) -> [UInt8] {
    guard !descriptors.isEmpty else { return [] }
    var message = WireBytes()
    message.append64(UInt64(16 + 4 * descriptors.count))
    message.append32(UInt32(bitPattern: SOL_SOCKET))
    message.append32(UInt32(SCM_RIGHTS))
    for descriptor in descriptors { message.append32(UInt32(bitPattern: descriptor)) }
    message.pad(to: (message.count + 7) & ~7)
    return message.bytes
  }

  /// Receives exactly `byteCount` bytes and whatever descriptors come with them.
  func receive(
    _ byteCount: Int, doing: String, deadline: Deadline, timeoutMilliseconds: Int
  ) throws(FrontendError) -> (bytes: [UInt8], files: [OwnedFile]) {
    var bytes: [UInt8] = []
    var files: [OwnedFile] = []
    while bytes.count < byteCount {
      guard
        try waitUntilReadable(file.descriptor, milliseconds: deadline.remainingMilliseconds)
      else { throw .timedOut(waitingFor: doing, milliseconds: timeoutMilliseconds) }
      let part = try receiveSome(byteCount - bytes.count, doing: doing)
      bytes += part.bytes
      files += part.files
    }
    return (bytes, files)
  }

  private func receiveSome(
    _ limit: Int, doing: String
  ) throws(FrontendError) -> (bytes: [UInt8], files: [OwnedFile]) {
    var payload = [UInt8](repeating: 0, count: limit)
    var control = [UInt8](repeating: 0, count: 16 + 4 * 64)
    var controlByteCount = 0
    let count: Int
    do throws(FrontendError) {
      count = try retrying("receiving") {
        // SAFETY: header, vector and buffers live for the length of the call.
        unsafe payload.withUnsafeMutableBytes { payload in
          unsafe control.withUnsafeMutableBytes { control in
            var vector = unsafe iovec(iov_base: payload.baseAddress, iov_len: payload.count)
            return unsafe withUnsafeMutablePointer(to: &vector) { vector in
              var header = unsafe msghdr()
              unsafe header.msg_iov = vector
              unsafe header.msg_iovlen = 1
              unsafe header.msg_control = control.baseAddress
              unsafe header.msg_controllen = control.count
              let count = unsafe recvmsg(
                file.descriptor, &header, Int32(MSG_CMSG_CLOEXEC))
              controlByteCount = unsafe header.msg_controllen
              return count
            }
          }
        }
      }
    } catch {
      if case .system(_, ECONNRESET) = error { throw .disconnected(doing: doing) }
      throw error
    }
    guard count > 0 else { throw .disconnected(doing: doing) }
    return (Array(payload.prefix(count)), Self.files(in: Array(control.prefix(controlByteCount))))
  }

  private static func files(in control: [UInt8]) -> [OwnedFile] {
    let wire = WireBytes(control)
    guard
      control.count > 16, wire.get32(at: 8) == UInt32(bitPattern: SOL_SOCKET),
      wire.get32(at: 12) == UInt32(SCM_RIGHTS)
    else { return [] }
    let end = min(control.count, Int(clamping: wire.get64(at: 0)))
    return stride(from: 16, through: end - 4, by: 4).map {
      OwnedFile(descriptor: Int32(bitPattern: wire.get32(at: $0)))
    }
  }

  /// Ends our sending side; the peer reads end of file.
  func shutdownWriting() { shutdown(file.descriptor, Int32(SHUT_WR)) }

  /// Ends both sides now, whoever else still refers to the socket.
  func shutdownBoth() { shutdown(file.descriptor, Int32(SHUT_RDWR)) }
}
