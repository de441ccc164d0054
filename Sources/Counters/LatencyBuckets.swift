/// Log-linear buckets for 64-bit values: exact below 16, then 16 buckets per power of two.
///
/// A bucket is at most 1/16 (6.25 %) as wide as the values in it. There is a bucket for every value.
public enum LatencyBuckets {
  /// How many buckets there are: 16 exact ones and 16 for each of the exponents 4…63.
  @inlinable public static var count: Int { 16 + 60 * 16 }

  /// The bucket that a value falls in, 0..<`count`.
  @_noAllocation @_noLocks
  @inlinable public static func index(of value: UInt64) -> Int {
    if value < 16 { return Int(truncatingIfNeeded: value) }
    let exponent = 63 &- value.leadingZeroBitCount
    let fraction = Int(truncatingIfNeeded: value &>> UInt64(truncatingIfNeeded: exponent &- 4)) & 15
    return (exponent &- 3) &* 16 &+ fraction
  }

  /// The values of a bucket.
  ///
  /// `index` is in 0..<`count`.
  public static func values(of index: Int) -> ClosedRange<UInt64> {
    precondition((0..<count).contains(index), "there is no latency bucket \(index)")
    if index < 16 { return UInt64(index)...UInt64(index) }
    let shift = UInt64(index / 16 - 1)
    let lowest = UInt64(16 + index % 16) << shift
    return lowest...(lowest + ((1 << shift) - 1))
  }
}
