import Foundation
import LinuxSystem
import Testing
import VhostUserProtocol

extension OneAtATime {
  /// The buffer of requests in flight: made here, kept by the front-end, and believed only when it is what it seems.
  @Suite("Inflight")
  struct InflightTests {
    static let features =
      ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue
      | ProtocolFeature.inflightSharedMemory

    private func connect() throws -> (Harness, RawFrontend) {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate(protocolFeatures: Self.features)
      return (harness, frontend)
    }

    private func set(
      _ frontend: RawFrontend, _ payload: InflightPayload, _ file: borrowing FileDescriptor
    ) throws -> UInt64 {
      try frontend.acknowledged(
        .setInflightDescriptor, payload.encoded(), descriptors: [file.rawValue])
    }

    private func sealedFile(_ byteCount: Int) throws -> FileDescriptor {
      let file = try MemoryFile.make(name: "inflight-test", byteCount: byteCount)
      try file.sealSize()
      return file
    }

    @Test(arguments: [20, 24])
    func givesABufferOfTheSizeThatItsQueuesNeed(byteCount: Int) throws {
      let (_, frontend) = try connect()
      frontend.send(
        .getInflightDescriptor,
        InflightPayload(queueCount: 3, queueSize: 256).encoded(byteCount: byteCount))
      let reply = try frontend.answerWithDescriptors(to: .getInflightDescriptor)
      #expect(reply.payload.count == byteCount)
      let payload = try InflightPayload(parsing: reply.payload.span)
      // 16 bytes of head and 16 per descriptor, to a multiple of 64.
      #expect(payload.mmapByteCount == 3 * 4160 && payload.mmapOffset == 0)
      #expect(payload.queueCount == 3 && payload.queueSize == 256)
      try #require(reply.descriptors.count == 1)
      let file = FileDescriptor(owning: reply.descriptors[0])
      let (fileByteCount, cannotShrink) = (try file.byteCount(), file.cannotShrink())
      #expect(fileByteCount == payload.mmapByteCount && cannotShrink)
      #expect(try set(frontend, payload, file) == 0)
    }

    @Test func absurdCountsGetNoBuffer() throws {
      let (_, frontend) = try connect()
      for (queues, size) in [(0, 256), (4, 256), (65535, 65535), (3, 0), (3, 32769)] {
        frontend.send(
          .getInflightDescriptor,
          InflightPayload(queueCount: UInt16(queues), queueSize: UInt16(size)).encoded())
        let reply = try frontend.answerWithDescriptors(to: .getInflightDescriptor)
        #expect(reply.descriptors.isEmpty)
        #expect(try InflightPayload(parsing: reply.payload.span).mmapByteCount == 0)
      }
    }

    @Test func askingAgainAndAgainLeaksNothing() throws {
      let (_, frontend) = try connect()
      let mappings = mappingCount()
      let before = settledDescriptorCount()
      for _ in 0..<1000 {
        frontend.send(
          .getInflightDescriptor, InflightPayload(queueCount: 3, queueSize: 1024).encoded())
        let reply = try frontend.answerWithDescriptors(to: .getInflightDescriptor)
        let file = FileDescriptor(owning: reply.descriptors[0])
        #expect(try set(frontend, try InflightPayload(parsing: reply.payload.span), file) == 0)
      }
      #expect(settledDescriptorCount() == before)
      #expect(mappingCount() <= mappings + 4)
    }

    private func mappingCount() -> Int {
      let text = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
      return text.split(separator: "\n").count { $0.contains("inflight") }
    }

    @Test func buffersThatAreNotWhatTheySeemAreRefused() throws {
      let (_, frontend) = try connect()
      let good = InflightPayload(mmapByteCount: 3 * 4160, queueCount: 3, queueSize: 256)
      let file = try sealedFile(3 * 4160)
      #expect(try set(frontend, good, file) == 0)
      func refused(_ change: (inout InflightPayload) -> Void) throws {
        var payload = good
        change(&payload)
        #expect(try set(frontend, payload, file) == 1, "\(payload)")
      }
      try refused { $0.queueCount = 0 }
      try refused { $0.queueCount = 4 }
      try refused { $0.queueCount = 65535 }
      try refused { $0.queueSize = 0 }
      try refused { $0.queueSize = 261 }
      try refused { $0.queueSize = 65535 }
      try refused { $0.mmapByteCount = 0 }
      try refused { $0.mmapByteCount = 3 * 4160 - 64 }
      try refused { $0.mmapByteCount = 3 * 4160 + 1 }
      try refused { $0.mmapByteCount = .max }
      try refused { $0.mmapOffset = 4096 }
      try refused { $0.mmapOffset = 8 }
      try refused { $0.mmapOffset = .max - 4095 }
      // A file that can shrink under us.
      let loose = try MemoryFile.make(name: "inflight-test", byteCount: 3 * 4160)
      #expect(try set(frontend, good, loose) == 1)
      let pair = try SocketPair()
      #expect(
        try frontend.acknowledged(
          .setInflightDescriptor, good.encoded(), descriptors: [pair.theirs]) == 1)
      #expect(try frontend.acknowledged(.setInflightDescriptor, good.encoded()) == 1)
      try frontend.settle()
    }

