import CryptoTypes
import Foundation
import LinuxSystem
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

/// What a front-end takes away from under its guest.
enum Loss: String, CaseIterable, Sendable {
  /// The region of requests, results and indirect tables.
  case buffers, halfOfTheBuffers
  /// The region of both data queues.
  case rings
  case controlRing

  var region: Int {
    switch self {
    case .buffers, .halfOfTheBuffers: 0
    case .rings: 1
    case .controlRing: 2
    }
  }
}

/// A guest whose requests, data rings and control ring are in a region each, and whose front-end truncates one.
private final class Victim: @unchecked Sendable {
  let memory: GuestRAM
  let frontend: Frontend
  let client: CryptoClient
  let session: UInt64
  let controlIndex: Int
  private var heads: [[UInt16]] = []
  private let isTruncated = Mutex(false)
  // Our own mappings of the file are truncated, too.
  private var watches: [Watch] = []

  private final class Watch {
    let registration: LostMappings.Registration
    init(_ region: GuestRAM.Region) throws {
      let base = try #require(
        UnsafeMutableRawPointer(bitPattern: UInt(region.frontendAddress)))
      registration = try LostMappings.register(base: base, byteCount: region.spec.byteCount)
    }
  }

  init(path: String, ring: RingKind, isIndirect: Bool) throws {
    memory = try GuestRAM.scattered()
    watches = try memory.regions.map(Watch.init)
    frontend = try Frontend.connect(
      path: path, options: Frontend.Options(format: .revision1, ring: ring))
    try frontend.negotiate()
    try frontend.shareMemory(memory)
    var queues: [DriverQueue] = []
    for index in 0..<2 {
      queues.append(try frontend.makeQueue(size: 512, region: 1))
      try frontend.startQueue(index, queues[index])
    }
    controlIndex = Int(try frontend.readConfiguration().maxDataQueues)
    let control = try frontend.makeQueue(size: 64, region: 2)
    try frontend.startQueue(controlIndex, control)
    client = CryptoClient(
      frontend: frontend, memory: memory, dataQueues: queues, control: .queue(control))
    session = try client.openSession(Samples.encryption)
    for (index, queue) in queues.enumerated() {
      queue.disableCalls()
      heads.append(
        try (0..<50).map { number in
          // From both ends of the region's used part, and long enough to be under way when it goes.
          let operation = OperationSpec(
            Samples.encryption, sessionID: session, iv: Samples.bytes(16, number),
            source: Samples.bytes(32768, number + index))
          let placed = try PlacedRequest(
            CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
            in: memory)
          return try queue.reserve(placed.buffers, indirect: isIndirect)
        })
    }
  }

  func leave() { frontend.disconnect() }

  deinit {
    frontend.disconnect()
    // Before the mappings.
    watches = []
  }

  func truncate(_ loss: Loss) throws {
    let region = memory.regions[loss.region]
    // The requests take up half of the region.
    let left = loss == .halfOfTheBuffers ? region.spec.byteCount / 4 : 0
    try isTruncated.withLock { isTruncated in
      isTruncated = true
      guard ftruncate(region.file.descriptor, off_t(region.spec.fileOffset + left)) == 0 else {
        throw TestSupportError("truncating failed with errno \(errno)")
      }
    }
  }

  /// Sends the requests again and again until every queue has stopped; false if that takes longer than five seconds.
  func work(losing loss: Loss, meanwhile: () throws -> Void) throws -> Bool {
    let end = ContinuousClock.now + .seconds(5)
    while ContinuousClock.now < end {
      for (queue, heads) in zip(client.dataQueues, heads) {
        // What is in the ring's place now is not a ring.
        let mayTouch = isTruncated.withLock { !$0 || loss != .rings }
        if mayTouch {
          isTruncated.withLock { isTruncated in
            guard !isTruncated || loss != .rings else { return }
            while queue.popUsed() != nil {}
            guard queue.inFlightCount == 0 else { return }
            for head in heads { queue.post(head) }
            _ = queue.publish()
          }
        }
        try queue.kick()
      }
      if isTruncated.withLock({ $0 }), case .queue(let control) = client.control {
        try control.kick()
        if try hasStopped { return true }
      }
      try meanwhile()
    }
    return try hasStopped
  }

  private var hasStopped: Bool {
    get throws {
      try [0, 1, controlIndex].allSatisfy { try frontend.hasRingError($0) }
    }
  }
}

