import CryptoDevice
import Glibc
import LinuxSystem

// What the entries of states and of journals share: a device saved and loaded.
extension DeviceCore {
  /// The state as it would go to another host.
  func savedState() throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: stateByteCount)
    try bytes.withUnsafeMutableBytes { try saveState(to: $0, digest: StateDigest.of) }
    return bytes
  }

  func load(_ state: [UInt8]) throws(DeviceStateError) {
    let buffer = FencedBytes(state)
    try loadState(buffer.bytes, digest: StateDigest.of)
  }
}

/// Bytes right before a page that nobody may touch: libcrypto, which no sanitizer sees into, reads too far only once.
private final class FencedBytes {
  private static let pageByteCount = 4096
  private let start: UnsafeMutableRawPointer
  private let byteCount: Int
  let bytes: UnsafeRawBufferPointer

  init(_ content: [UInt8]) {
    let pageCount = (content.count + Self.pageByteCount - 1) / Self.pageByteCount
    byteCount = (pageCount + 1) * Self.pageByteCount
    guard
      let address = mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      address != MAP_FAILED
    else { fatalError("no memory for \(byteCount) bytes") }
    start = address
    let fence = address + pageCount * Self.pageByteCount
    mprotect(fence, Self.pageByteCount, PROT_NONE)
    let target = UnsafeMutableRawBufferPointer(
      start: fence - content.count, count: content.count)
    target.copyBytes(from: content)
    bytes = UnsafeRawBufferPointer(target)
  }

  deinit { munmap(start, byteCount) }
}

/// In the place of SHA-256: as long, quicker, and nobody here means to forge it.
enum StateDigest {
  static let byteCount = 32

  static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var words: [UInt64] = [1, 2, 3, 4]
    for (number, byte) in bytes.enumerated() {
      words[number & 3] = (words[number & 3] ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
      words[(number + 1) & 3] ^= words[number & 3] >> 29
    }
    return words.flatMap(bytes64)
  }
}

extension SessionOwner {
  /// A front-end, for entries without one.
  static let standard = SessionOwner(
    memory: FileIdentity(device: 1, inode: 4711),
    peer: PeerProcess(number: 42, user: 0, startTime: 99))
}
