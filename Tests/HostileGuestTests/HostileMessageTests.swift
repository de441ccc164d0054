import Foundation
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Messages that each could be right, with words that may be anything, in any order.
private struct MessageSource {
  var random: SeededRandom
  let memory: GuestRAM
  let events: [EventFile]

  private static let requests = (0...45).map { FrontendRequest(rawValue: $0) }

  private mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int.random(in: 0..<values.count, using: &random)]
  }

  private mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }

  private mutating func word32() -> UInt32 {
    pick([0, 1, 2, 3, 4, 8, 64, 256, 1024, 32768, 65535, 65536, 0x8000_8000, .max])
  }

  private mutating func word64() -> UInt64 {
    pick([
      0, 1, 4096, 1 << 30, 1 << 32, 1 << 63, .max, .max - 4095, UInt64(word32()), random.next(),
    ])
  }

  /// Mostly inside guest memory.
  private mutating func frontendAddress() -> UInt64 {
    if chance(8) { return word64() }
    let region = pick(memory.regions)
    return region.frontendAddress + UInt64.random(in: 0..<(1 << 20), using: &random) & ~0xF
  }

  private mutating func region() -> [UInt8] {
    let region = pick(memory.regions)
    var payload = MemoryRegionPayload(
      guestAddress: region.spec.guestAddress, regionByteCount: UInt64(region.spec.byteCount),
      frontendAddress: region.frontendAddress, mmapOffset: UInt64(region.spec.fileOffset))
    switch Int.random(in: 0..<10, using: &random) {
    case 0: payload.guestAddress = word64()
    case 1: payload.regionByteCount = word64()
    case 2: payload.frontendAddress = word64()
    case 3: payload.mmapOffset = word64()
    default: break
    }
    return payload.encodedSingle
  }

  private mutating func payload(_ request: FrontendRequest) -> [UInt8] {
    let ring = chance(10) ? word32() : UInt32.random(in: 0...4, using: &random)
    switch request {
    case .setVringNum, .setVringBase, .getVringBase, .setVringEnable:
      return VringState(index: ring, number: word32()).encoded
    case .setVringAddress:
      return VringAddress(
        index: ring, descriptorTable: frontendAddress(), usedRing: frontendAddress(),
        availableRing: frontendAddress()
      ).encoded
    case .setVringKick, .setVringCall, .setVringError:
      return VringDescriptor(
        index: UInt8(truncatingIfNeeded: ring), hasNoDescriptor: chance(4)
      ).encoded
    case .addMemoryRegion, .removeMemoryRegion: return region()
    case .setMemoryTable:
      let count = Int.random(in: 0...3, using: &random)
      var bytes = WireBytes()
      bytes.append32(UInt32(chance(10) ? count + 1 : count))
      bytes.append32(0)
      return (0..<count).reduce(bytes.bytes) { sum, _ in sum + region().dropFirst(8) }
    default:
      switch request.shape?.payload {
      case .exactly(let count): return numbers(count)
      case .within(let counts): return numbers(Int.random(in: counts, using: &random))
      case .session: return numbers(pick([632, 1072]))
      case nil: return numbers(pick([0, 8, 16, 24]))
      }
    }
  }

  private mutating func numbers(_ count: Int) -> [UInt8] {
    var bytes = WireBytes()
    while bytes.bytes.count < count { bytes.append32(word32()) }
    return Array(bytes.bytes.prefix(count))
  }

  /// Sends the next message; false when the back-end has had enough.
  mutating func send(over frontend: Frontend) -> Bool {
    let request = pick(Self.requests)
    var descriptorCount = 0
    if let range = request.shape?.descriptorCounts {
      descriptorCount = chance(10) ? range.upperBound + 1 : Int.random(in: range, using: &random)
    } else if chance(4) {
      descriptorCount = 1
    }
    let descriptors = (0..<descriptorCount).map { _ in
      chance(3) ? pick(events).descriptor : pick(memory.regions).file.descriptor
    }
    var bytes = payload(request)
    if chance(30) { bytes.removeLast(min(bytes.count, 1)) }
    // Acknowledged messages that are refused leave the connection open.
    return
      (try? frontend.send(
        request, payload: bytes, descriptors: descriptors, needsReply: !chance(100))) != nil
  }
}

