import Glibc
import ServiceLifecycle
import Synchronization

/// SIGTERM, SIGINT and SIGHUP between the first socket and the moment when the services listen to signals.
///
/// By default they would end the process on the spot and leave its socket files behind.
enum EarlySignals {
  private static let haveArrived = Atomic(false)

  private static let reloadIsWanted = Atomic(false)

  /// Remembers the signals from now on; the service group takes them over.
  static func watch() {
    // Makes the flag now: a signal handler must not.
    haveArrived.store(false, ordering: .relaxed)
    for number in [SIGTERM, SIGINT] {
      // The handler does nothing but store to a flag that exists already.
      _ = signal(number) { _ in EarlySignals.haveArrived.store(true, ordering: .relaxed) }
    }
  }

  /// Remembers requests to reload, from the very start on: they must not end a daemon that tests its engines.
  static func watchForReloads() {
    reloadIsWanted.store(false, ordering: .relaxed)
    _ = signal(SIGHUP) { _ in EarlySignals.reloadIsWanted.store(true, ordering: .relaxed) }
  }

  /// Whether SIGHUP came before anybody listened to it.
  static var haveAskedForReload: Bool { reloadIsWanted.exchange(false, ordering: .relaxed) }

  /// Ends the group at once if a signal came before the group could hear it.
  ///
  /// Services run after the group has begun to listen, so no signal falls in between.
  struct Follower: Service {
    func run() async throws {
      if haveArrived.load(ordering: .relaxed) { return }
      try await gracefulShutdown()
    }
  }
}
