import Dispatch
import Glibc
import LinuxSystem
import ServiceLifecycle
import StatsEndpoint
import Synchronization
import UnixSignals
import VhostUserBackend

/// One device's server as a service: a thread of its own that ends with a graceful shutdown.
struct DeviceService: Service {
  let server: VhostUserServer

  func run() async throws {
    let server = server
    let thread = Mutex<PinnedThread?>(nil)
    // The thread has read keys with libcrypto, which frees what it keeps for each thread when that ends. It has to end
    // before the process does: libcrypto's own end frees what the thread's would use.
    defer { thread.withLock { $0 }?.join() }
    try await withGracefulShutdownHandler {
      try await withCheckedThrowingContinuation {
        (continuation: CheckedContinuation<Void, any Error>) in
        do {
          let started = try PinnedThread(name: "vcrypto-ctl") {
            continuation.resume(with: Result { try server.run() })
          }
          thread.withLock { $0 = started }
        } catch { continuation.resume(throwing: error) }
      }
    } onGracefulShutdown: {
      server.stop()
    }
  }
}

/// The statistics as a service.
struct StatsService: Service {
  let server: StatsServer

  init(_ server: StatsServer) { self.server = server }

  func run() async throws {
    let server = server
    try await withGracefulShutdownHandler {
      try await server.run()
    } onGracefulShutdown: {
      Task { await server.stop() }
    }
  }
}

/// Reads the capability file again for each SIGHUP, or once for several that come while it is read.
struct ReloadService: Service {
  let steering: Steering

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    if EarlySignals.haveAskedForReload { await steering.reload() }
    for await _ in signals.cancelOnGracefulShutdown() { await steering.reload() }
  }
}

/// Runs asynchronous work from a synchronous command.
enum Blocking {
  /// The exit status: 0 when the work ended, else the sysexits code of its error, which is told.
  static func run(_ work: @escaping @Sendable () async throws -> Void) -> Int32 {
    let done = DispatchSemaphore(value: 0)
    let box = StatusBox()
    Task {
      do {
        try await work()
      } catch {
        complain("\(error)")
        box.value.withLock { $0 = EX_CANTCREAT }
      }
      done.signal()
    }
    done.wait()
    return box.value.withLock { $0 }
  }

  private final class StatusBox: Sendable {
    let value = Mutex<Int32>(0)
  }
}
