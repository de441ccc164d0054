/// The bytes of an input, read from front to end; behind the end there are zeros.
public struct FuzzInput {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  public init(_ bytes: some Sequence<UInt8>) {
    self.bytes = Array(bytes)[...]
    position = 0
  }

  public var isAtEnd: Bool { position >= bytes.endIndex }

  mutating func byte() -> UInt8 {
    guard position < bytes.endIndex else { return 0 }
    defer { position += 1 }
    return bytes[position]
  }

  mutating func word16() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
  mutating func word32() -> UInt32 { UInt32(word16()) | UInt32(word16()) << 16 }
  mutating func word64() -> UInt64 { UInt64(word32()) | UInt64(word32()) << 32 }

  /// The next bytes, fewer where the input ends.
  mutating func take(_ count: Int) -> [UInt8] {
    let end = min(bytes.endIndex, position + max(0, count))
    defer { position = end }
    return Array(bytes[position..<end])
  }

  /// The next bytes, filled up with zeros: long requests need no long inputs.
  mutating func takePadded(_ count: Int) -> [UInt8] {
    let taken = take(count)
    return taken + [UInt8](repeating: 0, count: count - taken.count)
  }

  mutating func rest() -> [UInt8] { take(bytes.endIndex - position) }
}
