import Capabilities
import Counters
import CryptoDevice
import CryptoTypes
import EngineContract
import GuestMemory
import HostEngines
import IOUring
import LinuxSystem
import Logging
import QueueWorkers
import StatsEndpoint
import Synchronization
import VhostUserBackend
import VhostUserProtocol
import VirtQueue
import VirtioSpec

/// One guest's crypto device: what the vhost-user server calls, in terms of workers, sessions and queues.
///
/// Everything but the statistics happens on the server's thread.
final class GuestDevice: VhostUserDevice, @unchecked Sendable {
  // Unchecked: `shown` and the counters are the only things that other threads look at.
  let name: String
  let socketPath: String
  private let maximumQueueSize: Int
  private let workerConfiguration: WorkerConfiguration
  /// Number of this device's first worker, counted over all devices, for spreading them over the CPUs.
  private let firstWorker: Int
  private let hidden: HiddenFeatures
  private let engines: HostEngines
  let core: DeviceCore
  /// What the workers are held to; it outlives them.
  let limits: LimitBlock
  /// The way to the front-end, while there is one.
  private(set) var frontend: FrontendChannel?
  private let queueCounters: [QueueCounters]
  private let sessionCounters = SessionCounters()
  let logger: Logger
  let peerLog: PeerLog
  /// Signalled by workers that have let go of sessions, or whose ring is corrupt, and by who wants a sign of life.
  let attention: EventFD
  /// Of other threads to the server's.
  let questions: ControlQuestions
  let sign = SignOfLife()
  /// Called when a front-end has come or gone; set before the server runs.
  var connectionChanged: @Sendable () -> Void = {}

  private var features: UInt64 = 0
  /// How many seconds sessions of an earlier process are held for a guest that does not come back.
  let sessionPatience: Int
  /// Goes off then.
  var heldAlarm: Alarm?
  /// The file of the guest's memory, once the front-end has shared it.
  var memoryIdentity: FileIdentity?
  /// The device's state on its way to or from another host.
  var transfer: StateTransfer?
  private var workers: [QueueWorker?]
  private var faultIsLogged: [Bool]
  /// The loss of guest memory is told once for each front-end.
  private var lossIsLogged = false
  /// Workers were woken for the log of retired sessions, and none has answered yet.
  private var workersAreWoken = false
  private var control: (any ControlService)?
  var status: UInt8 = 0

  /// What the statistics show of the device beside its counters.
  private struct Shown {
    var connected = false
    var features: UInt64 = 0
    var controlFault: String?
    var limits: DeviceLimits
    var queues: [ShownQueue]
  }
  private struct ShownQueue {
    var isRunning = false
    var starts: UInt64 = 0
    var fault: String?
  }
  /// By queue; they count on when workers are started again.
  private let times: [WorkerTimes]
  private let shown: Mutex<Shown>

  init(
    configuration: DeviceConfiguration, workers workerConfiguration: WorkerConfiguration,
    firstWorker: Int, algorithms: AlgorithmTable, engines: HostEngines, hidden: HiddenFeatures,
    journal: SessionJournal? = nil, sessionPatience: Int, logger: Logger
  ) throws {
    self.sessionPatience = sessionPatience
    name = configuration.name
    socketPath = configuration.socketPath
    self.workerConfiguration = workerConfiguration
    self.firstWorker = firstWorker
    self.engines = engines
    self.hidden = hidden
    let settings = configuration.settings
    maximumQueueSize = settings.queueSize
    var offer = DeviceOffer(
      dataQueueCount: settings.queueCount, sessionCapacity: settings.maximumSessionCount,
      maximumRequestByteCount: UInt32(clamping: settings.maximumRequestByteCount),
      algorithms: algorithms,
      statelessServices: Set(settings.statelessServices.map(CryptoService.init)),
      maximumOperationMilliseconds: UInt32(settings.maximumOperationMilliseconds),
      dialect: settings.dialect)
    offer.restrict(to: settings)
    limits = LimitBlock(
      queueCount: settings.queueCount, nanosecondsPerTick: TickClock.nanosecondsPerTick)
    limits.set(LimitSettings(settings.limits))
    let validation = try ValidationLane(engines)
    let restorationStart = ContinuousClock.now
    core = unsafe DeviceCore(offer: offer, journal: journal) { unsafe validation.check($0) }
    let restorationDuration = restorationStart.duration(to: .now)
    queueCounters = try (0..<settings.queueCount).map { _ in
      try QueueCounters(rowCount: StatisticsRow.count)
    }
    workers = (0..<settings.queueCount).map { _ in nil }
    faultIsLogged = [Bool](repeating: false, count: settings.queueCount)
    shown = Mutex(
      Shown(
        limits: DeviceLimits(settings),
        queues: [ShownQueue](repeating: ShownQueue(), count: settings.queueCount)))
    times = (0..<settings.queueCount).map { _ in WorkerTimes() }
    let attention = try EventFD()
    questions = ControlQuestions(attention: attention.rawValue)
    self.attention = attention
    var logger = logger
    logger[metadataKey: "device"] = "\(name)"
    self.logger = logger
    peerLog = PeerLog(logger)
    reportRestoration(restorationDuration)
    Self.prepareStateTransfers()
  }

