import CKcapi
public import CryptoTypes
public import EngineContract
import Glibc
public import IOUring

/// One worker's share of the engine: operations in the kernel, those that wait for room there, and sockets that hold
/// sessions' keys.
///
/// Operations come back `submitted`; the kernel finishes them in any order. Used by one thread at a time. The keys are
/// the kernel's: it wipes them when the sockets are closed, at `forget`, and when the lane goes, at which time nothing may
/// be in flight.
@safe
public struct KernelLane: ~Copyable, EngineLane {
  /// What a message may have beyond the longest source: a tag, and what rounding costs.
  static var messageSlack: Int { @_noAllocation @_noLocks get { 4096 } }
  /// Sessions whose sockets are kept open at once, beyond those in flight; others are opened again when they are used.
  private static let spareEntryCount = 256

  let ring: SubmissionRing
  let table: TransformTable
  /// The kind of this lane's completions.
  private let completionKind: UInt8
  /// A send that fails is the last that is heard of its step.
  private let sendsSilently: Bool
  let usualByteCount: Int
  let messageByteCount: Int
  /// One retain, which keeps `table` alive.
  private let engine: Unmanaged<KernelEngine>

  // Jobs, by index.
  private let jobs: UnsafeMutablePointer<KernelJob>
  private let jobCount: Int
  private var firstFreeJob: Int32 = 0
  /// Room for what the kernel writes and nobody reads, or on its way to the next step: `scratchByteCount` per job.
  private let scratch: UnsafeMutablePointer<UInt8>
  let scratchByteCount: Int
  private let scratchTotal: Int

  /// Operation sockets of all entries that wait to be used again; bounded, since they are the whole process's.
  let idleSocketCount: UnsafeMutablePointer<Int>
  /// 32 bytes for a key on its way to the kernel.
  let keyScratch: UnsafeMutablePointer<UInt8>

  // Operations that wait for a job, and that are finished, oldest first.
  private var waiting: OperationQueue
  private var finished: OperationQueue
  public private(set) var inFlightCount = 0

  // Sessions' sockets.
  let entries: UnsafeMutablePointer<KeyedEntry>
  let parts: UnsafeMutablePointer<KeyedPart>
  let entryCount: Int
  /// One more than the entry, by session index; 0: none.
  let entryOfSession: UnsafeMutablePointer<UInt16>
  let sessionCapacity: UInt32
  /// Counts operations begun, as a clock for `lastUse`.
  var useCount: UInt64 = 0

  /// - Throws: `EngineError` if there is no memory for it, or for an impossible number of sessions.
  public init(engine: KernelEngine, environment: LaneEnvironment) throws(EngineError) {
    guard (0...Int(Int32.max)).contains(environment.sessionCapacity) else {
      throw EngineError("kernel: a lane cannot hold \(environment.sessionCapacity) sessions")
    }
    let jobCount = engine.inFlightCount
    let entryCount = jobCount + Self.spareEntryCount
    let scratchByteCount = environment.maximumByteCount + Self.messageSlack
    let mapByteCount = max(environment.sessionCapacity, 1) * MemoryLayout<UInt16>.stride
    guard let map = unsafe ckcapi_map(mapByteCount) else {
      throw EngineError(
        "kernel: reserving a lane for \(environment.sessionCapacity) sessions failed")
    }
    guard let scratch = unsafe ckcapi_map(scratchByteCount * jobCount) else {
      unsafe ckcapi_unmap(map, mapByteCount)
      throw EngineError("kernel: reserving \(scratchByteCount * jobCount) bytes failed")
    }
    ring = environment.ring
    completionKind = environment.completionKind
    sendsSilently = environment.ring.sendsSilently
    table = unsafe engine.table
    usualByteCount = engine.usualByteCount
    messageByteCount = engine.messageByteCount
    unsafe self.engine = Unmanaged.passRetained(engine)
    self.jobCount = jobCount
    // SAFETY: mapped memory is zero, and zero is a valid value of everything that is put there.
    unsafe self.scratch = scratch.assumingMemoryBound(to: UInt8.self)
    self.scratchByteCount = scratchByteCount
    scratchTotal = scratchByteCount * jobCount
    unsafe entryOfSession = map.assumingMemoryBound(to: UInt16.self)
    sessionCapacity = UInt32(environment.sessionCapacity)
    waiting = OperationQueue(capacity: environment.operationCapacity)
    finished = OperationQueue(capacity: environment.operationCapacity)
    unsafe keyScratch = Self.zeroed(32)
    unsafe idleSocketCount = Self.zeroed(1)
    unsafe jobs = Self.zeroed(jobCount)
    unsafe entries = Self.zeroed(entryCount)
    unsafe parts = Self.zeroed(entryCount * Int(KeyedEntry.partCount))
    self.entryCount = entryCount
    for index in 0..<jobCount {
      unsafe jobs[index].next = index + 1 < jobCount ? Int32(index + 1) : -1
    }
  }

