import Foundation

/// What the programs can say that is wrong or worth knowing, read from their sources.
struct SourceMessage: Hashable, Comparable {
  /// As in the source, with `…` where something is filled in.
  var text: String
  /// File and what says it, for whoever looks for it.
  var origin: String

  static func < (one: SourceMessage, other: SourceMessage) -> Bool {
    (one.origin, one.text) < (other.origin, other.text)
  }

  /// Calls whose texts reach a person: loggers, refusals at start, mistakes in the capability file, the tool's complaints.
  private static let calls: Set<String> = [
    "trace", "debug", "info", "notice", "warning", "error", "critical", "log",
    "complaint", "StartError", "EngineError", "WorkerStartError", "QueueStartError",
    "ActivationError",
    "ConfigurationWarning", "ConfigurationError", "ValidationError", "failing", "BenchFailure",
    "usage", "wrongValue", "absent", "note",
  ]

  /// Enumerations whose cases' names are shown, as `reason` of a refused message or `fault` of a queue.
  private static let shownCases: Set<String> = [
    "Refusal", "QueueError", "LayoutError", "MemoryError",
  ]

  static func all(below folder: URL) throws -> Set<SourceMessage> {
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
    var found: Set<SourceMessage> = []
    while let file = files?.nextObject() as? URL {
      guard file.pathExtension == "swift" else { continue }
      let name = file.deletingLastPathComponent().lastPathComponent + "/" + file.lastPathComponent
      found.formUnion(
        messages(of: try String(contentsOf: file, encoding: .utf8), file: name))
    }
    return found
  }

  static func messages(of source: String, file: String) -> [SourceMessage] {
    let source = SourceText(source)
    var found: [SourceMessage] = []
    func take(_ texts: [String], _ what: String) {
      for text in texts {
        let words = text.replacing("…", with: "").filter { $0.isLetter }
        if words.count > 3 { found.append(SourceMessage(text: text, origin: "\(file) \(what)")) }
      }
    }
    for place in source.tokens.indices.dropLast() {
      guard case .word(let word) = source.tokens[place] else { continue }
      let before = place > 0 ? source.tokens[place - 1] : .mark(" ")
      if calls.contains(word), source.tokens[place + 1] == .mark("("), before != .word("func") {
        take(source.texts(in: place + 2..<source.end(of: place + 1) - 1, depth: 0), word)
      }
      if word == "append", place > 1, source.tokens[place - 2] == .word("warnings") {
        take(source.texts(in: place + 2..<source.end(of: place + 1) - 1, depth: 0), word)
      }
      if word == "explain" || word == "notes", before == .word("func") || before == .word("var"),
        let open = source.tokens[place...].firstIndex(of: .mark("{"))
      {
        take(source.texts(in: open..<source.end(of: open)), word)
      }
      guard before == .word("struct") || before == .word("enum") || before == .word("extension"),
        let open = source.tokens[place...].firstIndex(of: .mark("{")),
        source.tokens[place..<open].contains(.word("Error")) || word.hasSuffix("Error")
      else { continue }
      let body = open..<source.end(of: open)
      for inner in body where source.tokens[inner] == .word("description") {
        guard source.tokens[inner - 1] == .word("var"),
          source.tokens[inner..<inner + 4].last == .mark("{")
        else { continue }
        take(source.texts(in: inner + 3..<source.end(of: inner + 3)), word)
      }
      // Errors that are made of other errors, with words of their own.
      for inner in body where source.tokens[inner] == .word("init") && before == .word("struct") {
        guard source.tokens[inner - 1] == .mark("."), source.tokens[inner + 1] == .mark("(") else {
          continue
        }
        take(source.texts(in: inner + 2..<source.end(of: inner + 1) - 1, depth: 0), word)
      }
      if shownCases.contains(word), !file.hasPrefix("CryptoDevice/") {
        for inner in body where source.tokens[inner] == .word("case") {
          if case .word(let name) = source.tokens[inner + 1], before == .word("enum"),
            source.tokens[inner - 1] != .mark("{") || inner == open + 1
          {
            found.append(SourceMessage(text: name, origin: "\(file) case of \(word)"))
          }
        }
      }
    }
    return found
  }
}

/// A document in which messages stand between backquotes.
struct MessageDocument {
  private let text: String

  init(_ text: String) {
    self.text = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// Whether the message is there as a whole; what is filled in may be left out at its end.
  func explains(_ message: SourceMessage) -> Bool {
    let wanted = "`" + message.text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return ["`", "…", " …"].contains { text.contains(wanted + $0) }
  }
}
