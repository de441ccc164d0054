internal import Yams

extension ConfigurationError {
  /// Says in the operator's words what the YAML parser found.
  init(_ error: YamlError, text: String, fileName: String) {
    func at(_ mark: Mark?) -> SourcePosition { SourcePosition(fileName: fileName, mark) }
    switch error {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      self.init(
        position: at(mark), what: Self.sentence(problem, context),
        remedy: Self.remedy(problem, mark, text))
    case .reader(let problem, let offset, _, _):
      let prefix = text.prefix(offset ?? 0)
      let line = prefix.count { $0.isNewline } + 1
      let column = prefix.reversed().prefix { !$0.isNewline }.count + 1
      self.init(
        position: offset == nil
          ? at(nil) : SourcePosition(fileName: fileName, line: line, column: column),
        what: "this is not YAML: \(problem)", remedy: "remove the character")
    case .duplicatedKeysInMapping(let duplicates, let context):
      let key = duplicates.first ?? ""
      let second = Self.secondPlace(of: key, first: context.mark, in: text)
      self.init(
        position: SourcePosition(fileName: fileName, line: second.line, column: second.column),
        what: "the key \(quoted(key)) appears twice",
        remedy: "keep one of them; the first is on line \(context.mark.line)")
    default:
      self.init(
        position: at(nil), what: "the file cannot be read as YAML",
        remedy: "compare it with config/default.yaml")
    }
  }

  private static func sentence(_ problem: String, _ context: YamlError.Context?) -> String {
    guard let context, context.mark.line > 0 else { return "this is not YAML: \(problem)" }
    return "this is not YAML: \(problem) \(context.text) from line \(context.mark.line)"
  }

  private static func remedy(_ problem: String, _ mark: Mark, _ text: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let line = lines.indices.contains(mark.line - 1) ? lines[mark.line - 1] : ""
    if line.prefix(while: { $0 == " " || $0 == "\t" }).contains("\t") {
      return "indent with spaces, not with tabs"
    }
    return switch problem {
    case "found undefined alias": "define the anchor first, or quote a value that begins with *"
    case "but found another document": "keep one document in the file"
    case "mapping values are not allowed in this context":
      "check the indentation, or quote a value that contains \": \""
    case "could not find expected ':'": "write \"key: value\""
    case "did not find expected ',' or ']'": "close the list with ]"
    case "did not find expected ',' or '}'": "close the mapping with }"
    case "found unexpected end of stream": "close the quotation mark"
    default: "check this line's indentation and the line above it"
    }
  }

  /// Finds the second place of a doubled key; the parser reports the first.
  ///
  /// In a block mapping it is the next line that has the key in the same column. In a flow mapping, and for exotic
  /// spellings, the first place must do.
  private static func secondPlace(
    of key: String, first: Mark, in text: String
  ) -> (line: Int, column: Int) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let indent = String(repeating: " ", count: max(0, first.column - 1))
    for (index, line) in lines.enumerated().dropFirst(first.line) {
      if line.hasPrefix(indent + key + ":") { return (index + 1, first.column) }
    }
    return (first.line, first.column)
  }
}
