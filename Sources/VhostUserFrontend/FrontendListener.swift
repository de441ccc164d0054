internal import LinuxSystem

/// A socket at which a front-end waits for back-ends that connect to it (`--client`).
public final class FrontendListener: Sendable {
  private let socket: OwnedFile

  /// Makes the socket file, which must not exist; whoever can reach it may connect, as back-ends become other users.
  public init(path: String) throws(FrontendError) {
    do throws(SystemError) {
      socket = OwnedFile(
        descriptor: try listenOnUnixSocket(path: path, rights: SocketRights(mode: 0o666)).release())
    } catch {
      throw .system(doing: error.call, errno: error.code)
    }
  }

  /// Waits for a back-end.
  public func accept(
    options: Frontend.Options = .init(), timeoutMilliseconds: Int
  ) throws(FrontendError) -> Frontend {
    guard try waitUntilReadable(socket.descriptor, milliseconds: timeoutMilliseconds) else {
      throw .timedOut(waitingFor: "back-end", milliseconds: timeoutMilliseconds)
    }
    let descriptor = try retrying("accepting a back-end") {
      acceptBlocking(socket.descriptor)
    }
    return Frontend(socket: OwnedFile(descriptor: descriptor), options: options)
  }
}
