import Foundation
import LinuxSystem
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend
import VirtioSpec

extension TheDaemon {
  /// One request after the other, as stock guests send them: who wakes whom, and how often.
  @Suite("Round trips")
  struct RoundTripTests {
    /// What a run of requests cost, in the daemon's own words and in the kernel's.
    private struct Cost {
      var requests: UInt64
      var kicks: UInt64
      var calls: UInt64
      var sleeps: UInt64
      var batches: UInt64
      /// Times that the worker's thread gave its processor away.
      var blocks: Int
    }

    /// Longer than any other process keeps the front-end from its processor.
    private static let patient = "mode: adaptive, spin-us: 1000000"

    private func daemon(_ poll: String, cpu: Int) throws -> DaemonProcess {
      try DaemonProcess.withStatistics(
        "version: 1\nworkers: { poll: { \(poll) }, cpus: [\(cpu)] }\n")
    }

    private func options(_ driver: (eventIndex: Bool, ring: RingKind)) -> Frontend.Options {
      var options = Frontend.Options()
      options.ring = driver.ring
      if !driver.eventIndex { options.features &= ~VirtioFeature.ringEventIndex }
      return options
    }

    private func blocks(_ daemon: DaemonProcess) throws -> Int {
      let task = try #require(IdleTests.task("vcrypto-q0", of: daemon))
      let text = try String(contentsOfFile: task + "/status", encoding: .utf8)
      let line = text.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") }
      return try #require(line?.split(separator: "\t").last.flatMap { Int($0) })
    }

    /// Runs `body` on a processor of its own.
    private func cost(
      _ daemon: DaemonProcess, cpu: Int, of body: @escaping @Sendable () throws -> Void
    ) throws -> Cost {
      let (before, blocksBefore) = (try daemon.device().queues[0], try blocks(daemon))
      let outcome = Mutex<Result<Void, any Error>?>(nil)
      try PinnedThread(name: "driver", cpu: cpu) {
        let result = Result { try body() }
        outcome.withLock { $0 = result }
      }.join()
      try #require(outcome.withLock { $0 }).get()
      let (after, blocksAfter) = (try daemon.device().queues[0], try blocks(daemon))
      return Cost(
        requests: after.requests - before.requests, kicks: after.kicks - before.kicks,
        calls: after.callsSent - before.callsSent, sleeps: after.sleeps - before.sleeps,
        batches: after.batches - before.batches, blocks: blocksAfter - blocksBefore)
    }

    @Test(
      arguments: [(true, .split), (false, .split), (true, .packed), (false, .packedInOrder)]
        as [(Bool, RingKind)])
    func nobodyWakesAnybodyWhileTheFrontEndKeepsGoing(
      driver: (eventIndex: Bool, ring: RingKind)
    ) throws {
      let cpus = try NotificationTests.twoProcessors()
      try #require(cpus.first != cpus.last, "two processors are needed: both sides poll")
      let daemon = try daemon(Self.patient, cpu: cpus.last)
      let client = try daemon.client(options: options(driver))
      let session = try client.openSession(Samples.encryption)
      let box = Box(try Carousel(client, [Samples.encrypt(session, byteCount: 64)]))
      // Wakes the worker.
      try box.carousel.run(100, batch: 1, limit: 1)
      // As much time for each: instrumented ones take longer.
      let count = 20_000 / sanitizerSlack
      func measured() throws -> Cost {
        try cost(daemon, cpu: cpus.first) { try box.carousel.run(count, batch: 1, limit: 1) }
      }
      var spent = try measured()
      // On a busy machine either side may find itself off its processor for so long that the other one goes to sleep.
      for _ in 0..<4 where spent.calls + spent.sleeps + UInt64(spent.blocks) > 0 {
        try box.carousel.run(100, batch: 1, limit: 1)
        spent = try measured()
      }
      try box.carousel.expectRightAnswers()
      #expect(spent.requests == UInt64(count))
      #expect(spent.batches == UInt64(count), "each request is a round trip of its own")
      #expect(spent.kicks == 0, "the device wanted no kick")
      #expect(spent.calls == 0)
      #expect(spent.sleeps == 0)
      #expect(spent.blocks == 0)
    }

