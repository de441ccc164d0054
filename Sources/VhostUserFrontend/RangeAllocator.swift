/// Hands out address ranges of one region: first fit, neighbours merged when they come back.
struct RangeAllocator {
  /// Free ranges, sorted by address, never adjacent.
  private(set) var freeRanges: [Range<UInt64>]
  private var taken: [UInt64: UInt64] = [:]

  init(_ range: Range<UInt64>) { freeRanges = range.isEmpty ? [] : [range] }

  /// The start of a free range of `byteCount` bytes (at least 1) on a multiple of `alignment`, a
  /// power of two.
  mutating func take(byteCount: UInt64, alignment: UInt64) -> UInt64? {
    let byteCount = max(1, byteCount)
    for index in freeRanges.indices {
      let range = freeRanges[index]
      let (bumped, overflow) = range.lowerBound.addingReportingOverflow(alignment - 1)
      if overflow { continue }
      let start = bumped & ~(alignment - 1)
      guard start < range.upperBound, range.upperBound - start >= byteCount else { continue }
      carve(start..<start + byteCount, from: index)
      return start
    }
    return nil
  }

  /// Takes exactly this range; false when a part of it is not free.
  mutating func take(exactly range: Range<UInt64>) -> Bool {
    let holder = freeRanges.firstIndex {
      $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound
    }
    guard let holder, !range.isEmpty else { return false }
    carve(range, from: holder)
    return true
  }

  private mutating func carve(_ range: Range<UInt64>, from index: Int) {
    let whole = freeRanges[index]
    let parts = [
      whole.lowerBound..<range.lowerBound, range.upperBound..<whole.upperBound,
    ]
    freeRanges.replaceSubrange(index...index, with: parts.filter { !$0.isEmpty })
    taken[range.lowerBound] = range.upperBound
  }

  /// Gives back what a `take` gave; false when `start` is no start of a taken range.
  mutating func giveBack(_ start: UInt64) -> Bool {
    guard let end = taken.removeValue(forKey: start) else { return false }
    var merged = start..<end
    let position = freeRanges.firstIndex { $0.lowerBound >= end } ?? freeRanges.endIndex
    var replaced = position..<position
    if position < freeRanges.endIndex, freeRanges[position].lowerBound == end {
      merged = merged.lowerBound..<freeRanges[position].upperBound
      replaced = replaced.lowerBound..<position + 1
    }
    if position > 0, freeRanges[position - 1].upperBound == start {
      merged = freeRanges[position - 1].lowerBound..<merged.upperBound
      replaced = position - 1..<replaced.upperBound
    }
    freeRanges.replaceSubrange(replaced, with: [merged])
    return true
  }

  var freeByteCount: UInt64 { freeRanges.reduce(0) { $0 + UInt64($1.count) } }
}
