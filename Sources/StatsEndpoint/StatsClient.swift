internal import FlyingFox
internal import FlyingSocks
public import Foundation

/// Why statistics could not be fetched.
public enum StatsClientError: Error, Equatable, CustomStringConvertible {
  /// Nobody answers on the socket.
  case unavailable(path: String, reason: String)
  /// The answer was not what was asked for.
  case unexpectedAnswer(path: String, reason: String)

  public var description: String {
    switch self {
    case .unavailable(let path, let reason):
      "no daemon answers on \(path) (\(reason)); is vhost-user-crypto running with --stats-socket?"
    case .unexpectedAnswer(let path, let reason):
      "what answers on \(path) is not vhost-user-crypto: \(reason)"
    }
  }
}

/// Fetches statistics from a running daemon.
public enum StatsClient {
  /// Asks for `target`, such as `/stats`, and gives the body of the answer.
  ///
  /// Waits at most `timeout`.
  public static func fetch(
    _ target: String, socketPath: String, timeout: Duration = .seconds(5)
  ) async throws(StatsClientError) -> Data {
    let place: SocketPath
    do { place = try SocketPath(socketPath) } catch {
      throw .unavailable(path: socketPath, reason: "\(error)")
    }
    guard place.inode != nil else {
      throw .unavailable(path: socketPath, reason: "there is no such socket")
    }
    let result = await withTaskGroup(of: Result<Data, StatsClientError>.self) { group in
      group.addTask { await exchange(target, socketPath: socketPath) }
      group.addTask {
        try? await Task.sleep(for: timeout)
        return .failure(.unavailable(path: socketPath, reason: "no answer within \(timeout)"))
      }
      let first = await group.next()
      group.cancelAll()
      return first
    }
    return try (result ?? .failure(.unavailable(path: socketPath, reason: "cancelled"))).get()
  }

  /// Asks for `/stats` and decodes the answer.
  public static func snapshot(
    socketPath: String
  ) async throws(StatsClientError) -> DaemonSnapshot {
    let body = try await fetch("/stats", socketPath: socketPath)
    do {
      return try JSONDecoder().decode(DaemonSnapshot.self, from: body)
    } catch {
      throw .unexpectedAnswer(path: socketPath, reason: "its /stats cannot be read: \(error)")
    }
  }

  private static func exchange(
    _ target: String, socketPath: String
  ) async -> Result<Data, StatsClientError> {
    do {
      var client = HTTPClient()
      let request = HTTPRequest(
        method: .GET, version: .http11, path: target, query: [], headers: [.host: "localhost"],
        body: HTTPBodySequence())
      let response = try await client.sendHTTPRequest(request, to: .unix(path: socketPath))
      guard response.statusCode == .ok else {
        return .failure(
          .unexpectedAnswer(
            path: socketPath, reason: "\(target) gives status \(response.statusCode.code)"))
      }
      return .success(try await response.bodyData)
    } catch let error as SocketError {
      return .failure(.unavailable(path: socketPath, reason: error.reason))
    } catch {
      return .failure(.unexpectedAnswer(path: socketPath, reason: "\(error)"))
    }
  }
}

extension SocketError {
  /// What happened, without the library's own words around it.
  var reason: String {
    if case .failed(_, _, let message) = self { return message }
    return "the connection was closed"
  }
}
