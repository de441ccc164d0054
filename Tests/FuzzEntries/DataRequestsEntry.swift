import CryptoDevice
import CryptoTypes
import Glibc
import GuestMemory
import LinuxSystem
import VirtQueue
import VirtioSpec

/// A guest with data requests in every layout.
///
/// Input: layout, engine, and whether daemons die (1 byte), then requests: how it lies in memory (2 bytes), which session's identifier to put in
/// (1 byte; from 192 on: none), room behind it (2 bytes), length (2 bytes), bytes.
final class DataRequestsEntry: FuzzEntry {
  private let memory: ScriptedMemory
  private let stages: [Stage]

  init() throws {
    memory = try ScriptedMemory()
    stages = try Stage.Layout.allCases.map(Stage.init)
  }

  func run(_ input: inout FuzzInput) throws {
    memory.reset()
    let flags = input.byte()
    let stage = stages[Int(flags & 7) % stages.count]
    // Without an engine the outcome is the input's to choose.
    let isNull = flags & 8 != 0
    // Each request is taken by one daemon, which dies with the result written and not shown, and answered by the next.
    let dies = flags & 16 != 0
    if dies { stage.beginRecord() }
    var ring = ScriptedRing(memory)
    var queue = try ring.deviceEnd(record: dies ? stage.record : nil)
    var view = memory.map.view
    while !input.isAtEnd {
      let shapeByte = input.byte()
      let shape = ScriptedRing.Shape(shapeByte & 7, cuts: input.byte())
      let which = Int(input.byte())
      let room = Int(input.word16()) % ScriptedRing.mostByteCount
      var request = input.takePadded(Int(input.word16()) % ScriptedRing.mostByteCount)
      if which < 192, request.count >= 16 {
        let identifier = stage.sessions[which % stage.sessions.count]
        for index in 0..<8 {
          request[8 + index] = UInt8(truncatingIfNeeded: identifier >> (8 * UInt64(index)))
        }
      }
      ring.post(request, writableByteCount: room, shape)
      let status: UInt8?
      do {
        let outcome = isNull ? CryptoOutcome(rawValue: shapeByte >> 4) ?? .ok : nil
        if dies {
          try stage.takeAndDie(&queue, &view, ring, memory, outcome: outcome)
          // A daemon that answered before it could die.
          if ring.usedByteCount() != nil { continue }
          queue = try ring.deviceEnd(record: stage.record)
          status = try stage.goOn(&queue, &view, ring, memory, outcome: outcome)
        } else {
          status = try stage.serve(&queue, &view, outcome: outcome)
        }
      } catch let error as QueueError {
        throw Finding("a well-formed chain is a ring's fault: \(error)")
      }
      guard let used = ring.usedByteCount() else { throw Finding("a request is not answered") }
      try require(Int(used) <= room, "\(used) bytes written in \(room)")
      guard !shape.isInPlace else { continue }
      try require(ring.request == request, "a readable buffer was written")
      let answer = ring.answer
      if used > 0, let status {
        try require(answer.last == status, "a status that is not in the last byte")
        // Two signatures may have two lengths: what is behind the second daemon's is the first one's then.
        let most = Int(dies ? max(used, stage.writtenByteCount) : used)
        try require(
          status != 0 || ScriptedRing.isUntouched(answer.dropFirst(most - 1).dropLast()),
          "bytes behind a result were written")
      } else if used == 0 {
        try require(answer.isEmpty, "a writable chain without a status")
      }
    }
  }
}

/// A device, its sessions and its worker's processor in one layout; kept from input to input.
private final class Stage {
  enum Layout: CaseIterable {
    case legacy, revision1, draftV15, draftV15WithoutSessions, rfcAsymV3
    var dialect: Dialect {
      switch self {
      case .legacy, .revision1: .virtio13
      case .draftV15, .draftV15WithoutSessions: .draftV15
      case .rfcAsymV3: .rfcAsymV3
      }
    }
    var isNegotiated: Bool { self != .legacy && self != .draftV15WithoutSessions }
  }

  private static let sessionCapacity = 256
  private let device: OfferedDevice
  private var processor: RequestProcessor
  /// Of a daemon that dies.
  private var dying: RequestProcessor
  /// What it leaves behind beside guest memory.
  let record: GuestSlice
  private let keptMemory: MappedMemory
  /// What guest memory was when it began, and whether it is worth comparing what it and the next one answer.
  private var before: [UInt8] = []
  private var expected: (status: UInt8, answer: [UInt8]?) = (0, nil)
  /// What the one that died wrote, its status included.
  private(set) var writtenByteCount: UInt32 = 0
  /// Whether the last request that an engine was asked for was copied: what nobody has computed is then what an earlier one
  /// left in the bounce buffer.
  private var wasBounced = false
  /// Identifiers, the last one of a session that is gone.
  let sessions: [UInt64]

