public import CLinuxShims
public import CRingShims
public import CryptoTypes
public import EngineContract
public import IOUring

/// A helper's life on its own thread: take operations from its worker, run them, give them back.
///
/// It shares nothing but its mailbox, and has a lane, an io_uring and expanded keys of its own. Generic over the lane for
/// the same reason as `WorkerLoop`.
@safe
public struct HelperLoop<Lane: CryptoLane & ~Copyable>: ~Copyable {
  // Before the ring: what the lane holds goes first.
  @usableFromInline var lane: Lane
  @usableFromInline var ring: IOUring
  @usableFromInline let context: HelperCrew.Context
  @usableFromInline let spinTicks: UInt64
  /// Room for a batch of one.
  @usableFromInline let single: UnsafeMutablePointer<UnsafeMutablePointer<CryptoOperation>>
  // Words taken from the worker, and given to it.
  @usableFromInline var taken: UInt64 = 0
  @usableFromInline var given: UInt64 = 0
  @usableFromInline var wakeIsArmed = false

  /// - `ring`: the one that the lane was made with; made on the helper's own thread, as the lane was.
  public init(
    _ context: HelperCrew.Context, lane: consuming Lane, ring: consuming IOUring,
    settings: WorkerSettings, ticksPerMicrosecond: Double
  ) {
    self.lane = lane
    self.ring = ring
    self.context = context
    unsafe single = .allocate(capacity: 1)
    // However a worker waits, its helpers do not burn a processor while there is nothing long to do.
    spinTicks =
      settings.pollMode == .event
      ? 0 : UInt64(Double(settings.spinMicroseconds) * ticksPerMicrosecond)
  }

  deinit { unsafe single.deallocate() }

  /// Serves the worker until it says stop, which it does when it has everything back.
  @inlinable
  public mutating func run() {
    var lastWork = clinux_ticks()
    while true {
      if work() {
        lastWork = clinux_ticks()
      } else if context.stopRequested {
        return
      } else if lane.inFlightCount == 0, clinux_ticks() &- lastWork < spinTicks {
        cring_pause()
      } else {
        sleep()
      }
    }
  }

  /// Takes what has come and gives back what is finished; whether there was any.
  @inlinable
  mutating func work() -> Bool {
    var any = false
    while let word = context.operations.take(at: taken) {
      taken &+= 1
      any = true
      if word & 1 != 0 {
        lane.forget(sessionIndex: UInt32(truncatingIfNeeded: word >> 1))
        give(word)
      } else {
        start(word)
      }
      _ = collect()
    }
    if lane.inFlightCount > 0 {
      // Jobs wait for more to come only while there are more.
      lane.flush()
      if collect() { any = true }
      if ring.hasPrepared { ring.submit() }
    }
    return any
  }

  /// Runs an operation by itself: each is long enough, and is given back as soon as it is finished.
  @inlinable
  mutating func start(_ word: UInt64) {
    // SAFETY: an even word is the address of an operation, which is this thread's until it is given back.
    guard
      let operation = unsafe UnsafeMutablePointer<CryptoOperation>(bitPattern: UInt(word))
    else { return }
    unsafe single.initialize(to: operation)
    unsafe lane.submit(UnsafeMutableBufferPointer(start: single, count: 1))
    if unsafe operation.pointee.disposition == .done { give(word) }
  }

  /// Gives back what the lane has finished since; whether there was any.
  @inlinable
  mutating func collect() -> Bool {
    var any = false
    while let operation = unsafe lane.nextCompletion() {
      give(UInt64(UInt(bitPattern: operation)))
      any = true
    }
    return any
  }

  @inlinable
  mutating func give(_ word: UInt64) {
    context.results.put(word, at: given)
    given &+= 1
    if context.workerSleep.claim() { IOUring.signalNow(fd: context.workerWakeDescriptor) }
  }

  /// Looks again, and sleeps until the worker has something or the lane's io_uring does.
  @inlinable
  mutating func sleep() {
    context.helperSleep.announce()
    if !context.operations.hasWord(at: taken), !context.stopRequested {
      if !wakeIsArmed {
        wakeIsArmed = ring.pollMultishot(
          fd: context.wakeDescriptor, userData: UserData(kind: 1, index: 0))
      }
      ring.submitAndWait()
    }
    context.helperSleep.end()
    while let completion = ring.nextCompletion() {
      if completion.userData.kind >= UserData.firstLaneKind {
        lane.take(completion)
      } else if !completion.hasMore {
        wakeIsArmed = false
      }
    }
  }
}
