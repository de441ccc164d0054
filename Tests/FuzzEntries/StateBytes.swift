import CryptoDevice
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
    // Of exactly as many bytes, so that a byte too many is noticed.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: state.count, alignment: 1)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: state)
    try loadState(UnsafeRawBufferPointer(buffer), digest: StateDigest.of)
  }
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
