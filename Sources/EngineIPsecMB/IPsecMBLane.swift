import CIPsecMB
public import CryptoTypes
public import EngineContract
public import IOUring

/// One worker's share of the engine: a manager that collects jobs, another for work that is finished at once, and keys.
///
/// Operations may come back `submitted`; `flush` finishes them. Used by one thread at a time. Wipes all keys when it
/// goes, at which time nothing may be in flight.
@safe
public struct IPsecMBLane: ~Copyable, EngineLane {
  /// The most bytes that one operation may process.
  static var maximumByteCount: UInt32 { @_noAllocation @_noLocks get { 1 << 30 } }
  /// Jobs in flight or completed and not collected: twice what a manager holds.
  static var slotCount: Int { @_noAllocation @_noLocks get { 512 } }

  let manager: UnsafeMutablePointer<IMB_MGR>
  /// Never has a job of its own in flight when a call returns.
  let direct: UnsafeMutablePointer<IMB_MGR>
  /// Sessions of lower index have an entry.
  let sessionCapacity: UInt32
  /// Sessions' keys, by index; behind them one entry for trials.
  private let entries: UnsafeMutableRawPointer
  private let entriesByteCount: Int
  /// Job slots, and behind them one for work that is finished at once.
  private let slots: UnsafeMutableRawPointer
  /// The jobs of a burst, and behind them room for a tag each.
  let burstJobs: UnsafeMutablePointer<IMB_JOB>
  /// Room for the longest text of KASUMI's MAC.
  let joined: UnsafeMutablePointer<UInt8>
  private static var joinedByteCount: Int { 2560 }
  private var firstFree: Int32
  private var firstCompleted: Int32
  private var lastCompleted: Int32
  private var usedSlotCount: Int
  private var batchNumber: UInt64
  private var isSubmitting: Bool
  /// The sessions whose entries are expanded.
  private var keyed: KeyedSessions
  /// Groups of entries that keep their memory, so that a guest whose few sessions come and go costs no system calls.
  private static var residentGroupCount: Int { @_noAllocation @_noLocks get { 8 } }

  /// - Throws: `EngineError` if there is no memory for it, or for an impossible number of sessions.
  public init(engine: IPsecMBEngine, environment: LaneEnvironment) throws(EngineError) {
    let sessionCapacity = environment.sessionCapacity
    guard (0...Int(Int32.max)).contains(sessionCapacity) else {
      throw EngineError("ipsec-mb: a lane cannot hold \(sessionCapacity) sessions")
    }
    let entriesByteCount = (sessionCapacity + 1) * KeyedEntry.stride
    let slotsByteCount = (Self.slotCount + 1) * JobSlot.stride
    // SAFETY: mapped memory is zero and page-aligned, which is a table of empty entries; it is ours until deinit.
    let entries = unsafe cipsecmb_map(entriesByteCount)
    let slots = unsafe cipsecmb_map(slotsByteCount)
    let manager = unsafe cipsecmb_make()
    let direct = unsafe cipsecmb_make()
    let burst = unsafe cipsecmb_map(Self.burstRoomByteCount)
    guard
      let entries = unsafe entries, let slots = unsafe slots, let burst = unsafe burst,
      let manager = unsafe manager, let direct = unsafe direct
    else {
      if let entries = unsafe entries { unsafe cipsecmb_unmap(entries, entriesByteCount) }
      if let slots = unsafe slots { unsafe cipsecmb_unmap(slots, slotsByteCount) }
      if let burst = unsafe burst { unsafe cipsecmb_unmap(burst, Self.burstRoomByteCount) }
      if let manager = unsafe manager { unsafe cipsecmb_free(manager) }
      if let direct = unsafe direct { unsafe cipsecmb_free(direct) }
      throw EngineError("ipsec-mb: reserving a lane for \(sessionCapacity) sessions failed")
    }
    self.entriesByteCount = entriesByteCount
    unsafe self.entries = entries
    unsafe self.slots = slots
    unsafe burstJobs = burst.assumingMemoryBound(to: IMB_JOB.self)
    unsafe joined = .allocate(capacity: Self.joinedByteCount)
    unsafe self.manager = manager
    unsafe self.direct = direct
    self.sessionCapacity = UInt32(sessionCapacity)
    firstFree = 0
    firstCompleted = -1
    lastCompleted = -1
    usedSlotCount = 0
    batchNumber = 0
    isSubmitting = false
    keyed = KeyedSessions(capacity: sessionCapacity)
    for index in 0..<Self.slotCount {
      unsafe slot(at: index).pointee.next = index + 1 < Self.slotCount ? Int32(index + 1) : -1
    }
  }

