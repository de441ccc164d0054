internal import Yams

/// A value of the file with the path to it, such as `device.limits.burst-ms`, and its place.
///
/// Each accessor checks type and range, and throws the one line that an operator needs.
struct Field {
  /// Dotted; empty for the document itself.
  let path: String
  let node: Node
  let position: SourcePosition

  init(path: String, node: Node, fileName: String) {
    self.path = path
    self.node = node
    position = SourcePosition(fileName: fileName, node.mark)
  }

  func error(_ what: String, _ remedy: String) -> ConfigurationError {
    ConfigurationError(position: position, what: what, remedy: remedy)
  }

  /// What an operator sees in this place: a quoted word, `a list`, `a mapping` or `empty`.
  var appearance: String {
    if isEmpty { return "empty" }
    return switch node {
    case .scalar(let scalar): quoted(scalar.string)
    case .sequence: "a list"
    case .mapping: "a mapping"
    case .alias: "an alias"
    }
  }

  /// Whether there is nothing behind the colon, or `null`.
  var isEmpty: Bool {
    guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else {
      return false
    }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }

  /// The text as it is written, whatever YAML makes of it: `off` stays `off`.
  var word: String? {
    if case .scalar(let scalar) = node, !isEmpty { scalar.string } else { nil }
  }

  /// Whether the value is `off`.
  var isOff: Bool { word.map(PolicyReader.offWords.contains) ?? false }

  func wrongValue(_ remedy: String) -> ConfigurationError {
    error("\(path) is \(appearance)", remedy)
  }

  // MARK: - Scalars

  func text(_ remedy: String) throws(ConfigurationError) -> String {
    guard let word else { throw wrongValue(remedy) }
    return word
  }

  func integer(in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
    let remedy = "write a whole number from \(range.lowerBound) to \(range.upperBound)"
    guard let word, isDecimal(word), let value = Int(word), range.contains(value) else {
      throw wrongValue(remedy)
    }
    return value
  }

  /// Operations a second; 0 stands for "unlimited".
  func operationRate() throws(ConfigurationError) -> UInt64 {
    guard let word, let value = LimitText.operations(word) else {
      throw wrongValue("write a whole number, such as 10000 or 10k, or 0 for unlimited")
    }
    return value
  }

  /// Bytes a second; 0 stands for "unlimited".
  func byteRate() throws(ConfigurationError) -> UInt64 {
    guard let word, let value = LimitText.bytes(word) else {
      let meant = word.flatMap(ByteSize.guess) ?? "100MiB"
      throw wrongValue("write a size, such as \(meant), or 0 for unlimited")
    }
    return value
  }

  /// A number of bytes: plain, or with `KiB`, `MiB` or `GiB`.
  ///
  /// `alternative`: what else may be written in its place, for the error.
  func byteCount(
    in range: ClosedRange<UInt64>, alternative: String? = nil
  ) throws(ConfigurationError) -> UInt64 {
    let remedy =
      "write a size from \(ByteSize.text(range.lowerBound)) to \(ByteSize.text(range.upperBound))"
      + (alternative.map { ", or \($0)" } ?? "")
    guard let word else { throw wrongValue(remedy) }
    guard let value = ByteSize.parse(word) else {
      let meant = ByteSize.guess(word).map { "; for example \($0)" } ?? ", such as 64KiB or 1MiB"
      throw error("\(path) is \(quoted(word))", remedy + meant)
    }
    guard range.contains(value) else { throw wrongValue(remedy) }
    return value
  }

  func choice<Choice: RawRepresentable & CaseIterable>(
    of type: Choice.Type
  ) throws(ConfigurationError) -> Choice where Choice.RawValue == String {
    let known = Choice.allCases.map(\.rawValue)
    if let word, let choice = Choice(rawValue: word) { return choice }
    let near = word.flatMap { Spelling.nearest(to: $0, among: known) }
    throw wrongValue(near.map { "did you mean \(quoted($0))?" } ?? "write \(oneOf(known))")
  }

  /// The path of a Unix socket.
  func socketPath() throws(ConfigurationError) -> String {
    let path = try text("write an absolute path, such as /run/vhost-user-crypto/vm1.sock")
    guard path.hasPrefix("/"), !path.contains("\0") else {
      throw wrongValue("write an absolute path, such as /run/vhost-user-crypto/vm1.sock")
    }
    guard path.utf8.count <= 107 else {
      throw error(
        "\(self.path) has \(path.utf8.count) bytes", "a Unix socket's path has at most 107")
    }
    return path
  }

  // MARK: - Collections

  func list(_ remedy: String) throws(ConfigurationError) -> [Field] {
    guard case .sequence(let sequence) = node else { throw wrongValue(remedy) }
    return sequence.enumerated().map { index, node in
      Field(path: "\(path)[\(index)]", node: node, fileName: position.fileName)
    }
  }

  /// The entries of a mapping; an empty place counts as a mapping without entries.
  func entries(_ remedy: String) throws(ConfigurationError) -> [Entry] {
    if isEmpty { return [] }
    guard case .mapping(let mapping) = node else {
      throw error(path.isEmpty ? "the file is \(appearance)" : "\(path) is \(appearance)", remedy)
    }
    var entries: [Entry] = []
    for (key, value) in mapping {
      let keyPosition = SourcePosition(fileName: position.fileName, key.mark)
      guard case .scalar(let scalar) = key else {
        throw ConfigurationError(
          position: keyPosition, what: "a key is not a word", remedy: "write \"key: value\"")
      }
      let name = path.isEmpty ? scalar.string : "\(path).\(scalar.string)"
      entries.append(
        Entry(
          key: scalar.string, keyPosition: keyPosition,
          value: Field(path: name, node: value, fileName: position.fileName)))
    }
    return entries
  }

  /// The values of a mapping that may have the given keys and no others.
  func values(
    keys: [String], remedy: String = "write a mapping of \"key: value\" lines"
  ) throws(ConfigurationError) -> [String: Field] {
    var values: [String: Field] = [:]
    for entry in try entries(remedy) {
      guard keys.contains(entry.key) else { throw Schema.unknownKey(entry, in: path, known: keys) }
      values[entry.key] = entry.value
    }
    return values
  }
}

/// A key with its place, and its value.
struct Entry {
  let key: String
  let keyPosition: SourcePosition
  let value: Field
}

extension SourcePosition {
  init(fileName: String, _ mark: Mark?) {
    self.init(fileName: fileName, line: mark?.line, column: mark?.column)
  }
}

/// A word of the file between quotation marks, on one line and of bounded length.
func quoted(_ word: String) -> String {
  let clipped = word.count > 60 ? word.prefix(57) + "..." : word[...]
  return String(reflecting: String(clipped))
}

/// Alternatives for a sentence: `a, b or c`.
func oneOf(_ words: [String]) -> String {
  guard let last = words.last, words.count > 1 else { return words.joined() }
  return words.dropLast().joined(separator: ", ") + " or " + last
}

/// Whether a word is made of decimal digits alone; `Int` would also take a sign.
func isDecimal(_ word: String) -> Bool {
  !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) }
}
