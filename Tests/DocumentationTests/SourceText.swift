import Foundation

/// Swift source, as far as it takes to find the texts in it: literals, what they are arguments of, brackets.
struct SourceText {
  enum Token: Equatable {
    case word(String)
    /// A literal's text, with `…` where something is filled in.
    case text(String)
    case mark(Character)
  }

  private(set) var tokens: [Token] = []

  init(_ source: String) {
    var reader = Reader(Array(source))
    while let token = reader.next() { tokens.append(token) }
  }

  /// The place behind the bracket that closes the one at `open`.
  func end(of open: Int) -> Int {
    var depth = 0
    for place in open..<tokens.count {
      switch tokens[place] {
      case .mark("("), .mark("["), .mark("{"): depth += 1
      case .mark(")"), .mark("]"), .mark("}"):
        depth -= 1
        if depth == 0 { return place + 1 }
      default: break
      }
    }
    return tokens.count
  }

  /// The texts in a range; those that `+` joins are one.
  ///
  /// - `depth`: how many brackets inside the range's own a text may be. Nil: any number.
  func texts(in range: Range<Int>, depth limit: Int? = nil) -> [String] {
    var found: [String] = []
    var depth = 0
    for place in range {
      switch tokens[place] {
      case .mark("("), .mark("["), .mark("{"): depth += 1
      case .mark(")"), .mark("]"), .mark("}"): depth -= 1
      case .text(let text) where limit.map({ depth <= $0 }) ?? true:
        if place >= range.lowerBound + 2, tokens[place - 1] == .mark("+"),
          case .text = tokens[place - 2], !found.isEmpty
        {
          found[found.count - 1] += text
        } else {
          found.append(text)
        }
      default: break
      }
    }
    return found
  }
}

/// Takes source apart.
private struct Reader {
  private let source: [Character]
  private var place = 0

  init(_ source: [Character]) { self.source = source }

  mutating func next() -> SourceText.Token? {
    while place < source.count {
      let character = source[place]
      if starts("//") {
        while place < source.count, source[place] != "\n" { place += 1 }
      } else if starts("/*") {
        while place < source.count, !starts("*/") { place += 1 }
        place += 2
      } else if character == "\"" {
        return .text(literal())
      } else if character.isLetter || character == "_" {
        let start = place
        while place < source.count, isPartOfWord(source[place]) { place += 1 }
        return .word(String(source[start..<place]))
      } else {
        place += 1
        if !character.isWhitespace { return .mark(character) }
      }
    }
    return nil
  }

  private func isPartOfWord(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
  }

  private func starts(_ text: String) -> Bool {
    source[place...].starts(with: text)
  }

  /// Reads a literal; lines of a long one are one text.
  private mutating func literal() -> String {
    let quotes = starts("\"\"\"") ? "\"\"\"" : "\""
    place += quotes.count
    var text = ""
    while place < source.count, !starts(quotes) {
      if starts("\\(") {
        place += 1
        skipInterpolation()
        if !text.hasSuffix("…") { text += "…" }
      } else if source[place] == "\\" {
        place += 1
        text += ["n": " ", "t": " ", "\n": ""][source[place]] ?? String(source[place])
        place += 1
      } else {
        text.append(source[place])
        place += 1
      }
    }
    place += quotes.count
    return text
  }

  private mutating func skipInterpolation() {
    var depth = 0
    repeat {
      if source[place] == "\"" {
        _ = literal()
        continue
      }
      if source[place] == "(" { depth += 1 }
      if source[place] == ")" { depth -= 1 }
      place += 1
    } while depth > 0 && place < source.count
  }
}
