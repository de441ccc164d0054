import CRingShims
import CryptoTypes
public import GuestMemory
public import LinuxSystem
public import VirtQueue
import VirtioSpec

/// What became of a chain when it was read.
public enum RequestDisposition {
  /// The slot's operation is ready for an engine.
  case ready
  /// The request is answered; this many bytes were written (0: it had no room for a status).
  case answered(writtenByteCount: UInt32)
}

/// One worker's reading and answering of data requests: from a descriptor chain to an operation, and from an outcome
/// to status and used length.
///
/// The order is fixed: copy the header, find the session, check every length against the others and `max_size`, then
/// translate. Whatever the guest changes afterwards can spoil its own result, and nothing else.
@safe
public struct RequestProcessor: ~Copyable {
  var layout: RequestLayout
  let sessions: SessionView
  var table: AlgorithmTable
  /// What the buffers have room for.
  let startMaximumRequestByteCount: UInt32
  let header: DataHeader
  var bounces: BouncePool
  /// What copies through bounce buffers cost.
  public var copies = CopyTimes()
  var inputSpans: SpanList
  var outputSpans: SpanList
  public var slots: SlotTable
  /// Where pages of guest memory are logged that it writes.
  public var dirty: DirtyPages
  /// Requests that were finished and are to be logged there.
  var unlogged: UnloggedSlots
  /// What requests that write over themselves are saved in.
  public var undo: UndoLog

  /// - `slotCount`: requests that may be in flight at once.
  /// - `sessions`: valid while the processor lives.
  public init(
    layout: RequestLayout, sessions: SessionView, table: AlgorithmTable, slotCount: Int,
    dirty: consuming DirtyPages = DirtyPages(), undo: consuming UndoLog = UndoLog()
  ) throws(SystemError) {
    // Everything that can fail comes before the first property is set.
    let bounces = try BouncePool(maximumRequestByteCount: Int(layout.maximumRequestByteCount))
    let inputSpans = try SpanList()
    let outputSpans = try SpanList()
    self.bounces = bounces
    self.inputSpans = inputSpans
    self.outputSpans = outputSpans
    self.layout = layout
    startMaximumRequestByteCount = layout.maximumRequestByteCount
    self.sessions = sessions
    self.table = table
    header = DataHeader()
    slots = SlotTable(capacity: slotCount)
    self.dirty = dirty
    unlogged = UnloggedSlots(capacity: slotCount)
    self.undo = undo
  }

  /// The destination may be longer than `max_size` by a tag or a digest.
  static var destinationSlack: Int { @_noAllocation @_noLocks get { 64 } }

  /// Whether another chain can be read: a slot and a bounce buffer are free.
  public var canBegin: Bool {
    @_noAllocation @_noLocks get { slots.freeCount > 0 && !bounces.isEmpty }
  }

  /// Reads a request into a slot; the chain was read ahead.
  ///
  /// Throws what is wrong with the ring itself; the queue has to stop.
  @_noAllocation @_noLocks
  public mutating func begin(
    _ chain: inout DescriptorChain, memory: inout MemoryView,
    slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> RequestDisposition {
    unsafe slot.pointee.hasRow = false
    unsafe slot.pointee.isTransient = false
    unsafe slot.pointee.bounce = -1
    unsafe slot.pointee.isOutputBounced = false
    unsafe slot.pointee.outputByteCount = 0
    unsafe slot.pointee.secretByteCount = 0
    unsafe slot.pointee.isAsymmetric = false
    unsafe slot.pointee.isASYM = false
    unsafe slot.pointee.hasASYMHeader = false
    // Of a long chain that can only be told now.
    let isLong = chain.isLong
    var mayOverlap = false
    if undo.isOn && isLong || chain.isResubmitted {
      mayOverlap = chain.writesOverWhatItReads(&memory)
    }
    unsafe slot.pointee.mayWriteOverSource = mayOverlap
    var status: VirtioCryptoStatus
    do throws(QueueError) {
      status = unsafe try read(&chain, &memory, slot)
      // Half a result may lie over the request, and computing again would give a wrong one.
      if mayOverlap, chain.isResubmitted, status == .ok,
        unsafe cannotBeRepeated(slot, &chain, &memory, isLong: isLong)
      {
        status = .err
      }
    } catch {
      // The keys of a stateless request may be in the slot already.
      unsafe abandon(slot)
      throw error
    }
    let written = UInt64(unsafe slot.pointee.outputByteCount)
    guard let statusByte = unsafe try chain.lastWritableByte(&memory) else {
      unsafe slot.pointee.ticket = chain.ticket
      unsafe abandon(slot)
      return .answered(writtenByteCount: 0)
    }
    unsafe slot.pointee.ticket = chain.ticket
    unsafe slot.pointee.statusByte = statusByte
    if unsafe slot.pointee.hasASYMHeader {
      // The rest of the result need not leave a byte for the status.
      let end = status == .ok ? written : UInt64(Self.asymHeaderByteCount)
      unsafe slot.pointee.hasLastByte = chain.writableByteCount > end
      guard status == .ok else {
        let used = unsafe refuseASYM(slot, status)
        unsafe abandon(slot)
        return .answered(writtenByteCount: used)
      }
    }
    if status == .ok {
      if unsafe slot.pointee.hasASYMHeader || chain.writableByteCount > written {
        // SAFETY: the session is alive while the request is.
        unsafe slot.pointee.operation.engineIndex = slot.pointee.operation.session
          .engine(forByteCount: slot.pointee.operation.sourceByteCount)
        unsafe slot.pointee.operation.triedEngines = 0
        if undo.isOn,
          unsafe slot.pointee.mayWriteOverSource,
          unsafe isLong ? mayOverlap : writesOverWhatItIsOf(slot, &chain, &memory)
        {
          unsafe save(slot, chain.recordNumber)
        }
        return .ready
      }
      // Destination and status would share a byte.
      unsafe refuse(slot, .err)
    } else {
      unsafe refuse(slot, status)
    }
    return .answered(writtenByteCount: 1)
  }

  /// Answers a request whose operation is finished; the used length.
  ///
  /// The slot is left to the caller, to count it and then to release it.
  @_noAllocation @_noLocks
  public mutating func finish(_ slot: UnsafeMutablePointer<RequestSlot>) -> UInt32 {
    if unsafe slot.pointee.isASYM {
      let used = unsafe finishASYM(slot)
      unsafe abandon(slot)
      return used
    }
    let outcome = unsafe slot.pointee.operation.outcome
    // An asymmetric result has the length that it has, up to what the guest left room for.
    if unsafe slot.pointee.isAsymmetric {
      unsafe slot.pointee.outputByteCount = min(
        slot.pointee.outputByteCount, slot.pointee.operation.resultByteCount)
    }
    if outcome == .ok, unsafe slot.pointee.isOutputBounced {
      let start = copies.start()
      unsafe bounces.scatter(slot.pointee.bounce, byteCount: Int(slot.pointee.outputByteCount))
      copies.add(since: start)
    }
    // SAFETY: the status byte was translated when the chain was read; the mapping outlives the worker.
    let status = VirtioCryptoStatus(outcome).rawValue
    unsafe slot.pointee.status = status
    unsafe cring_store8(slot.pointee.statusByte, status)
    let written: UInt32 = outcome == .ok ? unsafe slot.pointee.outputByteCount &+ 1 : 1
    if dirty.isOn { unsafe noteOutput(slot, isOK: outcome == .ok) }
    unsafe abandon(slot)
    return written
  }

  @_noAllocation @_noLocks
  private mutating func refuse(
    _ slot: UnsafeMutablePointer<RequestSlot>, _ status: VirtioCryptoStatus
  ) {
    unsafe slot.pointee.status = status.rawValue
    unsafe cring_store8(slot.pointee.statusByte, status.rawValue)
    if dirty.isOn { unsafe dirty.noteStatus(slot.pointee.statusByte) }
    unsafe abandon(slot)
  }

  /// Gives back what the slot holds: its bounce buffer, and the keys of a stateless request.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func abandon(_ slot: UnsafeMutablePointer<RequestSlot>) {
    guard unsafe slot.pointee.bounce >= 0 || slot.pointee.isTransient else { return }
    unsafe giveBack(slot)
  }

