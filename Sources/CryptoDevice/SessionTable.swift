import CRingShims
public import CryptoTypes
import Glibc
import LinuxSystem
public import VirtioSpec

/// A session as its workers see it: parameters, then (behind it in the same allocation) the keys.
@safe
public struct SessionBlock {
  public var parameters: SessionParameters
  /// Row of the statistics.
  public var row: UInt16
  /// Bytes of the whole allocation, for wiping.
  var byteCount: Int
  /// What the guest asked for, to be written down; the numbers of key bytes are the parameters'.
  var request: SessionRequest
  /// Seconds since the table was made; shown to operators.
  public var createdAt: UInt64
}

/// One entry of the table: the identifier under which the session is live (0: none), and the block.
@safe
struct SessionSlot {
  var identifier: UInt64
  var block: UnsafeMutablePointer<SessionBlock>?
}

/// The workers' view of the session table: a pointer and a count.
///
/// Valid while its `SessionTable` lives. A block that `find` gives stays valid until the worker acknowledges a
/// retirement that came later (`SessionTable.Retirements`).
@safe
public struct SessionView {
  let slots: UnsafeMutablePointer<SessionSlot>
  let capacity: UInt32

  /// The session of an identifier, or nil if it is unknown or destroyed.
  ///
  /// An array index and a generation check: the identifier's low half is the index, its high half the generation.
  @_noAllocation @_noLocks
  @inline(__always)
  public func find(_ identifier: UInt64) -> UnsafePointer<SessionBlock>? {
    let index = UInt32(truncatingIfNeeded: identifier)
    guard index < capacity, identifier != 0 else { return nil }
    // SAFETY: index < capacity; the slots live as long as the table, whose owner outlives its workers.
    let slot = unsafe slots + Int(index)
    // The acquire pairs with the release in `publish`: whoever sees the identifier sees the block behind it.
    guard unsafe cring_load64_acquire(slot) == identifier else { return nil }
    return unsafe UnsafePointer(slot.pointee.block)
  }
}

/// The sessions of one device: created and destroyed by the control side, looked up by the workers without a lock.
///
/// Sessions are immutable. Destroying one takes its identifier out of the table at once and puts its index into the
/// retirement log; its keys are wiped, and its index used again, when every running worker has read the log that far.
@safe
public final class SessionTable {
  /// How many sessions can be live at once.
  public let capacity: Int
  /// Indices: those of live sessions, and spare ones, so that a destroyed session makes room at once though some worker
  /// still has to let go of it.
  public let slotCount: Int
  /// The log through which workers learn what to forget.
  public let retirements: RetirementLog

  let slots: UnsafeMutablePointer<SessionSlot>
  /// Where sessions outlive the process, if they do; then keys are there and nowhere else.
  let journal: SessionJournal?
  /// Number of the connection that sessions are made for; the journal tells their guests apart by it.
  var connection: UInt32 = 1
  let pool = SecretPool()
  /// Of each index the last one; before that `firstGeneration`.
  var generations: [UInt32]
  let firstGeneration: UInt32
  var spare: [UInt32]
  var neverUsed: UInt32 = 0
  /// Indices of sessions that were restored and are nobody's yet.
  var held: [UInt32] = []
  /// Destroyed, not yet let go by every worker: the log position that all of them must reach.
  private var leaving: [(position: UInt64, index: UInt32)] = []
  private var leavingHead = 0
  let clock = ContinuousClock()
  let start: ContinuousClock.Instant

  /// Sessions that are live now.
  public internal(set) var openCount = 0
  /// The most that there were since memory was given back, those included that workers had to let go of.
  var mostHeld = 0
  public internal(set) var createdCount: UInt64 = 0
  public private(set) var destroyedCount: UInt64 = 0

