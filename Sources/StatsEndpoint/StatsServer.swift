internal import Glibc
internal import LinuxSystem
public import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Serves statistics over HTTP/1.1 on a Unix socket, mode 0660.
///
/// One thread serves all connections, each for one request, and never waits for any of them; what they can take is
/// bounded (`StatsLimits`).
public actor StatsServer {
  private let path: String
  private let activated: LinuxSystem.FileDescriptor?
  private let whenListening: @Sendable () -> Void
  private let routes: any Routes
  /// Whether owner and group may connect, or the owner alone.
  private let isPrivate: Bool
  private let limits: StatsLimits
  private let logger: Logger
  private var channel: (any Channel)?
  private var isStopped = false

  /// Serves at a path, or at a socket that somebody else has bound there.
  ///
  /// - `activated`: a listening socket, which the server takes over; its file is left alone.
  /// - `whenListening`: called when requests are answered from now on.
  public init(
    path: String, activated: Int32? = nil, source: any StatsSource,
    limits: StatsLimits = StatsLimits(), logger: Logger,
    whenListening: @escaping @Sendable () -> Void = {}
  ) {
    self.path = path
    self.activated = activated.map { LinuxSystem.FileDescriptor(owning: $0) }
    self.whenListening = whenListening
    routes = StatsRoutes(source: source)
    isPrivate = false
    self.limits = limits
    self.logger = logger
  }

  /// Serves the control socket at a path, with mode 0600 from its first moment on.
  public init(
    controlPath path: String, source: any ControlSource, logger: Logger,
    whenListening: @escaping @Sendable () -> Void = {}
  ) {
    self.path = path
    activated = nil
    self.whenListening = whenListening
    routes = ControlRoutes(source: source)
    isPrivate = true
    limits = StatsLimits()
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
  /// Throws a `StatsServerError` if the socket cannot be made. A server that fails later is started again after a second.
  public func run() async throws {
    let place = activated == nil ? try SocketPath(path) : nil
    while !isStopped, !Task.isCancelled {
      try place?.clear()
      let table = ConnectionTable(limits: limits, eventLoop: StatsThread.group.next())
      try await serve(at: place, table)
      if isStopped || Task.isCancelled { return }
      logger.warning("the statistics server failed and starts again", metadata: ["path": "\(path)"])
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

  /// Serves at a place of our own, or at the activated socket, which has none.
  private func serve(at place: SocketPath?, _ table: ConnectionTable) async throws {
    let listener: any Channel
    do {
      // The channel closes its own copy.
      listener =
        if let copy = try activated?.duplicate() {
          try await bootstrap(table).withBoundSocket(copy.release()).get()
        } else if isPrivate {
          try await bootstrap(table).withBoundSocket(try privateSocket()).get()
        } else {
          try await bootstrap(table).bind(unixDomainSocketPath: path).get()
        }
    } catch let error as SystemError {
      throw StatsServerError.cannotPrepare(path: path, reason: "\(error)")
    } catch let error as IOError {
      // SAFETY: strerror's text is copied at once.
      let reason = unsafe String(cString: strerror(error.errnoCode))
      throw StatsServerError.cannotPrepare(path: path, reason: reason)
    }
    let inode = place?.inode
    defer {
      channel = nil
      place?.remove(inode: inode)
    }
    do {
      // The socket is made with the process's umask; nobody gains by the moment before this, for a usual one.
      if !isPrivate { try place?.restrict() }
    } catch {
      try? await listener.close()
      throw error
    }
    channel = listener
    // A stop that came before this found nothing to stop.
    if isStopped { listener.close(promise: nil) }
    logger.info(
      isPrivate ? "limits can be set" : "statistics are served", metadata: ["path": "\(path)"])
    whenListening()
    try await withTaskCancellationHandler {
      try await listener.closeFuture.get()
    } onCancel: {
      listener.close(promise: nil)
    }
    await table.closeAll()
  }

  /// A socket that nobody but the owner can ever have connected to.
  private func privateSocket() throws(SystemError) -> Int32 {
    let socket = try listenOnUnixSocket(path: path, mode: 0o600)
    return socket.release()
  }

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
