import CryptoTypes
import Foundation
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Chains of one queue in a memory region of their own, which a thread rewrites at random while the
/// device works on them.
private final class Arena: @unchecked Sendable {
  let memory: GuestRAM
  let queue: DriverQueue
  let sessions: [UInt64]
  private let range: Range<UInt64>
  private let chains: [UInt64]
  private let shouldStop = Atomic(false)
  private let finished = DispatchSemaphore(value: 0)
  private static let chainByteCount: UInt64 = 1024

  /// `region`: everything of this queue is there, so that a device that follows bad addresses writes
  /// to nobody else's memory.
  init(_ guest: Guest, region: Int) throws {
    memory = guest.memory
    queue = try guest.frontend.makeQueue(size: 64, region: region)
    sessions = Array(guest.sessions.values)
    var chains: [UInt64] = []
    for _ in 0..<16 {
      chains.append(
        try memory.allocate(Int(Self.chainByteCount), alignment: 16, region: region))
    }
    self.chains = chains
    range = memory.regions[region].guestRange
  }

  /// Writes chain `index` anew: odd ones direct, even ones with an indirect table; its head.
  func layOut(_ index: Int, _ operation: OperationSpec, _ format: RequestFormat) throws -> UInt16 {
    let base = chains[index]
    let request = CryptoRequestBuilder.data(operation, format: format)
    let front = request.fixed.bytes + request.fields.flatMap(\.bytes)
    try memory.write(front, at: base + 128)
    let descriptors: [(UInt64, Int, Bool)] = [
      (base + 128, 72, false), (base + 200, front.count - 72, false), (base + 640, 112, true),
      (base + 800, 1, true),
    ]
    let first = UInt16(index) * 4 % 64
    for (position, (address, count, isWritable)) in descriptors.enumerated() {
      var flags = isWritable ? DriverQueue.DescriptorFlag.write : 0
      if position < 3 { flags |= DriverQueue.DescriptorFlag.next }
      let isDirect = index % 2 == 1
      let next = isDirect ? (first + UInt16(position) + 1) % 64 : UInt16(position) + 1
      let descriptor = RingDescriptor(
        guestAddress: address, byteCount: UInt32(count), flags: flags, next: next)
      if isDirect {
        queue.setDescriptor(first + UInt16(position), descriptor)
      } else {
        try memory.write(descriptor.bytes(of: queue.kind), at: base + 16 * UInt64(position))
      }
    }
    if index % 2 == 0 {
      queue.setDescriptor(
        first,
        RingDescriptor(
          guestAddress: base, byteCount: 64, flags: DriverQueue.DescriptorFlag.indirect, next: 0))
    }
    queue.setRawChain(index % 2 == 1 ? (0..<4).map { first + $0 } : [first])
    return first
  }

  /// The page of the last chain's result, which is none of the ring's.
  var lastResultPage: UInt64 { ((chains.last ?? 0) + 640) >> 12 }

  // MARK: The rewriting thread

  func startRewriting(seed: UInt64) {
    Thread.detachNewThread { [self] in
      var random = SeededRandom(seed: seed)
      var count = 0
      while !shouldStop.load(ordering: .acquiring) {
        try? rewrite(&random)
        count += 1
        // The processor is shared with the daemon.
        if count % 64 == 0 { yieldProcessor() }
      }
      finished.signal()
    }
  }

  func stopRewriting() {
    shouldStop.store(true, ordering: .releasing)
    finished.wait()
  }

  private func rewrite(_ random: inout SeededRandom) throws {
    let base = chains[Int.random(in: 0..<chains.count, using: &random)]
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<55:
      // A word of header or fixed part.
      let offset = UInt64(Int.random(in: 0..<18, using: &random)) * 4
      try write32(number(&random), at: base + 128 + offset)
    case 55..<70:
      // The session, at once.
      let session = sessions.randomElement(using: &random) ?? 0
      var wire = WireBytes()
      wire.append64(session)
      try memory.write(wire.bytes, at: base + 136)
    case 70..<80:
      // A length in an indirect table: mostly small, so that chains often stay readable.
      let entry = UInt64(Int.random(in: 0..<4, using: &random))
      try write32(UInt32.random(in: 0...200, using: &random), at: base + 16 * entry + 8)
    case 80..<95:
      // Payload.
      try memory.write(random.bytes(8), at: base + 200 + UInt64.random(in: 0..<120, using: &random))
    case 95..<97:
      let entry = UInt64(Int.random(in: 0..<4, using: &random))
      try memory.write(descriptor(&random).bytes(of: queue.kind), at: base + 16 * entry)
    case 97..<99 where queue.kind.isPacked:
      var descriptor = descriptor(&random)
      descriptor.flags |= [0x80, 0x8000, 0x8080, 0].randomElement(using: &random) ?? 0
      let place = UInt64.random(in: 0..<64, using: &random)
      try memory.write(
        descriptor.bytes(of: queue.kind), at: queue.layout.descriptorTable + 16 * place)
    case 97..<99:
      queue.setDescriptor(UInt16.random(in: 0..<64, using: &random), descriptor(&random))
    default:
      guard !queue.kind.isPacked else {
        // What the driver wants to be told of.
        return try write32(
          UInt32.random(in: 0...UInt32.max, using: &random), at: queue.layout.available)
      }
      queue.setRawAvailableEntry(
        UInt16.random(in: 0..<64, using: &random), head: UInt16.random(in: 0...70, using: &random))
    }
  }

  private func descriptor(_ random: inout SeededRandom) -> RingDescriptor {
    let address: UInt64 =
      switch Int.random(in: 0..<10, using: &random) {
      case 0: UInt64.random(in: 0..<0x10_0000, using: &random)
      case 1: .max - UInt64.random(in: 0..<256, using: &random)
      case 2: range.upperBound - UInt64.random(in: 0..<256, using: &random)
      default: chains.randomElement(using: &random).map { $0 + 640 } ?? 0
      }
    return RingDescriptor(
      guestAddress: address, byteCount: number(&random),
      flags: UInt16.random(in: 0..<8, using: &random),
      next: UInt16.random(in: 0...66, using: &random))
  }

  private func number(_ random: inout SeededRandom) -> UInt32 {
    let some: [UInt32] = [
      0, 1, 2, 12, 15, 16, 20, 32, 64, 0x100, 0x200, 0x300, 0x301, 1 << 20, 0x7FFF_FFFF,
      0x8000_0000, 0xFFFF_FFF0, .max,
    ]
    return some.randomElement(using: &random) ?? 0
  }

  private func write32(_ value: UInt32, at address: UInt64) throws {
    var wire = WireBytes()
    wire.append32(value)
    try memory.write(wire.bytes, at: address)
  }
}

