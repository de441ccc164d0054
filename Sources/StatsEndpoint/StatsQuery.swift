internal import Foundation

/// The part of a request's target behind `?`.
struct StatsQuery {
  private var values: [String: String] = [:]

  /// - Parameters:
  ///   - text: `name=value&…`, percent-encoded.
  ///   - path: the route, for complaints.
  ///   - known: the names that it takes.
  /// - Throws: for everything that no route would understand.
  init(_ text: Substring, path: String, known: [String]) throws(StatsProblem) {
    for item in text.split(separator: "&") {
      let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let decoded = parts.map { $0.replacing("+", with: " ").removingPercentEncoding }
      guard decoded.count == 2, let name = decoded[0], let value = decoded[1] else {
        throw .badRequest("'\(item)' is no name=value")
      }
      guard known.contains(name) else {
        let takes = known.isEmpty ? "nothing" : known.joined(separator: ", ")
        throw .badRequest("\(path) does not know '\(name)'; it takes \(takes)")
      }
      guard values.updateValue(value, forKey: name) == nil else {
        throw .badRequest("'\(name)' is given twice; once is right")
      }
    }
  }

  subscript(name: String) -> String? { values[name] }

  /// A whole number within bounds.
  func number(
    _ name: String, in range: ClosedRange<Int>, or standard: Int
  ) throws(StatsProblem) -> Int {
    guard let text = values[name] else { return standard }
    guard let number = Int(text), range.contains(number) else {
      throw .badRequest(
        "'\(name)=\(text)' is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A word out of a list.
  func choice(
    _ name: String, of words: [String], or standard: String
  ) throws(StatsProblem) -> String {
    guard let word = values[name] else { return standard }
    guard words.contains(word) else {
      throw .badRequest("'\(name)=\(word)' is unknown; one of \(words.joined(separator: ", "))")
    }
    return word
  }
}
