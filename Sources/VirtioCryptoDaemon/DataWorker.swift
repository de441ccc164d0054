import Counters
import CryptoDevice
import CryptoTypes
import EngineContract
import GuestMemory
import HostEngines
import IOUring
import LinuxSystem
import QueueWorkers
import VhostUserBackend
import VirtQueue

/// Everything that one data worker is started with, kept alive until its thread has ended.
@safe
final class DataWorkerSetup: @unchecked Sendable {
  // Unchecked: made on the device's thread, then used by the worker's alone.
  let queue: QueueSetup
  let layout: RequestLayout
  let eventIndex: Bool
  let offer: DeviceOffer
  let sessions: SessionTable
  let retirements: RetirementLog.Reader
  let counters: QueueCounters
  let settings: WorkerSettings
  let engines: HostEngines
  /// Borrowed from the device, which outlives its workers.
  let attention: Int32

  init(
    queue: consuming QueueSetup, layout: RequestLayout, eventIndex: Bool, offer: DeviceOffer,
    sessions: SessionTable, retirements: RetirementLog.Reader, counters: QueueCounters,
    settings: WorkerSettings, engines: HostEngines, attention: Int32
  ) {
    self.queue = queue
    self.layout = layout
    self.eventIndex = eventIndex
    self.offer = offer
    self.sessions = sessions
    self.retirements = retirements
    self.counters = counters
    self.settings = settings
    self.engines = engines
    self.attention = attention
  }

  /// The worker's thread, from start to end.
  func run(_ context: QueueWorker.Context) {
    let loop: WorkerLoop<HostLane>
    do {
      loop = try makeLoop(context.shared)
    } catch {
      context.failed("\(error)")
      return
    }
    context.started()
    serve(loop, context.shared)
  }

  private func makeLoop(_ shared: WorkerShared) throws -> WorkerLoop<HostLane> {
    let ring = try SplitQueueLayout(
      size: Int(queue.size), descriptorTable: queue.descriptorTable,
      availableRing: queue.availableRing, usedRing: queue.usedRing)
    var settings = settings
    // Without a kick nobody would wake a sleeper.
    if queue.kickRawValue < 0 { settings.pollMode = .always }
    let events = unsafe try WorkerEvents(
      kick: queue.kickRawValue, call: queue.callRawValue,
      wake: shared.wakeDescriptor.rawValue, attention: attention, stop: shared.stopPointer)
    let slotCount = min(Int(queue.size), 1024)
    let lane = try engines.makeLane(
      LaneEnvironment(
        sessionCapacity: sessions.slotCount, operationCapacity: slotCount,
        maximumByteCount: Int(layout.maximumRequestByteCount), ring: events.submissions))
    let processor = try RequestProcessor(
      layout: layout, sessions: sessions.view, table: offer.algorithms, slotCount: slotCount)
    let split = try SplitQueue(
      layout: ring, eventIndex: eventIndex, nextAvailable: queue.nextAvailable)
    return WorkerLoop(
      queue: split, memory: queue.memory.view, processor: processor, lane: lane,
      retirements: retirements, events: events, counters: counters.block, settings: settings,
      ticksPerMicrosecond: TickClock.ticksPerMicrosecond)
  }

  private func serve(_ loop: consuming WorkerLoop<HostLane>, _ shared: WorkerShared) {
    do throws(QueueError) {
      try serveOnHotPath(&loop)
    } catch {
      counters.block.add(.malformedRings, 1)
      shared.reportFault("\(error)")
      EventFD.signal(queue.errorRawValue)
      EventFD.signal(attention)
    }
    shared.reportEnd(nextAvailable: loop.nextAvailable)
  }
}

/// The whole life of a data queue: the compiler refuses to build it if any of it could allocate or lock.
///
/// It names `HostLane`, because the compiler settles the loop's calls to the engines only where it sees which there are.
@_noAllocation @_noLocks
func serveOnHotPath(_ loop: inout WorkerLoop<HostLane>) throws(QueueError) {
  try loop.run()
}