  init(_ layout: Layout) throws {
    // Spare indices behind the capacity: a lane serves their sessions like stateless requests.
    let lane = try OfferedDevice.Lane(sessionCapacity: Self.sessionCapacity)
    device = OfferedDevice(
      layout.dialect, lane: lane, sessionCapacity: Self.sessionCapacity,
      stateless: Set(CryptoService.allCases))
    let core = device.core
    let features = layout.isNegotiated ? core.offer.features : 0
    core.negotiate(features: features)
    let most = Int(OfferedDevice.maximumRequestByteCount)
    let dataByteCount = UndoLog.dataByteCount(maximumRequestByteCount: most)
    keptMemory = try MappedMemory(reserving: 4096 + UndoLog.headByteCount + dataByteCount)
    let kept = keptMemory.base.assumingMemoryBound(to: UInt8.self)
    record = GuestSlice(pointer: kept, byteCount: ScriptedRing.recordByteCount)
    func undo() -> UndoLog {
      UndoLog(
        head: GuestSlice(pointer: kept + 4096, byteCount: UndoLog.headByteCount),
        data: GuestSlice(
          pointer: kept + 4096 + UndoLog.headByteCount, byteCount: dataByteCount),
        maximumRequestByteCount: most, resubmissionCount: 0)
    }
    processor = try RequestProcessor(
      layout: core.offer.layout(features: features), sessions: core.sessions.view,
      table: core.offer.algorithms, slotCount: 4, undo: undo())
    dying = try RequestProcessor(
      layout: core.offer.layout(features: features), sessions: core.sessions.view,
      table: core.offer.algorithms, slotCount: 4, undo: undo())
    var made = try StandardSessions.all.compactMap { session -> UInt64? in
      guard session.request.service != .akcipher || layout.dialect.hasAKCipher else { return nil }
      return try session.create(in: core)
    }
    let gone = try StandardSessions.all[0].create(in: core)
    try core.destroySession(gone, services: .all)
    made.append(gone)
    sessions = made
  }

  /// Takes the request that is in the ring and answers it as a worker does; its status, where that has a fixed place.
  ///
  /// - `outcome`: what to say instead of computing.
  func serve(
    _ queue: inout SplitQueue, _ view: inout MemoryView, outcome: CryptoOutcome?
  ) throws -> UInt8? {
    guard try queue.look() else { return nil }
    let (slot, written, _) = try take(&queue, &view, with: &processor, outcome)
    defer { processor.slots.release(slot) }
    queue.complete(slot.pointee.ticket, writtenByteCount: written)
    _ = queue.publish()
    processor.forgetFinished()
    try require(!slot.pointee.isBounced, "a bounce buffer was not given back")
    return device.core.offer.dialect.hasASYM ? nil : slot.pointee.status
  }

  /// Takes a request and writes its answer, with nothing shown to the driver; whether an engine was asked for it.
  private func take(
    _ queue: inout SplitQueue, _ view: inout MemoryView, with processor: inout RequestProcessor,
    _ outcome: CryptoOutcome?
  ) throws -> (UnsafeMutablePointer<RequestSlot>, UInt32, wasReady: Bool) {
    guard processor.canBegin, let slot = processor.slots.take() else {
      throw Finding("a slot or a bounce buffer was not given back")
    }
    var chain = DescriptorChain()
    do {
      try queue.takeChain(into: &chain, &view)
      try chain.readAhead(&view)
      switch try processor.begin(&chain, memory: &view, slot: slot) {
      case .answered(let count): return (slot, count, false)
      case .ready:
        wasBounced = slot.pointee.isBounced
        if let outcome {
          slot.pointee.operation.outcome = outcome
        } else {
          device.lane.runner.run(
            UnsafeMutableRawPointer(slot).assumingMemoryBound(to: CryptoOperation.self))
        }
        return (slot, processor.finish(slot), true)
      }
    } catch {
      processor.slots.release(slot)
      throw error
    }
  }

  // MARK: - A daemon that dies, and the next one

  /// A record that nobody has begun, and nothing saved.
  func beginRecord() {
    memset(record.pointer, 0, record.byteCount)
    processor.endRollBack()
  }

  /// Takes the request and writes its answer; what an engine was not asked for is shown, too.
  func takeAndDie(
    _ queue: inout SplitQueue, _ view: inout MemoryView, _ ring: ScriptedRing,
    _ memory: ScriptedMemory, outcome: CryptoOutcome?
  ) throws {
    guard try queue.look() else { return }
    before = memory.content
    let isOfSymmetricKeys = ring.request.dropFirst().first.map { $0 < 4 } ?? false
    wasBounced = false
    let (slot, written, wasReady) = try take(&queue, &view, with: &dying, outcome)
    defer {
      dying.forgetFinished()
      dying.slots.release(slot)
    }
    writtenByteCount = written
    let isRepeatable = outcome == nil ? isOfSymmetricKeys : !wasBounced
    expected = (slot.pointee.status, isRepeatable ? ring.answer : nil)
    guard !wasReady else { return }
    queue.complete(slot.pointee.ticket, writtenByteCount: written)
    _ = queue.publish()
  }

  /// Answers the request that the dead daemon had: as if it had never been begun, or with an error where the result lies
  /// over the request and that was not saved.
  func goOn(
    _ queue: inout SplitQueue, _ view: inout MemoryView, _ ring: ScriptedRing,
    _ memory: ScriptedMemory, outcome: CryptoOutcome?
  ) throws -> UInt8? {
    try require(queue.resubmissionCount == 1, "the record has not the request that was taken")
    var chain = DescriptorChain()
    try queue.startResubmission(0, in: &chain, &view)
    let wasChanged = memory.content != before
    processor.beginRollBack()
    try processor.rollBack(&chain, memory: &view)
    processor.endRollBack()
    let isRestored = memory.content == before
    let (slot, written, _) = try take(&queue, &view, with: &processor, outcome)
    defer { processor.slots.release(slot) }
    queue.complete(slot.pointee.ticket, writtenByteCount: written)
    _ = queue.publish()
    processor.forgetFinished()
    let status = slot.pointee.status
    if ring.isOverItself && !isRestored {
      try require(
        status != VirtioCryptoStatus.ok.rawValue, "a result was computed from half a result")
    } else if ring.isOverItself, !wasChanged, status == VirtioCryptoStatus.err.rawValue {
      // As nothing was saved, nobody can know that.
    } else {
      try require(status == expected.status, "two daemons answer otherwise")
      if let answer = expected.answer {
        try require(ring.answer == answer, "two daemons compute otherwise")
      }
    }
    return device.core.offer.dialect.hasASYM ? nil : status
  }
}