extension HostileGuest {
  @Suite struct HostileMessages {
    /// A virtual machine monitor that stops in the middle of a message holds its own device's socket and nothing else:
    /// the queues of its guest go on, other devices do, and so do statistics.
    @Test(arguments: [1, 6, 11, 12, 15])
    func halfAMessageThenSilenceHoldsNobodyElse(byteCount: Int) throws {
      let stage = try Stage.current()
      let guest = try stage.guest()
      let whole =
        MessageHeader(.setFeatures, payloadByteCount: 8).encoded + NumberPayload(0).encoded
      try guest.frontend.sendRaw(
        Array(whole.prefix(byteCount)), descriptors: [guest.memory.regions[0].file.descriptor])
      for _ in 0..<10 {
        // Sessions over the control queue, which the same thread serves, too.
        _ = try guest.client.openSession(Guest.spec(.aead))
        try guest.expectAllIsWell()
        _ = try stage.statistics()
      }
      // Somebody else for the same device waits until the first one is gone.
      let next = try Frontend.connect(path: stage.daemon.socketPath)
      try next.send(.getFeatures)
      #expect(throws: FrontendError.self) {
        _ = try next.receive(waitingFor: "nothing", timeoutMilliseconds: 100)
      }
      guest.leave()
      #expect(try next.receive(waitingFor: "features").payload.count == 8)
      next.disconnect()
      try stage.expectNothingIsLeft()
    }

    /// Nor does one that comes byte by byte, which is obeyed when it is whole.
    @Test func aMessageThatTricklesHoldsNobodyElse() throws {
      let stage = try Stage.current()
      let guest = try stage.guest()
      for byte in MessageHeader(.getFeatures, payloadByteCount: 0).encoded {
        try guest.frontend.sendRaw([byte])
        _ = try guest.client.openSession(Guest.spec(.aead))
        try guest.expectAllIsWell()
        _ = try stage.statistics()
      }
      #expect(try guest.frontend.receive(waitingFor: "features").payload.count == 8)
      guest.leave()
      try stage.expectNothingIsLeft()
    }

    @Test func messagesInAnyOrderHarmNobodyElse() throws {
      let stage = try Stage.current()
      var random = SeededRandom.printed()
      let events = try (0..<4).map { _ in try EventFile() }
      var (sent, visits) = (0, 0)
      let end = ContinuousClock.now + RewritingGuests.duration
      while ContinuousClock.now < end {
        visits += 1
        let frontend: Frontend
        let memory: GuestRAM
        if visits % 2 == 0 {
          // Everything runs when the nonsense begins.
          let guest = try stage.guest(ring: visits % 4 == 0 ? .packed : .split)
          (frontend, memory) = (guest.frontend, guest.memory)
          try nonsense(frontend, memory, events, &random, &sent)
          guest.leave()
        } else {
          frontend = try Frontend.connect(path: stage.daemon.socketPath)
          memory = try GuestRAM.scattered(regionByteCount: 1 << 20)
          try frontend.negotiate()
          try nonsense(frontend, memory, events, &random, &sent)
          frontend.disconnect()
        }
        try stage.bystander.expectServed(queue: visits % 2)
        #expect(stage.daemon.isRunning)
      }
      print("\(sent) messages in \(visits) visits")
      #expect(sent > 200 && visits > 4)
      try stage.expectNothingIsLeft()
      try stage.guest().expectAllIsWell()
    }

    private func nonsense(
      _ frontend: Frontend, _ memory: GuestRAM, _ events: [EventFile],
      _ random: inout SeededRandom, _ sent: inout Int
    ) throws {
      var source = MessageSource(
        random: SeededRandom(seed: random.next()), memory: memory, events: events)
      for _ in 0..<200 {
        guard source.send(over: frontend) else { return }
        sent += 1
      }
    }

    /// A front-end that is refused thousands of times, comes and goes, and has a guest that breaks its ring each time.
    @Test func floodsOfComplaintsAreLimited() throws {
      let stage = try Stage.current()
      let start = ContinuousClock.now
      let before = stage.daemon.standardError.split(separator: "\n").count
      let bad = VringState(index: 0, number: 3).encoded
      var refused = 0
      for _ in 0..<20 {
        let guest = try stage.guest()
        for _ in 0..<100 {
          do throws(FrontendError) {
            try guest.frontend.command(.setVringNum, payload: bad)
          } catch { refused += 1 }
        }
        let queue = guest.client.dataQueues[1]
        let request = try LaidOutRequest(guest, on: queue, isIndirect: true)
        request.editTableDescriptor { $0.byteCount = 17 }
        try request.submit()
        #expect(try guest.frontend.hasRingError(1, timeoutMilliseconds: 5000))
        guest.leave()
      }
      #expect(refused == 2000)
      let text = stage.daemon.standardError
      let lines = text.split(separator: "\n").count - before
      // Ten lines in five seconds of the device's server, and as many of the device.
      let periods = Int(start.duration(to: .now).components.seconds) / 5 + 2
      #expect(lines <= 20 * periods, "\(lines) lines")
      // Whoever comes next finds out how many were left out; the line for this comes when a period is over.
      try waitUntil("the number of lines left out", milliseconds: 15000) {
        let guest = try stage.guest()
        guest.leave()
        usleep(200_000)
        return stage.daemon.standardError.contains("suppressed=")
      }
    }
  }
}
