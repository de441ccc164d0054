public import CLinuxShims
public import CRingShims
public import Counters
public import CryptoDevice
public import CryptoTypes
public import EngineContract
public import GuestMemory
import IOUring
public import VirtQueue

/// One data queue's life on its own thread: wait for a kick, drain, publish, arm.
///
/// Everything it touches on the way is its own: ring, lane, slots, counters. In steady state a turn does not allocate,
/// retain, lock or log, and its only system calls are the io_uring's. It is generic over the lane and the ring so that
/// the wiring settles at compile time which engines and which rings there are; each specialised `run` is checked by the
/// compiler there.
@safe
public struct WorkerLoop<Lane: CryptoLane & ~Copyable, Queue: VirtQueueRing & ~Copyable>: ~Copyable
{
  @usableFromInline var queue: Queue
  /// The chain that is being read.
  @usableFromInline var chain = DescriptorChain()
  @usableFromInline var memory: MemoryView
  @usableFromInline var processor: RequestProcessor
  @usableFromInline var lane: Lane
  @usableFromInline var helpers: HelperLinks
  @usableFromInline var retirements: RetirementLog.Reader
  @usableFromInline var events: WorkerEvents
  @usableFromInline var limiter: QueueLimiter
  @usableFromInline let counters: CounterBlock
  /// Operations ready for the lane.
  @usableFromInline let batch: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>>
  @usableFromInline var batchCount = 0
  @usableFromInline let pollMode: PollMode
  @usableFromInline let spinTicks: UInt64
  // Operations in flight in a lane, by the half of the grace period that they were submitted in: a retired session's
  // keys go when all operations that could have seen it are back.
  @usableFromInline var inFlightByEpoch: (Int, Int) = (0, 0)
  @usableFromInline var mostInFlight: UInt64 = 0
  @usableFromInline var epoch: UInt8 = 0
  @usableFromInline var isRetiring = false
  @usableFromInline var retireLimit: UInt64 = 0
  /// Used entries written and not yet published.
  @usableFromInline var unpublishedCount = 0
  @usableFromInline var tally = CompletionTally()
  /// `clinux_lost_count` when this guest's memory was last looked at; at first, what it never is.
  @usableFromInline var seenLossCount = UInt64.max
  /// When the worker woke up, until its first look at the ring; else 0.
  @usableFromInline var wakeTicks: UInt64 = 0

  public init(
    queue: consuming Queue, memory: MemoryView, processor: consuming RequestProcessor,
    lane: consuming Lane, helpers: consuming HelperLinks, retirements: RetirementLog.Reader,
    events: consuming WorkerEvents, limiter: QueueLimiter, counters: CounterBlock,
    settings: WorkerSettings, ticksPerMicrosecond: Double
  ) {
    self.queue = queue
    self.memory = memory
    self.processor = processor
    self.lane = lane
    self.helpers = helpers
    self.retirements = retirements
    self.events = events
    self.limiter = limiter
    self.counters = counters
    unsafe batch = .allocate(capacity: WorkerSettings.batchCapacity)
    pollMode = settings.pollMode
    spinTicks = UInt64(Double(settings.spinMicroseconds) * ticksPerMicrosecond)
  }

  deinit { unsafe batch.deallocate() }

  /// Where the queue goes on when it is started again, as `GET_VRING_BASE` has it.
  public var base: UInt32 { queue.base }

  /// Serves the queue until a stop is requested, then finishes what is in flight.
  ///
  /// - Throws: the fault of the ring; what was taken before is finished and published.
  @inlinable
  public mutating func run() throws(QueueError) {
    if processor.undo.isOn { rollBack() }
    do throws(QueueError) {
      try serve()
    } catch {
      finishInFlight()
      // Zeros in the place of a ring look like one that the guest has corrupted.
      throw memory.isLost ? .memoryLost : error
    }
    finishInFlight()
  }

  /// Puts back what requests in flight have written over themselves, before any is taken.
  @inlinable
  @inline(never)
  mutating func rollBack() {
    processor.beginRollBack()
    var index = 0
    while index < queue.resubmissionCount {
      do throws(QueueError) {
        try queue.startResubmission(index, in: &chain, &memory)
        try processor.rollBack(&chain, memory: &memory)
      } catch {
        // What is wrong with the chain comes up again when it is taken.
      }
      index &+= 1
    }
    // Logged before it is forgotten: who dies in between does all of it once more.
    if processor.dirty.isOn { processor.logPages() }
    processor.endRollBack()
  }

