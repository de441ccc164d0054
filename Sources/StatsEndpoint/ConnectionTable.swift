internal import NIOCore

/// The connections of a server, and what they hold, kept within `StatsLimits`.
///
/// Used on the server's event loop alone.
final class ConnectionTable: @unchecked Sendable {
  // Unchecked: every method is called on the one event loop, which each of them checks.
  let limits: StatsLimits
  let eventLoop: any EventLoop
  private var isClosed = false
  /// In the order in which they came.
  private var connections: [StatsConnection] = []
  /// Requests that are being answered, those of readers who have gone included.
  private var answeringCount = 0

  init(limits: StatsLimits, eventLoop: any EventLoop) {
    self.limits = limits
    self.eventLoop = eventLoop
  }

  /// Takes a new connection, and sends the longest waiting one away if there are too many.
  func add(_ connection: StatsConnection) {
    eventLoop.preconditionInEventLoop()
    guard !isClosed else { return connection.close() }
    connections.append(connection)
    guard connections.count > limits.connectionCount else { return }
    (connections.first(where: \.isWaiting) ?? connection).close()
  }

  func remove(_ connection: StatsConnection) {
    eventLoop.preconditionInEventLoop()
    connections.removeAll { $0 === connection }
  }

  /// Sends everybody away, and lets nobody in any more.
  func closeAll() async {
    try? await eventLoop.submit {
      self.isClosed = true
      for connection in self.connections { connection.close() }
    }.get()
  }

  /// Whether one more request may be answered now.
  ///
  /// A reader who asks and leaves at once frees his connection, but not the work.
  func beginAnswer() -> Bool {
    eventLoop.preconditionInEventLoop()
    guard answeringCount < limits.connectionCount else { return false }
    answeringCount += 1
    return true
  }

  func endAnswer() {
    eventLoop.preconditionInEventLoop()
    answeringCount -= 1
  }

  /// Sends the longest waiting readers away until everything that is kept for readers fits.
  ///
  /// The newest answer is kept, whatever its size.
  func makeRoom(for newest: StatsConnection) {
    eventLoop.preconditionInEventLoop()
    var total = connections.reduce(0) { $0 + $1.unreadByteCount }
    for connection in connections where connection !== newest && connection.unreadByteCount > 0 {
      guard total > limits.unreadByteCount else { return }
      total -= connection.unreadByteCount
      connection.close()
    }
  }
}
