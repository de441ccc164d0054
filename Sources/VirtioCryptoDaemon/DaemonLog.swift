import Capabilities
import Foundation
import Glibc
import Logging
import ServiceManager

/// The daemon's log on standard error: text for people, one JSON object a line for programs, or lines for journald.
enum DaemonLog {
  /// Sets logging up for the process; the daemon's own logger.
  static func start(_ configuration: LogConfiguration) -> Logger {
    let level = Logger.Level(rawValue: configuration.level.rawValue) ?? .info
    let isJournal =
      configuration.format == .auto
      ? JournalStream.isStandardError : configuration.format == .journal
    switch configuration.format {
    case .auto, .journal, .text:
      if isJournal {
        LoggingSystem.bootstrap { _ in JournalLogHandler(logLevel: level) }
        break
      }
      LoggingSystem.bootstrap { label in
        var handler = StreamLogHandler.standardError(label: label)
        handler.logLevel = level
        return handler
      }
    case .json: LoggingSystem.bootstrap { JSONLogHandler(label: $0, logLevel: level) }
    }
    return Logger(label: "vhost-user-crypto")
  }
}

/// Lines for journald, which knows time and program: `<6>listening device=vm1 socket=/run/vm1-crypto.sock`.
///
/// Spec: sd-daemon(3), the prefixes of syslog's priorities
private struct JournalLogHandler: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let line = ["\(event.message)"] + fields.map { "\($0.key)=\($0.value)" }
    // A line feed would begin another entry, of another priority.
    let text = line.joined(separator: " ").split(whereSeparator: \.isNewline).joined(separator: " ")
    FileHandle.standardError.write(Data("<\(Self.priority(event.level))>\(text)\n".utf8))
  }

  private static func priority(_ level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}

/// One JSON object a line, all values texts: `{"device":"vm1","label":…,"level":"info","message":…,"time":…}`.
///
/// `time` (ISO 8601, UTC), `level`, `label` and `message` are in every line, and no metadata replaces them.
private struct JSONLogHandler: LogHandler {
  let label: String
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
    fields["time"] = Date.now.ISO8601Format()
    fields["level"] = event.level.rawValue
    fields["label"] = label
    fields["message"] = "\(event.message)"
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let line = try? encoder.encode(fields) else { return }
    FileHandle.standardError.write(line + Data([0x0a]))
  }
}
