/// `VhostUserMemoryRegion`: a piece of guest memory and where its bytes are in the file that comes along.
///
/// Nothing in it has been checked: sums may wrap and sizes may exceed the file.
public struct MemoryRegionPayload: Hashable, Sendable {
  /// Bytes of one region inside a table.
  public static let byteCount = 32
  /// Bytes of the message that carries one region: eight bytes of padding, then the region.
  public static let singleByteCount = 40

  public var guestAddress: UInt64
  public var regionByteCount: UInt64
  public var frontendAddress: UInt64
  /// Where the region starts in its file, in bytes.
  public var mmapOffset: UInt64

  public init(
    guestAddress: UInt64, regionByteCount: UInt64, frontendAddress: UInt64, mmapOffset: UInt64
  ) {
    self.guestAddress = guestAddress
    self.regionByteCount = regionByteCount
    self.frontendAddress = frontendAddress
    self.mmapOffset = mmapOffset
  }

  /// Reads one region; the caller has checked that `offset + 32` bytes exist.
  init(_ bytes: Span<UInt8>, at offset: Int) {
    guestAddress = bytes.word64(at: offset)
    regionByteCount = bytes.word64(at: offset + 8)
    frontendAddress = bytes.word64(at: offset + 16)
    mmapOffset = bytes.word64(at: offset + 24)
  }

  /// Reads the payload of `ADD_MEM_REG` or `REM_MEM_REG`; throws `byteCount` unless it has forty bytes.
  public init(parsingSingle bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.singleByteCount)
    self.init(bytes, at: 8)
  }

  func append(to bytes: inout [UInt8]) {
    for word in [guestAddress, regionByteCount, frontendAddress, mmapOffset] {
      bytes.appendWord(word)
    }
  }

  /// The payload of `ADD_MEM_REG` and `REM_MEM_REG`.
  public var encodedSingle: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 8)
    append(to: &bytes)
    return bytes
  }
}

/// The payload of `SET_MEM_TABLE`: up to eight regions, one file descriptor each, in the same order.
public struct MemoryTablePayload: Hashable, Sendable {
  /// Bytes before the first region: the count and padding.
  public static let headerByteCount = 8

  public var regions: [MemoryRegionPayload]

  public init(regions: [MemoryRegionPayload]) { self.regions = regions }

  /// Throws `regionCount` for more than eight regions, `byteCount` when the size does not fit the count.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    guard bytes.count >= Self.headerByteCount else {
      throw .byteCount(expected: Self.headerByteCount, actual: bytes.count)
    }
    let count = bytes.word32(at: 0)
    guard count <= UInt32(VhostUserLimit.memoryTableRegions) else { throw .regionCount(count) }
    try bytes.requireCount(
      Self.headerByteCount + Int(count) * MemoryRegionPayload.byteCount)
    regions = (0..<Int(count)).map { index in
      MemoryRegionPayload(
        bytes, at: Self.headerByteCount + index * MemoryRegionPayload.byteCount)
    }
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(UInt32(truncatingIfNeeded: regions.count))
    bytes.appendWord(UInt32(0))
    for region in regions { region.append(to: &bytes) }
    return bytes
  }
}
