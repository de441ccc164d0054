public import CRingShims
import CryptoTypes

/// A ring of words between two threads: one puts, one takes.
///
/// It has no head, because it never fills: whoever puts knows how many of its words are not back yet, and each end keeps
/// its own position. A plain value over memory that `HelperCrew` owns.
@safe
@frozen
public struct WordRing: @unchecked Sendable {
  // Unchecked: words and tail are written by one thread and read by the other, in the order that the tail gives them.

  /// Words put so far; on a cache line of its own.
  @usableFromInline let tail: UnsafeMutablePointer<UInt64>
  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  /// The capacity, a power of two, less one.
  @usableFromInline let mask: UInt64

  init(
    tail: UnsafeMutablePointer<UInt64>, words: UnsafeMutablePointer<UInt64>, capacity: Int
  ) {
    unsafe self.tail = tail
    unsafe self.words = words
    mask = UInt64(capacity - 1)
  }

  /// Puts a word at the writer's position, which the caller then moves on by one.
  @_noAllocation @_noLocks
  @inlinable func put(_ word: UInt64, at position: UInt64) {
    // SAFETY: the position is taken modulo the capacity, and what it held has been taken.
    unsafe words[Int(position & mask)] = word
    // Keeps the word, and the operation that it names, before the tail; pairs with the acquire in `take`.
    unsafe cring_store64_release(tail, position &+ 1)
  }

  /// The word at the reader's position, which the caller then moves on by one; nil if there is none yet.
  @_noAllocation @_noLocks
  @inlinable func take(at position: UInt64) -> UInt64? {
    guard hasWord(at: position) else { return nil }
    // SAFETY: the writer has put this one and will not reuse its place before it has it back.
    return unsafe words[Int(position & mask)]
  }

  @_noAllocation @_noLocks
  @inlinable func hasWord(at position: UInt64) -> Bool {
    unsafe cring_load64_acquire(tail) != position
  }
}

/// Whether a thread sleeps, for the other one to know whether it has to wake it.
///
/// The sleeper announces itself and looks for work once more; the other one puts work and looks here. A full fence lies
/// between the store and the load on both sides, so that at least one of the two sees what the other has done.
@safe
@frozen
public struct SleepWord: @unchecked Sendable {
  // Unchecked: one word, with atomic accesses only.
  @usableFromInline let word: UnsafeMutablePointer<UInt64>

  init(_ word: UnsafeMutablePointer<UInt64>) { unsafe self.word = word }

  /// The sleeper: from here on it has to be woken.
  ///
  /// Look for work after this, then wait.
  @_noAllocation @_noLocks
  @inlinable func announce() {
    unsafe cring_store64_relaxed(word, 1)
    // Keeps the announcement before the look for work; pairs with the fence in `claim`.
    cring_fence_full()
  }

  /// The sleeper: it is awake.
  @_noAllocation @_noLocks
  @inlinable func end() { unsafe cring_store64_relaxed(word, 0) }

  /// The other one, after putting work: whether it is the one to wake the sleeper, once per sleep.
  @_noAllocation @_noLocks
  @inlinable func claim() -> Bool {
    // Keeps the work before the look at the sleeper; pairs with the fence in `announce`.
    cring_fence_full()
    guard unsafe cring_load64_relaxed(word) != 0 else { return false }
    return unsafe cring_exchange64(word, 0) != 0
  }
}

/// What a word in a ring stands for: an operation's address, which is even, or a session to forget.
enum HelperWord {
  @_noAllocation @_noLocks
  static func operation(_ operation: UnsafeMutablePointer<CryptoOperation>) -> UInt64 {
    UInt64(UInt(bitPattern: operation))
  }

  @_noAllocation @_noLocks
  static func forget(sessionIndex: UInt32) -> UInt64 { UInt64(sessionIndex) << 1 | 1 }
}

/// What a worker and one of its helpers share: operations in, finished ones out, and who sleeps.
///
/// A session to forget travels like an operation, and comes back when its keys are wiped.
@safe
public struct HelperMailbox: Sendable {
  /// From the worker.
  let operations: WordRing
  /// To the worker.
  let results: WordRing
  /// The helper's sleep.
  let helperSleep: SleepWord
  /// The worker's sleep, the same word for all of its helpers.
  let workerSleep: SleepWord
  /// Becomes 1 when the helper has to end.
  private nonisolated(unsafe) let stop: UnsafeMutablePointer<UInt64>

  /// Words of a cache line: what different threads write lies on lines of its own.
  private static let lineWords = 8

  /// Memory for a mailbox, in words.
  static func wordCount(capacity: Int) -> Int { 4 * lineWords + 2 * capacity }

  /// - `memory`: zeroed, on a cache line, with `wordCount(capacity:)` words.
  /// - `capacity`: words that may be with the helper at once, a power of two.
  init(memory: UnsafeMutablePointer<UInt64>, capacity: Int, workerSleep: SleepWord) {
    let line = Self.lineWords
    let words = unsafe memory + 4 * line
    unsafe operations = WordRing(tail: memory, words: words, capacity: capacity)
    unsafe results = WordRing(tail: memory + line, words: words + capacity, capacity: capacity)
    unsafe helperSleep = SleepWord(memory + 2 * line)
    unsafe stop = memory + 3 * line
    self.workerSleep = workerSleep
  }

  /// Tells the helper to end, if it looks; it may have to be woken.
  func requestStop() { unsafe cring_store64_release(stop, 1) }

  var stopRequested: Bool {
    @_noAllocation @_noLocks get { unsafe cring_load64_acquire(stop) != 0 }
  }
}
