import Foundation
import LinuxSystem
import TestSupport
import Testing
import VhostUserFrontend
import VhostUserProtocol

extension TheDaemon {
  /// What one guest, front-end or reader can make the daemon hold; docs/reliability.md has the numbers.
  @Suite("Bounds of resources")
  struct ResourceBoundTests {
    // MARK: Floods of connections

    /// Connections until the kernel takes no more, at most `count`; some wait, some are cut off at once.
    private func flood(_ path: String, count: Int) throws -> [FileDescriptorBox] {
      var held: [FileDescriptorBox] = []
      for _ in 0..<count {
        if let socket = try? connectToUnixSocket(path: path) {
          held.append(FileDescriptorBox(socket))
        } else {
          // A full backlog.
          usleep(500)
        }
      }
      return held
    }

    @Test(arguments: ["device", "statistics", "control"])
    func floodsOfConnectionsAreHeldByTheKernel(at place: String) throws {
      let daemon = try DaemonProcess(servesStatistics: true, servesControl: true)
      let path =
        switch place {
        case "device": daemon.socketPath
        case "statistics": daemon.statsPath
        default: daemon.controlPath
        }
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      func expectServed() throws {
        let operation = Samples.encrypt(session)
        #expect(
          try client.perform(operation).output == ReferenceCrypto.answer(to: operation)?.output)
      }
      try expectServed()
      _ = try daemon.snapshot()
      let descriptors = daemon.fileDescriptorCount
      let threads = daemon.threadCount
      let memory = try daemon.privateByteCount()
      do {
        let held = try flood(path, count: 2000)
        #expect(held.count >= 64)
        let flooded = try daemon.privateByteCount()
        print("\(place): \(held.count) of 2000 connections made")
        print("  descriptors \(descriptors) and \(daemon.fileDescriptorCount)")
        print("  bytes \(memory) and \(flooded)")
        // A device has one front-end, statistics and control 64 readers each.
        #expect(daemon.fileDescriptorCount <= descriptors + 64 + 4)
        #expect(daemon.threadCount <= threads + 4)
        #expect(flooded < memory + (16 << 20) * sanitizerSlack)
        // Meanwhile everything is served: requests, and, where they are not what is flooded, statistics.
        try expectServed()
        if place != "statistics" { _ = try daemon.snapshot() }
        withExtendedLifetime(held) {}
      }
      try waitUntil("descriptors as before") { daemon.fileDescriptorCount <= descriptors + 2 }
      _ = try daemon.snapshot()
      try expectServed()
      client.frontend.disconnect()
      // Those who waited and left are passed by.
      let next = try daemon.client()
      #expect(
        try next.perform(Samples.encrypt(try next.openSession(Samples.encryption))).status == .ok)
      #expect(try daemon.terminate() == .status(0))
    }

    // MARK: One connection

    @Test func regionsTakeMappingsAndNoDescriptors() throws {
      let daemon = try DaemonProcess(servesStatistics: true)
      var options = Frontend.Options()
      options.usesMemorySlots = true
      let frontend = try Frontend.connect(path: daemon.socketPath, options: options)
      try frontend.negotiate()
      // The endpoint of statistics has what it needs.
      _ = try daemon.snapshot()
      let descriptors = daemon.fileDescriptorCount
      let file = try OwnedFile.memory(byteCount: 600 * 4096)
      func add(_ index: UInt64) throws {
        let region = MemoryRegionPayload(
          guestAddress: index * 8192, regionByteCount: 4096,
          frontendAddress: 1 << 40 | index * 8192, mmapOffset: index * 4096)
        try frontend.command(
          .addMemoryRegion, payload: region.encodedSingle, descriptors: [file.descriptor])
      }
      for index in 0..<509 as Range<UInt64> { try add(index) }
      #expect(daemon.guestMappingCount == 509)
      #expect(daemon.fileDescriptorCount <= descriptors)
      #expect(throws: FrontendError.self) { try add(509) }
      #expect(daemon.guestMappingCount == 509)
      frontend.disconnect()
      try waitUntil("the mappings' end") { daemon.guestMappingCount == 0 }
    }

    /// Kick, call and error of a ring, given again and again, beside what a running ring takes itself.
    @Test func ringsTakeDescriptorsOnce() throws {
      let daemon = try DaemonProcess(servesStatistics: true)
      let client = try daemon.client()
      let session = try client.openSession(Samples.encryption)
      #expect(try client.perform(Samples.encrypt(session)).status == .ok)
      let descriptors = daemon.fileDescriptorCount
      for _ in 0..<300 {
        for request in [FrontendRequest.setVringKick, .setVringCall, .setVringError] {
          try client.frontend.command(
            request, payload: VringDescriptor(index: 0).encoded,
            descriptors: [client.dataQueues[0].kickEvent.descriptor])
        }
      }
      #expect(daemon.fileDescriptorCount <= descriptors)
      let threads = daemon.threadCount
      try client.frontend.stopQueue(0)
      print("a ring with its worker and helpers: \(descriptors - daemon.fileDescriptorCount) fds")
      print("  \(threads - daemon.threadCount) threads")
    }

    // MARK: Many queues

    /// All that vhost-user can name: 255 data queues and the control queue.
    ///
    /// Without helpers, whose io_urings would go beyond the 8 MiB that may be locked by default.
    @Test func twoHundredAndFiftyFiveQueuesWork() throws {
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\ndevice: { queues: 255, queue-size: 64, max-sessions: 1000 }\n"
          + "workers: { helpers: 0 }\n")
      // The endpoint of statistics has what it needs.
      _ = try daemon.snapshot()
      let idle = (
        descriptors: daemon.fileDescriptorCount, threads: daemon.threadCount,
        bytes: try daemon.privateByteCount()
      )
      let client: CryptoClient
      do {
        client = try CryptoClient.start(
          path: daemon.socketPath, dataQueueCount: 255, queueSize: 16)
      } catch {
        Issue.record(error, "\(daemon.standardError.suffix(500))")
        return
      }
      #expect(try client.frontend.queueCount() == 256)
      #expect(try client.frontend.readConfiguration().maxDataQueues == 255)
      let started = try daemon.privateByteCount()
      let descriptors = daemon.fileDescriptorCount
      let threads = daemon.threadCount
      let session = try client.openSession(Samples.encryption)
      for queue in 0..<255 {
        let operation = Samples.encrypt(session, salt: queue)
        let answer = try client.perform(operation, queue: queue)
        #expect(answer.status == .ok)
        #expect(
          answer.output == ReferenceCrypto.answer(to: operation)?.output, "queue \(queue)")
      }
      let used = try daemon.privateByteCount()
      print("255 queues:")
      print("  descriptors \(idle.descriptors) and \(descriptors)")
      print("  threads \(idle.threads) and \(threads)")
      print("  KiB a queue: started \(((started - idle.bytes) / 255) >> 10)")
      print("  and with one request \(((used - idle.bytes) / 255) >> 10)")
      // Threads of the start may be gone meanwhile.
      #expect(abs(threads - idle.threads - 255) <= 8)
      #expect(used - idle.bytes < 255 * (4 << 20) * sanitizerSlack)
      // They sleep: the next second costs hardly any processor time.
      usleep(500_000)
      let before = daemon.processorNanoseconds
      usleep(1_000_000)
      #expect(daemon.processorNanoseconds - before < 50_000_000)
      let queues = try daemon.device().queues
      #expect(queues.count == 255 && queues.allSatisfy { $0.requests == 1 })
      client.frontend.disconnect()
      try waitUntil("threads as before", milliseconds: 20000) {
        daemon.workerNames.isEmpty && daemon.fileDescriptorCount <= idle.descriptors + 2
      }
    }

    // MARK: Many sessions

    @Test func aMillionSessionsComeWorkAndGo() throws {
      let count = 1_000_000
      let daemon = try DaemonProcess.withStatistics(
        "version: 1\ndevice: { queues: 1, max-sessions: \(count) }\n")
      let client = try CryptoClient.start(path: daemon.socketPath, controlQueueSize: 1024)
      var pipeline = try SessionPipeline.over(
        client, template: Samples.encryption, depth: 128, batch: 32)
      try pipeline.destroy(try pipeline.create(0..<1000))
      usleep(100_000)
      let before = try daemon.privateByteCount()
      let start = ContinuousClock.now
      let identifiers = try pipeline.create(0..<count)
      let created = ContinuousClock.now
      #expect(try daemon.device().sessions.open == UInt64(count))
      let full = try daemon.privateByteCount()
      // One more is one too many.
      #expect(try client.createSession(Samples.encryption).status != .ok)
      for number in stride(from: 0, to: count, by: 99_991) {
        let operation = OperationSpec(
          SessionPipeline.spec(Samples.encryption, number: number),
          sessionID: identifiers[number], iv: Samples.bytes(16), source: Samples.bytes(64))
        #expect(
          try client.perform(operation).output == ReferenceCrypto.answer(to: operation)?.output)
      }
      let used = ContinuousClock.now
      try pipeline.destroy(Array(identifiers[..<(count / 2)]))
      let destroyed = ContinuousClock.now
      #expect(try daemon.device().sessions.open == UInt64(count / 2))
      // The other half goes with its front-end.
      pipeline.dispose()
      client.frontend.disconnect()
      try waitUntil("the memory's return", milliseconds: 20000) {
        // The tables of a million places stay: identifiers' generations, and which are free.
        try daemon.privateByteCount() < before + (64 << 20) * sanitizerSlack
      }
      print("a million sessions: \((full - before) / count) bytes each")
      print("  made in \(start.duration(to: created))")
      print("  half of them ended one by one in \(used.duration(to: destroyed))")
      print("  the others at once in \(destroyed.duration(to: .now)) at most")
      #expect((full - before) / count <= 512 * sanitizerSlack)
      // And the device works as before.
      let next = try daemon.client()
      #expect(
        try next.perform(Samples.encrypt(try next.openSession(Samples.encryption))).status == .ok)
    }
  }
}

/// Keeps a descriptor in an array.
private final class FileDescriptorBox {
  private let descriptor: LinuxSystem.FileDescriptor
  init(_ descriptor: consuming LinuxSystem.FileDescriptor) { self.descriptor = descriptor }
}