extension HostileGuest {
  @Suite struct RewritingGuests {
    /// How long each test goes on: `HOSTILE_SECONDS`, or two.
    static let duration = Duration.seconds(
      ProcessInfo.processInfo.environment["HOSTILE_SECONDS"].flatMap { Int($0) } ?? 2)

    /// - `isKept`: requests in flight are recorded, those in place are saved, and written pages are logged.
    @Test(
      arguments: [
        ("legacy", .split, false), ("revision 1", .packed, false),
        ("stateless", .splitInOrder, false), ("stateless", .packed, false),
        ("legacy", .packedInOrder, false), ("stateless", .split, true), ("legacy", .packed, true),
        ("stateless", .packedInOrder, true),
      ] as [(String, RingKind, Bool)])
    func requestsRewrittenWhileTheyAreProcessedHarmNobodyElse(
      layout: String, ring: RingKind, isKept: Bool
    ) throws {
      let stage = try Stage.current()
      let isStateless = layout == "stateless"
      let guest = try stage.guest(
        isStateless ? .stateless : layout == "legacy" ? .legacy : .revision1, ring: ring)
      var random = SeededRandom.printed()
      try guest.frontend.stopQueue(0)
      let log = try DirtyBitmap(covering: guest.memory)
      if isKept {
        try guest.keepRecord(startingQueues: [1])
        try guest.client.startLogging(log)
      }
      let arena = try Arena(guest, region: 2)
      try guest.frontend.startQueue(0, arena.queue)
      arena.startRewriting(seed: random.next())
      defer { arena.stopRewriting() }
      var (answered, restarts, checks, resumptions) = (0, 0, 0, 0)
      let end = ContinuousClock.now + Self.duration
      while ContinuousClock.now < end {
        for index in 0..<16 {
          let kind = Kind.allCases.randomElement(using: &random) ?? .cipher
          let head = try arena.layOut(
            index, guest.operation(kind, isStateless: isStateless && index % 4 < 2), guest.format)
          arena.queue.post(head)
          if arena.queue.publish() { try arena.queue.kick() }
        }
        let before = answered
        var looks = 0
        while answered < before + 16, looks < 200 {
          if arena.queue.popUsed() != nil { answered += 1 } else { looks += 1 }
          if looks % 20 == 19 { usleep(50) }
        }
        // Meanwhile the other device's guest gets what it asks for.
        try stage.bystander.expectServed(queue: checks % 2)
        checks += 1
        if try guest.frontend.hasRingError(0) || answered < before + 16 {
          // Stopped, or slow: either way the ring comes back and starts with nothing in it.
          try guest.frontend.stopQueue(0)
          arena.queue.restart(at: UInt16.random(in: 0...UInt16.max, using: &random))
          do {
            try guest.frontend.startQueue(0, arena.queue)
            resumptions += 1
          } catch {
            // What the record says was in flight does not go with this ring, or was made up.
            guard isKept else { throw error }
            try guest.frontend.stopQueue(0)
            try guest.keepRecord(startingQueues: [1])
            try guest.frontend.startQueue(0, arena.queue)
          }
          restarts += 1
        }
      }
      arena.queue.disableCalls()
      #expect(answered > 100)
      #expect(restarts > 0)
      #expect(resumptions > 0, "no record was ever believed")
      #expect(log.take().contains(arena.lastResultPage) == isKept)
      #expect(stage.daemon.isRunning)
      for kind in Kind.allCases { try guest.expectAllIsWell(kind, exceptQueue: 0) }
    }
  }
}
