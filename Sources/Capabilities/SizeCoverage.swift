/// Which requests the engines of a list would get, each the first whose bounds a request's size is in.
struct SizeCoverage {
  /// The index of an engine whose sizes are all taken by those before it.
  ///
  /// One without sizes is never useless: it steps in where those before it are missing, or cannot do something.
  private(set) var uselessIndex: Int?
  /// The sizes that no engine takes, in bytes; the lowest such range.
  private(set) var gap: ClosedRange<UInt64>?

  init(_ choices: [EngineChoice]) {
    // Sizes not taken yet, as ranges in rising order.
    var free = [0...UInt64(UInt32.max)]
    for (index, choice) in choices.enumerated() {
      let own =
        (choice.minimumByteCount ?? 0)...(choice.maximumByteCount ?? UInt64(UInt32.max))
      let isBounded = choice.minimumByteCount != nil || choice.maximumByteCount != nil
      if isBounded, uselessIndex == nil, !free.contains(where: { $0.overlaps(own) }) {
        uselessIndex = index
      }
      free = free.flatMap { Self.difference($0, own) }
    }
    gap = free.first
  }

  private static func difference(
    _ range: ClosedRange<UInt64>, _ taken: ClosedRange<UInt64>
  ) -> [ClosedRange<UInt64>] {
    guard range.overlaps(taken) else { return [range] }
    var rest: [ClosedRange<UInt64>] = []
    if range.lowerBound < taken.lowerBound { rest.append(range.lowerBound...taken.lowerBound - 1) }
    if range.upperBound > taken.upperBound { rest.append(taken.upperBound + 1...range.upperBound) }
    return rest
  }
}
