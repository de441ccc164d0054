internal import CRingShims
internal import Glibc

/// Pages, as a migration copies them; `other` has the same shape.
extension GuestRAM {
  private static let page = UInt64(DirtyBitmap.pageByteCount)

  /// Copies pages of these numbers, as they are now, to other memory; those that are in no region are left out.
  public func copyPages(_ pages: some Sequence<UInt64>, to other: GuestRAM) {
    for page in pages {
      for (from, to) in zip(regions, other.regions) {
        let range = from.guestRange.clamped(to: page * Self.page..<(page + 1) * Self.page)
        guard !range.isEmpty else { continue }
        let offset = Int(range.lowerBound - from.guestRange.lowerBound)
        // SAFETY: the range lies in both regions. The device may write it meanwhile: its pages are copied again.
        unsafe cring_copy(to.base + offset, from.base + offset, range.count)
      }
    }
  }

  /// Copies everything, as it is now, to other memory.
  public func copyAll(to other: GuestRAM) {
    for (from, to) in zip(regions, other.regions) {
      // SAFETY: as above.
      unsafe cring_copy(to.base, from.base, from.spec.byteCount)
    }
  }

  /// The numbers of the pages whose bytes differ.
  public func differingPages(from other: GuestRAM) -> [UInt64] {
    var pages: [UInt64] = []
    for (one, two) in zip(regions, other.regions) {
      var address = one.guestRange.lowerBound
      while address < one.guestRange.upperBound {
        let next = min((address / Self.page + 1) * Self.page, one.guestRange.upperBound)
        let offset = Int(address - one.guestRange.lowerBound)
        // SAFETY: the range lies in both regions.
        if unsafe memcmp(one.base + offset, two.base + offset, Int(next - address)) != 0 {
          pages.append(address / Self.page)
        }
        address = next
      }
    }
    return pages
  }

  /// The numbers of the pages of a range.
  public static func pages(_ address: UInt64, byteCount: Int) -> ClosedRange<UInt64> {
    address / page...(address + UInt64(max(1, byteCount)) - 1) / page
  }
}
