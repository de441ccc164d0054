import Foundation

/// A block of commands in a document: ```console, behind which words may say how it is run.
///
/// - nothing: the commands are run one after the other, each must end with status 0, and what it prints is compared with
///   the lines that follow it, if any do.
/// - `any-output`: the same, but that what is printed depends on the host, and is not compared.
/// - `daemon`: a daemon runs meanwhile.
/// - `serves`: each command is a daemon: it is asked to end when its sockets are there.
/// - `installed`: units are installed below the scratch directory.
/// - `no-run: REASON`: nothing is run. Targets of make, and options of our programs, must exist all the same.
struct ConsoleBlock {
  struct Command {
    var text: String
    var output: [String] = []
  }

  var file: String
  var line: Int
  var words: Set<String>
  /// Nil for a block that is run.
  var reason: String?
  var commands: [Command]

  static func all(in text: String, file: String) -> [ConsoleBlock] {
    var blocks: [ConsoleBlock] = []
    var block: ConsoleBlock?
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      if let open = block {
        if line.hasPrefix("```") {
          blocks.append(open)
          block = nil
        } else {
          block?.take(String(line))
        }
      } else if line.hasPrefix("```console") {
        let information = line.dropFirst("```console".count).trimmingCharacters(in: .whitespaces)
        let parts = information.components(separatedBy: "no-run:")
        block = ConsoleBlock(
          file: file, line: number + 1,
          words: Set(parts[0].split(separator: " ").map(String.init)),
          reason: parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : nil,
          commands: [])
      }
    }
    return blocks
  }

  private mutating func take(_ line: String) {
    if let last = commands.indices.last, commands[last].text.hasSuffix("\\"),
      commands[last].output.isEmpty
    {
      commands[last].text += "\n" + line
    } else if line.hasPrefix("$ ") || line.hasPrefix("# ") {
      commands.append(Command(text: String(line.dropFirst(2))))
    } else if let last = commands.indices.last {
      commands[last].output.append(line)
    }
  }
}

/// What a command prints, without what changes from run to run.
struct PrintedText {
  private let lines: [String]

  init(_ lines: [String]) {
    var lines = lines.map(Self.lasting)
    while lines.last == "" { lines.removeLast() }
    self.lines = lines
  }

  /// Numbers, with their units, are all the same, as are the widths of columns.
  private static func lasting(_ line: String) -> String {
    var words = line.split(whereSeparator: \.isWhitespace).map(String.init).joined(separator: " ")
    words.replace(/[0-9][0-9.,]*/, with: "#")
    words.replace(/# ?(ns|us|ms|s|B|KiB|MiB|GiB|k|M|G)\b/, with: "#")
    words.replace(/[▁▂▃▄▅▆▇█]+/, with: "▁")
    // A table's value that is not there yet.
    return words.split(separator: " ", omittingEmptySubsequences: false).map {
      $0 == "-" ? "#" : $0
    }
    .joined(separator: " ")
  }

  /// The first line that is not as expected; nil when all are.
  ///
  /// `…` stands for any text, on a line alone for any lines.
  func difference(from printed: PrintedText) -> String? {
    var rest = printed.lines[...]
    var skips = false
    for line in lines {
      if line == "…" {
        skips = true
        continue
      }
      let place = skips ? rest.firstIndex { Self.matches($0, line) } : rest.startIndex
      guard let place, place < rest.endIndex, Self.matches(rest[place], line) else {
        return "expected: \(line)\nprinted: \(rest.first ?? "nothing more")"
      }
      rest = rest[(place + 1)...]
      skips = false
    }
    return rest.isEmpty || skips ? nil : "printed beyond what is expected: \(rest.first ?? "")"
  }

  private static func matches(_ printed: String, _ expected: String) -> Bool {
    let parts = expected.components(separatedBy: "…")
    guard parts.count > 1 else { return printed == expected }
    guard printed.hasPrefix(parts[0]), let last = parts.last else { return false }
    var rest = printed.dropFirst(parts[0].count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let range = rest.range(of: part) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(last)
  }
}
