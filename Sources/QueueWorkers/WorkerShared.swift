import CRingShims
public import LinuxSystem
import Synchronization

/// The few words that a worker and its control side share, each written by one of them.
@safe
public final class WorkerShared: @unchecked Sendable {
  /// A pair of cache lines each, so that the control side's words do not bounce the worker's.
  private static let lineWords = 16
  private static let stopWord = 0
  private static let baseWord = lineWords

  private let words: UnsafeMutablePointer<UInt64>
  private let ringFault = Mutex<String?>(nil)
  /// What the stop word is to be.
  private let wish = Mutex<UInt64>(0)
  /// Signalled to interrupt a sleeping worker.
  public let wakeDescriptor: EventFD

  public init() throws(SystemError) {
    wakeDescriptor = try EventFD()
    // Aligned, so that nothing else lies in the stop word's lines, which the worker reads on each turn.
    unsafe words = UnsafeMutableRawPointer.allocate(
      byteCount: Self.lineWords * 16, alignment: Self.lineWords * 8
    ).bindMemory(to: UInt64.self, capacity: Self.lineWords * 2)
    unsafe words.initialize(repeating: 0, count: Self.lineWords * 2)
  }

  deinit { unsafe words.deallocate() }

  private func load(_ word: Int) -> UInt64 {
    // SAFETY: `word` is one of the constants above; the words live as long as this object.
    unsafe cring_load64_acquire(words + word)
  }

  private func store(_ word: Int, _ value: UInt64) {
    unsafe cring_store64_release(words + word, value)
  }

  // MARK: - Control side

  /// Asks the worker to finish what it has and end.
  public func requestStop() { change { $0 | 1 } }

  /// Asks the worker to keep account of its time for a profile; 0: not any more.
  ///
  /// Numbers are below 2^63.
  public func requestProfile(_ number: UInt64) { change { $0 & 1 | number << 1 } }

  /// Changes the word that the worker looks at on each turn, from any thread.
  private func change(_ change: (UInt64) -> UInt64) {
    wish.withLock { wish in
      wish = change(wish)
      store(Self.stopWord, wish)
    }
    wake()
  }

  /// Interrupts the worker's sleep.
  public func wake() { wakeDescriptor.signal() }

  /// The ring's fault, if it stopped the queue.
  public var fault: String? { ringFault.withLock { $0 } }

  /// Where the queue goes on, as `GET_VRING_BASE` has it; valid when the worker has ended.
  public var base: UInt32 { UInt32(truncatingIfNeeded: load(Self.baseWord)) }

  // MARK: - Worker

  /// A pointer to the stop word, for the worker's loop to look at without touching a reference count: bit 0 for a stop,
  /// above it the number of a profile.
  public var stopPointer: UnsafePointer<UInt64> { unsafe UnsafePointer(words + Self.stopWord) }

  /// The ring is corrupt: the queue has stopped.
  public func reportFault(_ fault: String) { ringFault.withLock { $0 = fault } }

  /// The worker ends; where the queue goes on.
  public func reportEnd(base: UInt32) {
    store(Self.baseWord, UInt64(base))
  }
}
