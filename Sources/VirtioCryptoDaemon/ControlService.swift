import CryptoDevice
import GuestMemory
import LinuxSystem
import VhostUserBackend
import VirtQueue

/// The control queue of a front-end that leaves it to us, while it runs.
final class ControlService {
  private let setup: QueueSetup
  private let core: DeviceCore
  private var queue: ControlQueue
  private var emptyKicks = 0
  /// The guest has corrupted the ring.
  private(set) var hasFailed = false

  init(
    _ setup: consuming QueueSetup, eventIndex: Bool, core: DeviceCore
  ) throws(QueueStartError) {
    guard setup.kickRawValue >= 0 else {
      throw QueueStartError(reason: "the control queue needs a kick eventfd")
    }
    let made: ControlQueue
    do {
      let layout = try SplitQueueLayout(
        size: Int(setup.size), descriptorTable: setup.descriptorTable,
        availableRing: setup.availableRing, usedRing: setup.usedRing)
      let split = try SplitQueue(
        layout: layout, eventIndex: eventIndex, nextAvailable: setup.nextAvailable)
      made = try ControlQueue(queue: split, memory: setup.memory.view)
    } catch { throw QueueStartError(reason: "\(error)") }
    queue = made
    self.setup = setup
    self.core = core
  }

  /// The driver's eventfd; -1 where there is none.
  var kick: Int32 { setup.kickRawValue }

  /// A kick that is no eventfd may be ready for ever and have nothing to read; it is not looked at any more.
  var isKickable: Bool { emptyKicks < 64 }

  /// Whether the kick that polling reported was one.
  func noteKick(isEmpty: Bool) { emptyKicks = isEmpty ? emptyKicks + 1 : 0 }

  var nextAvailable: UInt16 { queue.nextAvailable }

  /// Carries out what the driver asks for; the ring's fault, the first time that there is one.
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
