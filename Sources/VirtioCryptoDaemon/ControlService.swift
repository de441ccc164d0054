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
  private var hasFailed = false

  init(
    _ setup: consuming QueueSetup, eventIndex: Bool, core: DeviceCore
  ) throws(QueueStartError) {
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
