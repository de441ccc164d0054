import Foundation
import TestSupport
import VhostUserFrontend
import VhostUserProtocol

/// What happens for some seconds.
enum Phase: String, CaseIterable {
  case traffic
  case kills
  case deaths = "dying front-ends"
  case engineFaults = "failing engines"
  case setUpFaults = "failing set-up"
  case ringFaults = "failing io_uring"
}

extension Soak {
  func run(_ phase: Phase, until end: UInt64) throws {
    switch phase {
    case .traffic:
      while monotonicNanoseconds() < end { try turn() }
    case .kills: try kills(until: end)
    case .deaths:
      repeat { try death() } while monotonicNanoseconds() < end
    case .engineFaults: try engineFaults(until: end)
    case .setUpFaults:
      repeat { try visitUnderFaults() } while monotonicNanoseconds() < end
    case .ringFaults:
      host.faults.set([.ringCall: 100_000, .interrupt: 50_000, .accept: 300_000])
      repeat { try visit() } while monotonicNanoseconds() < end
    }
  }

  /// The daemon is killed after 5 to 200 ms of work, again and again: one half of the time without a service manager, the
  /// other half with one that keeps the sessions of some devices, of each and of all at least once.
  ///
  /// The seed decides which half comes first, and so what the daemon of the other phases has.
  private func kills(until end: UInt64) throws {
    let begin = monotonicNanoseconds()
    let middle = begin + (end - min(begin, end)) / 2
    let devices = Array(residents.indices)
    let someDevices = devices.map { Set([$0]) } + [Set(devices)]
    var isManaged = chance(2) == 0
    for halfEnd in [middle, end] {
      // A manager has nothing of a daemon that had none.
      var wishes = isManaged ? someDevices.shuffled(using: &random) : [[], []]
      if isManaged, !host.isManaged { wishes.append([]) }
      repeat {
        let drawn = isManaged ? someDevices[Int(chance(UInt64(someDevices.count)))] : []
        try kill(isManaged: isManaged, keeping: wishes.popLast() ?? drawn)
      } while !wishes.isEmpty || monotonicNanoseconds() < halfEnd
      isManaged.toggle()
    }
  }

  private func kill(isManaged: Bool, keeping kept: Set<Int>) throws {
    try work(milliseconds: 5 + chance(200))
    ledger.countEngines(try host.newCounts())
    for guest in residents { try guest.turn() }
    try host.kill()
    ledger.kills += 1
    for (index, guest) in residents.enumerated() {
      try guest.daemonHasDied(keepsSessions: kept.contains(index))
    }
    try host.restart(isManaged: isManaged, keeping: kept)
    for (index, guest) in residents.enumerated() {
      try guest.resume(path: host.path(index), keepsSessions: kept.contains(index))
    }
  }

  // MARK: Front-ends that die

  /// A front-end comes, and goes in one of several bad ways.
  private func death() throws {
    ledger.deadFrontends += 1
    switch chance(5) {
    case 0, 1: try killStrayGuest()
    case 2:
      let guest = try stranger()
      try guest.addRiders()
      guest.fillCallEvents()
      for _ in 0..<1 + chance(50) { try guest.turn() }
      guest.vanish()
    case 3: try leaveDuringSetUp()
    default: try leaveInTheMiddleOfAMessage()
    }
    try work(milliseconds: 1 + chance(20))
  }

  private func killStrayGuest() throws {
    let guest = try StrayGuest(
      path: host.strangersPath, seed: random.next(), slowness: settings.slowness,
      counts: scratch.file("counts"))
    let wanted = Int(1 + chance(UInt64(2000 / settings.slowness)))
    let patience = monotonicNanoseconds() + 60_000_000_000 * UInt64(settings.slowness)
    while guest.answeredCount < wanted, guest.isRunning, monotonicNanoseconds() < patience {
      try work(milliseconds: 2)
    }
    try guest.kill()
    guard guest.answeredCount >= wanted else {
      throw DriverError("a stray guest had \(guest.answeredCount) of \(wanted) answers in time")
    }
    ledger.deadRequests += guest.answeredCount
  }

