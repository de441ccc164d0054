/// Finds the word that somebody probably meant.
enum Spelling {
  /// The known word nearest to a misspelt one; nil if none is near.
  ///
  /// Case and `_` for `-` cost nothing. Besides few edits, a word inside the other counts as near: `num-queues`.
  static func nearest(to word: String, among known: [String]) -> String? {
    let wanted = normalize(word)
    if let alias = aliases[String(wanted)], known.contains(alias) { return alias }
    let limit = max(1, min(3, wanted.count / 3))
    let ranked = known.map { (name: $0, distance: distance(wanted, normalize($0))) }
      .min { ($0.distance, $0.name) < ($1.distance, $1.name) }
    if let ranked, ranked.distance <= limit { return ranked.name }
    return known.filter { min($0.count, wanted.count) >= 3 }
      .first { normalize($0).contains(wanted) || wanted.contains(normalize($0)) }
  }

  /// Common names that fewer edits would turn into the wrong thing.
  private static let aliases = [
    "sha2-224": "sha224", "sha2-256": "sha256", "sha2-384": "sha384", "sha2-512": "sha512",
    "des3-ecb": "3des-ecb", "des3-cbc": "3des-cbc", "des3-ctr": "3des-ctr", "rc4": "arc4",
  ]

  private static func normalize(_ word: String) -> [Character] {
    // A word from a hostile file may be long, and the comparison takes the product of both lengths.
    word.prefix(64).lowercased().map { $0 == "_" || $0 == " " ? "-" : $0 }
  }

  /// Insertions, deletions, replacements and swaps of neighbours between two words.
  static func distance(_ first: [Character], _ second: [Character]) -> Int {
    var rows = [Array(0...second.count)]
    for (i, a) in first.enumerated() {
      var row = [i + 1]
      for (j, b) in second.enumerated() {
        var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a == b ? 0 : 1))
        if i > 0, j > 0, a == second[j - 1], first[i - 1] == b {
          best = min(best, rows[i - 1][j - 1] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[first.count][second.count]
  }
}

extension [Character] {
  fileprivate func contains(_ other: [Character]) -> Bool {
    String(self).contains(String(other))
  }
}
