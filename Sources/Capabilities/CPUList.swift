/// `workers.cpus`: numbers and ranges.
enum CPUList {
  /// The highest CPU number that an affinity mask of the usual size holds.
  private static let last = 1023
  private static let remedy =
    "write CPU numbers from 0 to \(last) or ranges, such as [2, 3] or [2-5]"

  /// Reads a list of numbers and ranges, or one of them alone.
  static func read(_ field: Field) throws(ConfigurationError) -> [Int] {
    let items = field.word == nil ? try field.list(remedy) : [field]
    var cpus: [Int] = []
    for item in items {
      guard let word = item.word, let range = range(word) else { throw item.wrongValue(remedy) }
      for cpu in range {
        guard !cpus.contains(cpu) else {
          throw item.error("\(field.path) names CPU \(cpu) twice", "name each CPU once")
        }
        cpus.append(cpu)
      }
    }
    return cpus
  }

  private static func range(_ word: String) -> ClosedRange<Int>? {
    let parts = word.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    let numbers = parts.compactMap { isDecimal($0) ? Int($0) : nil }
    guard numbers.count == parts.count, (1...2).contains(numbers.count),
      numbers[0] <= numbers[numbers.count - 1], numbers[numbers.count - 1] <= last
    else { return nil }
    return numbers[0]...numbers[numbers.count - 1]
  }
}