  /// A lane of the control side's own, which tries the keys of new sessions and runs nothing.
  private final class ValidationLane {
    private var lane: HostLane
    // The lane holds on to it.
    private let ring: IOUring
    init(_ engines: HostEngines) throws {
      let ring = try IOUring(entries: 4)
      lane = try engines.makeLane(LaneEnvironment(sessionCapacity: 1, ring: ring.submissions))
      self.ring = ring
    }
    func check(_ session: UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome {
      unsafe lane.validate(session)
    }
  }

  /// What is offered now; on the device's thread.
  private var offer: DeviceOffer { core.offer }

  // MARK: - Negotiation

  var offeredFeatures: UInt64 {
    offer.features & ~(hidden.packedRings ? VirtioFeature.ringPacked : 0)
      | VhostUserLimit.logAllBit
  }

  var offeredProtocolFeatures: UInt64 {
    ProtocolFeature.multiqueue | ProtocolFeature.replyAcknowledgement
      | ProtocolFeature.cryptoSession | ProtocolFeature.backendRequests
      | ProtocolFeature.backendSendDescriptor | ProtocolFeature.configureMemorySlots
      | ProtocolFeature.status | ProtocolFeature.resetDevice | ProtocolFeature.deviceState
      | ProtocolFeature.inflightSharedMemory | ProtocolFeature.getVringBaseInflight
      | ProtocolFeature.inBandNotifications | ProtocolFeature.logSharedMemory
      | (hidden.config ? 0 : ProtocolFeature.config)
  }

  /// Data queues, and the control queue behind them.
  var queueCount: Int { offer.dataQueueCount + 1 }

  var inflightAnnexByteCount: Int {
    UndoLog.dataByteCount(maximumRequestByteCount: Int(offer.maximumRequestByteCount))
  }

  func connectionOpened(_ frontend: FrontendChannel) {
    self.frontend = frontend
    lossIsLogged = false
    core.beginConnection()
    shown.withLock { $0.connected = true }
    connectionChanged()
  }

  func connectionClosed() {
    core.endConnection()
    countSessions()
    wakeForRetirements()
    endConnection()
  }

  /// Forgets all of the connection but its sessions.
  func endConnection() {
    transfer?.cancel()
    transfer = nil
    frontend = nil
    memoryIdentity = nil
    core.negotiate(features: 0)
    features = 0
    status = 0
    shown.withLock { shown in
      shown.connected = false
      shown.features = 0
    }
    connectionChanged()
  }

  /// Whether a front-end is connected; from any thread.
  var isConnected: Bool { shown.withLock { $0.connected } }

  func setFeatures(_ accepted: UInt64) {
    features = accepted
    core.negotiate(features: accepted)
    shown.withLock { $0.features = accepted }
  }

  func setProtocolFeatures(_ accepted: UInt64) {}

  func reset() {
    destroySessions()
    status = 0
  }

  // MARK: - Configuration space

  func readConfiguration(offset: Int, byteCount: Int) -> [UInt8]? {
    let bytes = offer.configuration.bytes
    guard offset >= 0, byteCount >= 0, offset <= bytes.count, byteCount <= bytes.count - offset
    else { return nil }
    return Array(bytes[offset..<offset + byteCount])
  }

  /// Every field is read-only for the driver.
  func writeConfiguration(offset: Int, bytes: [UInt8]) -> Bool { false }

  // MARK: - Queues

  func startQueue(_ setup: consuming QueueSetup) throws(QueueStartError) {
    guard Int(setup.size) <= maximumQueueSize else {
      throw QueueStartError(reason: "the ring is larger than the device's queue-size")
    }
    // From here on somebody could use them.
    settleHeldSessions(isFinal: true)
    if setup.index == offer.dataQueueCount {
      control = try makeControlService(
        setup, eventIndex: RingFeatures(features).eventIndex, core: core)
      serveControlQueue()
    } else {
      try startWorker(setup)
    }
  }

