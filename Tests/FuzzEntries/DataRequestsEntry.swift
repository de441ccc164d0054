import CryptoDevice
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

/// A guest with data requests in every layout.
///
/// Input: layout and engine (1 byte), then requests: how it lies in memory (2 bytes), which session's identifier to put in
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
    var ring = ScriptedRing(memory)
    var queue = try ring.deviceEnd()
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
        status = try stage.serve(
          &queue, &view, outcome: isNull ? CryptoOutcome(rawValue: shapeByte >> 4) ?? .ok : nil)
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
        try require(
          status != 0 || ScriptedRing.isUntouched(answer.dropFirst(Int(used) - 1).dropLast()),
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
    processor = try RequestProcessor(
      layout: core.offer.layout(features: features), sessions: core.sessions.view,
      table: core.offer.algorithms, slotCount: 4)
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
    guard processor.canBegin, let slot = processor.slots.take() else {
      throw Finding("a slot or a bounce buffer was not given back")
    }
    defer { processor.slots.release(slot) }
    var chain = DescriptorChain()
    try queue.takeChain(into: &chain, &view)
    try chain.readAhead(&view)
    let written: UInt32
    switch try processor.begin(&chain, memory: &view, slot: slot) {
    case .answered(let count): written = count
    case .ready:
      if let outcome {
        slot.pointee.operation.outcome = outcome
      } else {
        device.lane.runner.run(
          UnsafeMutableRawPointer(slot).assumingMemoryBound(to: CryptoOperation.self))
      }
      written = processor.finish(slot)
    }
    queue.complete(slot.pointee.ticket, writtenByteCount: written)
    _ = queue.publish()
    try require(!slot.pointee.isBounced, "a bounce buffer was not given back")
    return device.core.offer.dialect.hasASYM ? nil : slot.pointee.status
  }
}