extension HostileGuest {
  @Suite struct TruncatedMemory {
    @Test(arguments: Loss.allCases, [RingKind.split, .packed, .splitInOrder, .packedInOrder])
    func frontendThatTruncatesItsMemoryStopsItsOwnDevice(loss: Loss, ring: RingKind) throws {
      let stage = try Stage.current()
      var random = SeededRandom.printed()
      for isIndirect in [true, false] {
        let comment: Comment = "\(loss), \(ring), indirect: \(isIndirect)"
        let victim = try Victim(
          path: stage.daemon.socketPath, ring: ring, isIndirect: isIndirect)
        let delay = UInt32.random(in: 0..<5000, using: &random)
        let truncated = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
          usleep(delay)
          do { try victim.truncate(loss) } catch { Issue.record(error) }
          truncated.signal()
        }
        var turn = 0
        let hasStopped = try victim.work(losing: loss) {
          try stage.bystander.expectServed(queue: turn % 2)
          turn += 1
        }
        truncated.wait()
        #expect(hasStopped, comment)
        #expect(stage.daemon.isRunning, comment)
        try stage.bystander.expectServed(queue: 0)
        try waitUntil("the queues' faults") {
          let queues = try stage.device()["queues"] as? [[String: Any]] ?? []
          return queues.prefix(2).allSatisfy { $0["fault"] as? String == "memoryLost" }
        }
        // Nothing starts on this memory any more.
        try victim.frontend.stopQueue(0)
        #expect(throws: FrontendError.self, comment) {
          try victim.frontend.startQueue(0, victim.client.dataQueues[0])
        }
        // Messages that need none of it are obeyed.
        let answer = try victim.frontend.createSession(Samples.encryption, layout: .current)
        #expect(answer.statusWord == 0, comment)
        // With other memory the device works again, over the same connection.
        try expectWorksAgain(victim)
        victim.leave()
        try stage.expectNothingIsLeft()
      }
      try stage.guest(ring: ring).expectAllIsWell()
      #expect(
        stage.daemon.standardError.contains(
          "device stopped: the front-end truncated guest memory"))
    }

    /// A log that nobody keeps is none: pages would be missing where the guest arrives.
    @Test(arguments: [RingKind.split, .packed, .splitInOrder, .packedInOrder])
    func frontendThatTruncatesItsLogStopsItsOwnDevice(ring: RingKind) throws {
      let stage = try Stage.current()
      let guest = try stage.guest(ring: ring)
      let (frontend, queue) = (guest.frontend, guest.client.dataQueues[0])
      let control = Int(try frontend.readConfiguration().maxDataQueues)
      let log = try DirtyBitmap(covering: guest.memory)
      try guest.client.startLogging(log)
      try guest.expectAllIsWell()
      #expect(!log.take().isEmpty)
      try #require(ftruncate(log.file.descriptor, 0) == 0)
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(guest.operation(.cipher), format: guest.format),
        plan: RequestPlan(), in: guest.memory)
      try waitUntil("the device's stop") {
        if queue.inFlightCount == 0 {
          queue.post(try queue.reserve(placed.buffers, indirect: true))
          _ = queue.publish()
        }
        try queue.kick()
        try stage.bystander.expectServed()
        while let used = queue.popUsed() { queue.release(UInt16(truncatingIfNeeded: used.head)) }
        return try [0, 1, control].allSatisfy { try frontend.hasRingError($0) }
      }
      #expect(stage.daemon.isRunning)
      try waitUntil("the queues' faults") {
        let queues = try stage.device()["queues"] as? [[String: Any]] ?? []
        return queues.prefix(2).allSatisfy { $0["fault"] as? String == "memoryLost" }
      }
      // Nothing starts with this log any more.
      try frontend.stopQueue(0)
      #expect(throws: FrontendError.self) { try frontend.startQueue(0, queue) }
      // With another one the device works, and logs.
      let other = try DirtyBitmap(covering: guest.memory)
      try frontend.setLogBase(other)
      for index in [0, 1, control] { try frontend.stopQueue(index) }
      let fresh = try frontend.makeQueue(size: 64)
      try frontend.startQueue(0, fresh)
      try guest.expectServed(on: fresh)
      _ = other.take()
      fresh.post(try fresh.reserve(placed.buffers, indirect: true))
      _ = fresh.publish()
      try fresh.kick()
      _ = try fresh.pollUsed()
      let pages = placed.destination.flatMap {
        GuestRAM.pages($0.guestAddress, byteCount: Int($0.byteCount))
      }
      // The bits of results are set before these are shown.
      #expect(!pages.isEmpty && Set(pages).isSubset(of: other.take()))
      guest.leave()
      try stage.expectNothingIsLeft()
      try stage.guest(ring: ring).expectAllIsWell()
    }

    private func expectWorksAgain(_ victim: Victim) throws {
      let frontend = victim.frontend
      let fresh = try GuestRAM.scattered()
      try frontend.shareMemory(fresh)
      for index in [0, 1, victim.controlIndex] { try frontend.stopQueue(index) }
      let queue = try frontend.makeQueue(size: 64)
      try frontend.startQueue(0, queue)
      let control = try frontend.makeQueue(size: 64)
      try frontend.startQueue(victim.controlIndex, control)
      let client = CryptoClient(
        frontend: frontend, memory: fresh, dataQueues: [queue], control: .queue(control))
      // The session of before is still there, and new ones can be made.
      for session in [victim.session, try client.openSession(Samples.encryption)] {
        let operation = Samples.encrypt(session)
        let answer = try client.perform(operation)
        #expect(answer.status == .ok)
        #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
      }
    }

    /// In the middle of each engine's work, its helpers' too; the kernel's own copies fail instead.
    @Test(arguments: try EngineUnderTest.all())
    func everyEngineSurvivesTheLossOfItsBuffers(engine: EngineUnderTest) throws {
      let directory = try TemporaryDirectory()
      let other = directory.file("other.sock")
      let daemon = try DaemonProcess(
        arguments: ["--socket-path=\(other)"],
        configuration: """
          version: 1
          workers: { helper-min-size: 16KiB }

          """ + engine.algorithms)
      let bystander = try CryptoClient.start(path: other)
      let session = try bystander.openSession(Samples.encryption)
      var random = SeededRandom.printed()
      for turn in 0..<10 {
        let victim = try Victim(
          path: daemon.socketPath, ring: turn % 2 == 0 ? .split : .packed, isIndirect: turn % 3 > 0)
        let delay = UInt32.random(in: 0..<5000, using: &random)
        let truncated = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
          usleep(delay)
          do {
            try victim.truncate(turn % 2 == 0 ? .buffers : .halfOfTheBuffers)
          } catch { Issue.record(error) }
          truncated.signal()
        }
        let hasStopped = try victim.work(losing: .buffers) {
          let operation = Samples.encrypt(session)
          let answer = try bystander.perform(operation)
          #expect(answer.output == ReferenceCrypto.answer(to: operation)?.output)
        }
        truncated.wait()
        #expect(hasStopped, "turn \(turn)")
        victim.leave()
      }
      #expect(try daemon.terminate() == .status(0))
    }

    /// The handler is there once memory is shared; what is not its business ends the daemon as before, without a report
    /// that shows memory.
    @Test func otherBusErrorsEndTheDaemon() throws {
      let daemon = try DaemonProcess()
      let client = try daemon.client()
      _ = try client.perform(Samples.encrypt(try client.openSession(Samples.encryption)))
      daemon.send(signal: SIGBUS)
      #expect(daemon.process.wait(milliseconds: 1500) == .signal(SIGBUS))
      let showsRegisters = daemon.standardError.contains("Registers:")
      #expect(!showsRegisters)
    }
  }
}
