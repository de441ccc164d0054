extension DescriptorChain {
  /// Whether a buffer to be written shares bytes with one to be read, as far as that can be told: true also for chains
  /// that are longer than the window.
  ///
  /// Call it right after `readAhead`. Too slow for chains that are not resubmitted.
  @_noAllocation @_noLocks
  @inline(never)
  public func writesOverWhatItReads() -> Bool {
    if hasNext { return true }
    var read = 0
    while read < readableCount {
      var write = readableCount
      while write < count {
        // SAFETY: both are below the window's count.
        if unsafe runs[read].overlaps(runs[write]) { return true }
        write &+= 1
      }
      read &+= 1
    }
    return false
  }
}

extension ChainRun {
  /// Whether two buffers share a byte; such as no region has as a whole may do so with any.
  @_noAllocation @_noLocks
  fileprivate func overlaps(_ other: ChainRun) -> Bool {
    guard mappedByteCount > 0, other.mappedByteCount > 0 else { return true }
    // Wrapping: from either start to the other, one of the two is beyond any length.
    return other.start &- start < UInt64(byteCount)
      || start &- other.start < UInt64(other.byteCount)
  }
}
