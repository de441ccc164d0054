import CryptoDevice
import GuestMemory
import LinuxSystem
import VhostUserBackend
import VirtQueue

/// The control queue of a front-end that leaves it to us, while it runs, whatever kind of ring it is.
protocol ControlService: AnyObject {
  /// The driver's eventfd; -1 where there is none.
  var kick: Int32 { get }
  /// Whether the kick is worth looking at.
  var isKickable: Bool { get }
  /// The guest has corrupted the ring.
  var hasFailed: Bool { get }
  /// Where the queue goes on, as `GET_VRING_BASE` has it.
  var base: UInt32 { get }
  /// Whether the kick that polling reported was one.
  func noteKick(isEmpty: Bool)
  /// Carries out what the driver asks for; the ring's fault, the first time that there is one.
  func serve() -> QueueError?
}

/// Chooses the kind of ring.
///
/// Requests are carried out one after the other, which is all that IN_ORDER asks for.
func makeControlService(
  _ setup: consuming QueueSetup, eventIndex: Bool, core: DeviceCore
) throws(QueueStartError) -> any ControlService {
  guard setup.kickRawValue >= 0 else {
    throw QueueStartError(reason: "the control queue needs a kick eventfd")
  }
  do {
    if setup.isPacked {
      let ring = try PackedQueue(setup, eventIndex: eventIndex)
      return try RingControlService(ring, setup, core: core)
    }
    let ring = try SplitQueue(setup, eventIndex: eventIndex)
    return try RingControlService(ring, setup, core: core)
  } catch { throw QueueStartError(reason: "\(error)") }
}

/// The control queue in one kind of ring.
private final class RingControlService<Queue: VirtQueueRing & ~Copyable>: ControlService {
  private let setup: QueueSetup
  private let core: DeviceCore
  private var queue: ControlQueue<Queue>
  private var emptyKicks = 0
  private(set) var hasFailed = false

  init(
    _ ring: consuming Queue, _ setup: consuming QueueSetup, core: DeviceCore
  ) throws(SystemError) {
    queue = try ControlQueue(
      queue: ring, memory: setup.memory.view,
      dirty: DirtyPages(setup.dirtyLogging, memory: setup.memory))
    self.setup = setup
    self.core = core
    core.resumeRequests(at: queue.publishedPosition)
  }

  var kick: Int32 { setup.kickRawValue }

  /// A kick that is no eventfd may be ready for ever and have nothing to read; it is not looked at any more.
  var isKickable: Bool { emptyKicks < 64 }

  func noteKick(isEmpty: Bool) { emptyKicks = isEmpty ? emptyKicks + 1 : 0 }

  var base: UInt32 { queue.base }

  func serve() -> QueueError? {
    guard !hasFailed else { return nil }
    do throws(QueueError) {
      let turn = try queue.serve(core)
      if turn.wantsCall { EventFD.signal(setup.callRawValue) }
      // The device's thread has other things to do first; its own kick brings it back.
      if turn.hasMore { EventFD.signal(setup.kickRawValue) }
      return nil
    } catch {
      hasFailed = true
      EventFD.signal(setup.callRawValue)
      EventFD.signal(setup.errorRawValue)
      return error
    }
  }
}
