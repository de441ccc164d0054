import Foundation
import TestSupport
import VhostUserFrontend

/// The daemon's side of the test: a service manager that starts it, ends it, and keeps for it what it asks to be kept; and
/// the way back to it.
final class DaemonHost {
  private let settings: DriverSettings
  private let service: StoringService
  private let listener: FrontendListener?
  private var starts = 1

  /// Starts the first daemon.
  init(_ settings: DriverSettings) throws {
    self.settings = settings
    service = try StoringService(
      isActivated: settings.isActivated, keepsDescriptors: settings.sessions.areKept,
      program: settings.daemons[0], arguments: settings.isClient ? ["--client"] : [],
      configuration: """
        version: 1
        device:
          queues: \(settings.queueCount)
          queue-size: 1024
          stateless: [cipher, hash, mac, aead]

        """)
    listener = settings.isClient ? try FrontendListener(path: service.socketPath) : nil
    guard service.storedNames.isEmpty != settings.sessions.areKept else {
      throw DriverError("the service manager keeps \(service.storedNames)")
    }
  }

  /// Starts the next daemon, and does not wait for it: the guest does.
  func start() throws {
    service.program = settings.daemons[starts % settings.daemons.count]
    starts += 1
    try service.start(waitsUntilReady: false)
  }

  func connect() throws -> Frontend {
    var options = Frontend.Options(format: .stateless, ring: settings.ring)
    options.timeoutMilliseconds = 20000
    do {
      if let listener { return try listener.accept(options: options, timeoutMilliseconds: 20000) }
      return try Frontend.connect(path: service.socketPath, options: options)
    } catch {
      throw DriverError("\(error); the daemon's last words: \(lastWords)")
    }
  }

  private var lastWords: String { String(service.log.suffix(500)) }

  /// Ends the process as the settings have it; when this returns it does nothing any more.
  ///
  /// `meanwhile`: what the guest does until then.
  func stop(_ meanwhile: () throws -> Void) throws {
    service.process.send(signal: settings.signal)
    let end = monotonicNanoseconds() + 15_000_000_000
    while service.process.isRunning {
      // Otherwise a daemon with much to say to its manager would wait for ever.
      service.listen()
      try meanwhile()
      guard monotonicNanoseconds() < end else { throw DriverError("no end: \(lastWords)") }
    }
    // Says how it ended, which has to be as it was told.
    try service.end(settings.signal)
  }

  func end() throws { try service.end(SIGTERM) }
}
