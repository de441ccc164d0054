import LinuxSystem
import Logging
import ServiceLifecycle
import ServiceManager
import Synchronization

/// What the service manager is told of the daemon, and when.
///
/// Without a manager nothing here costs anything: there is no timer, and nothing is sent.
final class ServiceReports: Sendable {
  /// What has to be there before the daemon is ready.
  struct Parts: OptionSet {
    var rawValue: Int
    static let services = Parts(rawValue: 1)
    static let statistics = Parts(rawValue: 2)
    static let control = Parts(rawValue: 4)
  }

  private struct State {
    var devices: [GuestDevice] = []
    var missing: Parts = []
    var isReady = false
    var isStopping = false
    /// The last notification did not go through.
    var isDeaf = false
    /// Devices whose threads have been asked for a sign of life and have not answered yet.
    var unanswered: Set<Int> = []
    /// When the status line was sent, and whether another will be.
    var lastStatus: ContinuousClock.Instant?
    var statusIsDue = false
  }

  private let manager: ServiceManager
  private let logger: Logger
  private let state = Mutex(State())

  /// A front-end that comes and goes all the time must not keep the service manager busy.
  private static let statusInterval = Duration.seconds(1)

  init(_ manager: ServiceManager, logger: Logger) {
    self.manager = manager
    self.logger = logger
  }

  // MARK: - Start and end

  /// Says what will be reported on; before anything of it runs.
  func begin(devices: [GuestDevice], waitingFor parts: Parts) {
    state.withLock {
      $0.devices = devices
      $0.missing = parts
    }
    guard manager.notifier != nil else { return }
    for device in devices {
      device.connectionChanged = { [weak self] in self?.connectionChanged() }
    }
  }

  /// One of the parts serves; the last one makes the daemon ready.
  func started(_ part: Parts) {
    let isReady = state.withLock { state in
      state.missing.subtract(part)
      guard state.missing.isEmpty, !state.isReady, !state.isStopping else { return false }
      state.isReady = true
      return true
    }
    if isReady { send([.ready, .status(statusLine)]) }
  }

  /// The daemon gives up before it was ready, or is made to by a part that failed.
  func failed(_ error: StartError) {
    let code = error.errno.map { [ServiceState.errno($0)] } ?? []
    send([.status(error.description)] + code)
  }

  func stopping() {
    let isFirst = state.withLock { state in
      defer { state.isStopping = true }
      return !state.isStopping
    }
    if isFirst { send([.stopping, .status("Stopping")]) }
  }

  // MARK: - Reload

  /// Says that the configuration is being read again; ``reloaded(_:)`` has to follow, whatever comes of it.
  func reloading() {
    let now = TickClock.monotonicNanoseconds() / 1000
    send([.reloading(monotonicMicroseconds: now), .status("Reloading")])
  }

  /// Says that a reload is over, in a line for people: what was changed, or why nothing was.
  ///
  /// Nil goes back to the usual line.
  func reloaded(_ line: String? = nil) { send([.ready, .status(line ?? statusLine)]) }

  // MARK: - Status line

  private var statusLine: String {
    let devices = state.withLock { $0.devices }
    let connected = devices.count { $0.isConnected }
    return "Serving \(devices.count) \(devices.count == 1 ? "device" : "devices"), "
      + "\(connected) \(connected == 1 ? "front-end" : "front-ends") connected"
  }

  /// Sends the line now, or a second after the last one.
  private func connectionChanged() {
    let delay: Duration? = state.withLock { state in
      guard state.isReady, !state.isStopping, !state.statusIsDue else { return nil }
      let now = ContinuousClock.now
      let next = state.lastStatus.map { $0 + Self.statusInterval } ?? now
      state.statusIsDue = true
      return max(.zero, now.duration(to: next))
    }
    guard let delay else { return }
    guard delay > .zero else { return sendStatus() }
    Task { [weak self] in
      try? await Task.sleep(for: delay)
      self?.sendStatus()
    }
  }

  private func sendStatus() {
    let isWanted = state.withLock { state in
      state.statusIsDue = false
      state.lastStatus = .now
      return !state.isStopping
    }
    if isWanted { send([.status(statusLine)], waits: false) }
  }

  // MARK: - Watchdog

  /// Asks each device's thread for a sign of life at half the watchdog's time, until the daemon stops.
  ///
  /// The manager hears of it when the last of them has answered, from that thread: a thread that hangs is a watchdog
  /// that is not fed. Where there is no watchdog there is no timer.
  func keepWatch() async {
    guard let timeout = manager.watchdogTimeout else { return }
    while !Task.isCancelled {
      askForSigns()
      do { try await Task.sleep(for: timeout / 2) } catch { return }
    }
  }

  private func askForSigns() {
    let asked: [(Int, GuestDevice)] = state.withLock { state in
      // The manager's clock runs from READY on.
      guard state.isReady else { return [] }
      // Who still owes an answer need not be asked again: the one that comes counts.
      let asked = state.devices.enumerated().filter { !state.unanswered.contains($0.offset) }
      state.unanswered.formUnion(asked.map(\.offset))
      return asked.map { ($0.offset, $0.element) }
    }
    for (index, device) in asked {
      device.askForSign { [weak self] in self?.signOfLife(of: index) }
    }
  }

  private func signOfLife(of index: Int) {
    let isLast = state.withLock { state in
      state.unanswered.remove(index) != nil && state.unanswered.isEmpty
    }
    if isLast { send([.watchdog], waits: false) }
  }

  private func send(_ states: [ServiceState], waits: Bool = true) {
    guard let notifier = manager.notifier else { return }
    var failure: SystemError?
    do throws(SystemError) { try notifier.send(states, waits: waits) } catch { failure = error }
    let wasDeaf = state.withLock { state in
      defer { state.isDeaf = failure != nil }
      return state.isDeaf
    }
    // Once, not with every sign of life.
    if let failure, !wasDeaf {
      logger.warning("the service manager was not told", metadata: ["reason": "\(failure)"])
    }
  }
}

/// The reports as a service; the last of all, so that it is the first to hear of the end.
struct ManagerService: Service {
  let reports: ServiceReports

  func run() async throws {
    let reports = reports
    await withGracefulShutdownHandler {
      reports.started(.services)
      await cancelWhenGracefulShutdown { await reports.keepWatch() }
      try? await gracefulShutdown()
    } onGracefulShutdown: {
      reports.stopping()
    }
  }
}
