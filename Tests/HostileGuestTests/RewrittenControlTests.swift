import CryptoTypes
import Foundation
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// Writes random words over a range of guest memory until it is stopped.
private final class Scribbler: @unchecked Sendable {
  // Unchecked: the memory is shared with the device anyway.
  private let memory: GuestRAM
  private let ranges: [Range<UInt64>]
  private let shouldStop = Atomic(false)
  private let finished = DispatchSemaphore(value: 0)

  init(_ memory: GuestRAM, _ ranges: [Range<UInt64>], seed: UInt64) {
    self.memory = memory
    self.ranges = ranges
    Thread.detachNewThread { [self] in
      var random = SeededRandom(seed: seed)
      while !shouldStop.load(ordering: .acquiring) {
        for _ in 0..<64 { try? scribble(&random) }
        yieldProcessor()
      }
      finished.signal()
    }
  }

  private func scribble(_ random: inout SeededRandom) throws {
    guard let range = ranges.randomElement(using: &random) else { return }
    let some: [UInt32] = [0, 1, 2, 3, 16, 24, 32, 64, 512, 0x102, 0x7FFF_FFFF, 0xFFFF_FFF0, .max]
    let word =
      Bool.random(using: &random)
      ? some.randomElement(using: &random) ?? 0 : UInt32.random(in: 0...UInt32.max, using: &random)
    var wire = WireBytes()
    wire.append32(word)
    let place = range.lowerBound + UInt64.random(in: 0..<UInt64(range.count - 4), using: &random)
    try memory.write(wire.bytes, at: place)
  }

  func stop() {
    shouldStop.store(true, ordering: .releasing)
    finished.wait()
  }
}

extension HostileGuest.RewritingGuests {
  /// Lengths, algorithms and keys of sessions, DER keys among them, while the control thread reads them.
  @Test(arguments: [RingKind.split, .packed], ["legacy", "revision 1"])
  func sessionsRewrittenWhileTheyAreMadeHarmNobodyElse(ring: RingKind, layout: String) throws {
    let stage = try Stage.current()
    let guest = try stage.guest(layout == "legacy" ? .legacy : .revision1, ring: ring)
    var random = SeededRandom.printed()
    let queue = try guest.controlQueue
    queue.disableCalls()
    let rsa = RSAKeyPair.generated(bitCount: 1024)
    let specs: [SessionSpec] =
      Kind.allCases.map { Guest.spec($0) } + [
        .akcipher(.rsa(.raw, key: .publicKey(rsa.publicBytes))),
        .akcipher(.rsa(.raw, key: .privateKey(rsa.privateBytes))),
      ]
    var heads: [UInt16] = []
    var ranges: [Range<UInt64>] = []
    var outcomes: [UInt64] = []
    for spec in specs {
      let request = CryptoRequestBuilder.createSession(spec, format: guest.format)
      let placed = try PlacedRequest(request, in: guest.memory)
      for buffer in placed.buffers where !buffer.isWritable {
        ranges.append(buffer.guestAddress..<buffer.guestAddress + UInt64(buffer.byteCount))
      }
      outcomes.append(try #require(placed.result.first).guestAddress)
      heads.append(try queue.reserve(placed.buffers, indirect: true))
    }
    // Put back before each round: what is scribbled over all the time is soon no request at all.
    let contents = try ranges.map { try guest.memory.read($0.lowerBound, byteCount: $0.count) }
    let scribbler = Scribbler(guest.memory, ranges, seed: random.next())
    defer { scribbler.stop() }
    var (answered, made) = (0, 0)
    let end = ContinuousClock.now + Self.duration
    var checks = 0
    while ContinuousClock.now < end {
      for (range, content) in zip(ranges, contents) {
        try guest.memory.write(content, at: range.lowerBound)
      }
      for head in heads { queue.post(head) }
      if queue.publish() { try queue.kick() }
      for _ in heads {
        let used = try queue.pollUsed()
        // What became a destruction on the way has an outcome of one byte, or of eight where there is room.
        #expect([0, 1, 8, 16].contains(used.byteCount), "\(used.byteCount)")
        answered += 1
      }
      for outcome in outcomes {
        let words = WireBytes(try guest.memory.read(outcome, byteCount: 16))
        if words.get32(at: 8) == 0 { made += 1 }
      }
      if checks % 64 == 0 { try stage.bystander.expectServed(queue: checks % 2) }
      checks += 1
    }
    #expect(answered > 100 && made > 10, "\(made) sessions of \(answered) requests")
    #expect(stage.daemon.isRunning)
    for kind in Kind.allCases { try guest.expectAllIsWell(kind) }
    guest.leave()
    try stage.expectNothingIsLeft()
  }
}