  @inlinable
  mutating func serve() throws(QueueError) {
    // The driver may have filled the ring before the queue was started here.
    queue.suppressKicks()
    while true {
      let wish = events.wish
      if wish & 1 != 0 { return }
      if wish == 0 {
        var watch = NoWatch()
        try serve(while: wish, &watch)
      } else {
        try serveWatched(while: wish)
      }
    }
  }

  /// Serves the queue and keeps account of the time.
  @inlinable
  @inline(never)
  mutating func serveWatched(while wish: UInt64) throws(QueueError) {
    var watch = ProfileWatch(counters, profile: wish >> 1)
    processor.copies.isTimed = true
    defer {
      processor.copies.isTimed = false
      watch.clock.stop()
    }
    try serve(while: wish, &watch)
  }

  /// Serves the queue as long as the control side wants the same.
  @inlinable
  mutating func serve<Watch: StageWatch>(
    while wish: UInt64, _ watch: inout Watch
  ) throws(QueueError) {
    var lastWork = clinux_ticks()
    var isSpinning = false
    while events.wish == wish {
      if try turn(&watch) {
        lastWork = clinux_ticks()
        isSpinning = false
        continue
      }
      if limiter.isThrottled {
        waitForLimit()
        isSpinning = false
        continue
      }
      if shouldSpin(since: lastWork) {
        events.flush()
        if !isSpinning { counters.add(.spins, 1) }
        isSpinning = true
        reap()
        cring_pause()
        continue
      }
      try sleep()
      isSpinning = false
    }
  }

  /// One turn of `run`, for who plays the worker's thread: takes what there is and answers what is done; false if there
  /// was nothing to do.
  @inlinable
  public mutating func turn() throws(QueueError) -> Bool {
    var watch = NoWatch()
    return try turn(&watch)
  }

  @inlinable
  mutating func turn<Watch: StageWatch>(_ watch: inout Watch) throws(QueueError) -> Bool {
    forgetRetired()
    guard try drain(&watch) else { return false }
    // The guest gets its call at once; only where sleep comes next anyway, both are one system call.
    if try !comesToRest() {
      // With it goes what lanes have prepared, and the kernel may compute it in the same call.
      if Watch.isOn { watch.enter(lane.inFlightCount > 0 ? waiting(watch) : .notify) }
      events.flush()
    }
    reap()
    watch.enter(.ring)
    return true
  }

  /// What a worker does that has nothing to do: it waits for the guest, or for an engine.
  @inlinable
  func waiting<Watch: StageWatch>(_ watch: borrowing Watch) -> WorkerStage {
    lane.inFlightCount > 0 ? .crypto(engine: watch.lateEngine) : .idle
  }

  @inlinable
  func shouldSpin(since lastWork: UInt64) -> Bool {
    switch pollMode {
    case .always: true
    case .event: false
    case .adaptive: clinux_ticks() &- lastWork < spinTicks
    }
  }

  /// Whether the worker is about to sleep: it never spins, and the ring is dry.
  @inlinable
  mutating func comesToRest() throws(QueueError) -> Bool {
    switch pollMode {
    case .adaptive, .always: false
    case .event: try !queue.look()
    }
  }

  /// Arms the kick, looks again, and sleeps until something happens.
  @inlinable
  mutating func sleep() throws(QueueError) {
    if !processor.canBegin && inFlightCount > 0 {
      // Nothing can be taken before something comes back, however much the ring holds.
      rest()
      reap()
      return
    }
    let hasMore = try queue.armKicks()
    // A ring of zeros is dry: it would be slept over.
    try checkMemory()
    if hasMore {
      events.flush()
      queue.suppressKicks()
      reap()
      return
    }
    if processor.dirty.isOn { processor.dirty.markRing() }
    rest()
    queue.suppressKicks()
    reap()
  }

  /// Takes in the io_uring's completions, and gives the lanes theirs.
  @inlinable
  mutating func reap() {
    while let completion = events.nextLaneCompletion(counters) { lane.take(completion) }
  }

