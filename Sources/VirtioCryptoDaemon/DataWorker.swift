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

/// Processor time that one queue's threads have used.
struct WorkerTimes: Sendable {
  let worker = ThreadTimes()
  let helpers = ThreadTimes()
}

/// Everything that one data worker is started with, kept alive until its thread has ended.
@safe
final class DataWorkerSetup: @unchecked Sendable {
  // Unchecked: made on the device's thread, then used by the worker's alone.
  let queue: QueueSetup
  let layout: RequestLayout
  let rings: RingFeatures
  let offer: DeviceOffer
  let sessions: SessionTable
  let retirements: RetirementLog.Reader
  let limiter: QueueLimiter
  let counters: QueueCounters
  let settings: WorkerSettings
  let engines: HostEngines
  let times: WorkerTimes
  /// Borrowed from the device, which outlives its workers.
  let attention: Int32
  /// Which helpers are not pinned although that was asked for; set when the worker has started.
  private(set) var helperPinningFailures: [String] = []

  init(
    queue: consuming QueueSetup, layout: RequestLayout, rings: RingFeatures, offer: DeviceOffer,
    sessions: SessionTable, retirements: RetirementLog.Reader, limiter: QueueLimiter,
    counters: QueueCounters,
    settings: WorkerSettings, engines: HostEngines, times: WorkerTimes, attention: Int32
  ) {
    self.queue = queue
    self.layout = layout
    self.rings = rings
    self.offer = offer
    self.sessions = sessions
    self.retirements = retirements
    self.limiter = limiter
    self.counters = counters
    self.settings = settings
    self.engines = engines
    self.times = times
    self.attention = attention
  }

  /// The worker's thread, from start to end.
  func run(_ context: QueueWorker.Context) {
    times.worker.threadBegins()
    defer { times.worker.threadEnds() }
    let crew: HelperCrew?
    do throws(WorkerStartError) {
      crew = try startHelpers(context.shared)
    } catch {
      context.failed("\(error)")
      return
    }
    // Whatever becomes of the worker: its loop, which speaks to them, is gone by then.
    defer { crew?.stop() }
    do {
      try withRing(context, crew)
    } catch {
      context.failed("\(error)")
    }
  }

  /// Serves a ring on the worker's thread, from then on to its end.
  ///
  /// `serve` is the one of the functions below that is made for this kind of ring.
  func run<Queue: VirtQueueRing & ~Copyable>(
    _ ring: consuming Queue, _ context: QueueWorker.Context, _ crew: HelperCrew?,
    serve: (inout WorkerLoop<HostLane, Queue>) throws(QueueError) -> Void
  ) throws {
    var loop = try makeLoop(ring, context.shared, crew)
    helperPinningFailures = crew?.pinningFailures ?? []
    context.started()
    do throws(QueueError) {
      try serve(&loop)
    } catch {
      counters.block.add(.malformedRings, 1)
      // Where memory was lost in the middle of an engine's work, its registers were put on the stack.
      if error == .memoryLost { UnusedStack.wipe() }
      context.shared.reportFault("\(error)")
      EventFD.signal(queue.errorRawValue)
      EventFD.signal(attention)
    }
    context.shared.reportEnd(base: loop.base)
  }

  private var slotCount: Int { min(Int(queue.size), 1024) }

  private func laneEnvironment(_ ring: SubmissionRing) -> LaneEnvironment {
    LaneEnvironment(
      sessionCapacity: sessions.slotCount, operationCapacity: slotCount,
      maximumByteCount: Int(layout.maximumRequestByteCount), ring: ring)
  }

  private func makeLoop<Queue: VirtQueueRing & ~Copyable>(
    _ ring: consuming Queue, _ shared: WorkerShared, _ crew: HelperCrew?
  ) throws -> WorkerLoop<HostLane, Queue> {
    var settings = settings
    // Without a kick nobody would wake a sleeper.
    if queue.kickRawValue < 0 { settings.pollMode = .always }
    let events = unsafe try WorkerEvents(
      kick: queue.kickRawValue, call: queue.callRawValue,
      wake: shared.wakeDescriptor.rawValue, attention: attention, stop: shared.stopPointer,
      log: queue.logEventRawValue)
    let lane = try engines.makeLane(laneEnvironment(events.submissions))
    let helpers = HelperLinks(
      crew, policy: settings.helpers.policy, ring: events.submissions, counters: counters.block)
    let processor = try RequestProcessor(
      layout: layout, sessions: sessions.view, table: offer.algorithms, slotCount: slotCount,
      dirty: DirtyPages(queue.dirtyLogging, memory: queue.memory),
      undo: UndoLog(queue, layout, resubmissionCount: ring.resubmissionCount))
    return WorkerLoop(
      queue: ring, memory: queue.memory.view, processor: processor, lane: lane,
      helpers: helpers, retirements: retirements, events: events, limiter: limiter,
      counters: counters.block,
      settings: settings,
      ticksPerMicrosecond: TickClock.ticksPerMicrosecond)
  }

  /// nil where there are none.
  private func startHelpers(_ shared: WorkerShared) throws(WorkerStartError) -> HelperCrew? {
    guard settings.helpers.count > 0 else { return nil }
    return try HelperCrew(
      name: "vcrypto-h\(queue.index)", cpus: settings.helpers.cpus,
      operationCapacity: slotCount, sessionCapacity: sessions.slotCount,
      workerWake: shared.wakeDescriptor.rawValue
    ) { self.help($0) }
  }

  /// A helper's thread, from start to end.
  private func help(_ context: HelperCrew.Context) {
    times.helpers.threadBegins()
    defer { times.helpers.threadEnds() }
    var loop: HelperLoop<HostLane>
    do {
      let ring = try IOUring(entries: 64)
      let lane = try engines.makeLane(laneEnvironment(ring.submissions))
      loop = HelperLoop(
        context, lane: lane, ring: ring, settings: settings,
        ticksPerMicrosecond: TickClock.ticksPerMicrosecond)
    } catch {
      context.failed("\(error)")
      return
    }
    context.started()
    helpOnHotPath(&loop)
  }
}

/// The whole life of a helper, proved in the same way.
@_noAllocation @_noLocks
func helpOnHotPath(_ loop: inout HelperLoop<HostLane>) { loop.run() }
