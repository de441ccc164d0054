internal import Glibc
internal import LinuxSystem
public import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Serves statistics over HTTP/1.1 on a Unix socket.
///
/// One thread serves all connections, each for one request, and never waits for any of them; what they can take is
/// bounded (`StatsLimits`).
public actor StatsServer {
  /// Gone, and with it the socket file, when `run` has ended.
  private var listener: StatsListener?
  private let whenListening: @Sendable () -> Void
  private let routes: any Routes
  /// Whether it is the control socket, which steers.
  private let isPrivate: Bool
  private let limits: StatsLimits
  private let logger: Logger
  private var channel: (any Channel)?
  private var isStopped = false

  /// - `listener`: the server's from now on.
  /// - `whenListening`: called when requests are answered from now on.
  public init(
    listener: StatsListener, source: any StatsSource, limits: StatsLimits = StatsLimits(),
    logger: Logger, whenListening: @escaping @Sendable () -> Void = {}
  ) {
    self.listener = listener
    self.whenListening = whenListening
    routes = StatsRoutes(source: source)
    isPrivate = false
    self.limits = limits
    self.logger = logger
  }

  /// Serves the control socket.
  public init(
    listener: StatsListener, steering source: any ControlSource, logger: Logger,
    whenListening: @escaping @Sendable () -> Void = {}
  ) {
    self.listener = listener
    self.whenListening = whenListening
    routes = ControlRoutes(source: source)
    isPrivate = true
    limits = StatsLimits()
    self.logger = logger
  }

  /// Serves until `stop` or the task's cancellation, and removes the socket then.
  ///
  /// A server that fails is started again after a second.
  public func run() async throws {
    defer { listener = nil }
    while let listener, !isStopped, !Task.isCancelled {
      let table = ConnectionTable(limits: limits, eventLoop: StatsThread.group.next())
      try await serve(listener, table)
      if isStopped || Task.isCancelled { return }
      logger.warning(
        "the statistics server failed and starts again", metadata: ["path": "\(listener.path)"])
      try? await Task.sleep(for: .seconds(1))
    }
  }

  /// Ends `run` and closes all connections.
  public func stop() async {
    isStopped = true
    channel?.close(promise: nil)
  }

  /// Whether requests are answered already.
  public var isListening: Bool { channel != nil }

  private func serve(_ socket: StatsListener, _ table: ConnectionTable) async throws {
    let listener: any Channel
    do {
      // The channel closes its own copy.
      listener = try await bootstrap(table).withBoundSocket(socket.duplicate().release()).get()
    } catch let error as IOError {
      // SAFETY: strerror's text is copied at once.
      let reason = unsafe String(cString: strerror(error.errnoCode))
      throw StatsServerError.cannotPrepare(path: socket.path, reason: reason)
    }
    defer { channel = nil }
    channel = listener
    // A stop that came before this found nothing to stop.
    if isStopped { listener.close(promise: nil) }
    logger.info(
      isPrivate ? "limits can be set" : "statistics are served",
      metadata: ["path": "\(socket.path)"])
    whenListening()
    try await withTaskCancellationHandler {
      try await listener.closeFuture.get()
    } onCancel: {
      listener.close(promise: nil)
    }
    await table.closeAll()
  }

  /// A socket that nobody but the owner can ever have connected to.
  private func bootstrap(_ table: ConnectionTable) -> ServerBootstrap {
    let routes = routes
    return ServerBootstrap(group: table.eventLoop)
      .serverChannelOption(.backlog, value: 256)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = StatsConnection(routes: routes, table: table)
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(
            RequestSizeLimit(connection, byteCount: table.limits.requestByteCount))
          try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
          try pipeline.addHandler(HTTPResponseEncoder())
          try pipeline.addHandler(connection)
        }
      }
  }
}

/// The one thread on which servers and clients of the process wait for their sockets; it is never ended.
enum StatsThread {
  static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
