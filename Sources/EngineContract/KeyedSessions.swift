/// Which sessions have keys in a lane: one bit each.
///
/// A lane's table of keys is large and mostly empty. Asked here first, letting go of a session that the lane has never
/// served touches none of it; and what it says about groups of sessions tells when pages of the table can go back.
@safe
@frozen
public struct KeyedSessions: ~Copyable {
  /// Sessions are grouped by as many indices as a word has bits.
  public static var groupSize: Int { @_noAllocation @_noLocks @inlinable get { 64 } }

  /// What `remove` leaves.
  @frozen
  public enum Removal {
    /// The session had no keys here.
    case absent
    case removed
    /// It was the last of its group that had.
    case emptiedGroup
  }

  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  @usableFromInline let wordCount: Int
  @usableFromInline var keyedCount = 0
  @usableFromInline var keyedEnd = 0

  /// Sessions that have keys.
  public var count: Int { @_noAllocation @_noLocks @inlinable get { keyedCount } }

  /// Sessions of this index and above have had none since the set was last empty.
  public var end: Int { @_noAllocation @_noLocks @inlinable get { keyedEnd } }

  /// For indices 0..<`capacity`, which is the caller's to see to.
  public init(capacity: Int) {
    wordCount = (capacity + Self.groupSize - 1) / Self.groupSize
    unsafe words = .allocate(capacity: max(wordCount, 1))
    unsafe words.initialize(repeating: 0, count: max(wordCount, 1))
  }

  deinit { unsafe words.deallocate() }

  /// Notes that a session has keys here.
  @_noAllocation @_noLocks @inlinable
  public mutating func insert(_ index: Int) {
    // SAFETY: the index is below the capacity.
    let word = unsafe words + index / Self.groupSize
    let bit: UInt64 = 1 << UInt64(index % Self.groupSize)
    if unsafe word.pointee & bit == 0 { keyedCount &+= 1 }
    unsafe word.pointee |= bit
    keyedEnd = max(keyedEnd, index &+ 1)
  }

  /// Notes that a session's keys are gone.
  @_noAllocation @_noLocks @inlinable
  public mutating func remove(_ index: Int) -> Removal {
    // SAFETY: the index is below the capacity.
    let word = unsafe words + index / Self.groupSize
    let bit: UInt64 = 1 << UInt64(index % Self.groupSize)
    guard unsafe word.pointee & bit != 0 else { return .absent }
    unsafe word.pointee &= ~bit
    keyedCount &-= 1
    if keyedCount == 0 { keyedEnd = 0 }
    return unsafe word.pointee == 0 ? .emptiedGroup : .removed
  }

  @_noAllocation @_noLocks @inlinable
  public func contains(_ index: Int) -> Bool {
    // SAFETY: the index is below the capacity.
    unsafe words[index / Self.groupSize] & (1 << UInt64(index % Self.groupSize)) != 0
  }
}
