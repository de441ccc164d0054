import CRingShims

/// Tells the workers which session indices to forget, and the control side how far each worker has come.
///
/// The control side appends; each worker reads at its own pace, between batches, and acknowledges. Nobody waits: when
/// the slowest running worker is a whole log behind, entries queue up on the control side.
@safe
public final class RetirementLog: @unchecked Sendable {
  /// Entries in shared memory; more wait on the control side.
  private static var entryCount: UInt64 { Reader.entryCount }
  /// A worker that does not run has let go of everything.
  private static let notRunning = UInt64.max
  /// One pair of cache lines, which processors fetch together, per word that different threads write, in words.
  private static let lineWords = 16

  private let entries: UnsafeMutablePointer<UInt32>
  /// Word 0 is the head; then one line per worker with its position.
  private let words: UnsafeMutablePointer<UInt64>
  private let workerCount: Int
  // Control side only.
  private var published: UInt64 = 0
  private var waiting: [UInt32] = []

  init(workerCount: Int) {
    self.workerCount = workerCount
    unsafe entries = .allocate(capacity: Int(Self.entryCount))
    unsafe entries.initialize(repeating: 0, count: Int(Self.entryCount))
    let wordCount = (workerCount + 1) * Self.lineWords
    // Aligned, so that nothing else lies in the head's lines, which every worker reads on each turn.
    unsafe words = UnsafeMutableRawPointer.allocate(
      byteCount: wordCount * 8, alignment: Self.lineWords * 8
    ).bindMemory(to: UInt64.self, capacity: wordCount)
    unsafe words.initialize(repeating: Self.notRunning, count: wordCount)
    unsafe words[0] = 0
  }

  deinit {
    unsafe entries.deallocate()
    unsafe words.deallocate()
  }

  private func word(of worker: Int) -> UnsafeMutablePointer<UInt64> {
    precondition(worker >= 0 && worker < workerCount, "no worker \(worker)")
    // SAFETY: worker < workerCount, checked above; the words live as long as the log.
    return unsafe words + (worker + 1) * Self.lineWords
  }

  // MARK: - Control side

  /// Notes that a session index is retired; the position that says so once workers have reached it.
  func append(_ index: UInt32) -> UInt64 {
    waiting.append(index)
    let position = published &+ UInt64(waiting.count)
    publishWaiting()
    return position
  }

  /// Moves entries into shared memory as far as the slowest worker leaves room.
  private func publishWaiting() {
    guard !waiting.isEmpty else { return }
    let slowest = min(acknowledged(), published)
    let room = Int(Self.entryCount &- (published &- slowest))
    let count = min(room, waiting.count)
    for offset in 0..<count {
      // SAFETY: the position is taken modulo the entry count; no worker still has to read what it replaces.
      unsafe entries[Int((published &+ UInt64(offset)) % Self.entryCount)] = waiting[offset]
    }
    waiting.removeFirst(count)
    published &+= UInt64(count)
    // Keeps the entries before the head; pairs with the acquire in `Reader.forEachNew`.
    unsafe cring_store64_release(words, published)
  }

  private func acknowledged() -> UInt64 {
    (0..<workerCount).reduce(Self.notRunning) { least, worker in
      min(least, unsafe cring_load64_acquire(word(of: worker)))
    }
  }

  /// The position that every running worker has reached.
  func acknowledgedByAll() -> UInt64 {
    publishWaiting()
    return acknowledged()
  }

  /// Whether a running worker has something to forget, so that sleepers have to be woken.
  public var hasUnacknowledged: Bool { acknowledgedByAll() < published || !waiting.isEmpty }

  // MARK: - Workers

  /// Makes the reader of a worker that is about to run.
  ///
  /// Its lane is empty, so that it starts at the newest entry.
  ///
  /// Called on the control side before the worker can look any session up.
  public func join(worker: Int) -> Reader {
    unsafe cring_store64_release(word(of: worker), published)
    return unsafe Reader(
      entries: entries, head: words, position: word(of: worker), next: published)
  }

  /// The worker has ended; its lane's keys are wiped.
  public func leave(worker: Int) {
    unsafe cring_store64_release(word(of: worker), Self.notRunning)
  }

  /// One worker's place in the log.
  @safe
  public struct Reader {
    static var entryCount: UInt64 { @_noAllocation @_noLocks get { 4096 } }

    private let entries: UnsafeMutablePointer<UInt32>
    private let head: UnsafeMutablePointer<UInt64>
    private let position: UnsafeMutablePointer<UInt64>
    private var next: UInt64

    init(
      entries: UnsafeMutablePointer<UInt32>, head: UnsafeMutablePointer<UInt64>,
      position: UnsafeMutablePointer<UInt64>, next: UInt64
    ) {
      unsafe self.entries = entries
      unsafe self.head = head
      unsafe self.position = position
      self.next = next
    }

    /// How far the log goes: one load, for each turn of the worker's loop.
    public var end: UInt64 {
      @_noAllocation @_noLocks get { unsafe cring_load64_acquire(head) }
    }

    /// Whether the log goes further than this worker has read.
    public var hasNews: Bool { @_noAllocation @_noLocks get { end != next } }

    /// The next session index to forget before a position that `end` gave; nil when all are read, which
    /// `acknowledge` then tells the control side.
    @_noAllocation @_noLocks
    public mutating func nextIndex(before limit: UInt64) -> UInt32? {
      guard next != limit else { return nil }
      // SAFETY: the position is taken modulo the entry count; the control side does not overwrite unread entries.
      let index = unsafe entries[Int(next % Self.entryCount)]
      next &+= 1
      return index
    }

    /// Says that everything read so far is forgotten: keys wiped, no operation in flight.
    @_noAllocation @_noLocks
    public func acknowledge() { unsafe cring_store64_release(position, next) }
  }
}