  @_noAllocation @_noLocks
  @inline(never)
  private mutating func giveBack(_ slot: UnsafeMutablePointer<RequestSlot>) {
    if unsafe slot.pointee.bounce >= 0 {
      if unsafe slot.pointee.isAsymmetric {
        unsafe cring_wipe(
          bounces.input(slot.pointee.bounce), Int(slot.pointee.secretByteCount))
        unsafe cring_wipe(
          bounces.output(slot.pointee.bounce), Int(slot.pointee.outputByteCount))
      }
      if unsafe undo.holds(slot.pointee.bounce) {
        unsafe undo.finish(slot.pointee.bounce)
      } else {
        bounces.release(unsafe slot.pointee.bounce)
      }
      unsafe slot.pointee.bounce = -1
    }
    if unsafe slot.pointee.isTransient {
      let keyBytes = unsafe Int(
        slot.pointee.transient.cipherKeyByteCount &+ slot.pointee.transient.authKeyByteCount)
      unsafe cring_wipe(slots.keyArea(of: slot), keyBytes)
    }
  }

  /// Reads header, session and lengths; `.ok` when the operation is ready.
  @_noAllocation @_noLocks
  @inline(__always)
  private mutating func read(
    _ chain: inout DescriptorChain, _ memory: inout MemoryView,
    _ slot: UnsafeMutablePointer<RequestSlot>
  ) throws(QueueError) -> VirtioCryptoStatus {
    let headerCount = VirtioCryptoWire.dataHeaderByteCount
    // SAFETY: the header's buffer has room for header and any fixed part.
    if let source = unsafe chain.takeReadable(headerCount) {
      unsafe cring_copy24(header.bytes, source)
    } else {
      guard
        unsafe try chain.copyReadable(into: header.bytes, byteCount: headerCount, &memory)
          == headerCount
      else { return .err }
    }
    if layout.dialect.hasASYM, header.opcode >> 8 == 4 {
      unsafe slot.pointee.isASYM = true
      return unsafe try readASYM(&chain, &memory, slot)
    }
    if layout.dialect.isDraftV15 { return unsafe try readDraftV15(&chain, &memory, slot) }
    switch header.opcode {
    case 0x000, 0x001:
      return unsafe try readSymmetric(
        &chain, &memory, slot, header.opcode == 0 ? .encrypt : .decrypt)
    case 0x100: return unsafe try readHash(&chain, &memory, slot)
    case 0x200: return unsafe try readMAC(&chain, &memory, slot)
    case 0x300: return unsafe try readAEAD(&chain, &memory, slot, .encrypt)
    case 0x301: return unsafe try readAEAD(&chain, &memory, slot, .decrypt)
    case 0x400: return unsafe try readAKCipher(&chain, &memory, slot, .encrypt)
    case 0x401: return unsafe try readAKCipher(&chain, &memory, slot, .decrypt)
    case 0x402: return unsafe try readAKCipher(&chain, &memory, slot, .sign)
    case 0x403: return unsafe try readAKCipher(&chain, &memory, slot, .verify)
    default: return .notsupp
    }
  }
}
