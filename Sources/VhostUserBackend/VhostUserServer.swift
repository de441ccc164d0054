public import LinuxSystem
public import Logging
internal import Synchronization

/// Where a server meets its front-ends.
public enum ServerEndpoint: ~Copyable {
  /// A socket file to create, with these rights; it is removed at the end.
  case path(String, rights: SocketRights = SocketRights())
  /// A socket that listens already (socket activation); its file belongs to whoever made it.
  case listening(FileDescriptor)
  /// A connection (`--fd`); the server ends with it.
  case connected(FileDescriptor)
  /// A socket at which a front-end listens (`--client`): connect, and connect again when it is gone.
  case connecting(String)
}

/// Why a server cannot serve.
public enum ServerError: Error, Hashable, Sendable {
  /// The path names something that is not a socket, which is not ours to replace.
  case notASocket(path: String)
  /// Another process listens at the path.
  case inUse(path: String)
  /// Empty, or too long for a socket address.
  case badPath(path: String)
  case system(SystemError)
}

/// Serves one device to one front-end at a time.
///
/// While one front-end is connected, others wait in the socket's backlog: they neither disturb the first nor are turned
/// away, and the next is accepted when it leaves. The protocol is spoken entirely on the thread that calls `run()`.
public final class VhostUserServer: @unchecked Sendable {
  // Unchecked because `device` and the stored properties below belong to the thread inside `run()`; `stop()` touches the
  // event only, and `isRunning` keeps a second thread out.
  private let device: any VhostUserDevice
  private let log: PeerLog
  private let stopEvent: EventFD
  private let isRunning = Atomic(false)
  private var listener: Listener?
  private var firstConnection: FileDescriptor?
  private var frontendPath: String?

  /// How long to leave a listener or a front-end's path alone after a failure (out of descriptors, nobody there).
  private static let pauseMilliseconds: Int32 = 200

  /// Prepares the endpoint: when this returns, front-ends can connect.
  ///
  /// Throws when the socket cannot be created: the path is in use, is no socket, or the system refuses.
  public init(
    endpoint: consuming ServerEndpoint, device: any VhostUserDevice, logger: Logger
  ) throws(ServerError) {
    self.device = device
    log = PeerLog(logger)
    do {
      stopEvent = try EventFD()
    } catch {
      throw .system(error)
    }
    switch consume endpoint {
    case .path(let path, let rights): listener = try Listener(path: path, rights: rights)
    case .listening(let descriptor): listener = Listener(adopting: descriptor)
    case .connected(let descriptor): firstConnection = consume descriptor
    case .connecting(let path): frontendPath = path
    }
  }

  /// Ends `run()` soon, from any thread; queues are stopped and the device told on the way out.
  public func stop() { stopEvent.signal() }

  /// Serves until `stop()`, or until the front-end leaves when there is but one connection.
  ///
  /// Blocks the calling thread. A second caller at the same time returns at once.
  public func run() throws(ServerError) {
    guard !isRunning.exchange(true, ordering: .acquiring) else { return }
    defer { isRunning.store(false, ordering: .releasing) }
    defer { listener = nil }

    var connection: Connection?
    // The front-end may come back to the next process.
    defer { connection?.close(serverStops: true) }
    if let descriptor = firstConnection.take() { connection = open(descriptor) }
    var isPausing = false

    while connection != nil || listener != nil || frontendPath != nil {
      if connection == nil, let path = frontendPath, !isPausing {
        connection = connect(to: path)
        isPausing = connection == nil
      }
      let own = connection?.descriptor ?? (isPausing ? nil : listener?.descriptor) ?? -1
      let services = device.serviceDescriptors
      let notifications = connection?.notificationDescriptors ?? []
      let isReady = try Self.wait(
        for: [stopEvent.rawValue, own] + services + notifications,
        timeoutMilliseconds: isPausing ? Self.pauseMilliseconds : -1)
      isPausing = false
      if isReady[0] { return }
      for (index, descriptor) in services.enumerated() where isReady[2 + index] {
        device.descriptorIsReady(descriptor)
      }
      if isReady.dropFirst(2 + services.count).contains(true) { connection?.notifyInBand() }
      guard isReady[1] else { continue }
      if let current = connection {
        guard !current.handleInput() else { continue }
        current.close()
        connection = nil
        // A front-end that hangs up at once must not be called in a tight loop.
        isPausing = frontendPath != nil
      } else {
        switch listener?.accept() {
        case .connection(let descriptor): connection = open(descriptor)
        case .failed(let error):
          log.log(.error, "accepting a front-end failed", ["error": "\(error)"])
          isPausing = true
        case .nobody: break
        case .none: break
        }
      }
    }
  }

  private func connect(to path: String) -> Connection? {
    do {
      return open(try connectToUnixSocket(path: path))
    } catch {
      log.log(.debug, "no front-end to connect to yet", ["path": "\(path)", "error": "\(error)"])
      return nil
    }
  }

  private func open(_ socket: consuming FileDescriptor) -> Connection {
    let connection = Connection(socket: socket, device: device, log: log)
    connection.open()
    return connection
  }

  /// Which of the descriptors have input, an error or a hang-up; -1 never has.
  private static func wait(
    for descriptors: [Int32], timeoutMilliseconds: Int32
  ) throws(ServerError) -> [Bool] {
    do {
      return try pollInput(descriptors, timeoutMilliseconds: timeoutMilliseconds)
    } catch {
      throw .system(error)
    }
  }
}
