/// The payload of `GET_CONFIG`, its reply and `SET_CONFIG`: a window of the device's configuration space.
public struct ConfigurationPayload: Hashable, Sendable {
  /// Bytes before the window's own.
  public static let headerByteCount = 12
  /// Flags of `SET_CONFIG`: an ordinary write by the guest.
  public static let flagsWritable: UInt32 = 0
  /// Flags of `SET_CONFIG`: a write on arrival of a migrated guest.
  public static let flagsMigration: UInt32 = 1

  /// Where the window starts in the configuration space, in bytes.
  public var offset: UInt32
  public var flags: UInt32
  /// The window's bytes; in a `GET_CONFIG` request only their count matters.
  public var window: [UInt8]

  public init(offset: UInt32, flags: UInt32 = Self.flagsWritable, window: [UInt8]) {
    self.offset = offset
    self.flags = flags
    self.window = window
  }

  /// Throws `configurationByteCount` when the size field exceeds 256 or disagrees with the bytes that came.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard bytes.count >= Self.headerByteCount else {
      throw .byteCount(expected: Self.headerByteCount, actual: bytes.count)
    }
    let size = bytes.word32(at: 4)
    guard
      size <= UInt32(VhostUserLimit.configurationByteCount),
      bytes.count == Self.headerByteCount + Int(size)
    else { throw .configurationByteCount(size) }
    offset = bytes.word32(at: 0)
    flags = bytes.word32(at: 8)
    window = []
    window.reserveCapacity(Int(size))
    for index in Self.headerByteCount..<bytes.count { window.append(bytes[index]) }
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headerByteCount + window.count)
    bytes.appendWord(offset)
    bytes.appendWord(UInt32(truncatingIfNeeded: window.count))
    bytes.appendWord(flags)
    bytes.append(contentsOf: window)
    return bytes
  }
}
