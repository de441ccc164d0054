import CRingShims
public import GuestMemory
public import LinuxSystem
public import VirtQueue
import VirtioSpec

/// The control queue, where the front-end leaves it to us: served by the device's own thread, never by a data worker.
@safe
public struct ControlQueue<Queue: VirtQueueRing & ~Copyable>: ~Copyable {
  private var queue: Queue
  private var memory: MemoryView
  private var outcomeSpans: SpanList
  private let request: UnsafeMutableRawPointer
  /// `LostMappings.count` when this guest's memory was last looked at.
  private var seenLossCount = UInt64.max
  private var dirty: DirtyPages

  /// - `memory`: a view of the map that the queue was set up with; the map must outlive the value.
  /// - `dirty`: where pages are logged that the queue writes.
  public init(
    queue: consuming Queue, memory: MemoryView, dirty: consuming DirtyPages = DirtyPages()
  ) throws(SystemError) {
    let spans = try SpanList()
    outcomeSpans = spans
    self.queue = queue
    self.memory = memory
    self.dirty = dirty
    unsafe request = .allocate(byteCount: ControlRequest.maximumByteCount, alignment: 16)
  }

  deinit {
    // A ring that breaks inside a request leaves its keys here.
    unsafe cring_wipe(request, ControlRequest.maximumByteCount)
    unsafe request.deallocate()
  }

  /// Where the queue goes on, as `GET_VRING_BASE` has it.
  public var base: UInt32 { queue.base }

  /// Up to where the driver has been shown answers.
  public var publishedPosition: UInt32 { queue.publishedPosition }

  /// The most requests carried out in one go, so that a guest which never stops cannot keep the device's thread.
  private static var turnLimit: Int { 4096 }

  /// Carries out what the driver has made available, and asks for a kick with the next request.
  ///
  /// Throws the ring's fault; what came before is answered and published, unless the guest's memory was taken away.
  public mutating func serve(_ core: DeviceCore) throws(QueueError) -> ControlTurn {
    do throws(QueueError) {
      try checkMemory()
      // Not in between: what is carried out is answered, for the guest goes on when its front-end gives another log.
      if dirty.isLogLost { throw .memoryLost }
      return try serveAll(core)
    } catch {
      // Zeros in the place of a ring look like one that the guest has corrupted.
      throw memory.isLost ? .memoryLost : error
    }
  }

  private mutating func checkMemory() throws(QueueError) {
    let count = LostMappings.count
    guard count != seenLossCount else { return }
    seenLossCount = count
    if memory.isLost { throw .memoryLost }
  }

  private mutating func serveAll(_ core: DeviceCore) throws(QueueError) -> ControlTurn {
    var turn = ControlTurn()
    var served = 0
    // Once for all of them: each request's frames lie over those of the one before.
    defer { UnusedStack.wipe() }
    repeat {
      var hasMore = try queue.look()
      do throws(QueueError) {
        while hasMore, served < Self.turnLimit {
          try serveOne(core)
          served += 1
          // So that no more than one request is ever between its change and its answer; and none that changed nothing is
          // shown with it, as a packed ring may show them one after the other, which would pass for its being shown.
          if core.showsEachAnswer {
            try checkMemory()
            if publish() { turn.wantsCall = true }
            core.answersWereShown()
          }
          hasMore = queue.hasMore()
        }
      } catch {
        try checkMemory()
        _ = publish()
        throw error
      }
      try checkMemory()
      if publish() { turn.wantsCall = true }
      if served >= Self.turnLimit {
        turn.hasMore = true
        return turn
      }
    } while try armKicks()
    try checkMemory()
    return turn
  }

  private mutating func publish() -> Bool {
    dirty.flush()
    defer { dirty.markRing() }
    return queue.publish()
  }

  private mutating func armKicks() throws(QueueError) -> Bool {
    defer { dirty.markRing() }
    return try queue.armKicks()
  }

  private mutating func serveOne(_ core: DeviceCore) throws(QueueError) {
    var chain = try queue.takeChain(&memory)
    // SAFETY: the buffer has room for maximumByteCount bytes. It held key material, so it is wiped.
    let byteCount = unsafe try chain.copyReadable(
      into: request, byteCount: ControlRequest.maximumByteCount, &memory)
    defer { unsafe cring_wipe(request, byteCount) }
    // Where the answer goes is settled before anything is done.
    outcomeSpans.removeAll()
    _ = try chain.collectWritable(
      byteCount: VirtioCryptoWire.createSessionInputByteCount, into: &outcomeSpans, &memory)
    _ = unsafe try chain.lastWritableByte(&memory)
    var written = 0
    core.beginRequest(at: queue.publishedPosition)
    defer { core.endRequest() }
    if let outcome = unsafe core.perform(
      UnsafeRawBufferPointer(start: request, count: byteCount),
      outcomeByteCount: outcomeSpans.totalByteCount),
      outcome.byteCount <= outcomeSpans.totalByteCount
    {
      write(outcome)
      written = outcome.byteCount
    }
    queue.complete(chain.ticket, writtenByteCount: UInt32(written))
  }

  /// Copies the outcome into the guest's buffers, which may be in pieces and have room for it.
  private mutating func write(_ outcome: ControlOutcome) {
    var bytes = outcome.words
    var offset = 0
    unsafe withUnsafeBytes(of: &bytes) { bytes in
      guard let base = bytes.baseAddress else { return }
      var index = 0
      while offset < outcome.byteCount {
        let run = outcomeSpans.slice(index)
        let count = min(run.byteCount, outcome.byteCount - offset)
        // SAFETY: the run is checked guest memory; an outcome has at most sixteen bytes, all of them in the words.
        unsafe cring_copy(run.pointer, base + offset, count)
        unsafe dirty.note(run.pointer, byteCount: count)
        offset += count
        index += 1
      }
    }
  }
}

/// What one go at the control queue leaves to do.
public struct ControlTurn {
  /// The driver wants to be called.
  public var wantsCall = false
  /// There may be more requests, for which no kick will come.
  public var hasMore = false
}
