/// Limits as operators write them, in capability files and on command lines.
public enum LimitText {
  /// The largest rate that is told apart from "unlimited".
  private static let most: UInt64 = 1_000_000_000_000_000

  /// A number: `10000`, `10k` or `2M`; nil if the text is none.
  public static func operations(_ text: String) -> UInt64? {
    let factor: UInt64 = text.hasSuffix("k") ? 1000 : text.hasSuffix("M") ? 1_000_000 : 1
    let digits = factor == 1 ? text : String(text.dropLast())
    guard isDecimal(digits), let count = UInt64(digits) else { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow || product > most ? nil : product
  }

  /// A size: `1048576` or `100MiB`; nil if the text is none.
  public static func bytes(_ text: String) -> UInt64? {
    guard let count = ByteSize.parse(text), count <= most else { return nil }
    return count
  }

  /// The shortest way to write a size.
  public static func text(bytes: UInt64) -> String { ByteSize.text(bytes) }
}
