import Dispatch
import Foundation
import Glibc
import StatsEndpoint

/// `top` on a terminal: takes snapshots, keys and signals in one after the other, and draws.
final class TopLoop {
  private enum Event: Sendable {
    case snapshot(Result<DaemonSnapshot, StatsClientError>, seconds: Double)
    case key(Character)
    case signal(Int32)
  }

  private static let signals = [SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT]

  private var model: TopModel
  private let terminal = Terminal()
  private let events: AsyncStream<Event>
  private let sink: AsyncStream<Event>.Continuation
  private var sampler: Task<Void, Never>?
  private var sources: [any DispatchSourceSignal] = []

  init(_ model: TopModel) {
    self.model = model
    (events, sink) = AsyncStream.makeStream(of: Event.self)
  }

  /// Runs until `q` or a signal that ends us.
  func run() async throws {
    watchSignals()
    terminal.enter()
    defer { terminal.leave() }
    readKeys()
    startSampling(isFirst: true)
    defer { sampler?.cancel() }
    draw()
    for await event in events {
      switch event {
      case .snapshot(.success(let snapshot), let seconds): model.take(snapshot, at: seconds)
      case .snapshot(.failure(let error), _): model.lose(error.description)
      case .key(let key):
        switch model.press(key) {
        case .quit: return
        case .restartTimer: startSampling(isFirst: false)
        case .none, .redraw: break
        }
      case .signal(let number): take(signal: number)
      }
      draw()
    }
  }

  private func draw() {
    let size = Terminal.size
    terminal.draw(TopScreen.lines(model, width: size.width, height: size.height))
  }

  // MARK: - Signals

  private func watchSignals() {
    for number in Self.signals {
      // What is ignored is still seen by the source.
      if number != SIGCONT { signal(number, SIG_IGN) }
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      let sink = sink
      source.setEventHandler { sink.yield(.signal(number)) }
      source.resume()
      sources.append(source)
    }
  }

  private func take(signal number: Int32) {
    switch number {
    case SIGTSTP:
      terminal.leave()
      // To this thread, which goes no further before it is continued.
      raise(SIGSTOP)
      // Here we are again.
      terminal.enter()
    case SIGCONT: terminal.enter()
    case SIGINT, SIGTERM, SIGHUP:
      terminal.leave()
      // The shell is to see what ended us.
      signal(number, SIG_DFL)
      raise(number)
      // Only where somebody has blocked it.
      Glibc.exit(128 + number)
    default: break
    }
  }

  // MARK: - Keys and snapshots

  private func readKeys() {
    let sink = sink
    Thread.detachNewThread {
      var byte: UInt8 = 0
      while true {
        // SAFETY: one byte is written.
        let count = unsafe read(STDIN_FILENO, &byte, 1)
        if count < 0, errno == EINTR { continue }
        guard count == 1 else { break }
        sink.yield(.key(Character(UnicodeScalar(byte))))
      }
      // A terminal that is gone wants no more screens.
      sink.yield(.key("q"))
    }
  }

  private func startSampling(isFirst: Bool) {
    sampler?.cancel()
    let path = model.socketPath
    let interval = Duration.seconds(model.intervalSeconds)
    let sink = sink
    sampler = Task {
      var next = ContinuousClock.now
      if !isFirst { next += interval }
      while !Task.isCancelled {
        try? await Task.sleep(until: next, clock: .continuous)
        if Task.isCancelled { return }
        let result = await Result { () async throws(StatsClientError) in
          try await StatsClient.snapshot(socketPath: path, hasBuckets: true)
        }
        sink.yield(.snapshot(result, seconds: ProcessInfo.processInfo.systemUptime))
        next = max(next + interval, ContinuousClock.now)
      }
    }
  }
}

extension Result {
  fileprivate init(_ body: () async throws(Failure) -> Success) async {
    do throws(Failure) { self = .success(try await body()) } catch { self = .failure(error) }
  }
}