  deinit {
    // SAFETY: nobody else has these pointers.
    for index in 0..<keyed.end where keyed.contains(index) {
      unsafe cipsecmb_wipe(entry(at: index), KeyedEntry.stride)
    }
    let slotsByteCount = (Self.slotCount + 1) * JobSlot.stride
    unsafe cipsecmb_wipe(slots, slotsByteCount)
    unsafe cipsecmb_unmap(slots, slotsByteCount)
    unsafe cipsecmb_wipe(burstJobs, Self.burstRoomByteCount)
    unsafe cipsecmb_unmap(burstJobs, Self.burstRoomByteCount)
    unsafe cipsecmb_unmap(entries, entriesByteCount)
    unsafe cipsecmb_free(manager)
    unsafe cipsecmb_free(direct)
    unsafe joined.deallocate()
  }

  /// Operations that came back `submitted` and were not collected yet.
  public var inFlightCount: Int { @_noAllocation @_noLocks get { usedSlotCount } }

  /// Finishes all jobs; they wait for `nextCompletion`.
  @_noAllocation @_noLocks
  public mutating func flush() {
    // SAFETY: a job that comes back is valid until the next call that takes one.
    while let job = unsafe cipsecmb_flush(manager) { unsafe settle(job) }
  }

  /// Does nothing: no completion is this engine's.
  @_noAllocation @_noLocks
  public mutating func take(_ completion: Completion) {}

  /// An operation that was `submitted` and is finished now, with its `outcome`; nil if there is none.
  @_noAllocation @_noLocks
  public mutating func nextCompletion() -> UnsafeMutablePointer<CryptoOperation>? {
    guard firstCompleted >= 0 else { return nil }
    // SAFETY: indices in the list are of slots.
    let slot = unsafe slot(at: Int(firstCompleted))
    let operation = unsafe slot.pointee.operation
    firstCompleted = unsafe slot.pointee.next
    if firstCompleted < 0 { lastCompleted = -1 }
    unsafe release(slot)
    return unsafe operation
  }

  /// Runs operations, or takes them as jobs.
  @_noAllocation @_noLocks
  public mutating func submit(
    _ batch: UnsafeMutableBufferPointer<UnsafeMutablePointer<CryptoOperation>>
  ) {
    batchNumber &+= 1
    isSubmitting = true
    var index = 0
    while index < batch.count {
      // SAFETY: index is in bounds; the caller keeps operations and what they point to alive until they are completed.
      let taken = unsafe burst(batch, from: index)
      if taken == 0 { unsafe begin(batch[index]) }
      index &+= max(taken, 1)
    }
    isSubmitting = false
  }

  /// Wipes the keys of a session; an index without keys is fine.
  @_noAllocation @_noLocks
  public mutating func forget(sessionIndex: UInt32) {
    guard sessionIndex < sessionCapacity else { return }
    // SAFETY: the index is in bounds.
    let removal = keyed.remove(Int(sessionIndex))
    if case .absent = removal { return }
    unsafe cipsecmb_wipe(entry(at: Int(sessionIndex)), KeyedEntry.stride)
    if case .emptiedGroup = removal {
      giveBack(group: Int(sessionIndex) / KeyedSessions.groupSize)
    }
  }