  /// Makes a table without sessions; those of a journal are the caller's to restore.
  ///
  /// - `spareCount`: how many destroyed sessions may wait for workers without taking room from live ones.
  /// - `journal`: its number of slots is the table's.
  /// - `firstGeneration`: where identifiers begin, below 2^31 - 1.
  public init(
    capacity: Int, workerCount: Int, spareCount: Int = 0, journal: SessionJournal? = nil,
    firstGeneration: UInt32 = 0
  ) {
    slotCount = journal?.slotCount ?? capacity + spareCount
    self.capacity = min(capacity, max(slotCount - spareCount, 1))
    self.journal = journal
    self.firstGeneration = firstGeneration
    retirements = RetirementLog(workerCount: workerCount)
    // Zeroed memory is a table of free slots, and fresh from the kernel it takes room only where it is touched.
    guard let memory = unsafe calloc(slotCount, MemoryLayout<SessionSlot>.stride) else {
      fatalError("no memory for a table of \(slotCount) sessions")
    }
    unsafe slots = memory.bindMemory(to: SessionSlot.self, capacity: slotCount)
    generations = []
    spare = []
    start = clock.now
  }

  deinit {
    // Of the journal only what has ended: the rest is the next process's.
    for entry in leaving[leavingHead...] { journal?.erase(Int(entry.index)) }
    for index in 0..<neverUsed { releaseBlock(index) }
    unsafe free(slots)
  }

  /// What the workers look sessions up in; valid while the table lives.
  public var view: SessionView { unsafe SessionView(slots: slots, capacity: UInt32(slotCount)) }

  /// Makes a session, copying the keys; nil when no slot is free.
  ///
  /// `check` sees the final block before anybody else does, says whether the keys can be used, and may take engines out
  /// of its route.
  public func create(
    _ template: SessionParameters, request: SessionRequest = SessionRequest(service: .cipher),
    cipherKey: UnsafeRawBufferPointer, authKey: UnsafeRawBufferPointer,
    check: (UnsafeMutablePointer<SessionParameters>) -> CryptoOutcome
  ) -> Result<UInt64, SessionError> {
    reclaim()
    guard let index = takeIndex() else { return .failure(.tableFull) }
    guard
      let block = unsafe makeBlock(
        template, request, at: index, cipherKey: cipherKey, authKey: authKey)
    else {
      journal?.erase(Int(index))
      spare.append(index)
      return .failure(.tableFull)
    }
    // SAFETY: the block was made just now and is not shared yet.
    let outcome = unsafe withUnsafeMutablePointer(to: &block.pointee.parameters) {
      unsafe check($0)
    }
    guard outcome == .ok else {
      unsafe wipe(block)
      journal?.erase(Int(index))
      spare.append(index)
      return .failure(outcome == .unsupported ? .unsupported : .keyUnusable)
    }
    // 31 bits, never 0: an identifier is positive as the session message's i64, and never 0.
    let generation = generations[Int(index)] % 0x7fff_ffff + 1
    return .success(unsafe publish(block, at: index, generation: generation))
  }

  /// Destroys a live session of one of these services; false if there is none.
  public func destroy(_ identifier: UInt64, of services: CryptoServices) -> Bool {
    guard let block = unsafe view.find(identifier),
      unsafe services.contains(block.pointee.parameters.service)
    else { return false }
    retire(UInt32(truncatingIfNeeded: identifier))
    reclaim()
    return true
  }

  /// Destroys all sessions but those that are held: the front-end has left, or the device was reset.
  public func destroyAll() {
    for index in 0..<neverUsed {
      // SAFETY: index < neverUsed ≤ slotCount; this thread is the only writer.
      if unsafe slots[Int(index)].identifier != 0 { retire(index) }
    }
    reclaim()
  }

  /// Wipes and frees what every worker has let go of.
  ///
  /// Called on each control request, and when workers say so.
  public func reclaim() {
    let reached = retirements.acknowledgedByAll()
    while leavingHead < leaving.count, leaving[leavingHead].position <= reached {
      let index = leaving[leavingHead].index
      release(index)
      spare.append(index)
      leavingHead += 1
    }
    if leavingHead == leaving.count, leavingHead > 0 {
      leaving.removeAll(keepingCapacity: true)
      leavingHead = 0
    } else if leavingHead > 4096 {
      leaving.removeFirst(leavingHead)
      leavingHead = 0
    }
    if leaving.isEmpty { giveMemoryBack() }
  }

