public import CryptoTypes

// What operators may see.
extension SessionTable {
  /// What operators may know of a session; never keys.
  public struct Entry: Sendable {
    public var identifier: UInt64
    public var row: StatisticsRow
    public var route: EngineRoute
    public var ageSeconds: UInt64
  }

  /// How far a reader of the list has come.
  public struct Cursor: Sendable {
    fileprivate var index = 0
    /// Sessions to pass by yet.
    fileprivate var skipCount: Int
    /// Sessions to list yet.
    fileprivate var wantedCount: Int

    public init(skipping skipCount: Int, listing wantedCount: Int) {
      self.skipCount = skipCount
      self.wantedCount = wantedCount
    }
  }

  /// Goes on with a list of live sessions, by at most `slotCount` places of the table.
  ///
  /// - Returns: what was found there, and whether the list is complete. Sessions that come and go between two calls
  ///   may be missing.
  public func list(
    _ cursor: inout Cursor, scanning slotCount: Int
  ) -> (entries: [Entry], isComplete: Bool) {
    let end = min(Int(neverUsed), cursor.index + slotCount)
    let now = UInt64(start.duration(to: clock.now).components.seconds)
    var entries: [Entry] = []
    while cursor.index < end, cursor.wantedCount > 0 {
      // SAFETY: index < neverUsed ≤ slotCount; blocks of live sessions are valid.
      let slot = unsafe slots[cursor.index]
      cursor.index += 1
      guard slot.identifier != 0, let block = unsafe slot.block else { continue }
      guard cursor.skipCount == 0 else {
        cursor.skipCount -= 1
        continue
      }
      cursor.wantedCount -= 1
      unsafe entries.append(
        Entry(
          identifier: slot.identifier, row: StatisticsRow(index: block.pointee.row),
          route: block.pointee.parameters.route, ageSeconds: now &- block.pointee.createdAt))
    }
    return (entries, cursor.wantedCount == 0 || cursor.index >= Int(neverUsed))
  }
}
