/// A small strict reader of OpenMetrics 1.0.0 text, for judging what the daemon writes.
public struct OpenMetricsText {
  public struct Problem: Error, CustomStringConvertible {
    public var line: Int
    public var what: String
    public var description: String { "line \(line): \(what)" }
  }
  public struct Sample {
    public var name: String
    public var labels: [String: String]
    public var value: Double
  }
  public struct Family {
    public var name: String
    public var kind: String
    public var samples: [Sample] = []
  }

  public private(set) var families: [Family] = []
  private var lineNumber = 0
  private var seen: Set<String> = []

  public init(_ text: String) throws {
    guard text.hasSuffix("# EOF\n") else { throw Problem(line: 0, what: "no # EOF at the end") }
    let lines = text.dropLast().split(separator: "\n", omittingEmptySubsequences: false)
    for line in lines.dropLast() {
      lineNumber += 1
      if line.hasPrefix("# ") { try readMetadata(line) } else { try readSample(line) }
    }
    for family in families where family.kind == "histogram" { try checkHistograms(family) }
  }

  public var samples: [Sample] { families.flatMap(\.samples) }

  public func value(_ name: String, _ labels: [String: String]) -> Double? {
    samples.first { $0.name == name && $0.labels == labels }?.value
  }

  private func problem(_ what: String) -> Problem { Problem(line: lineNumber, what: what) }

  private mutating func readMetadata(_ line: Substring) throws {
    let words = line.split(separator: " ", maxSplits: 3).map(String.init)
    guard words.count == 4 else { throw problem("malformed metadata \(line)") }
    let (keyword, name) = (words[1], words[2])
    switch keyword {
    case "TYPE":
      guard !families.contains(where: { $0.name == name }) else {
        throw problem("family \(name) appears twice")
      }
      guard ["gauge", "counter", "histogram", "info"].contains(words[3]) else {
        throw problem("unknown type \(words[3])")
      }
      guard isName(name) else { throw problem("bad name \(name)") }
      families.append(Family(name: name, kind: words[3]))
    case "UNIT":
      guard families.last?.name == name, name.hasSuffix("_" + words[3]) else {
        throw problem("unit \(words[3]) does not end the name \(name)")
      }
    case "HELP":
      guard families.last?.name == name else { throw problem("help out of place") }
    default: throw problem("unknown metadata \(keyword)")
    }
    guard families.last?.samples.isEmpty == true else { throw problem("metadata behind samples") }
  }

  private mutating func readSample(_ line: Substring) throws {
    guard let family = families.last else { throw problem("a sample without a family") }
    let nameEnd = line.firstIndex { $0 == "{" || $0 == " " } ?? line.endIndex
    let name = String(line[..<nameEnd])
    var rest = line[nameEnd...]
    var labels: [String: String] = [:]
    if rest.first == "{" { labels = try readLabels(&rest) }
    guard rest.first == " ", let value = Double(rest.dropFirst()), !value.isNaN else {
      throw problem("malformed value in \(line)")
    }
    let suffixes =
      ["gauge": [""], "counter": ["_total"], "info": ["_info"]][family.kind]
      ?? ["_bucket", "_count", "_sum"]
    guard suffixes.contains(where: { name == family.name + $0 }) else {
      throw problem("\(name) does not belong to the \(family.kind) \(family.name)")
    }
    guard family.kind == "gauge" || value >= 0 else { throw problem("\(name) is negative") }
    guard seen.insert(String(line.prefix(line.count - rest.count))).inserted else {
      throw problem("\(line) appears twice")
    }
    families[families.count - 1].samples.append(Sample(name: name, labels: labels, value: value))
  }

  private func readLabels(_ rest: inout Substring) throws -> [String: String] {
    var labels: [String: String] = [:]
    rest = rest.dropFirst()
    while true {
      guard let equals = rest.firstIndex(of: "=") else { throw problem("a label without =") }
      let name = String(rest[..<equals])
      rest = rest[rest.index(after: equals)...]
      guard isName(name), rest.popFirst() == "\"" else { throw problem("bad label \(name)") }
      var value = ""
      scan: while true {
        guard let character = rest.popFirst() else { throw problem("an open label value") }
        switch character {
        case "\"": break scan
        case "\\":
          guard let escaped = rest.popFirst(), "\\\"n".contains(escaped) else {
            throw problem("a bad escape")
          }
          value.append(escaped == "n" ? "\n" : escaped)
        default: value.append(character)
        }
      }
      guard labels.updateValue(value, forKey: name) == nil else {
        throw problem("label \(name) appears twice")
      }
      switch rest.popFirst() {
      case ",": continue
      case "}": return labels
      default: throw problem("labels are not closed")
      }
    }
  }

  private func isName(_ name: String) -> Bool {
    !name.isEmpty && name.first?.isNumber == false
      && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
  }

  /// Buckets ascend, accumulate, and end with the count.
  private func checkHistograms(_ family: Family) throws {
    var series: [[String: String]: [(bound: Double, count: Double)]] = [:]
    for sample in family.samples where sample.name.hasSuffix("_bucket") {
      var labels = sample.labels
      guard let text = labels.removeValue(forKey: "le"),
        let bound = text == "+Inf" ? .infinity : Double(text)
      else { throw Problem(line: 0, what: "\(family.name) has a bucket without le") }
      series[labels, default: []].append((bound, sample.value))
    }
    for (labels, buckets) in series {
      let pairs = zip(buckets, buckets.dropFirst())
      guard pairs.allSatisfy({ $0.bound < $1.bound && $0.count <= $1.count }),
        buckets.last?.bound == .infinity,
        value(family.name + "_count", labels) == buckets.last?.count,
        value(family.name + "_sum", labels) != nil
      else { throw Problem(line: 0, what: "the histogram \(family.name) \(labels) is wrong") }
    }
  }
}
