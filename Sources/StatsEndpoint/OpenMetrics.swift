/// Writes OpenMetrics text: one family after the other, each with its type and help.
///
/// Spec: OpenMetrics 1.0.0, "Text format"; the content type is `OpenMetricsWriter.contentType`.
struct OpenMetricsWriter {
  static let contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

  enum Kind: String { case gauge, counter, histogram, info }
  typealias Labels = [(name: String, value: String)]

  private(set) var text = ""

  /// Begins a family.
  ///
  /// All of its samples follow at once.
  mutating func family(_ name: String, _ kind: Kind, unit: String? = nil, help: String) {
    text += "# TYPE \(name) \(kind.rawValue)\n"
    if let unit { text += "# UNIT \(name) \(unit)\n" }
    text += "# HELP \(name) \(Self.escape(help))\n"
  }

  mutating func sample(_ name: String, _ labels: Labels, _ value: some CustomStringConvertible) {
    let list = labels.map { "\($0.name)=\"\(Self.escape($0.value))\"" }.joined(separator: ",")
    text += "\(name)\(list.isEmpty ? "" : "{\(list)}") \(value)\n"
  }

  /// The samples of one histogram: cumulative buckets, their count and their sum.
  mutating func histogram(
    _ name: String, _ labels: Labels, buckets: [(bound: Double, count: UInt64)], count: UInt64,
    sum: Double
  ) {
    for bucket in buckets {
      sample("\(name)_bucket", labels + [("le", "\(bucket.bound)")], bucket.count)
    }
    sample("\(name)_bucket", labels + [("le", "+Inf")], count)
    sample("\(name)_count", labels, count)
    sample("\(name)_sum", labels, sum)
  }

  mutating func end() { text += "# EOF\n" }

  private static func escape(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
  }
}
