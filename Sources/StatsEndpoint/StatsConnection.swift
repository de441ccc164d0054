internal import NIOCore
internal import NIOHTTP1

/// One reader: a request, its answer, and the end.
///
/// On the server's event loop alone. Nothing is read once the request is there, and a time limit runs at every moment.
final class StatsConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    /// The request is not complete.
    case waiting
    /// The answer is being made.
    case answering
    /// The answer is on its way.
    case writing
    case closed
  }

  private let routes: any Routes
  private let table: ConnectionTable
  private var state = State.waiting
  private var context: ChannelHandlerContext?
  private var deadline: Scheduled<Void>?
  /// Of the answer.
  private(set) var unreadByteCount = 0

  init(routes: any Routes, table: ConnectionTable) {
    self.routes = routes
    self.table = table
  }

  /// Whether nothing was asked yet.
  var isWaiting: Bool { state == .waiting }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) { finish() }

  func channelActive(context: ChannelHandlerContext) {
    table.add(self)
    startDeadline(table.limits.requestMilliseconds) {
      $0.refuse(408, "the request took too long to arrive")
    }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data), state == .waiting else { return }
    state = .answering
    deadline?.cancel()
    stopReading()
    guard table.beginAnswer() else {
      write(.text(503, "too many requests at a time; try again"), hasBody: head.method != .HEAD)
      return
    }
    let method = head.method.rawValue
    let target = head.uri
    let routes = routes
    let this = NIOLoopBound(self, eventLoop: context.eventLoop)
    let answer = context.eventLoop.makePromise(of: StatsResponse.self)
    answer.completeWithTask { await routes.answer(method: method, target: target) }
    answer.futureResult.whenSuccess { response in
      this.value.table.endAnswer()
      this.value.write(response, hasBody: method != "HEAD")
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if error is HTTPParserError, state == .waiting {
      refuse(400, "this is no HTTP request")
    } else {
      close()
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // Whoever has asked may close his side and wait for the answer.
    if case .inputClosed? = event as? ChannelEvent, state == .waiting { close() }
    context.fireUserInboundEventTriggered(event)
  }

  /// Answers a request that never was one.
  func refuse(_ status: UInt, _ text: String) {
    guard state == .waiting else { return }
    state = .answering
    deadline?.cancel()
    stopReading()
    write(.text(status, text), hasBody: true)
  }

  /// Ends the connection, whatever it waits for.
  func close() { context?.close(promise: nil) }

  private func stopReading() {
    context?.channel.setOption(.autoRead, value: false).whenFailure { _ in }
  }

  private func write(_ response: StatsResponse, hasBody: Bool) {
    guard state == .answering, let context else { return }
    state = .writing
    unreadByteCount = response.body.count
    table.makeRoom(for: self)
    // Its reader has the time that the limits say, and no more.
    startDeadline(table.limits.answerMilliseconds) { $0.close() }
    var headers: HTTPHeaders = [
      "Content-Type": response.contentType, "Content-Length": "\(response.body.count)",
      "Cache-Control": "no-store", "Connection": "close",
    ]
    if let allow = response.allow { headers.add(name: "Allow", value: allow) }
    let head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: Int(response.status)),
      headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if hasBody {
      let body = ByteBuffer(bytes: response.body)
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    }
    let this = NIOLoopBound(self, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in this.value.close() }
  }

  private func startDeadline(
    _ milliseconds: Int64, _ action: @escaping @Sendable (StatsConnection) -> Void
  ) {
    guard let context else { return }
    let this = NIOLoopBound(self, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: .milliseconds(milliseconds)) {
      action(this.value)
    }
  }

  private func finish() {
    guard state != .closed else { return }
    state = .closed
    unreadByteCount = 0
    deadline?.cancel()
    deadline = nil
    context = nil
    table.remove(self)
  }
}

/// Stands before the HTTP decoder: what is too long for a request never gets there.
final class RequestSizeLimit: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: StatsConnection
  private let byteCount: Int
  private var received = 0

  init(_ connection: StatsConnection, byteCount: Int) {
    self.connection = connection
    self.byteCount = byteCount
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard connection.isWaiting else { return }
    received += unwrapInboundIn(data).readableBytes
    guard received <= byteCount else {
      connection.refuse(431, "a request has at most \(byteCount) bytes")
      return
    }
    context.fireChannelRead(data)
  }
}
