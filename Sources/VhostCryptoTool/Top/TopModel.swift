import Foundation
import StatsEndpoint

/// In which order algorithms are listed.
enum TopOrder: String, CaseIterable, Sendable {
  case operations, bytes, latency, errors, name

  /// The key that chooses it.
  var key: Character {
    switch self {
    case .operations: "o"
    case .bytes: "b"
    case .latency: "l"
    case .errors: "e"
    case .name: "n"
    }
  }

  func sorted(_ rows: [TopRates.Algorithm]) -> [TopRates.Algorithm] {
    func name(_ row: TopRates.Algorithm) -> [String] {
      [row.device, row.name, row.operation, row.engine]
    }
    return rows.sorted { first, second in
      let values: (Double, Double) =
        switch self {
        case .operations: (first.operations, second.operations)
        case .bytes: (first.bytes, second.bytes)
        case .latency: (Double(first.p99 ?? 0), Double(second.p99 ?? 0))
        case .errors: (first.errors, second.errors)
        case .name: (0, 0)
        }
      if values.0 != values.1 { return values.0 > values.1 }
      return name(first).lexicographicallyPrecedes(name(second))
    }
  }
}

/// All that the screen of `top` shows, and how keys and snapshots change it.
struct TopModel: Sendable {
  /// How many intervals the small graphs remember.
  static let historyLength = 60
  static let intervals: ClosedRange<Double> = 0.1...60

  var socketPath: String
  var order = TopOrder.operations
  var isPaused = false
  var intervalSeconds: Double
  private(set) var rates: TopRates?
  /// Operations per second by device, the latest last.
  private(set) var history: [String: [Double]] = [:]
  /// Why there is nothing to show.
  private(set) var absence: String?
  private var latest: (snapshot: DaemonSnapshot, seconds: Double)?

  init(socketPath: String, intervalSeconds: Double, order: TopOrder = .operations) {
    self.socketPath = socketPath
    self.intervalSeconds = intervalSeconds
    self.order = order
  }

  /// Takes a snapshot in; `seconds`: on any steady clock.
  mutating func take(_ snapshot: DaemonSnapshot, at seconds: Double) {
    absence = nil
    guard !isPaused || latest == nil else { return }
    guard let (earlier, then) = latest, TopRates.isContinuous(earlier, snapshot) else {
      // The first one, of a daemon that may have taken another's place.
      latest = (snapshot, seconds)
      rates = nil
      history = [:]
      return
    }
    guard seconds > then else { return }
    latest = (snapshot, seconds)
    let rates = TopRates(from: earlier, to: snapshot, seconds: seconds - then)
    self.rates = rates
    for device in rates.devices {
      history[device.name, default: []].append(device.operations)
      history[device.name] = history[device.name]?.suffix(Self.historyLength)
    }
  }

  /// No daemon answers.
  mutating func lose(_ reason: String) { absence = reason }

  enum Action: Equatable { case none, redraw, restartTimer, quit }

  /// What a key does.
  mutating func press(_ key: Character) -> Action {
    if let order = TopOrder.allCases.first(where: { $0.key == key }) {
      self.order = order
      return .redraw
    }
    switch key {
    case "q", "Q": return .quit
    case "p", " ":
      isPaused.toggle()
      return .redraw
    case "+", "=": return setInterval(intervalSeconds * 2)
    case "-", "_": return setInterval(intervalSeconds / 2)
    default: return .none
    }
  }

  private mutating func setInterval(_ seconds: Double) -> Action {
    let bounded = min(max(seconds, Self.intervals.lowerBound), Self.intervals.upperBound)
    guard bounded != intervalSeconds else { return .none }
    intervalSeconds = bounded
    return .restartTimer
  }
}
