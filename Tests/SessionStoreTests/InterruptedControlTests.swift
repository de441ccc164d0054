import Foundation
import Synchronization
import TestSupport
import Testing
import VhostUserFrontend

extension SessionStoreTests {
  /// The daemon is killed while its guest makes and ends sessions over the control queue.
  @Suite struct InterruptedControl {
    private static let killCount = 12

    /// A guest with a control queue only, and a record of what is in flight there.
    private final class Guest: @unchecked Sendable {
      // Unchecked because the killer's thread and the guest's share what neither changes.
      let service: StoringService
      let options: Frontend.Options
      let memory: GuestRAM
      let area: InflightArea
      let queue: DriverQueue
      let index: Int
      let first: Frontend

      init(_ ring: RingKind) throws {
        service = try StoringService()
        var options = Frontend.Options(format: .revision1, ring: ring)
        options.timeoutMilliseconds = 20_000
        self.options = options
        first = try Frontend.connect(path: service.socketPath, options: options)
        try first.negotiate()
        index = Int(try first.readConfiguration().maxDataQueues)
        area = try first.inflightArea(queueCount: index + 1, queueSize: 256)
        try first.setInflightArea(area)
        memory = try GuestRAM.scattered()
        try first.shareMemory(memory)
        queue = try first.makeQueue(size: 256)
        try first.startQueue(index, queue)
      }

      /// Kills the daemon again and again, and brings the guest to the next one each time.
      func kill(_ random: inout SeededRandom) throws -> Frontend {
        var frontend = first
        for _ in 0..<InterruptedControl.killCount {
          usleep(UInt32(2000 + random.next() % 40_000))
          try service.end()
          try service.start()
          frontend = try Frontend.connect(path: service.socketPath, options: options)
          try frontend.resume(area, memory: memory, queues: [index: queue])
        }
        return frontend
      }
    }

    /// Each session is made once and ended once, as far as the guest can see and as far as it cannot.
    @Test(arguments: [RingKind.split, .packed])
    func requestsThatAreCarriedOutAgainLeaveNothing(ring: RingKind) throws {
      let guest = try Guest(ring)
      let client = CryptoClient(
        frontend: guest.first, memory: guest.memory, dataQueues: [], control: .queue(guest.queue))
      client.timeoutMilliseconds = 20_000
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 64, batch: 16)
      // What became of the killing: the last connection, which has to stay.
      let outcome = Mutex<Result<Frontend, any Error>?>(nil)
      var seeds = SeededRandom.printed("interrupted control requests")
      let seed = seeds.next()
      Thread.detachNewThread {
        var random = SeededRandom(seed: seed)
        let result = Result { try guest.kill(&random) }
        outcome.withLock { $0 = result }
      }
      var count = 0
      repeat {
        try pipeline.createAndDestroy(500)
        let identifiers = try pipeline.create(count..<count + 500)
        try pipeline.destroy(identifiers)
        count += 1000
      } while outcome.withLock({ $0 == nil })
      let identifiers = try pipeline.create(0..<100)
      _ = try outcome.withLock { try $0?.get() }
      #expect(Set(identifiers).count == 100)
      #expect(try guest.service.device().sessions.open == 100)
      try pipeline.destroy(identifiers)
      #expect(try guest.service.device().sessions.open == 0)
      print("\(ring): \(count) sessions over \(Self.killCount) kills")
    }
  }
}
