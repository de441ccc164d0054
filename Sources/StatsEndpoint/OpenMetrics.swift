/// Writes OpenMetrics text: one family after the other, each with its type and help.
///
/// It is written several times a second for as long as the daemon lives, on a host whose processors are the guests':
/// labels are escaped once and not for each sample, and everything goes to the end of one buffer.
///
/// Spec: OpenMetrics 1.0.0, "Text format"; the content type is `OpenMetricsWriter.contentType`.
struct OpenMetricsWriter {
  static let contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

  enum Kind: String { case gauge, counter, histogram, info }

  /// The labels of samples, as they are written: without the braces around them.
  struct Labels {
    fileprivate var text: [UInt8] = []

    init(_ pairs: KeyValuePairs<String, String>) {
      for (name, value) in pairs { append(name, value) }
    }

    /// These labels and one more.
    func adding(_ name: String, _ value: String) -> Labels {
      var longer = self
      longer.append(name, value)
      return longer
    }

    private mutating func append(_ name: String, _ value: String) {
      if !text.isEmpty { text.append(UInt8(ascii: ",")) }
      text += name.utf8
      text += "=\"".utf8
      text += escaped(value)
      text.append(UInt8(ascii: "\""))
    }
  }

  private var bytes: [UInt8] = []

  init() { bytes.reserveCapacity(1 << 15) }

  var text: String { String(decoding: bytes, as: UTF8.self) }

  /// Begins a family.
  ///
  /// All of its samples follow at once.
  mutating func family(_ name: String, _ kind: Kind, unit: String? = nil, help: String) {
    bytes += "# TYPE \(name) \(kind.rawValue)\n".utf8
    if let unit { bytes += "# UNIT \(name) \(unit)\n".utf8 }
    bytes += "# HELP \(name) ".utf8
    bytes += escaped(help)
    bytes.append(UInt8(ascii: "\n"))
  }

  mutating func sample(_ name: String, _ value: some CustomStringConvertible) {
    sample(name, Labels([:]), value)
  }

  mutating func sample(_ name: String, _ labels: Labels, _ value: some CustomStringConvertible) {
    sample(name, suffix: "", labels, bound: nil, value)
  }

  /// The samples of one histogram: cumulative buckets, their count and their sum.
  mutating func histogram(
    _ name: String, _ labels: Labels, buckets: some Sequence<(bound: Double, count: UInt64)>,
    count: UInt64, sum: Double
  ) {
    for bucket in buckets {
      sample(name, suffix: "_bucket", labels, bound: bucket.bound.description, bucket.count)
    }
    sample(name, suffix: "_bucket", labels, bound: "+Inf", count)
    sample(name, suffix: "_count", labels, bound: nil, count)
    sample(name, suffix: "_sum", labels, bound: nil, sum)
  }

  mutating func end() { bytes += "# EOF\n".utf8 }

  private mutating func sample(
    _ name: String, suffix: String, _ labels: Labels, bound: String?,
    _ value: some CustomStringConvertible
  ) {
    bytes += name.utf8
    bytes += suffix.utf8
    if bound != nil || !labels.text.isEmpty {
      bytes.append(UInt8(ascii: "{"))
      bytes += labels.text
      if let bound {
        if !labels.text.isEmpty { bytes.append(UInt8(ascii: ",")) }
        bytes += "le=\"".utf8
        bytes += bound.utf8
        bytes.append(UInt8(ascii: "\""))
      }
      bytes.append(UInt8(ascii: "}"))
    }
    bytes.append(UInt8(ascii: " "))
    bytes += value.description.utf8
    bytes.append(UInt8(ascii: "\n"))
  }
}

/// What stands between quotes, or behind HELP.
private func escaped(_ text: String) -> [UInt8] {
  var result: [UInt8] = []
  result.reserveCapacity(text.utf8.count)
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\\"): result += "\\\\".utf8
    case UInt8(ascii: "\""): result += "\\\"".utf8
    case UInt8(ascii: "\n"): result += "\\n".utf8
    default: result.append(byte)
    }
  }
  return result
}
