/// A message whose payload is one 64-bit number (features, status, counts, acknowledgements).
public struct NumberPayload: Hashable, Sendable {
  public static let byteCount = 8
  public var value: UInt64

  public init(_ value: UInt64) { self.value = value }

  /// Throws `byteCount` unless there are exactly eight bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.byteCount)
    value = bytes.word64(at: 0)
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(value)
    return bytes
  }
}

/// `struct vhost_vring_state`: a ring index and a number whose meaning is the message's.
public struct VringState: Hashable, Sendable {
  public static let byteCount = 8
  public var index: UInt32
  /// A size, a base or 0/1 for disable/enable.
  public var number: UInt32

  public init(index: UInt32, number: UInt32) {
    self.index = index
    self.number = number
  }

  /// Throws `byteCount` unless there are exactly eight bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.byteCount)
    index = bytes.word32(at: 0)
    number = bytes.word32(at: 4)
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendWord(index)
    bytes.appendWord(number)
    return bytes
  }
}

/// `struct vhost_vring_addr`: where a ring's three parts are, in the front-end's address space.
public struct VringAddress: Hashable, Sendable {
  public static let byteCount = 40
  /// `VHOST_VRING_F_LOG`: writes to the used ring are to be logged.
  public static let logFlag: UInt32 = 1

  public var index: UInt32
  public var flags: UInt32
  /// Front-end addresses.
  public var descriptorTable: UInt64
  public var usedRing: UInt64
  public var availableRing: UInt64
  /// A guest physical address, for logging only.
  public var log: UInt64

  public init(
    index: UInt32, flags: UInt32 = 0, descriptorTable: UInt64, usedRing: UInt64,
    availableRing: UInt64, log: UInt64 = 0
  ) {
    self.index = index
    self.flags = flags
    self.descriptorTable = descriptorTable
    self.usedRing = usedRing
    self.availableRing = availableRing
    self.log = log
  }

  /// Throws `byteCount` unless there are exactly forty bytes.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    try bytes.requireCount(Self.byteCount)
    index = bytes.word32(at: 0)
    flags = bytes.word32(at: 4)
    descriptorTable = bytes.word64(at: 8)
    usedRing = bytes.word64(at: 16)
    availableRing = bytes.word64(at: 24)
    log = bytes.word64(at: 32)
  }

  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    bytes.appendWord(index)
    bytes.appendWord(flags)
    for address in [descriptorTable, usedRing, availableRing, log] { bytes.appendWord(address) }
    return bytes
  }
}

/// The word of `SET_VRING_KICK`, `SET_VRING_CALL` and `SET_VRING_ERR`: ring index and "no descriptor comes with this".
public struct VringDescriptor: Hashable, Sendable {
  public static let byteCount = 8
  private static let noDescriptorFlag: UInt64 = 1 << 8

  /// The ring, bits 0–7.
  public var index: UInt8
  /// Bit 8 (`VHOST_USER_VRING_NOFD_MASK`): the ring is polled, or nobody wants the event.
  public var hasNoDescriptor: Bool

  public init(index: UInt8, hasNoDescriptor: Bool = false) {
    self.index = index
    self.hasNoDescriptor = hasNoDescriptor
  }

  /// Throws `byteCount` unless there are exactly eight bytes; bits above 8 are reserved and ignored.
  public init(parsing bytes: Span<UInt8>) throws(PayloadError) {
    let word = try NumberPayload(parsing: bytes).value
    index = UInt8(truncatingIfNeeded: word)
    hasNoDescriptor = word & Self.noDescriptorFlag != 0
  }

  public var encoded: [UInt8] {
    NumberPayload(UInt64(index) | (hasNoDescriptor ? Self.noDescriptorFlag : 0)).encoded
  }
}