  /// Takes a batch, runs it and publishes what is done; false if there was nothing to do.
  @inlinable
  mutating func drain<Watch: StageWatch>(_ watch: inout Watch) throws(QueueError) -> Bool {
    let startTicks = wakeTicks > 0 ? wakeTicks : clinux_ticks()
    wakeTicks = 0
    var hasMore = try queue.look()
    if Watch.isOn { watch.enter(hasMore ? .ring : waiting(watch)) }
    // One branch for a device without limits, whose orders have not changed.
    let most = limiter.isFree ? WorkerSettings.batchCapacity : allowance(hasMore, startTicks)
    var taken = 0
    batchCount = 0
    do throws(QueueError) {
      while hasMore, taken < most, processor.canBegin {
        try takeOne(startTicks, &watch)
        taken &+= 1
        hasMore = queue.hasMore()
      }
    } catch {
      if limiter.isLimited { charge(taken, startTicks) }
      // What came before the bad chain is answered.
      submitBatch(&watch)
      try checkMemory()
      publish(&watch)
      throw error
    }
    if limiter.isLimited { charge(taken, startTicks) }
    submitBatch(&watch)
    // Jobs may wait for more to come only where more can: not in a dry ring, not when they hold every slot, and not where
    // a limit may keep the next ones back.
    if !hasMore || !processor.canBegin || limiter.isLimited {
      if Watch.isOn, lane.inFlightCount > 0 { watch.enter(waiting(watch)) }
      lane.flush()
    }
    let completed = collect(&watch)
    if taken > 0 { counters.recordBatch(size: taken) }
    try checkMemory()
    publish(&watch)
    return taken > 0 || completed
  }

  /// Stops a queue whose guest's memory, or log, has been taken away: one load and one branch for each batch.
  ///
  /// Where it is the log, `finishInFlight` still shows what is done: the guest goes on when its front-end gives another one.
  @inlinable
  mutating func checkMemory() throws(QueueError) {
    if clinux_lost_count() != seenLossCount { try lookAtMemory() }
  }

  @inlinable
  @inline(never)
  mutating func lookAtMemory() throws(QueueError) {
    seenLossCount = clinux_lost_count()
    if memory.isLost || processor.dirty.isLogLost { throw .memoryLost }
  }

  @inlinable
  mutating func takeOne<Watch: StageWatch>(
    _ startTicks: UInt64, _ watch: inout Watch
  ) throws(QueueError) {
    guard let slot = unsafe processor.slots.take() else { return }
    do throws(QueueError) {
      try queue.takeChain(into: &chain, &memory)
      unsafe slot.pointee.startTicks = startTicks
      watch.enter(.memory)
      try chain.readAhead(&memory)
      watch.enter(.parse)
      defer { watchCopies(&watch, then: .ring) }
      switch unsafe try processor.begin(&chain, memory: &memory, slot: slot) {
      case .ready:
        // SAFETY: batchCount < batchCapacity, the caller's bound; the operation is the slot's first field.
        unsafe batch[batchCount] = UnsafeMutableRawPointer(slot)
          .assumingMemoryBound(to: CryptoOperation.self)
        batchCount &+= 1
      case .answered(let written):
        unsafe countRefused(unsafe slot, written)
        queue.complete(unsafe slot.pointee.ticket, writtenByteCount: written)
        unpublishedCount &+= 1
        unsafe processor.slots.release(slot)
      }
    } catch {
      unsafe processor.slots.release(slot)
      throw error
    }
  }

  /// Goes on to a stage, and takes copies through bounce buffers out of the one before.
  @inlinable
  mutating func watchCopies<Watch: StageWatch>(_ watch: inout Watch, then stage: WorkerStage) {
    guard Watch.isOn else { return }
    watch.give(processor.copies.takeTicks(), to: .memory)
    watch.enter(stage)
  }

  /// Gives the batch to the lane, engine by engine, with the time of each.
  @inlinable
  mutating func submitWatched<Watch: StageWatch>(_ watch: inout Watch) {
    var start = 0
    while start < batchCount {
      // SAFETY: the first batchCount entries were written by `takeOne`.
      let engine = unsafe batch[start].pointee.engineIndex
      var end = start &+ 1
      while end < batchCount, unsafe batch[end].pointee.engineIndex == engine { end &+= 1 }
      watch.enter(.crypto(engine: engine))
      unsafe lane.submit(UnsafeMutableBufferPointer(start: batch + start, count: end &- start))
      start = end
    }
  }

