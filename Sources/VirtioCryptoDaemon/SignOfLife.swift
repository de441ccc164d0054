import LinuxSystem
import Synchronization

/// A question that a thread answers when it comes by.
final class SignOfLife: Sendable {
  private let question = Mutex<(@Sendable () -> Void)?>(nil)

  /// Asks; the thread has to be woken, too.
  func ask(_ answer: @escaping @Sendable () -> Void) { question.withLock { $0 = answer } }

  /// Answers what was asked since the last time, on the calling thread.
  func answer() {
    let answer = question.withLock { question in
      defer { question = nil }
      return question
    }
    answer?()
  }
}

extension GuestDevice {
  /// Has the device's thread call `answer` as soon as it looks at its descriptors.
  func askForSign(_ answer: @escaping @Sendable () -> Void) {
    sign.ask(answer)
    attention.signal()
  }
}