  private static func zeroed<Element>(_ count: Int) -> UnsafeMutablePointer<Element> {
    let byteCount = count * MemoryLayout<Element>.stride
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: byteCount, alignment: MemoryLayout<Element>.alignment)
    // SAFETY: all bits zero is a valid value of the types that this is called for.
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    return unsafe memory.assumingMemoryBound(to: Element.self)
  }

  deinit {
    // SAFETY: nobody else has these pointers; the engine, which owns the table, goes last.
    for index in 0..<entryCount where unsafe entries[index].isOpen { close(Int32(index)) }
    unsafe ckcapi_wipe(jobs, jobCount * MemoryLayout<KernelJob>.stride)
    unsafe ckcapi_unmap(scratch, scratchTotal)
    unsafe ckcapi_unmap(entryOfSession, max(Int(sessionCapacity), 1) * MemoryLayout<UInt16>.stride)
    unsafe keyScratch.deallocate()
    unsafe idleSocketCount.deallocate()
    unsafe jobs.deallocate()
    unsafe entries.deallocate()
    unsafe parts.deallocate()
    unsafe engine.release()
  }

  // MARK: - The contract

  /// Takes operations; most come back `submitted`.
  @_noAllocation @_noLocks
  public mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    var index = 0
    while index < batch.count {
      // SAFETY: index is in bounds; the caller keeps operations and what they point to alive until they are completed.
      let operation = unsafe batch[index]
      if let outcome = unsafe outcomeAtOnce(operation) {
        unsafe operation.pointee.outcome = outcome
        unsafe operation.pointee.disposition = .done
      } else {
        unsafe operation.pointee.disposition = .submitted
        inFlightCount &+= 1
        unsafe waiting.append(operation)
      }
      index &+= 1
    }
    startWaiting()
  }

  /// Starts what had to wait for room.
  @_noAllocation @_noLocks
  public mutating func flush() { startWaiting() }

  /// An operation that is finished now, with its `outcome`; nil if there is none.
  @_noAllocation @_noLocks
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    guard let operation = unsafe finished.removeFirst() else { return nil }
    inFlightCount &-= 1
    return unsafe operation
  }

  /// Takes in the end of a step: the read's, or that of a send that failed.
  @_noAllocation @_noLocks
  public mutating func take(_ completion: Completion) {
    let isSend = completion.userData.index & Self.sendFlag != 0
    let index = Int(completion.userData.index & ~Self.sendFlag)
    guard index < jobCount else { return }
    // SAFETY: the index is in bounds.
    let job = unsafe jobs + index
    // Where both complete, the read's end, cancelled or not, is the step's.
    if isSend && (!sendsSilently || completion.result >= 0) { return }
    unsafe endStep(job, completion.result)
    startWaiting()
  }

  /// Closes the sockets of a session, with which the kernel wipes its keys.
  @_noAllocation @_noLocks
  public mutating func forget(sessionIndex: UInt32) {
    guard sessionIndex < sessionCapacity else { return }
    // SAFETY: the index is in bounds.
    let entry = unsafe Int32(entryOfSession[Int(sessionIndex)]) &- 1
    if entry >= 0 { close(entry) }
  }

  /// Whether the kernel takes the session's keys; it forgets them again at once.
  @_noAllocation @_noLocks
  public mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    guard let entry = freeEntry() else { return .exhausted }
    // SAFETY: the caller keeps the session alive.
    let outcome = unsafe open(session, in: entry)
    close(entry)
    return outcome
  }

  // MARK: - Operations

  /// Tells a send's completion from a read's; jobs are fewer.
  static var sendFlag: UInt32 { @_noAllocation @_noLocks get { 1 << 31 } }

  /// Starts waiting operations while there are jobs, and room in the io_uring.
  @_noAllocation @_noLocks
  private mutating func startWaiting() {
    while firstFreeJob >= 0, unsafe waiting.first != nil, ring.reserve(2) {
      guard let operation = unsafe waiting.removeFirst() else { return }
      // SAFETY: the free list holds indices of jobs.
      let job = unsafe jobs + Int(firstFreeJob)
      unsafe firstFreeJob = job.pointee.next
      unsafe start(operation, as: job)
    }
  }

  @_noAllocation @_noLocks
  private mutating func start(
    _ operation: UnsafeMutablePointer<CryptoOperation>, as job: UnsafeMutablePointer<KernelJob>
  ) {
    // SAFETY: the operation is alive until it is given back; the job is ours.
    unsafe job.pointee.operation = operation
    unsafe job.pointee.entry = -1
    unsafe job.pointee.socket = .min
    useCount &+= 1
    var outcome = CryptoOutcome.exhausted
    if let entry = unsafe entry(of: operation, &outcome) {
      unsafe job.pointee.entry = entry
      unsafe entries[Int(entry)].userCount &+= 1
      unsafe entries[Int(entry)].lastUse = useCount
      unsafe job.pointee.steps = Self.steps(of: operation)
      unsafe prepare(operation)
      unsafe outcome = openFurtherParts(job)
      if outcome == .ok { unsafe outcome = submitStep(job) }
      if outcome == .ok { return }
    }
    unsafe finish(job, outcome)
  }

  /// Submits the step that is due; anything but `ok` is the operation's outcome.
  @_noAllocation @_noLocks
  private mutating func submitStep(_ job: UnsafeMutablePointer<KernelJob>) -> CryptoOutcome {
    // SAFETY: the job's exchange stays where it is until the step ends.
    let step = unsafe KernelStep.first(of: job.pointee.steps)
    guard let step, ring.reserve(2) else { return .failed }
    unsafe job.pointee.part = Self.part(of: step)
    let outcome = unsafe fill(job, step)
    guard outcome == .ok else { return outcome }
    let isLong = unsafe Self.byteCount(of: job) > UInt64(usualByteCount)
    guard let socket = unsafe operationSocket(job, isLong: isLong) else { return .exhausted }
    unsafe job.pointee.socket = socket
    let transform = unsafe table.transform(
      at: Int(
        parts[Int(job.pointee.entry &* KeyedEntry.partCount &+ job.pointee.part)]
          .transformIndex))
    // A hash is computed while its message is sent; what the kernel finishes by itself needs nobody to wait.
    let isHash = transform.kind.code == TransformKind.hash.code
    let index = unsafe UInt32(truncatingIfNeeded: job - jobs)
    unsafe ring.sendThenRead(
      fd: Self.descriptor(socket), message: Self.message(of: job), vector: Self.output(of: job),
      vectorCount: job.pointee.exchange.output_count,
      userData: UserData(kind: completionKind, index: index),
      sendUserData: UserData(kind: completionKind, index: index | Self.sendFlag),
      sendsInThread: isHash || transform.runsInThread,
      readsInThread: !isHash && transform.runsInThread)
    return .ok
  }

  /// Takes in what the kernel says of a step, and goes on with the next one.
  @_noAllocation @_noLocks
  private mutating func endStep(_ job: UnsafeMutablePointer<KernelJob>, _ result: Int32) {
    // SAFETY: the job is in flight.
    let isWhole = unsafe result >= 0 && UInt64(result) == job.pointee.exchange.expected
    unsafe giveBack(job, isUsable: isWhole || result == -EBADMSG)
    guard isWhole else {
      unsafe finish(job, outcome(of: result, job))
      return
    }
    let settled = unsafe settleStep(job)
    guard settled == .ok else {
      unsafe finish(job, settled)
      return
    }
    unsafe job.pointee.steps >>= 8
    if unsafe job.pointee.steps == 0 {
      unsafe finish(job, .ok)
      return
    }
    // Too late for another engine: something was written.
    let outcome = unsafe submitStep(job)
    if outcome != .ok { unsafe finish(job, .failed) }
  }

  /// What a failed read means for the operation.
  @_noAllocation @_noLocks
  private func outcome(
    of result: Int32, _ job: UnsafeMutablePointer<KernelJob>
  ) -> CryptoOutcome {
    if result == -EBADMSG { return .tagMismatch }
    // The kernel is short of something that another engine does not need, and has written nothing yet. In place it is
    // not known whether it has.
    let operation = unsafe job.pointee.operation
    let isShort = result == -ENOMEM || result == -ENOBUFS
    let isInPlace = unsafe operation.pointee.source == UnsafePointer(operation.pointee.destination)
    return isShort && !isInPlace ? .exhausted : .failed
  }

  /// Ends an operation and frees its job.
  @_noAllocation @_noLocks
  private mutating func finish(
    _ job: UnsafeMutablePointer<KernelJob>, _ outcome: CryptoOutcome
  ) {
    // SAFETY: the job is not in flight any more.
    let operation = unsafe job.pointee.operation
    unsafe conclude(operation, outcome)
    unsafe operation.pointee.outcome = outcome
    unsafe ckcapi_wipe(Self.result(of: Self.exchange(of: job)), 64)
    let entry = unsafe job.pointee.entry
    if entry >= 0 {
      unsafe entries[Int(entry)].userCount &-= 1
      if unsafe entries[Int(entry)].sessionIndex == CryptoOperation.transientSession {
        close(entry)
      }
    }
    unsafe job.pointee.next = firstFreeJob
    firstFreeJob = unsafe Int32(truncatingIfNeeded: job - jobs)
    unsafe finished.append(operation)
  }

  /// A job's own memory: `scratchByteCount` bytes.
  @_noAllocation @_noLocks
  func scratch(of job: UnsafeMutablePointer<KernelJob>) -> UnsafeMutablePointer<UInt8> {
    unsafe scratch + (job - jobs) &* scratchByteCount
  }

  // Addresses of stored fields of a job, which stays where it is.
  @_noAllocation @_noLocks
  private static func message(of job: UnsafeMutablePointer<KernelJob>) -> UnsafeRawPointer {
    unsafe withUnsafeMutablePointer(to: &job.pointee.exchange.message) { UnsafeRawPointer($0) }
  }

  @_noAllocation @_noLocks
  private static func output(of job: UnsafeMutablePointer<KernelJob>) -> UnsafeRawPointer {
    unsafe withUnsafeMutablePointer(to: &job.pointee.exchange.output) { UnsafeRawPointer($0) }
  }
}
