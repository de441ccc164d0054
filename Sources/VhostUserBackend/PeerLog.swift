public import Logging

/// Admits a burst of lines per period and counts the others.
struct LogLimiter {
  /// Lines per period: enough to see a pattern, too few to fill a disk.
  static let burst = 10
  static let period = Duration.seconds(5)

  private var periodStart: ContinuousClock.Instant?
  private var admitted = 0
  private var suppressed = 0

  /// The number of lines swallowed since the last admitted one, or nil when this one is to be swallowed too.
  mutating func admit(at now: ContinuousClock.Instant) -> Int? {
    if let start = periodStart, start.duration(to: now) < Self.period {
      guard admitted < Self.burst else {
        suppressed += 1
        return nil
      }
      admitted += 1
    } else {
      periodStart = now
      admitted = 1
    }
    defer { suppressed = 0 }
    return suppressed
  }
}

/// The log for everything that a front-end can cause at will; it outlives connections, so reconnecting gains nothing.
public final class PeerLog {
  private let logger: Logger
  private var limiter = LogLimiter()

  public init(_ logger: Logger) { self.logger = logger }

  /// Logs one line unless there were too many lately; `message` is constant text, numbers go into the metadata.
  public func log(
    _ level: Logger.Level, _ message: @autoclosure () -> Logger.Message,
    _ metadata: @autoclosure () -> Logger.Metadata = [:]
  ) {
    guard logger.logLevel <= level else { return }
    guard let suppressed = limiter.admit(at: .now) else { return }
    var metadata = metadata()
    if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
    logger.log(level: level, message(), metadata: metadata)
  }
}
