/// How a run of bytes is cut into descriptors.
public enum Segmentation: Hashable, Sendable {
  case contiguous
  /// As many segments as given (fewer when there are fewer bytes), as equal as possible.
  case count(Int)
  /// Segments of these lengths; what is left over makes one more.
  case lengths([Int])
  /// Up to `maximum` segments of random lengths.
  case random(seed: UInt64, maximum: Int)
  /// A scatter list of so many entries as Linux guests send it: each entry followed by all that
  /// come after it, which makes n(n+1)/2 descriptors with repeated trailing data.
  case overlapping(Int)

  /// The lengths of the segments before any overlap; their sum is `byteCount`.
  ///
  /// Empty for 0 bytes.
  public func lengths(of byteCount: Int) -> [Int] {
    guard byteCount > 0 else { return [] }
    switch self {
    case .contiguous: return [byteCount]
    case .count(let count), .overlapping(let count):
      let count = max(1, min(count, byteCount))
      return (0..<count).map { (byteCount * ($0 + 1)) / count - (byteCount * $0) / count }
    case .lengths(let lengths):
      var left = byteCount
      var result: [Int] = []
      for length in lengths where length >= 0 && left > 0 {
        result.append(min(length, left))
        left -= min(length, left)
      }
      return left > 0 ? result + [left] : result
    case .random(let seed, let maximum):
      var random = SeededRandom(seed: seed)
      let count = Int.random(in: 1...max(1, min(maximum, byteCount)), using: &random)
      var cuts: Set<Int> = [0, byteCount]
      while cuts.count < count + 1 { cuts.insert(Int.random(in: 1..<byteCount, using: &random)) }
      let sorted = cuts.sorted()
      return zip(sorted, sorted.dropFirst()).map { $1 - $0 }
    }
  }

  var overlaps: Bool {
    if case .overlapping = self { return true }
    return false
  }
}

/// Where a request's bytes go: the shape of its descriptor chain.
public struct RequestPlan: Hashable, Sendable {
  /// How the parts in front of the source lie.
  public enum Front: Hashable, Sendable {
    /// Header, then each field, in descriptors of their own (what Linux sends).
    case separate
    /// Header and the fields in front of the source in one descriptor.
    case joined
    /// Everything that the device reads is one run of bytes, cut at random places, the header
    /// included.
    case shredded(seed: UInt64, maximum: Int)
  }

  /// Where the status byte goes.
  public enum Status: Hashable, Sendable {
    case ownDescriptor
    /// Behind the last result byte, in the same descriptor.
    case tailOfLastBuffer
    /// No status byte at all: a wrong request.
    case missing
  }

  public var front: Front = .separate
  public var source: Segmentation = .contiguous
  public var destination: Segmentation = .contiguous
  /// The destination is the source's memory as far as that reaches.
  public var isInPlace = false
  /// A descriptor of zero bytes behind every other one.
  public var hasZeroLengthDescriptors = false
  public var status: Status = .ownDescriptor
  /// Bytes that are writable behind the result and in front of the status; the device skips them.
  public var slackByteCount = 0
  public var isIndirect = true
  /// What every buffer's address is a multiple of; of a page, no two buffers share one.
  public var alignment = 1

  public init() {}

  /// As Linux's driver lays out a scatter list of so many entries on either side.
  public static func linux(sourceEntries: Int, destinationEntries: Int) -> RequestPlan {
    var plan = RequestPlan()
    plan.source = .overlapping(sourceEntries)
    plan.destination = .overlapping(destinationEntries)
    return plan
  }
}