    @Test func withoutTheFeatureThereIsNone() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      let file = try sealedFile(4160)
      let payload = InflightPayload(mmapByteCount: 4160, queueCount: 1, queueSize: 256)
      #expect(try set(frontend, payload, file) == 1)
      frontend.send(.getInflightDescriptor, payload.encoded())
      #expect(frontend.isCutOff())
      #expect(harness.ended())
    }

    /// Rings get their part of the buffer, and none that the buffer is too small for is started.
    @Test func ringsGetTheirPartOfTheBuffer() throws {
      let (harness, frontend) = try connect()
      let region = try GuestRegion()
      let kick = try Event()
      frontend.setMemory([region])
      let file = try sealedFile(2 * 4160)
      let payload = InflightPayload(mmapByteCount: 2 * 4160, queueCount: 2, queueSize: 256)
      #expect(try set(frontend, payload, file) == 0)
      for index in 0..<3 as Range<UInt32> {
        frontend.setUpRing(index, in: region, kick: kick)
        frontend.enableRing(index)
      }
      try frontend.settle()
      #expect(harness.device.running == [0, 1, 2])
      let parts = harness.device.state.withLock { $0.inflight }
      #expect(parts == [0: 4160, 1: 4160])
      // A longer ring than the buffer was made for.
      let long = VringState(index: 0, number: 512).encoded
      #expect(try frontend.acknowledged(.setVringNum, long) == 1)
      #expect(harness.device.running == [1, 2])
    }

    /// Heads on the page behind all regions, data behind all heads; as much of it as the buffer has room for.
    @Test(arguments: [
      (8320, 0, 0), (20480 - 4096, 0, 0), (20480, 2, 0), (20480 + 65536, 2, 1), (151_552, 2, 2),
    ])
    func whatADeviceWantsBesideItsRecordsIsBehindThem(
      byteCount: Int, headCount: Int, dataCount: Int
    ) throws {
      let (harness, frontend) = try connect()
      harness.device.state.withLock { $0.annexByteCount = 65536 }
      frontend.send(
        .getInflightDescriptor, InflightPayload(queueCount: 2, queueSize: 256).encoded())
      let reply = try frontend.answerWithDescriptors(to: .getInflightDescriptor)
      for descriptor in reply.descriptors { _ = FileDescriptor(owning: descriptor) }
      #expect(try InflightPayload(parsing: reply.payload.span).mmapByteCount == 151_552)
      let region = try GuestRegion()
      let kick = try Event()
      frontend.setMemory([region])
      let file = try sealedFile(byteCount)
      let payload = InflightPayload(
        mmapByteCount: UInt64(byteCount), queueCount: 2, queueSize: 256)
      #expect(try set(frontend, payload, file) == 0)
      for index in 0..<3 as Range<UInt32> {
        frontend.setUpRing(index, in: region, kick: kick)
        frontend.enableRing(index)
      }
      try frontend.settle()
      let annexes = harness.device.state.withLock { $0.annexes }
      #expect(Set(annexes.keys) == Set(0..<headCount))
      for (index, annex) in annexes {
        #expect(annex.head == 12288 + 4096 * index - 4160 * index)
        let data = index < dataCount ? 20480 + 65536 * index - 4160 * index : nil
        #expect(annex.data == data)
      }
    }

    @Test func annexesBeyondAllMeasureAreLeftOut() throws {
      let (harness, frontend) = try connect()
      harness.device.state.withLock { $0.annexByteCount = 1 << 37 }
      frontend.send(
        .getInflightDescriptor, InflightPayload(queueCount: 2, queueSize: 256).encoded())
      let reply = try frontend.answerWithDescriptors(to: .getInflightDescriptor)
      for descriptor in reply.descriptors { _ = FileDescriptor(owning: descriptor) }
      #expect(try InflightPayload(parsing: reply.payload.span).mmapByteCount == 2 * 4160)
    }

    /// A front-end that has been told where a ring is says itself where it goes on: the record is begun anew.
    @Test func ringThatWasTakenBackHasNoRecord() throws {
      let (_, frontend) = try connect()
      let region = try GuestRegion()
      let kick = try Event()
      frontend.setMemory([region])
      let file = try sealedFile(4160)
      let payload = InflightPayload(mmapByteCount: 4160, queueCount: 1, queueSize: 256)
      #expect(try set(frontend, payload, file) == 0)
      let mapping = try MappedMemory(sharing: file, offset: 0, byteCount: 4160)
      mapping.base.storeBytes(of: 1, toByteOffset: 8, as: UInt16.self)
      frontend.setUpRing(0, in: region, kick: kick)
      frontend.enableRing(0)
      try frontend.settle()
      #expect(mapping.base.load(fromByteOffset: 8, as: UInt16.self) == 1)
      _ = try frontend.getVringBase(0)
      #expect(mapping.base.load(fromByteOffset: 8, as: UInt16.self) == 0)
    }
  }
}
