internal import FlyingFox
internal import FlyingSocks
internal import Foundation
internal import LinuxSystem
public import Logging

/// Serves statistics over HTTP/1.1 on a Unix socket, mode 0660.
///
/// Each connection is a task of its own: a reader that stalls delays nobody else.
public actor StatsServer {
  private let path: String
  private let activated: FileDescriptor?
  private let whenListening: @Sendable () -> Void
  private let source: any StatsSource
  private let logger: Logger
  private var server: HTTPServer?
  private var isStopped = false

  /// Serves at a path, or at a socket that somebody else has bound there.
  ///
  /// - `activated`: a listening, non-blocking socket, which the server takes over; its file is left alone.
  /// - `whenListening`: called when requests are answered from now on.
  public init(
    path: String, activated: Int32? = nil, source: any StatsSource, logger: Logger,
    whenListening: @escaping @Sendable () -> Void = {}
  ) {
    self.path = path
    self.activated = activated.map { FileDescriptor(owning: $0) }
    self.whenListening = whenListening
    self.source = source
    self.logger = logger
  }

  /// Finds out, before anything is started, what would keep a server from listening at a path.
  ///
  /// Removes a socket that a dead server left there.
  public static func prepare(path: String) throws(StatsServerError) {
    let place = try SocketPath(path)
    try place.clear()
    try place.checkDirectory()
  }

  /// Serves until `stop` or the task's cancellation, and removes the socket then.
  ///
  /// Throws a `StatsServerError` if the socket cannot be made. A server that fails later, for want of file descriptors,
  /// say, is started again after a second.
  public func run() async throws {
    let place = activated == nil ? try SocketPath(path) : nil
    var isFirst = true
    while !isStopped, !Task.isCancelled {
      do {
        try await serve(at: place)
      } catch {
        if isStopped || Task.isCancelled { break }
        if isFirst || error is StatsServerError { throw error }
        logger.warning(
          "the statistics server failed and starts again",
          metadata: ["error": "\(error)", "path": "\(path)"])
        try? await Task.sleep(for: .seconds(1))
      }
      isFirst = false
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

  private func makeServer() throws -> HTTPServer {
    let logger = QuietLogger(logger: logger)
    let handler = StatsHandler(renderer: SnapshotRenderer(source: source))
    guard let copy = try activated?.duplicate() else {
      return HTTPServer(address: .unix(path: path), timeout: 15, logger: logger, handler: handler)
    }
    return HTTPServer(
      address: Placeholder(), timeout: 15, pool: ActivatedPool(socket: copy), logger: logger,
      handler: handler)
  }

  /// Serves at a place of our own, or at the activated socket, which has none.
  private func serve(at place: SocketPath?) async throws {
    try place?.clear()
    let server = try makeServer()
    self.server = server
    var inode: UInt64?
    defer {
      self.server = nil
      // A server that was stopped before it could look at its socket may have made one.
      place?.remove(inode: inode ?? (isStopped ? place?.inode : nil))
    }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        try await server.run()
        return false
      }
      group.addTask {
        try await server.waitUntilListening()
        return true
      }
      do {
        guard try await group.next() == true else {
          group.cancelAll()
          return
        }
      } catch let error as SocketError {
        throw StatsServerError.cannotPrepare(path: path, reason: error.reason)
      }
      inode = place?.inode
      // A stop that came before the library listened found nothing to stop there.
      if isStopped {
        group.cancelAll()
        await server.stop()
        return
      }
      // The socket is made with the process's umask; nobody gains by the moment before this, for a usual one.
      try place?.restrict()
      logger.info("statistics are served", metadata: ["path": "\(path)"])
      whenListening()
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