  /// Up to ten messages, then the end.
  private func leaveDuringSetUp() throws {
    let frontend = try strangersFrontend()
    let memory = try GuestRAM.scattered(regionByteCount: 1 << 20)
    // They keep their memory until the end: two rings in one place would race.
    var queues: [DriverQueue] = []
    func start(_ index: Int, size: UInt16) throws {
      let queue = try frontend.makeQueue(size: size)
      queues.append(queue)
      try frontend.startQueue(index, queue)
    }
    let steps: [() throws -> Void] = [
      { try frontend.negotiate() },
      { _ = try frontend.inflightArea(queueCount: 2, queueSize: 256) },
      { try frontend.shareMemory(memory) },
      { try start(0, size: 256) },
      { try start(2, size: 64) },
      { try start(1, size: 256) },
      { try frontend.stopQueue(0) },
    ]
    for step in steps.prefix(Int(chance(UInt64(steps.count + 1)))) { try step() }
    withExtendedLifetime(queues) { frontend.disconnect() }
  }

  private func leaveInTheMiddleOfAMessage() throws {
    let frontend = try strangersFrontend()
    try frontend.negotiate()
    let header = MessageHeader(.setMemoryTable, needsReply: false, payloadByteCount: 200).encoded
    let bytes = header + [UInt8](repeating: 1, count: 199)
    try frontend.sendRaw(Array(bytes.prefix(Int(1 + chance(UInt64(bytes.count - 1))))))
    frontend.disconnect()
  }

  private func strangersFrontend() throws -> Frontend {
    var options = Frontend.Options(format: .stateless)
    options.timeoutMilliseconds = 20_000 * settings.slowness
    return try Frontend.connect(path: host.strangersPath, options: options)
  }

  // MARK: Front-ends that visit

  private func stranger(step: (() throws -> Void) throws -> Void = { try $0() }) throws -> Guest {
    try Guest(
      path: host.strangersPath,
      .init(
        name: "stranger", ring: RingKind.allCases[Int(chance(4))], ridersPerQueue: 30,
        slowness: settings.slowness, seed: random.next()), ledger, step: step)
  }

  /// A front-end comes, its guest works for a while, and it leaves in order.
  func visit() throws {
    let guest = try stranger()
    try entertain(guest)
  }

  private func entertain(_ guest: Guest) throws {
    ledger.visits += 1
    try guest.addRiders()
    let end = monotonicNanoseconds() + 20_000_000
    while monotonicNanoseconds() < end {
      try guest.turn()
      try turn()
    }
    try guest.finish()
    for queue in guest.client.dataQueues.indices { try guest.client.frontend.stopQueue(queue) }
    guest.vanish()
  }

  /// The same, while what a device needs for its rings fails.
  ///
  /// A step that the device refuses has to work on the same connection when nothing fails any more; so has everything
  /// afterwards.
  private func visitUnderFaults() throws {
    let rates: [Faults.Kind: UInt64] = [
      .eventFD: 150_000, .memoryFile: 300_000, .mapping: 50_000, .thread: 150_000,
      .ringSetup: 150_000, .manager: 100_000, .allocation: 3000, .accept: 300_000,
    ]
    for guest in residents { guest.toleratesFailures = true }
    host.faults.set(rates)
    let guest = try stranger { step in
      do {
        try step()
      } catch FrontendError.refused {
        ledger.refusedSteps += 1
        host.faults.none()
        try step()
        host.faults.set(rates)
      }
    }
    for _ in 0..<5 {
      for guest in residents { try guest.renewSession() }
      try turn()
    }
    host.faults.none()
    try entertain(guest)
  }

  // MARK: Engines that fail

  private func engineFaults(until end: UInt64) throws {
    for guest in residents { guest.toleratesFailures = true }
    host.faults.set([.libcrypto: 3000, .ipsecMB: 5000, .kernel: 20_000, .allocation: 2000])
    while monotonicNanoseconds() < end {
      for _ in 0..<20 { try turn() }
      for guest in residents { try guest.renewSession() }
    }
  }
}