  /// Gives back the pages of a group of entries, none of which is expanded: a group fills pages exactly.
  @_noAllocation @_noLocks
  private func giveBack(group: Int) {
    let byteCount = KeyedSessions.groupSize &* KeyedEntry.stride
    let end = (group &+ 1) &* byteCount
    // The last group may share its last page with the entry for trials.
    guard group >= Self.residentGroupCount, byteCount & 4095 == 0, end <= entriesByteCount else {
      return
    }
    // SAFETY: the range lies inside the mapping, on page boundaries.
    unsafe cipsecmb_give_back(entries + group &* byteCount, byteCount)
  }

  /// Whether the keys can be expanded; they are wiped again at once.
  @_noAllocation @_noLocks
  public mutating func validate(_ session: UnsafePointer<SessionParameters>) -> CryptoOutcome {
    // SAFETY: the caller keeps the session alive; the extra entry is for trials only.
    let trial = unsafe entry(at: Int(sessionCapacity))
    let outcome = unsafe expand(session, into: trial)
    unsafe cipsecmb_wipe(trial, KeyedEntry.stride)
    return outcome
  }

  // MARK: Operations

  @_noAllocation @_noLocks
  private mutating func begin(_ operation: UnsafeMutablePointer<CryptoOperation>) {
    // SAFETY: as for submit.
    unsafe operation.pointee.disposition = .done
    guard unsafe Self.isWellFormed(operation) else {
      unsafe operation.pointee.outcome = .failed
      return
    }
    let isDirect = firstFree < 0
    let slot = unsafe slot(at: isDirect ? Self.slotCount : Int(firstFree))
    unsafe slot.pointee.operation = operation
    unsafe slot.pointee.usesOwnKeys = false
    let entry: UnsafeMutablePointer<KeyedEntry>
    let outcome = unsafe keyed(operation, slot)
    guard outcome == .ok else {
      unsafe wipeOwnKeys(slot)
      unsafe operation.pointee.outcome = outcome
      return
    }
    unsafe entry =
      unsafe slot.pointee.usesOwnKeys
      ? slot.entry : self.entry(at: Int(operation.pointee.sessionIndex))
    unsafe cipsecmb_store_block(slot.iv, operation.pointee.iv.0, operation.pointee.iv.1)
    if !isDirect, let job = unsafe cipsecmb_next(manager),
      unsafe fill(job, operation, entry, slot)
    {
      unsafe take(slot)
      unsafe cipsecmb_set_owner(job, operation, slot)
      unsafe operation.pointee.disposition = .submitted
      var finished = unsafe cipsecmb_submit(manager)
      while let job = unsafe finished {
        unsafe settle(job)
        unsafe finished = cipsecmb_completed(manager)
      }
      return
    }
    unsafe operation.pointee.outcome = runNow(operation, entry, slot)
    unsafe wipeOwnKeys(slot)
  }

  /// Finds or expands the keys of an operation's session.
  @_noAllocation @_noLocks
  private mutating func keyed(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: every slot has an entry behind it.
    if unsafe operation.pointee.sessionIndex >= sessionCapacity {
      unsafe slot.pointee.usesOwnKeys = true
      return unsafe expand(operation.pointee.session, into: slot.entry)
    }
    return unsafe keyed(operation)
  }

  /// Finds or expands the keys of an operation whose session has an entry.
  @_noAllocation @_noLocks
  mutating func keyed(_ operation: UnsafeMutablePointer<CryptoOperation>) -> CryptoOutcome {
    // SAFETY: entries are in bounds by the caller's comparison with the capacity.
    let session = unsafe operation.pointee.session
    let index = unsafe operation.pointee.sessionIndex
    let entry = unsafe entry(at: Int(index))
    let generation = unsafe operation.pointee.sessionGeneration
    if unsafe entry.pointee.isExpanded && entry.pointee.generation == generation { return .ok }
    if unsafe entry.pointee.isExpanded { unsafe cipsecmb_wipe(entry, KeyedEntry.stride) }
    let outcome = unsafe expand(session, into: entry)
    if outcome == .ok {
      unsafe entry.pointee.generation = generation
      keyed.insert(Int(index))
    } else {
      _ = keyed.remove(Int(index))
    }
    return outcome
  }

