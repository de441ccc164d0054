import Capabilities
import Foundation
import Glibc
import Logging

/// The daemon's log on standard error: text for people and journald, or one JSON object a line.
enum DaemonLog {
  /// Sets logging up for the process; the daemon's own logger.
  static func start(_ configuration: LogConfiguration) -> Logger {
    let level = Logger.Level(rawValue: configuration.level.rawValue) ?? .info
    switch configuration.format {
    case .text:
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

/// One JSON object a line: `{"time":…,"level":"info","label":…,"message":…,"device":…}`.
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
