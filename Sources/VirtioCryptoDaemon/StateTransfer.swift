import CryptoDevice
import Glibc
import LinuxSystem
import Synchronization

/// Bytes with keys in them, in memory that holds secrets; wiped at the end.
@safe
final class StateBuffer: @unchecked Sendable {
  // Unchecked: written by the thread that made it or that it was given to, and read when that has ended.
  private let memory: MappedMemory
  let byteCount: Int

  init(byteCount: Int) throws(SystemError) {
    self.byteCount = byteCount
    memory = try MappedMemory(reserving: max(byteCount, 1))
    memory.holdSecrets()
  }

  var bytes: UnsafeMutableRawBufferPointer {
    // SAFETY: the mapping has as many bytes and lives as long as the buffer, which whoever uses them keeps.
    unsafe UnsafeMutableRawBufferPointer(start: memory.base, count: byteCount)
  }

  deinit { unsafe explicit_bzero(memory.base, byteCount) }
}

/// A device's state on its way, on a thread of its own: the other side may be slow, or never come to an end.
final class StateTransfer: Sendable {
  /// How it ended.
  enum Outcome: Sendable {
    case sent
    /// All that came until the writer's end.
    case received(StateBuffer)
    case failed(String)
  }

  /// The other side may pause for so long.
  private static let patienceMilliseconds: Int32 = 10_000

  private let cancellation: EventFD
  private let outcome = Mutex<Outcome?>(nil)
  private let finished: EventFD
  private let thread = Mutex<PinnedThread?>(nil)

  private init() throws(SystemError) {
    cancellation = try EventFD()
    finished = try EventFD()
  }

  /// Begins to send bytes; the channel is closed behind the last one.
  static func sending(
    _ buffer: StateBuffer, to channel: consuming TransferChannel
  ) throws(SystemError) -> StateTransfer {
    let transfer = try StateTransfer()
    try transfer.start(channel) { channel, cancelled throws(SystemError) in
      try unsafe channel.writeAll(
        UnsafeRawBufferPointer(buffer.bytes), cancelled: cancelled,
        patienceMilliseconds: patienceMilliseconds)
      return .sent
    }
    return transfer
  }

  /// Begins to receive a state; `byteCount` says how long it is, by its header.
  static func receiving(
    from channel: consuming TransferChannel,
    byteCount: @escaping @Sendable (UnsafeRawBufferPointer) -> Result<Int, DeviceStateError>
  ) throws(SystemError) -> StateTransfer {
    let transfer = try StateTransfer()
    try transfer.start(channel) { channel, cancelled throws(SystemError) in
      let header = try StateBuffer(byteCount: DeviceState.headerByteCount)
      let count = try unsafe channel.readAll(
        into: header.bytes, cancelled: cancelled, patienceMilliseconds: patienceMilliseconds)
      let whole: Int
      switch unsafe byteCount(UnsafeRawBufferPointer(rebasing: header.bytes[..<count])) {
      case .success(let announced): whole = announced
      case .failure(let error): return .failed("\(error)")
      }
      // One byte more, which must not come.
      let buffer = try StateBuffer(byteCount: whole + 1)
      unsafe buffer.bytes.copyMemory(from: UnsafeRawBufferPointer(header.bytes))
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[count...])
      let more = try unsafe channel.readAll(
        into: rest, cancelled: cancelled, patienceMilliseconds: patienceMilliseconds)
      guard count + more == whole else {
        return .failed("it ends early, or goes on behind its end")
      }
      return .received(buffer)
    }
    return transfer
  }

  private func start(
    _ channel: consuming TransferChannel,
    _ work: @escaping @Sendable (borrowing TransferChannel, Int32) throws(SystemError) -> Outcome
  ) throws(SystemError) {
    let box = ChannelBox(channel)
    let started = try PinnedThread(name: "vcrypto-state") { [self] in
      var result: Outcome
      do throws(SystemError) {
        result = try box.use(cancellation.rawValue, work)
      } catch { result = .failed("\(error)") }
      UnusedStack.wipe()
      outcome.withLock { $0 = result }
      finished.signal()
    }
    thread.withLock { $0 = started }
  }

  /// Carries the channel to the thread, which closes it.
  private final class ChannelBox: Sendable {
    private let channel: Mutex<TransferChannel?>
    init(_ channel: consuming TransferChannel) { self.channel = Mutex(channel) }

    func use(
      _ cancelled: Int32,
      _ work: (borrowing TransferChannel, Int32) throws(SystemError) -> StateTransfer.Outcome
    ) throws(SystemError) -> StateTransfer.Outcome {
      var taken = channel.withLock { $0.take() }
      guard let channel = taken.take() else {
        throw SystemError(call: "transferring a state", code: EBADF)
      }
      return try work(channel, cancelled)
    }
  }

  /// Ends the transfer, for which it waits no longer than the other side may pause.
  ///
  /// To be called once, or `cancel()`.
  func finish() -> Outcome {
    let ends = try? pollInput(
      [finished.rawValue], timeoutMilliseconds: Self.patienceMilliseconds + 2000)
    cancel()
    guard ends == [true], let outcome = outcome.withLock({ $0 }) else {
      return .failed("it did not end in time")
    }
    return outcome
  }

  /// Ends the transfer now, whatever has come or gone.
  func cancel() {
    cancellation.signal()
    thread.withLock { $0.take() }?.join()
  }
}
