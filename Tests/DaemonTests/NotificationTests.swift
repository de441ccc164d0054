import Foundation
import LinuxSystem
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

extension TheDaemon {
  @Suite("Kicks and calls")
  struct NotificationTests {
    private func options(eventIndex: Bool, ring: RingKind = .usual) -> Frontend.Options {
      var options = Frontend.Options()
      options.ring = ring
      if !eventIndex { options.features &= ~VirtioFeature.ringEventIndex }
      return options
    }

    private func daemon(_ poll: String = "mode: adaptive", more: String = "") throws
      -> DaemonProcess
    {
      try DaemonProcess.withStatistics("version: 1\nworkers: { poll: { \(poll) }\(more) }\n")
    }

    /// Two processors that this process may use (the same one twice on a host with one).
    static func twoProcessors() throws -> (first: Int, last: Int) {
      let path = "/proc/self/status"
      let list = try #require(IdleTests.allowedProcessors(path))
      let numbers = list.split { $0 == "," || $0 == "-" }.compactMap { Int($0) }
      return (try #require(numbers.first), try #require(numbers.last))
    }

    /// How many kicks in a thousand requests are accepted.
    @Test(
      arguments: [
        ("mode: always", 0), ("mode: adaptive, spin-us: 1000000", 1), ("mode: event", 300),
      ], [(true, .split), (false, .split), (true, .packed)] as [(Bool, RingKind)])
    func bothSidesSuppressNotificationsUnderLoad(
      mode: (poll: String, kicksPerThousand: Int), driver: (eventIndex: Bool, ring: RingKind)
    ) throws {
      let (eventIndex, ring) = driver
      // Driver and worker have a processor each: on one, every kick would hand over to the worker, which would find
      // one request and sleep again.
      let cpus = try Self.twoProcessors()
      let daemon = try daemon(mode.poll, more: ", cpus: [\(cpus.last)]")
      let client = try daemon.client(options: options(eventIndex: eventIndex, ring: ring))
      let negotiated = client.frontend.features & VirtioFeature.ringEventIndex != 0
      #expect(negotiated == eventIndex)
      let session = try client.openSession(Samples.encryption)
      let carousel = try Carousel(client, [Samples.encrypt(session, byteCount: 8192)])
      let before = try daemon.device().queues[0]
      // Shown one by one: without suppression each would be kicked.
      let count = 5000
      let outcome = Mutex<Result<Void, any Error>?>(nil)
      let box = Box(carousel)
      try PinnedThread(name: "driver", cpu: cpus.first) {
        let result = Result { try box.carousel.run(count, batch: 1) }
        outcome.withLock { $0 = result }
      }.join()
      try #require(outcome.withLock { $0 }).get()
      try carousel.expectRightAnswers()
      let after = try daemon.device().queues[0]
      #expect(after.requests - before.requests == UInt64(count))
      print("\(mode.poll), event index \(eventIndex): \(carousel.kickCount) kicks of \(count)")
      // Until the worker is awake for the first time, each of the 64 may be kicked. Without event indices that is so
      // after each sleep, and an event worker sleeps whenever the ring is dry: no bound for that pair.
      if eventIndex || mode.poll != "mode: event" {
        #expect(carousel.kickCount <= 64 + mode.kicksPerThousand * count / 1000)
      }
      #expect(after.kicks - before.kicks <= UInt64(carousel.kickCount))
      if mode.poll == "mode: event" { #expect(carousel.kickCount >= 1) }
      // The driver wanted no calls: each publication is a suppressed one, but for the first, which a fast worker may
      // publish before the driver has said so.
      let calls = after.callsSent - before.callsSent
      #expect(calls <= 1)
      #expect(
        after.callsSuppressed - before.callsSuppressed + calls == after.batches - before.batches)
      #expect(after.batches - before.batches <= UInt64(count))
    }

    private final class Box: @unchecked Sendable {
      // Unchecked: the test waits for the thread that uses it.
      let carousel: Carousel
      init(_ carousel: Carousel) { self.carousel = carousel }
    }

    @Test(
      arguments: ["mode: adaptive", "mode: event"],
      [(true, .split), (false, .split), (true, .packed), (false, .packedInOrder)]
        as [(Bool, RingKind)])
    func interruptsLoseNoWakeUps(
      mode: String, driver: (eventIndex: Bool, ring: RingKind)
    ) throws {
      let daemon = try daemon(mode)
      let client = try daemon.client(
        options: options(eventIndex: driver.eventIndex, ring: driver.ring))
      client.polls = false
      let session = try client.openSession(Samples.encryption)
      let operation = Samples.encrypt(session, byteCount: 64)
      let placed = try PlacedRequest(
        CryptoRequestBuilder.data(operation, format: client.format), plan: RequestPlan(),
        in: client.memory)
      let queue = client.dataQueues[0]
      let before = try daemon.device().queues[0]
      let clock = ContinuousClock()
      let start = clock.now
      var random = SeededRandom.printed()
      let count = 10_000
      for round in 0..<count {
        let head = try queue.submit(placed.buffers, indirect: true)
        // A lost wake-up is an error after this time.
        let used = try queue.waitUsed(timeoutMilliseconds: 2000)
        #expect(used.head == UInt32(head))
        queue.release(head)
        // Now and then a pause around the time that the worker spins, when it is about to sleep.
        if round % 50 == 0 { usleep(UInt32.random(in: 0...120, using: &random)) }
      }
      #expect(start.duration(to: clock.now) < .seconds(20))
      let after = try daemon.device().queues[0]
      #expect(after.requests - before.requests == UInt64(count))
      // A driver that looks before it asks for a call misses none, and needs one only when it sleeps.
      #expect(after.callsSent > before.callsSent)
      #expect(after.callsSent - before.callsSent <= UInt64(count))
    }

    @Test func aQueueWithoutKickIsPolled() throws {
      let daemon = try daemon("mode: event")
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      let nothing = VringDescriptor(index: 0, hasNoDescriptor: true)
      try client.frontend.command(.setVringKick, payload: nothing.encoded)
      let carousel = try Carousel(client, [Samples.encrypt(session)])
      carousel.sendsKicks = false
      try carousel.run(5000)
      usleep(50_000)
      try carousel.run(5000)
      try carousel.expectRightAnswers()
      let queue = try daemon.device().queues[0]
      #expect(queue.requests == 10_000)
      #expect(queue.sleeps == 0 || queue.kicks == 0)
    }

    @Test func aQueueWithoutCallIsServed() throws {
      let daemon = try daemon()
      let client = try daemon.client()
      let nothing = VringDescriptor(index: 0, hasNoDescriptor: true)
      try client.frontend.command(.setVringCall, payload: nothing.encoded)
      // A call descriptor that comes after the kick is signalled once when it is set.
      _ = try client.dataQueues[0].callEvent.drain()
      for _ in 0..<10 { try client.expectService() }
      _ = client.dataQueues[0].enableCalls()
      let session = try client.openSession(Samples.encryption)
      _ = try client.perform(Samples.encrypt(session))
      #expect(try !client.dataQueues[0].callEvent.wait(milliseconds: 50))
    }
  }
}
