public import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Why statistics could not be fetched.
public enum StatsClientError: Error, Equatable, CustomStringConvertible {
  /// Nobody answers on the socket.
  case unavailable(path: String, reason: String)
  /// The daemon understood, and does not do it.
  case refused(String)
  /// The answer was not what was asked for.
  case unexpectedAnswer(path: String, reason: String)

  public var description: String {
    switch self {
    case .unavailable(let path, let reason):
      "no daemon answers on \(path) (\(reason)); is vhost-user-crypto running with --stats-socket?"
    case .refused(let reason): reason
    case .unexpectedAnswer(let path, let reason):
      "what answers on \(path) is not vhost-user-crypto: \(reason)"
    }
  }
}

/// Fetches statistics from a running daemon.
public enum StatsClient {
  /// More than any daemon has to say.
  private static let largestAnswer = 256 << 20

  /// Asks for `target`, such as `/stats`, and gives the body of the answer.
  ///
  /// Waits at most `timeout`. `isChange`: asks for a change (`PATCH`), which the daemon may refuse.
  public static func fetch(
    _ target: String, socketPath: String, timeout: Duration = .seconds(5), isChange: Bool = false
  ) async throws(StatsClientError) -> Data {
    let place: SocketPath
    do { place = try SocketPath(socketPath) } catch {
      throw .unavailable(path: socketPath, reason: "\(error)")
    }
    guard place.inode != nil else {
      throw .unavailable(path: socketPath, reason: "there is no such socket")
    }
    let answer: Answer
    do {
      answer = try await exchange(
        target, method: isChange ? .PATCH : .GET, socketPath: socketPath, timeout: timeout)
    } catch let error as IOError {
      // SAFETY: strerror's text is copied at once.
      let reason = unsafe String(cString: strerror(error.errnoCode))
      throw .unavailable(path: socketPath, reason: reason)
    } catch is Silence {
      throw .unavailable(path: socketPath, reason: "no answer within \(timeout)")
    } catch {
      throw .unexpectedAnswer(path: socketPath, reason: "\(error)")
    }
    guard answer.status == 200 else {
      let words = String(decoding: answer.body.prefix(200), as: UTF8.self)
        .trimmingCharacters(in: .whitespacesAndNewlines)
      if isChange, [400, 503].contains(answer.status) { throw .refused(words) }
      throw .unexpectedAnswer(
        path: socketPath, reason: "\(target) gives status \(answer.status) (\(words))")
    }
    return answer.body
  }

  /// Asks for `/stats` and decodes the answer.
  ///
  /// `hasBuckets`: with all of the latencies, for differences.
  public static func snapshot(
    socketPath: String, hasBuckets: Bool = false
  ) async throws(StatsClientError) -> DaemonSnapshot {
    let body = try await fetch(
      hasBuckets ? "/stats?buckets=all" : "/stats", socketPath: socketPath)
    do {
      return try JSONDecoder().decode(DaemonSnapshot.self, from: body)
    } catch {
      throw .unexpectedAnswer(path: socketPath, reason: "its /stats cannot be read: \(error)")
    }
  }

  /// Asks for `/profile`, which takes as many seconds.
  public static func profile(
    seconds: Int, socketPath: String
  ) async throws(StatsClientError) -> Data {
    try await fetch(
      "/profile?seconds=\(seconds)", socketPath: socketPath, timeout: .seconds(seconds + 10))
  }

  /// Asks for `/profile` and decodes the answer.
  public static func profileSnapshot(
    seconds: Int, socketPath: String
  ) async throws(StatsClientError) -> ProfileSnapshot {
    let body = try await profile(seconds: seconds, socketPath: socketPath)
    do {
      return try JSONDecoder().decode(ProfileSnapshot.self, from: body)
    } catch {
      throw .unexpectedAnswer(path: socketPath, reason: "its /profile cannot be read: \(error)")
    }
  }

  private struct Silence: Error {}

  private struct Answer: Sendable {
    var status: UInt
    var body: Data
  }

  private static func exchange(
    _ target: String, method: HTTPMethod, socketPath: String, timeout: Duration
  ) async throws -> Answer {
    let loop = StatsThread.group.next()
    let answer = loop.makePromise(of: Answer.self)
    let milliseconds = Int64((timeout / .milliseconds(1)).rounded(.up))
    let patience = loop.scheduleTask(in: .milliseconds(milliseconds)) { answer.fail(Silence()) }
    let connecting = ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          try channel.pipeline.syncOperations.addHandler(
            Receiver(target: target, method: method, answer: answer))
        }
      }
      .connect(unixDomainSocketPath: socketPath)
    connecting.whenFailure { answer.fail($0) }
    defer {
      patience.cancel()
      connecting.whenSuccess { $0.close(promise: nil) }
    }
    return try await withTaskCancellationHandler {
      try await answer.futureResult.get()
    } onCancel: {
      answer.fail(CancellationError())
    }
  }

  /// Sends the request and takes the answer in.
  private final class Receiver: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private struct TooLong: Error, CustomStringConvertible {
      let description = "its answer does not end"
    }
    private struct Broken: Error, CustomStringConvertible {
      let description = "the connection was closed before the answer's end"
    }

    private let target: String
    private let method: HTTPMethod
    private let promise: EventLoopPromise<Answer>
    private var answer = Answer(status: 0, body: Data())

    init(target: String, method: HTTPMethod, answer: EventLoopPromise<Answer>) {
      self.target = target
      self.method = method
      promise = answer
    }

    func channelActive(context: ChannelHandlerContext) {
      let head = HTTPRequestHead(
        version: .http1_1, method: method, uri: target,
        headers: ["Host": "localhost", "Connection": "close"])
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): answer.status = head.status.code
      case .body(let bytes):
        answer.body.append(contentsOf: bytes.readableBytesView)
        if answer.body.count > largestAnswer { promise.fail(TooLong()) }
      case .end: promise.succeed(answer)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(Broken()) }
  }
}