  /// Gives the batch to the lane, and completes what is done at once.
  @inlinable
  mutating func submitBatch<Watch: StageWatch>(_ watch: inout Watch) {
    if helpers.exist { giveToHelpers() }
    guard batchCount > 0 else { return }
    if Watch.isOn {
      submitWatched(&watch)
    } else {
      // SAFETY: the first batchCount entries were written by `takeOne`.
      unsafe lane.submit(UnsafeMutableBufferPointer(start: batch, count: batchCount))
    }
    let now = clinux_ticks()
    watch.enter(.completion, at: now)
    var index = 0
    var inFlightCount = 0
    while index < batchCount {
      let operation = unsafe batch[index]
      let slot = unsafe SlotTable.slot(of: operation)
      if unsafe operation.pointee.disposition == .done {
        unsafe complete(slot, now)
      } else {
        unsafe slot.pointee.epoch = epoch
        inFlightCount &+= 1
        if Watch.isOn { watch.noteLate(engine: unsafe operation.pointee.engineIndex) }
      }
      index &+= 1
    }
    watchCopies(&watch, then: .completion)
    if inFlightCount > 0 { addInFlight(inFlightCount) }
    batchCount = 0
  }

  /// Completes what the lane has finished since; whether there was any.
  @inlinable
  mutating func collect<Watch: StageWatch>(_ watch: inout Watch) -> Bool {
    var any = false
    // Read once for all that is there: they become visible to the driver together.
    var now: UInt64 = 0
    while let operation = unsafe lane.nextCompletion() {
      if !any {
        now = clinux_ticks()
        watch.enter(.completion, at: now)
      }
      unsafe completeLate(operation, now)
      any = true
    }
    if helpers.areBusy, collectFromHelpers() { any = true }
    if any {
      watchCopies(&watch, then: .completion)
      noteInFlight()
    }
    return any
  }

  /// Completes an operation that was in flight; `noteInFlight` is the caller's.
  @inlinable
  mutating func completeLate(_ operation: UnsafeMutablePointer<CryptoOperation>, _ now: UInt64) {
    let slot = unsafe SlotTable.slot(of: operation)
    if unsafe slot.pointee.epoch == 0 {
      inFlightByEpoch.0 &-= 1
    } else {
      inFlightByEpoch.1 &-= 1
    }
    unsafe complete(slot, now)
  }

  /// Counts operations that were submitted in this half of the grace period.
  @inlinable
  mutating func addInFlight(_ count: Int) {
    if epoch == 0 { inFlightByEpoch.0 &+= count } else { inFlightByEpoch.1 &+= count }
    noteInFlight()
  }

  /// Shows how many are in flight.
  @inlinable
  mutating func noteInFlight() {
    let count = UInt64(inFlightByEpoch.0 &+ inFlightByEpoch.1)
    counters.setGauge(.inFlight, count)
    if count > mostInFlight {
      mostInFlight = count
      counters.setGauge(.inFlightMaximum, count)
    }
  }

  /// Answers a request; `now` is when it was finished.
  @inlinable
  mutating func complete(_ slot: UnsafeMutablePointer<RequestSlot>, _ now: UInt64) {
    if unsafe slot.pointee.isBounced { counters.add(.bounced, 1) }
    let written = unsafe processor.finish(slot)
    unsafe tally.add(
      row: slot.pointee.row, engine: slot.pointee.operation.engineIndex,
      status: slot.pointee.status, byteCount: slot.pointee.operation.sourceByteCount,
      ticks: now &- slot.pointee.startTicks, counters)
    queue.complete(unsafe slot.pointee.ticket, writtenByteCount: written)
    unpublishedCount &+= 1
    unsafe processor.slots.release(slot)
  }

  /// Publishes the batch's used entries once, and calls the driver if it wants to be.
  @inlinable
  mutating func publish<Watch: StageWatch>(_ watch: inout Watch) {
    guard unpublishedCount > 0 else { return }
    unpublishedCount = 0
    tally.flush(counters)
    let wantsCall = processor.dirty.isOn ? publishLogged() : queue.publish()
    if processor.undo.hasFinished, queue.isSettled { processor.forgetFinished() }
    if wantsCall {
      watch.enter(.notify)
      events.signalCall()
      counters.add(.callsSent, 1)
    } else {
      counters.add(.callsSuppressed, 1)
    }
  }

  /// Counts a request that was answered without an engine.
  @inlinable
  func countRefused(_ slot: UnsafeMutablePointer<RequestSlot>, _ written: UInt32) {
    counters.add(.requests, 1)
    if written == 0 {
      counters.add(.requestsWithoutStatus, 1)
    } else if unsafe slot.pointee.hasRow {
      unsafe counters.record(
        row: slot.pointee.row, engine: slot.pointee.operation.engineIndex, byteCount: 0,
        statusCode: slot.pointee.status, ticks: clinux_ticks() &- slot.pointee.startTicks)
    } else {
      counters.add(.requestsRefused, 1)
    }
  }
}
