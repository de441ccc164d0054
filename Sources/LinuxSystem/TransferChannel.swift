import CLinuxShims
import Glibc

/// One end of a pipe, a socket or a file, to be read or written to its end without ever waiting for long.
///
/// The descriptor's own mode stays: whoever gave it may use the same open file.
public struct TransferChannel: ~Copyable, Sendable {
  private let file: FileDescriptor
  private let isSocket: Bool

  /// As much as fits a pipe at once that says it is writable.
  ///
  /// Spec: pipe(7), `PIPE_BUF`
  private static let pipeByteCount = 4096

  /// Takes over a descriptor.
  ///
  /// Throws `EINVAL` for one that is none of the three kinds, `EBADF` for one that cannot be written, or read.
  public init(owning file: consuming FileDescriptor, writes: Bool) throws(SystemError) {
    let flags = fcntl(file.rawValue, F_GETFL)
    guard flags >= 0 else { throw .last("looking at a channel") }
    guard flags & O_ACCMODE == O_RDWR || flags & O_ACCMODE == (writes ? O_WRONLY : O_RDONLY) else {
      throw SystemError(
        call: writes ? "writing to a channel" : "reading from a channel", code: EBADF)
    }
    var status = stat()
    guard unsafe fstat(file.rawValue, &status) == 0 else { throw .last("looking at a channel") }
    switch status.st_mode & S_IFMT {
    case S_IFSOCK: isSocket = true
    case S_IFIFO, S_IFREG: isSocket = false
    default: throw SystemError(call: "using a descriptor as a channel", code: EINVAL)
    }
    self.file = file
  }

  /// Waits until something can be done; false when the time is over or `cancelled` has input.
  private borrowing func wait(
    _ events: Int32, _ cancelled: Int32, milliseconds: Int32
  ) throws(SystemError) -> Bool {
    var entries = [
      pollfd(fd: file.rawValue, events: Int16(events), revents: 0),
      pollfd(fd: cancelled, events: Int16(POLLIN), revents: 0),
    ]
    // SAFETY: two entries of our own for the length of the call.
    _ = try retrying("waiting for a channel") { unsafe Int(poll(&entries, 2, milliseconds)) }
    return entries[0].revents != 0 && entries[1].revents == 0
  }

  /// What a call gives; nil where it would have waited all the same.
  private static func carriedOut(
    _ call: String, _ body: () -> Int
  ) throws(SystemError) -> Int? {
    do throws(SystemError) {
      return try retrying(call, body)
    } catch {
      if error.code == EAGAIN { return nil }
      throw error
    }
  }

  /// Writes all bytes; throws `ETIMEDOUT` where the reader takes none for so long, or `cancelled` has input.
  public borrowing func writeAll(
    _ bytes: UnsafeRawBufferPointer, cancelled: Int32, patienceMilliseconds: Int32
  ) throws(SystemError) {
    var offset = 0
    let descriptor = file.rawValue
    while offset < bytes.count {
      guard try wait(POLLOUT, cancelled, milliseconds: patienceMilliseconds) else {
        throw SystemError(call: "writing to a channel", code: ETIMEDOUT)
      }
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
      let isSocket = isSocket
      // SAFETY: the bytes are the caller's for the call. A thread that has SIGPIPE blocked, as all of ours, gets EPIPE.
      let count = try Self.carriedOut("writing to a channel") {
        unsafe isSocket
          ? Glibc.send(
            descriptor, rest.baseAddress, rest.count,
            Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
          : Glibc.write(descriptor, rest.baseAddress, min(rest.count, Self.pipeByteCount))
      }
      offset += count ?? 0
    }
  }

  /// Reads until the buffer is full or the writer has ended; how many bytes came.
  ///
  /// Throws `ETIMEDOUT` where none come for so long, or `cancelled` has input.
  public borrowing func readAll(
    into buffer: UnsafeMutableRawBufferPointer, cancelled: Int32, patienceMilliseconds: Int32
  ) throws(SystemError) -> Int {
    var offset = 0
    let descriptor = file.rawValue
    while offset < buffer.count {
      guard try wait(POLLIN, cancelled, milliseconds: patienceMilliseconds) else {
        throw SystemError(call: "reading from a channel", code: ETIMEDOUT)
      }
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[offset...])
      let isSocket = isSocket
      // SAFETY: the buffer is the caller's for the call.
      let count = try Self.carriedOut("reading from a channel") {
        unsafe isSocket
          ? Glibc.recv(descriptor, rest.baseAddress, rest.count, Int32(MSG_DONTWAIT))
          : Glibc.read(descriptor, rest.baseAddress, rest.count)
      }
      if count == 0 { break }
      offset += count ?? 0
    }
    return offset
  }
}
