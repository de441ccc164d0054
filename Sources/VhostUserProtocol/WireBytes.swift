/// Why the bytes of a message are not what its code promises.
public enum PayloadError: Error, Hashable, Sendable {
  /// The payload has the wrong number of bytes for its code.
  case byteCount(expected: Int, actual: Int)
  /// A memory table announces more regions than a table may have, or a count that its size belies.
  case regionCount(UInt32)
  /// A configuration access with more bytes than the message carries or a message may carry.
  case configurationByteCount(UInt32)
  /// A key longer than its field in a session message.
  case keyByteCount(UInt32, limit: Int)
  /// A session operation code that creates nothing we know.
  case sessionOperation(UInt64)
  /// A symmetric session whose `op_type` is neither cipher (1) nor chain (2).
  case symmetricOperationType(UInt8)
  /// A session direction that is neither encrypt (1) nor decrypt (2).
  case direction(UInt8)
}

extension Span where Element == UInt8 {
  /// A 32-bit word in host order; the caller has checked that `offset + 4` bytes exist.
  func word32(at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(self[offset + index]) << UInt32(8 * index) }
    // The loop read the bytes as little-endian; this is the identity except on big-endian hosts.
    return UInt32(littleEndian: value)
  }

  /// A 64-bit word in host order; the caller has checked that `offset + 8` bytes exist.
  func word64(at offset: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(self[offset + index]) << UInt64(8 * index) }
    return UInt64(littleEndian: value)
  }

  /// Throws `byteCount` unless there are exactly `expected` bytes.
  func requireCount(_ expected: Int) throws(PayloadError) {
    guard count == expected else { throw .byteCount(expected: expected, actual: count) }
  }
}

extension Array where Element == UInt8 {
  /// Appends a number in host order.
  mutating func appendWord<Word: FixedWidthInteger>(_ word: Word) {
    var rest = word.littleEndian
    // On a big-endian host `littleEndian` swapped the bytes, so host order is most significant first.
    for _ in 0..<(Word.bitWidth / 8) {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  /// Writes a number in host order over existing bytes; the caller has checked the room.
  mutating func storeWord<Word: FixedWidthInteger>(_ word: Word, at offset: Int) {
    var rest = word.littleEndian
    for index in 0..<(Word.bitWidth / 8) {
      self[offset + index] = UInt8(truncatingIfNeeded: rest)
      rest >>= 8
    }
  }
}
