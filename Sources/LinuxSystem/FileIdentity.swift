import CLinuxShims
import Glibc

/// Which file a descriptor is of: the same for all descriptors of it, and no other file's while it exists.
public struct FileIdentity: Hashable, Sendable {
  public var device: UInt64
  public var inode: UInt64

  public init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}

extension FileDescriptor {
  public borrowing func identity() throws(SystemError) -> FileIdentity {
    var status = stat()
    guard unsafe fstat(rawValue, &status) == 0 else { throw .last("identifying a file") }
    return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  /// Whether nobody can change the size of a file in memory, so that touching it raises no `SIGBUS`.
  public borrowing func hasSealedSize() throws(SystemError) -> Bool {
    try checked("reading a file's seals", Int(clinux_size_is_sealed(rawValue))) == 1
  }

  /// Gives a part of a file in memory back to the system; it reads as zeros afterwards.
  ///
  /// `offset`, `byteCount`: multiples of the page size.
  public borrowing func discard(offset: Int, byteCount: Int) throws(SystemError) {
    _ = try checked(
      "giving back pages of a file",
      Int(clinux_discard(rawValue, UInt64(offset), UInt64(byteCount))))
  }
}

extension MemoryFile {
  /// Makes a file whose size is what it is for ever.
  public static func makeSealed(name: String, byteCount: Int) throws(SystemError) -> FileDescriptor
  {
    let file = try make(name: name, byteCount: byteCount)
    _ = try checked("sealing a memory file", Int(clinux_seal_size(file.rawValue)))
    return file
  }
}

/// A process at the other end of a socket, told from others that had or will have its number.
public struct PeerProcess: Hashable, Sendable {
  /// 0: unknown.
  public var number: Int32
  public var user: UInt32
  /// In clock ticks since the host's start; 0: unknown, as where `/proc` shows only one's own processes.
  public var startTime: UInt64

  public init(number: Int32, user: UInt32, startTime: UInt64) {
    self.number = number
    self.user = user
    self.startTime = startTime
  }

  /// Nobody knows who.
  public static let unknown = PeerProcess(number: 0, user: .max, startTime: 0)

  /// Who made the other end of a Unix socket: connected it, or listened at it.
  public static func of(_ socket: borrowing FileDescriptor) -> PeerProcess {
    var number: Int32 = 0
    var user: UInt32 = 0
    guard unsafe clinux_peer(socket.rawValue, &number, &user) == 0 else { return .unknown }
    return PeerProcess(
      number: number, user: user, startTime: number > 0 ? startTime(of: number) : 0)
  }

  /// Whether a process of this number exists.
  ///
  /// To be asked before the filter of system calls is there.
  public static func exists(_ number: Int32) -> Bool { clinux_process_exists(number) != 0 }

  private static func startTime(of process: Int32) -> UInt64 {
    let descriptor = unsafe open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    let file = FileDescriptor(owning: descriptor)
    var bytes = [UInt8](repeating: 0, count: 1024)
    // SAFETY: the array has as many bytes as are asked for.
    let count = unsafe read(file.rawValue, &bytes, bytes.count)
    guard count > 0 else { return 0 }
    // The name, in brackets, may hold anything. Spec: proc(5), /proc/pid/stat, field 22.
    let text = String(decoding: bytes.prefix(count), as: UTF8.self)
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 19 ? UInt64(fields[19]) ?? 0 : 0
  }
}