  /// Runs an operation to its end: as a job if it is one, else step by step.
  @_noAllocation @_noLocks
  private func runNow(
    _ operation: UnsafeMutablePointer<CryptoOperation>, _ entry: UnsafeMutablePointer<KeyedEntry>,
    _ slot: UnsafeMutablePointer<JobSlot>
  ) -> CryptoOutcome {
    // SAFETY: as for submit; the direct manager has no other job.
    if let job = unsafe cipsecmb_next(direct), unsafe fill(job, operation, entry, slot) {
      return unsafe cipsecmb_run(direct) ? Self.finish(operation, slot) : .failed
    }
    return unsafe compose(operation, entry, slot)
  }

  /// Takes in a finished job.
  @_noAllocation @_noLocks
  private mutating func settle(_ job: UnsafeMutablePointer<IMB_JOB>) {
    // SAFETY: every job's owner is a slot of ours, whose operation is alive until it is given back.
    guard let raw = unsafe cipsecmb_slot(job) else { return }
    let slot = unsafe raw.assumingMemoryBound(to: JobSlot.self)
    let operation = unsafe slot.pointee.operation
    unsafe operation.pointee.outcome =
      cipsecmb_succeeded(job) ? Self.finish(operation, slot) : .failed
    unsafe wipeOwnKeys(slot)
    if unsafe isSubmitting && slot.pointee.batch == batchNumber {
      unsafe operation.pointee.disposition = .done
      unsafe release(slot)
      return
    }
    let index = unsafe index(of: slot)
    unsafe slot.pointee.next = -1
    if lastCompleted >= 0 {
      unsafe self.slot(at: Int(lastCompleted)).pointee.next = index
    } else {
      firstCompleted = index
    }
    lastCompleted = index
  }

  // MARK: Slots and entries

  @_noAllocation @_noLocks
  private mutating func take(_ slot: UnsafeMutablePointer<JobSlot>) {
    // SAFETY: the slot is the first of the free list.
    firstFree = unsafe slot.pointee.next
    unsafe slot.pointee.batch = batchNumber
    usedSlotCount &+= 1
  }

  @_noAllocation @_noLocks
  private mutating func release(_ slot: UnsafeMutablePointer<JobSlot>) {
    // SAFETY: the slot was taken.
    unsafe slot.pointee.next = firstFree
    firstFree = unsafe index(of: slot)
    usedSlotCount &-= 1
  }

  @_noAllocation @_noLocks
  private func wipeOwnKeys(_ slot: UnsafeMutablePointer<JobSlot>) {
    // SAFETY: every slot has an entry behind it.
    if unsafe slot.pointee.usesOwnKeys { unsafe cipsecmb_wipe(slot.entry, KeyedEntry.stride) }
    unsafe slot.pointee.usesOwnKeys = false
  }

  @_noAllocation @_noLocks
  private func slot(at index: Int) -> UnsafeMutablePointer<JobSlot> {
    // SAFETY: callers keep to 0...slotCount.
    unsafe (slots + index &* JobSlot.stride).assumingMemoryBound(to: JobSlot.self)
  }

  @_noAllocation @_noLocks
  private func index(of slot: UnsafeMutablePointer<JobSlot>) -> Int32 {
    unsafe Int32(truncatingIfNeeded: (UnsafeMutableRawPointer(slot) - slots) / JobSlot.stride)
  }

  @_noAllocation @_noLocks
  func entry(at index: Int) -> UnsafeMutablePointer<KeyedEntry> {
    // SAFETY: callers keep to 0...sessionCapacity.
    unsafe (entries + index &* KeyedEntry.stride).assumingMemoryBound(to: KeyedEntry.self)
  }
}