  /// Sessions that have to go, and be half of what there were, before their memory goes back to the system.
  private static let returnThreshold = 4096

  /// Gives back what many sessions took, the lanes' contexts for them included; a busy guest that makes and ends a few
  /// never gets here.
  private func giveMemoryBack() {
    guard mostHeld - openCount >= Self.returnThreshold, openCount <= mostHeld / 2 else { return }
    mostHeld = openCount
    if openCount == 0 {
      leaving = []
      if held.isEmpty { journal?.giveBack() }
    }
    FreeMemory.giveBack()
  }

  /// Whether sessions outlive the process.
  public var isKept: Bool { journal != nil }

  /// Sessions destroyed whose keys some worker may still hold.
  public var leavingCount: Int { leaving.count - leavingHead }

  // MARK: - Slots

  private func takeIndex() -> UInt32? {
    guard openCount + held.count < capacity else { return nil }
    // The oldest free index first would spread generations evenly; the newest is warm in the cache and as safe.
    if let index = spare.popLast() { return index }
    guard Int(neverUsed) < slotCount else { return nil }
    useIndices(neverUsed + 1)
    return neverUsed - 1
  }

  /// Takes indices below a number into use.
  func useIndices(_ count: UInt32) {
    journal?.use(slots: Int(count))
    while neverUsed < count {
      generations.append(firstGeneration)
      neverUsed += 1
    }
  }

  func publish(
    _ block: UnsafeMutablePointer<SessionBlock>, at index: UInt32, generation: UInt32
  ) -> UInt64 {
    generations[Int(index)] = generation
    let identifier = UInt64(generation) << 32 | UInt64(index)
    journal?.note(.creation, identifier)
    // Before anybody can know of it.
    journal?.commit(identifier, at: Int(index))
    unsafe show(block, identifier)
    return identifier
  }

  /// Lets workers find a session.
  func show(_ block: UnsafeMutablePointer<SessionBlock>, _ identifier: UInt64) {
    let index = UInt32(truncatingIfNeeded: identifier)
    // SAFETY: index < slotCount; nobody reads `block` of this slot before the identifier is stored.
    let slot = unsafe slots + Int(index)
    unsafe slot.pointee.block = block
    // Keeps the block's contents before the identifier; pairs with the acquire in `SessionView.find`.
    unsafe cring_store64_release(slot, identifier)
    openCount += 1
    mostHeld = max(mostHeld, openCount + leavingCount)
    createdCount += 1
  }

  private func retire(_ index: UInt32) {
    if let journal {
      journal.note(.destruction, journal.identifier(at: Int(index)))
      journal.end(Int(index))
    }
    // SAFETY: index belongs to a live session of this table.
    unsafe cring_store64_release(slots + Int(index), 0)
    leaving.append((retirements.append(index), index))
    openCount -= 1
    destroyedCount += 1
  }

  func release(_ index: UInt32) {
    releaseBlock(index)
    journal?.erase(Int(index))
  }

  private func releaseBlock(_ index: UInt32) {
    // SAFETY: index < slotCount; no worker uses the block any more.
    let slot = unsafe slots + Int(index)
    if let block = unsafe slot.pointee.block { unsafe wipe(block) }
    // Atomically, although it is 0 already: workers look whenever a guest names a session that is not here.
    unsafe cring_store64_relaxed(slot, 0)
    unsafe slot.pointee.block = nil
  }
}

/// Why a session could not be made.
public enum SessionError: Error {
  /// No free slot, or no memory.
  case tableFull
  /// The engine refuses the key (such as XTS with equal halves).
  case keyUnusable
  case unsupported
}
