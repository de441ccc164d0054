import CLinuxShims
import Glibc
import Synchronization

/// A thread with a name and, if wanted, a CPU of its own.
@safe
public final class PinnedThread: @unchecked Sendable {
  private let handle: pthread_t
  private let joined = Mutex(false)
  private let start: Start

  /// What the new thread finds.
  private final class Start: Sendable {
    let name: String
    let cpu: Int?
    let body: @Sendable () -> Void
    let pinningFailure = Mutex<String?>(nil)

    init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.cpu = cpu
      self.body = body
    }

    func run() {
      // Signals are the main thread's; here they would only interrupt waits. A fault is its thread's own: one of memory that
      // was truncated can be mended, and the kernel ends a process that blocks it.
      var all = sigset_t()
      unsafe sigfillset(&all)
      unsafe sigdelset(&all, SIGBUS)
      unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
      _ = unsafe clinux_name_current_thread(name)
      if let cpu {
        let result = clinux_pin_current_thread(Int32(clamping: cpu))
        if result < 0 {
          pinningFailure.withLock {
            $0 = "\(SystemError(call: "pinning to CPU \(cpu)", code: -result))"
          }
        }
      } else {
        // A thread inherits where its maker may run. Staying there is no failure.
        _ = clinux_unpin_current_thread()
      }
      body()
    }
  }

  /// Starts the thread.
  ///
  /// `name`: at most 15 bytes are shown.
  public init(
    name: String, cpu: Int? = nil, body: @escaping @Sendable () -> Void
  ) throws(SystemError) {
    start = Start(name: String(decoding: name.utf8.prefix(15), as: UTF8.self), cpu: cpu, body: body)
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(start)
    // SAFETY: the reference was retained for the new thread alone.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        if let argument = unsafe argument {
          unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
        }
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      unsafe argument.release()
      throw SystemError(call: "starting a thread", code: result)
    }
    handle = thread
  }

  /// Why the thread does not run on the CPU that was asked for; valid once the body runs.
  public var pinningFailure: String? { start.pinningFailure.withLock { $0 } }

  /// Waits until the body has returned.
  ///
  /// A second call returns at once.
  public func join() {
    let isFirst = joined.withLock { joined in
      defer { joined = true }
      return !joined
    }
    if isFirst { _ = pthread_join(handle, nil) }
  }
}
