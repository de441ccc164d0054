import CLinuxShims
import Glibc

/// An open file descriptor and its only owner: it is closed when the value ends.
public struct FileDescriptor: ~Copyable, Sendable {
  /// The number, for calls that borrow it.
  public let rawValue: Int32

  /// Takes over an open descriptor.
  public init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit { close(rawValue) }

  /// Gives the descriptor to somebody else, who closes it.
  public consuming func release() -> Int32 {
    let rawValue = rawValue
    discard self
    return rawValue
  }

  /// Another descriptor of the same open file.
  public borrowing func duplicate() throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      owning: Int32(
        try checked("duplicating a file descriptor", Int(clinux_duplicate(rawValue)))))
  }

  /// The file's size in bytes.
  public borrowing func byteCount() throws(SystemError) -> UInt64 {
    var status = stat()
    guard unsafe fstat(rawValue, &status) == 0 else { throw .last("reading a file's size") }
    return UInt64(clamping: status.st_size)
  }

  /// The file system's block size in bytes: the page size of a file in hugetlbfs.
  public borrowing func blockByteCount() throws(SystemError) -> Int {
    var status = stat()
    guard unsafe fstat(rawValue, &status) == 0 else { throw .last("reading a file's size") }
    return Int(status.st_blksize)
  }

  /// Sets the file's size in bytes.
  public borrowing func truncate(to byteCount: Int) throws(SystemError) {
    let descriptor = rawValue
    _ = try retrying("setting a file's size") { Int(ftruncate(descriptor, byteCount)) }
  }

  /// Whether a write would go through without waiting.
  public borrowing func isWritable() throws(SystemError) -> Bool {
    var entry = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
    _ = try retrying("polling a file descriptor") { unsafe Int(poll(&entry, 1, 0)) }
    return entry.revents & Int16(POLLOUT) != 0
  }

  /// Writes eight bytes, as an eventfd takes them.
  public borrowing func write(_ value: UInt64) throws(SystemError) {
    var value = value
    let descriptor = rawValue
    _ = try retrying("writing to an eventfd") { unsafe Glibc.write(descriptor, &value, 8) }
  }
}

/// An anonymous file in memory.
public enum MemoryFile {
  /// Makes a file of a size.
  ///
  /// `name`: shown in `/proc/PID/maps`, for people.
  public static func make(name: String, byteCount: Int) throws(SystemError) -> FileDescriptor {
    let file = FileDescriptor(
      owning: Int32(
        try checked("making a memory file", unsafe Int(clinux_memfd_create(name, 1)))))
    try file.truncate(to: byteCount)
    return file
  }
}

extension FileDescriptor {
  /// Fixes the size of a memory file for ever, whoever has it.
  public borrowing func sealSize() throws(SystemError) {
    _ = try checked("sealing a memory file", Int(clinux_seal_size(rawValue)))
  }

  /// Whether the file can never get shorter, so that no access to what it has now raises SIGBUS.
  public borrowing func cannotShrink() -> Bool { clinux_cannot_shrink(rawValue) != 0 }
}
