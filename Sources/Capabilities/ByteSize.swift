/// Sizes as operators write them: `4096`, `64KiB`, `1MiB`, `2GiB`.
enum ByteSize {
  private static let units: [(name: String, shift: UInt64)] = [
    ("GiB", 30), ("MiB", 20), ("KiB", 10),
  ]

  /// The number of bytes; nil if the text is no size or too large for 64 bits.
  static func parse(_ text: String) -> UInt64? {
    for unit in units where text.hasSuffix(unit.name) {
      let digits = String(text.dropLast(unit.name.count))
      guard isDecimal(digits), let count = UInt64(digits) else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: 1 << unit.shift)
      return overflow ? nil : product
    }
    return isDecimal(text) ? UInt64(text) : nil
  }

  /// The shortest way to write a size.
  static func text(_ byteCount: UInt64) -> String {
    for unit in units where byteCount > 0 && byteCount % (1 << unit.shift) == 0 {
      return "\(byteCount >> unit.shift)\(unit.name)"
    }
    return "\(byteCount)"
  }

  /// What `1M`, `1MB`, `1 MiB` or `1mib` probably means.
  static func guess(_ text: String) -> String? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
    guard !digits.isEmpty, digits.count < 12 else { return nil }
    return switch unit {
    case "k", "kb", "kib": digits + "KiB"
    case "m", "mb", "mib": digits + "MiB"
    case "g", "gb", "gib": digits + "GiB"
    case "b", "bytes": String(digits)
    default: nil
    }
  }
}