  private func startWorker(_ queue: consuming QueueSetup) throws(QueueStartError) {
    let index = queue.index
    var settings = WorkerSettings()
    settings.pollMode = PollMode(workerConfiguration.pollMode)
    settings.spinMicroseconds = workerConfiguration.spinMicroseconds
    settings.cpu = workerConfiguration.cpu(ofWorker: firstWorker + index)
    settings.helpers = HelperSettings(workerConfiguration, worker: firstWorker + index)
    // From here on the worker may look sessions up, so it must be in the log before it runs.
    let reader = core.sessions.retirements.join(worker: index)
    let setup = DataWorkerSetup(
      queue: queue, layout: offer.layout(features: features), rings: RingFeatures(features),
      offer: offer, sessions: core.sessions, retirements: reader,
      limiter: limits.limiter(queue: index),
      counters: queueCounters[index], settings: settings, engines: engines, times: times[index],
      attention: attention.rawValue)
    do throws(WorkerStartError) {
      let worker = try QueueWorker(name: "vcrypto-q\(index)", cpu: settings.cpu) { setup.run($0) }
      if let failure = worker.pinningFailure {
        peerLog.log(
          .warning, "worker is not pinned", ["queue": "\(index)", "reason": "\(failure)"])
      }
      for failure in setup.helperPinningFailures {
        peerLog.log(
          .warning, "helper is not pinned", ["queue": "\(index)", "reason": "\(failure)"])
      }
      workers[index] = worker
      if SecretMemory.shouldComplain() {
        peerLog.log(.notice, "some keys could be swapped out", Confinement.lockingAdvice)
      }
    } catch {
      limits.leave(queue: index)
      core.sessions.retirements.leave(worker: index)
      throw QueueStartError(reason: "\(error)")
    }
    faultIsLogged[index] = false
    shown.withLock { shown in
      shown.queues[index].isRunning = true
      shown.queues[index].starts &+= 1
      shown.queues[index].fault = nil
    }
  }

  func ringIsCorrupt(_ index: Int) -> Bool {
    if index == offer.dataQueueCount { return control?.hasFailed ?? false }
    return workers.indices.contains(index) && workers[index]?.fault != nil
  }

  func stopQueue(_ index: Int) -> UInt32? {
    if index == offer.dataQueueCount {
      defer { control = nil }
      shown.withLock { $0.controlFault = nil }
      return control?.base
    }
    guard workers.indices.contains(index), let worker = workers[index] else { return nil }
    let base = worker.stop()
    takeFault(of: index)
    workers[index] = nil
    limits.leave(queue: index)
    core.sessions.retirements.leave(worker: index)
    core.sessions.reclaim()
    // It may have been the one that would have answered.
    workersAreWoken = false
    wakeForRetirements()
    showStopped(index, fault: nil)
    return base
  }

  private func showStopped(_ index: Int, fault: String?) {
    shown.withLock { shown in
      shown.queues[index].isRunning = false
      shown.queues[index].fault = fault
    }
  }

  // MARK: - Sessions

  func createSession(_ request: VhostUserProtocol.SessionRequest) -> Int64 {
    guard let wanted = CryptoDevice.SessionRequest(request) else {
      sessionCounters.recordRefused()
      return -Int64(VirtioCryptoStatus.notsupp.rawValue)
    }
    let result = unsafe request.cipherKey.withUnsafeBytes { cipherKey in
      unsafe request.authKey.withUnsafeBytes { authKey in
        Result { () throws(Refusal) in
          unsafe try core.createSession(wanted, cipherKey: cipherKey, authKey: authKey)
        }
      }
    }
    countSessions()
    switch result {
    case .success(let identifier): return Int64(identifier)
    case .failure(let refusal):
      return -Int64(VirtioCryptoStatus(refusal, revision1: core.revision1).rawValue)
    }
  }

  func closeSession(_ id: UInt64) -> Bool {
    settleHeldSessions(isFinal: false)
    defer { countSessions() }
    do throws(Refusal) {
      try core.destroySession(id, services: .all)
    } catch { return false }
    wakeForRetirements()
    return true
  }

  private func destroySessions() {
    core.destroyHeld()
    core.sessions.destroyAll()
    countSessions()
    wakeForRetirements()
  }

  /// Sleeping workers must drop the keys of sessions that are gone.
  ///
  /// Workers that were woken say so when they have read the log, and are woken again if it has grown since: so a burst
  /// of destructions costs them one wake-up for each time that they let go, not one for each destruction.
  private func wakeForRetirements() {
    guard !workersAreWoken, core.sessions.retirements.hasUnacknowledged else { return }
    for case let worker? in workers {
      worker.wake()
      workersAreWoken = true
    }
  }

  /// Brings the counters that others read in line with the session table.
  func countSessions() {
    sessionCounters.update(
      created: core.sessions.createdCount, destroyed: core.sessions.destroyedCount,
      refused: core.refusedCount)
  }

