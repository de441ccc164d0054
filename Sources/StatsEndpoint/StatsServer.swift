internal import FlyingFox
internal import FlyingSocks
internal import Foundation
public import Logging

/// Serves statistics over HTTP/1.1 on a Unix socket.
///
/// Each connection is a task of its own: a reader that stalls delays nobody else.
public actor StatsServer {
  private let source: any StatsSource
  private let logger: Logger
  /// Gone, and with it the socket file, when `run` has ended.
  private var listener: StatsListener?
  private var server: HTTPServer?
  private var isStopped = false

  public init(listener: StatsListener, source: any StatsSource, logger: Logger) {
    self.listener = listener
    self.source = source
    self.logger = logger
  }

  /// Serves until `stop` or the task's cancellation, and removes the socket then.
  ///
  /// A server that fails, for want of file descriptors, say, is started again after a second.
  public func run() async throws {
    defer { listener = nil }
    while let listener, !isStopped, !Task.isCancelled {
      do {
        try await serve(listener)
      } catch {
        if isStopped || Task.isCancelled { break }
        logger.warning(
          "the statistics server failed and starts again",
          metadata: ["error": "\(error)", "path": "\(listener.path)"])
        try? await Task.sleep(for: .seconds(1))
      }
    }
  }

  /// Ends `run` and closes all connections.
  public func stop() async {
    isStopped = true
    await server?.stop()
  }

  /// Whether requests are answered already.
  public var isListening: Bool {
    get async { await server?.isListening ?? false }
  }

  private func serve(_ listener: StatsListener) async throws {
    let server = HTTPServer(
      address: .unix(abstractNamespace: "vhost-user-crypto/\(UUID())"), timeout: 15,
      pool: AdoptingPool(HTTPServer.defaultPool(), listener: listener.rawValue),
      logger: QuietLogger(logger: logger),
      handler: StatsHandler(renderer: SnapshotRenderer(source: source)))
    self.server = server
    defer { self.server = nil }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        try await server.run()
        return false
      }
      group.addTask {
        try await server.waitUntilListening()
        return true
      }
      guard try await group.next() == true else {
        group.cancelAll()
        return
      }
      // A stop that came before the library listened found nothing to stop there.
      if isStopped {
        group.cancelAll()
        await server.stop()
        return
      }
      logger.info("statistics are served", metadata: ["path": "\(listener.path)"])
      _ = try await group.next()
    }
  }
}

/// Takes and writes out one snapshot at a time: many readers at once keep one thread busy, not all of them.
actor SnapshotRenderer {
  private let source: any StatsSource

  init(source: any StatsSource) { self.source = source }

  /// One line of JSON with sorted keys.
  func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(source.snapshot()) + Data("\n".utf8)
  }

  func openMetrics() -> Data { Data(source.snapshot().openMetrics().utf8) }
}

/// Answers requests.
struct StatsHandler: HTTPHandler {
  let renderer: SnapshotRenderer

  func handleRequest(_ request: HTTPRequest) async throws -> HTTPResponse {
    guard ["/stats", "/metrics", "/healthz"].contains(request.path) else {
      return Self.text(.notFound, "try /stats, /metrics or /healthz\n")
    }
    guard request.method == .GET else {
      return Self.text(.methodNotAllowed, "only GET is served\n", ["Allow": "GET"])
    }
    switch request.path {
    case "/stats":
      return Self.respond(.ok, try await renderer.json(), contentType: "application/json")
    case "/metrics":
      return Self.respond(
        .ok, await renderer.openMetrics(), contentType: OpenMetricsWriter.contentType)
    default:
      return Self.text(.ok, "ok\n")
    }
  }

  private static func text(
    _ status: HTTPStatusCode, _ text: String, _ more: [String: String] = [:]
  ) -> HTTPResponse {
    respond(status, Data(text.utf8), contentType: "text/plain; charset=utf-8", more)
  }

  private static func respond(
    _ status: HTTPStatusCode, _ body: Data, contentType: String, _ more: [String: String] = [:]
  ) -> HTTPResponse {
    var headers: HTTPHeaders = [.contentType: contentType, .cacheControl: "no-store"]
    for (name, value) in more { headers[HTTPHeader(name)] = value }
    return HTTPResponse(statusCode: status, headers: headers, body: body)
  }
}

/// Passes the HTTP library's messages on as debugging output; clients can cause them at will.
private struct QuietLogger: FlyingSocks.Logging {
  let logger: Logger

  func logDebug(_ debug: @autoclosure () -> String) { logger.trace("\(debug())") }
  func logInfo(_ info: @autoclosure () -> String) { logger.trace("\(info())") }
  func logWarning(_ warning: @autoclosure () -> String) { logger.debug("\(warning())") }
  func logError(_ error: @autoclosure () -> String) { logger.debug("\(error())") }
  func logCritical(_ critical: @autoclosure () -> String) { logger.debug("\(critical())") }
}
