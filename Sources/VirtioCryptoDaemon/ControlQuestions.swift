import Dispatch
import LinuxSystem
import Synchronization

/// Questions that other threads have for a device's own thread, which answers one between two other tasks.
///
/// What only the device's thread may look at needs no lock this way, and a guest's control requests wait for one short
/// answer at most.
final class ControlQuestions: Sendable {
  /// Askers are the statistics' readers, who are no more at a time.
  private static let capacity = 64

  private let waiting = Mutex<[@Sendable () -> Void]>([])
  /// Wakes the device's thread; borrowed from the device.
  private let attention: Int32

  init(attention: Int32) { self.attention = attention }

  /// Has `question` answered on the device's thread.
  ///
  /// - Returns: nil where no answer came in time; the question may be put all the same, later.
  func ask<Answer: Sendable>(
    within patience: Duration, _ question: @escaping @Sendable () -> Answer
  ) async -> Answer? {
    let reply = Reply<Answer>()
    let isTaken = waiting.withLock { waiting in
      guard waiting.count < Self.capacity else { return false }
      waiting.append { reply.give(question()) }
      return true
    }
    guard isTaken else { return nil }
    EventFD.signal(attention)
    let milliseconds = Int(patience / .milliseconds(1))
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds)) {
      reply.give(nil)
    }
    return await withCheckedContinuation { reply.wait($0) }
  }

  /// Answers one question, on the device's thread, which is woken again where there are more.
  func answerOne() {
    let (first, hasMore) = waiting.withLock { waiting in
      let first = waiting.isEmpty ? nil : waiting.removeFirst()
      return (first, !waiting.isEmpty)
    }
    first?()
    if hasMore { EventFD.signal(attention) }
  }

  /// An answer that comes once, or not in time.
  private final class Reply<Answer: Sendable>: Sendable {
    private enum State {
      case open
      case waiting(CheckedContinuation<Answer?, Never>)
      case given(Answer?)
      case over
    }
    private let state = Mutex(State.open)

    func give(_ answer: Answer?) {
      let continuation = state.withLock { state -> CheckedContinuation<Answer?, Never>? in
        switch state {
        case .open:
          state = .given(answer)
          return nil
        case .waiting(let continuation):
          state = .over
          return continuation
        case .given, .over: return nil
        }
      }
      continuation?.resume(returning: answer)
    }

    func wait(_ continuation: CheckedContinuation<Answer?, Never>) {
      let given = state.withLock { state -> Answer?? in
        guard case .given(let answer) = state else {
          state = .waiting(continuation)
          return .none
        }
        state = .over
        return .some(answer)
      }
      if let given { continuation.resume(returning: given) }
    }
  }
}
