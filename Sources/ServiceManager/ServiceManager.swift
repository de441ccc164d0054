// ServiceManager: the few words that a daemon and its service manager (systemd, or whoever speaks like it) exchange:
// environment variables at start, datagrams while the daemon lives, sockets that listen already, and where logs go.
//
// It keeps no state of the daemon: when something is said is the daemon's business. Nothing here needs libsystemd: the
// protocols are promised to stay as they are.
// Spec: systemd, sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), "Interface Portability and Stability Promise"

internal import Glibc

/// What the service manager wants to be told, as the environment says.
public struct ServiceManager: Sendable {
  /// Nil where nobody listens.
  public let notifier: ServiceNotifier?
  /// The daemon counts as hung when it has said nothing for so long; nil: never.
  public let watchdogTimeout: Duration?
  /// What was wrong with the variables, a sentence each; the daemon can do without them.
  public let warnings: [String]

  /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, and removes them.
  ///
  /// To be called before there are other threads, as everything that changes the environment.
  public static func takeFromEnvironment() -> ServiceManager {
    let address = EnvironmentVariable.take("NOTIFY_SOCKET")
    let microseconds = EnvironmentVariable.take("WATCHDOG_USEC")
    let process = EnvironmentVariable.take("WATCHDOG_PID")
    return ServiceManager(
      address: address, watchdogMicroseconds: microseconds, watchdogProcess: process)
  }

  /// Nobody.
  public static let none = ServiceManager(
    address: nil, watchdogMicroseconds: nil, watchdogProcess: nil)

  init(address: String?, watchdogMicroseconds: String?, watchdogProcess: String?) {
    var warnings: [String] = []
    var notifier: ServiceNotifier?
    if let address, !address.isEmpty {
      do throws(NotifierError) {
        notifier = try ServiceNotifier(address: address)
      } catch { warnings.append("\(error)") }
    }
    self.notifier = notifier
    var timeout: Duration?
    if let watchdogMicroseconds {
      if let value = Int64(watchdogMicroseconds), value > 0 {
        // A watchdog of another process, such as a wrapper, is not ours to feed.
        let isOurs = watchdogProcess.map { $0 == "\(getpid())" } ?? true
        if isOurs, notifier != nil { timeout = .microseconds(value) }
      } else {
        warnings.append(
          "WATCHDOG_USEC is '\(watchdogMicroseconds)' and not a number of microseconds above 0; there is no watchdog"
        )
      }
    }
    watchdogTimeout = timeout
    self.warnings = warnings
  }
}

/// Variables that are for this process and nobody that it might start.
enum EnvironmentVariable {
  /// The value, which is no longer in the environment afterwards.
  static func take(_ name: String) -> String? {
    // SAFETY: the value is copied before anything can change the environment.
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    unsafe _ = unsetenv(name)
    return text
  }
}