  // MARK: - Changes

  /// Wakes the workers, so that they look at limits and orders, and shows what these are.
  func tellWorkers(_ settings: DeviceSettings) {
    for case let worker? in workers { worker.wake() }
    shown.withLock { $0.limits = DeviceLimits(settings) }
  }

  // MARK: - Control queue and workers' news

  var serviceDescriptors: [Int32] {
    var descriptors = [attention.rawValue]
    if let control, control.isKickable { descriptors.append(control.kick) }
    if let alarm = heldAlarm?.rawValue { descriptors.append(alarm) }
    return descriptors
  }

  func descriptorIsReady(_ descriptor: Int32) {
    if descriptor == attention.rawValue {
      attention.drain()
      workersAreWoken = false
      questions.answerOne()
      sign.answer()
      core.sessions.reclaim()
      wakeForRetirements()
      for index in workers.indices { takeFault(of: index) }
    } else if let control, descriptor == control.kick {
      control.noteKick(isEmpty: EventFD.drain(descriptor) == 0)
      serveControlQueue()
    } else if descriptor == heldAlarm?.rawValue {
      giveUpHeldSessions()
    }
  }

  private func serveControlQueue() {
    guard let control else { return }
    if let fault = control.serve() {
      shown.withLock { $0.controlFault = "\(fault)" }
      if fault == .memoryLost {
        memoryIsLost()
      } else {
        peerLog.log(
          .warning, "control queue stopped: the guest corrupted its ring", ["fault": "\(fault)"])
      }
    }
    countSessions()
    wakeForRetirements()
  }

  /// Sees to a worker whose ring the guest has corrupted: it has ended, and holds no session back.
  private func takeFault(of index: Int) {
    guard !faultIsLogged[index], let worker = workers[index], let fault = worker.fault else {
      return
    }
    faultIsLogged[index] = true
    _ = worker.stop()
    limits.leave(queue: index)
    core.sessions.retirements.leave(worker: index)
    core.sessions.reclaim()
    showStopped(index, fault: fault)
    if fault == "\(QueueError.memoryLost)" {
      memoryIsLost()
    } else {
      peerLog.log(
        .warning, "queue stopped: the guest corrupted its ring",
        ["queue": "\(index)", "fault": "\(fault)"])
    }
  }

  /// A queue has found that the front-end took guest memory away: the others have it, too, and find out when they look.
  private func memoryIsLost() {
    if !lossIsLogged {
      lossIsLogged = true
      peerLog.log(
        .warning,
        "device stopped: the front-end truncated guest memory, or the log of dirty pages")
    }
    for case let worker? in workers { worker.wake() }
    // By its own kick it would only come to this when the guest has a request for it.
    if control?.hasFailed == false { serveControlQueue() }
  }

  // MARK: - Statistics

  /// The data queues' workers as they are now, by queue; from any thread.
  ///
  /// - Throws: where the device's own thread does not answer.
  func currentWorkers() async throws(StatsProblem) -> [QueueWorker?] {
    guard let workers = await questions.ask(within: Self.patience, { [self] in workers }) else {
      throw .unavailable("device \(name): its control thread does not answer; try again")
    }
    return workers
  }

  /// A queue's stages since a profile began; nil where no worker keeps account for it.
  func stages(ofQueue index: Int, profile: UInt64) -> StageSnapshot? {
    queueCounters[index].stages(ofProfile: profile, now: TickClock.now)
  }

  /// The device as it is now; from any thread.
  func measure(engineNames: [String], percentiles: Bool) -> DeviceSnapshot {
    let shown = shown.withLock { $0 }
    let queues = queueCounters.enumerated().map { index, counters in
      var queue = MeasuredQueue(
        index: index, isRunning: shown.queues[index].isRunning,
        cpu: workerConfiguration.cpu(ofWorker: firstWorker + index),
        counters: counters.snapshot(nanosecondsPerTick: TickClock.nanosecondsPerTick))
      queue.starts = shown.queues[index].starts
      queue.fault = shown.queues[index].fault
      queue.cpuSeconds = times[index].worker.seconds
      let throttling = limits.throttling(queue: index)
      queue.throttledWaits = throttling.waits
      queue.throttledSeconds = Double(throttling.nanoseconds) / 1e9
      queue.helperCPUSeconds = times[index].helpers.seconds
      return queue
    }
    return DeviceSnapshot(
      name: name, socket: socketPath, connected: shown.connected, features: shown.features,
      sessions: sessionCounters.snapshot(), queues: queues, engineNames: engineNames,
      limits: shown.limits, controlFault: shown.controlFault,
      percentiles: percentiles)
  }
}
