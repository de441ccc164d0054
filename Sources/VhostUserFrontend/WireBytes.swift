/// A growing run of little-endian fields, and a way to spoil one of them afterwards.
public struct WireBytes: Hashable, Sendable {
  public var bytes: [UInt8] = []

  public init() {}

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  public var count: Int { bytes.count }

  public mutating func append8(_ value: UInt8) { bytes.append(value) }

  public mutating func append32(_ value: UInt32) {
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  public mutating func append64(_ value: UInt64) {
    append32(UInt32(truncatingIfNeeded: value))
    append32(UInt32(truncatingIfNeeded: value >> 32))
  }

  /// Appends zeros until there are `byteCount` bytes; no effect when there are as many already.
  public mutating func pad(to byteCount: Int) {
    if bytes.count < byteCount {
      bytes.append(contentsOf: repeatElement(0, count: byteCount - bytes.count))
    }
  }

  /// Overwrites the four bytes at `offset`; bytes beyond the end are appended.
  public mutating func set32(_ value: UInt32, at offset: Int) {
    pad(to: offset + 4)
    for index in 0..<4 {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(index)))
    }
  }

  /// Overwrites the eight bytes at `offset`; bytes beyond the end are appended.
  public mutating func set64(_ value: UInt64, at offset: Int) {
    set32(UInt32(truncatingIfNeeded: value), at: offset)
    set32(UInt32(truncatingIfNeeded: value >> 32), at: offset + 4)
  }

  /// The four bytes at `offset` as a number; 0 beyond the end.
  public func get32(at offset: Int) -> UInt32 {
    guard offset >= 0, offset + 4 <= bytes.count else { return 0 }
    return (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
  }

  /// The eight bytes at `offset` as a number; 0 beyond the end.
  public func get64(at offset: Int) -> UInt64 {
    UInt64(get32(at: offset)) | UInt64(get32(at: offset + 4)) << 32
  }
}
