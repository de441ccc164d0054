/// Lays rows out in aligned columns: words to the left, numbers to the right.
enum TextTable {
  /// `words`: the heads of columns that hold words; `indent`: what stands before each line.
  static func render(
    _ head: [String], _ rows: [[String]], words: Set<String>, indent: String = ""
  ) -> String {
    let lines = [head] + rows
    let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      let cells = line.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - line[column].count)
        return words.contains(head[column]) ? line[column] + padding : padding + line[column]
      }
      let text = indent + cells.joined(separator: "  ")
      return text.reversed().drop { $0 == " " }.reversed().map(String.init).joined() + "\n"
    }.joined()
  }
}
