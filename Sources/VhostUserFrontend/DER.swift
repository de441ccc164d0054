/// Writes ASN.1 in DER, and on request what is none: keys as drivers send them.
public enum DER {
  /// A value with its tag and its length in the fewest bytes.
  public static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    [tag] + length(content.count) + content
  }

  /// The length field of so many bytes.
  public static func length(_ count: Int) -> [UInt8] {
    guard count >= 128 else { return [UInt8(count)] }
    let bytes = Array(ReferenceCrypto.bigEndian(UInt64(count)).drop { $0 == 0 })
    return [0x80 | UInt8(bytes.count)] + bytes
  }

  public static func sequence(_ parts: [UInt8]...) -> [UInt8] {
    element(0x30, parts.flatMap { $0 })
  }

  /// INTEGER of a natural number.
  public static func integer(_ value: BigNumber) -> [UInt8] {
    let bytes = value.bytes
    // A leading bit would be a sign.
    return element(0x02, (bytes.first.map { $0 & 0x80 != 0 } ?? true) ? [0] + bytes : bytes)
  }

  public static func integer(_ value: UInt64) -> [UInt8] { integer(BigNumber(value)) }

  public static func octetString(_ bytes: [UInt8]) -> [UInt8] { element(0x04, bytes) }

  /// BIT STRING of whole bytes.
  public static func bitString(_ bytes: [UInt8]) -> [UInt8] { element(0x03, [0] + bytes) }

  /// OBJECT IDENTIFIER, from its encoded arcs.
  public static func identifier(_ arcs: [UInt8]) -> [UInt8] { element(0x06, arcs) }

  public static let null: [UInt8] = [0x05, 0]

  /// `[number]` around a value.
  public static func tagged(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
    element(0xA0 | number, content)
  }
}