    @Test(
      arguments: [(true, .split), (false, .split), (true, .packed), (false, .packedInOrder)]
        as [(Bool, RingKind)])
    func anEventDrivenRoundTripIsOneKickOneSleepAndOneCall(
      driver: (eventIndex: Bool, ring: RingKind)
    ) throws {
      let cpus = try NotificationTests.twoProcessors()
      let daemon = try daemon("mode: event", cpu: cpus.last)
      let client = try daemon.client(options: options(driver))
      let session = try client.openSession(Samples.encryption)
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(Samples.encrypt(session, byteCount: 64), format: client.format),
        plan: RequestPlan(), in: client.memory)
      let queue = client.dataQueues[0]
      let head = try queue.reserve(placed.buffers, indirect: true)
      let count = 5000
      let unwanted = Mutex(0)
      @Sendable func roundTrip() throws {
        _ = queue.enableCalls()
        queue.post(head)
        // The call leaves with the worker's system call that puts it to sleep, so it is armed again by now.
        if queue.publish() { try queue.kick() } else { unwanted.withLock { $0 += 1 } }
        guard try queue.callEvent.wait(milliseconds: 2000) else {
          throw TestSupportError("no call after 2 s")
        }
        _ = try queue.callEvent.drain()
        guard queue.popUsed()?.head == UInt32(head) else {
          throw TestSupportError("a call, and nothing was used")
        }
      }
      // Until the worker has started and sleeps; a call that was set while the queue ran is signalled once.
      queue.disableCalls()
      for _ in 0..<10 {
        queue.post(head)
        if queue.publish() { try queue.kick() }
        _ = try queue.pollUsed(timeoutMilliseconds: 2000)
      }
      usleep(10_000)
      _ = try queue.callEvent.drain()
      let cost = try cost(daemon, cpu: cpus.first) { for _ in 0..<count { try roundTrip() } }
      #expect(unwanted.withLock { $0 } == 0)
      #expect(cost.requests == UInt64(count))
      #expect(cost.batches == UInt64(count))
      #expect(cost.kicks == UInt64(count))
      #expect(cost.calls == UInt64(count))
      #expect(cost.sleeps == UInt64(count))
      // One for each, unless the next kick came before the worker had left its processor.
      #expect(cost.blocks <= count + 10)
      queue.release(head)
    }

    /// QEMU's cryptodev-vhost-user tells of no ring features at all; the guest has chosen some.
    @Test(arguments: [false, true])
    func aGuestWithUnknownRingFeaturesIsToldNotToKickInBothWays(
      hasProtocolFeatures: Bool
    ) throws {
      let cpus = try NotificationTests.twoProcessors()
      try #require(cpus.first != cpus.last, "two processors are needed: both sides poll")
      let daemon = try daemon(Self.patient, cpu: cpus.last)
      var options = Frontend.Options()
      options.features = 0
      if !hasProtocolFeatures { options.protocolFeatures = nil }
      options.sendsEnable = false
      let frontend = try Frontend.connect(path: daemon.socketPath, options: options)
      try frontend.negotiate()
      #expect(frontend.features == 0, "nothing but bit 30, which is not the device's")
      let memory = try GuestRAM.scattered()
      try frontend.shareMemory(memory)
      let queue = try frontend.makeQueue(size: 256)
      try frontend.startQueue(0, queue)
      // The format does not matter to who wakes whom: there is no such session, which is an answer, too.
      let request = CryptoRequestBuilder.data(Samples.encrypt(77, byteCount: 64), format: .legacy)
      let placed = try PlacedRequest(request, plan: RequestPlan(), in: memory)
      let head = try queue.reserve(placed.buffers, indirect: true)
      let wishes = Mutex((byFlag: 0, byEvent: 0))
      @Sendable func roundTrip() throws {
        let before = queue.publishedIndex
        queue.post(head)
        let byFlag = queue.publish()
        let now = queue.publishedIndex
        // What a guest with EVENT_IDX would conclude from the same memory.
        let byEvent = now &- queue.rawAvailableEvent &- 1 < now &- before
        wishes.withLock { $0 = ($0.byFlag + (byFlag ? 1 : 0), $0.byEvent + (byEvent ? 1 : 0)) }
        if byFlag || byEvent { try queue.kick() }
        guard try queue.pollUsed(timeoutMilliseconds: 2000).head == UInt32(head) else {
          throw TestSupportError("another chain was used")
        }
      }
      for _ in 0..<100 { try roundTrip() }
      wishes.withLock { $0 = (0, 0) }
      // More than the indices' range: an event that was left behind comes near once in 65536 requests.
      let count = 70_000
      let cost = try cost(daemon, cpu: cpus.first) { for _ in 0..<count { try roundTrip() } }
      #expect(cost.requests == UInt64(count))
      let busy = wishes.withLock { $0 }
      #expect(busy.byFlag == 0)
      #expect(busy.byEvent <= 1)
      #expect(cost.kicks <= UInt64(busy.byEvent))
      #expect(cost.sleeps == 0)
      #expect(queue.rawUsedFlags & 1 == 1)
      #expect(queue.rawAvailableEvent != queue.publishedIndex)
      // Asleep, it asks in both ways as well.
      try waitUntil("sleep") { queue.rawUsedFlags & 1 == 0 }
      #expect(queue.rawAvailableEvent == queue.publishedIndex)
      wishes.withLock { $0 = (0, 0) }
      try roundTrip()
      let asleep = wishes.withLock { $0 }
      #expect(asleep.byFlag == 1 && asleep.byEvent == 1)
    }

    @Test func nothingRunsASecondAfterTheLastRequest() throws {
      let daemon = try DaemonProcess.withStatistics()
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session, byteCount: 64)])
      let atStart = daemon.processorNanoseconds
      try carousel.run(5000, batch: 1, limit: 1)
      #expect(daemon.processorNanoseconds - atStart > 1_000_000, "the measure itself works")
      sleep(1)
      let before = daemon.processorNanoseconds
      sleep(1)
      // A thread of the concurrency runtime looks around now and then: some 40 µs a second.
      #expect(daemon.processorNanoseconds - before < 1_000_000)
    }

    private final class Box: @unchecked Sendable {
      // Unchecked: the test waits for the thread that uses it.
      let carousel: Carousel
      init(_ carousel: Carousel) { self.carousel = carousel }
    }
  }
}
