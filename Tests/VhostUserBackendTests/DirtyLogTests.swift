import GuestMemory
import LinuxSystem
import Testing
import VhostUserProtocol

extension OneAtATime {
  /// What of a ring is logged, and that rings go on when that changes.
  @Suite("Dirty page logging")
  struct DirtyLogTests {
    static let features: UInt64 = 1 << 30 | 1 << 32
    static let logAll: UInt64 = 1 << 26
    static let packed: UInt64 = 1 << 34
    let region: GuestRegion
    let kick: Event
    let file: SharedFile

    init() throws {
      region = try GuestRegion(guestAddress: 0x4000_0000)
      kick = try Event()
      file = try SharedFile(byteCount: 1 << 16)
    }

    /// Pages of guest memory up to 2 GiB.
    private let log = LogPayload(mmapByteCount: 1 << 16, mmapOffset: 0)

    private func running(
      _ features: UInt64 = Self.features, lines: LogLines? = nil
    ) throws -> (Harness, RawFrontend) {
      let (harness, frontend) = try Harness.connected(lines: lines)
      try frontend.negotiate(features: features)
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, kick: kick)
      try frontend.settle()
      #expect(harness.device.running == [0])
      harness.device.forgetCalls()
      return (harness, frontend)
    }

    private func setLog(_ frontend: RawFrontend, _ log: LogPayload? = nil) throws {
      let payload = (log ?? self.log).encoded
      frontend.send(.setLogBase, payload, descriptors: [file.descriptor])
      // rust-vmm wants its payload back; QEMU and others look at no more than the code.
      #expect(try frontend.answer(to: .setLogBase) == payload)
    }

    private func setFeatures(_ frontend: RawFrontend, _ features: UInt64) throws {
      frontend.send(.setFeatures, NumberPayload(features).encoded)
      try frontend.settle()
    }

    private func setAddress(_ frontend: RawFrontend, flags: UInt32, log: UInt64) throws {
      var address = region.address(ring: 0)
      address.flags = flags
      address.log = log
      frontend.send(.setVringAddress, address.encoded)
      try frontend.settle()
    }

    private func logging(_ harness: Harness) -> DirtyLogging? {
      harness.device.state.withLock { $0.logging[0] }
    }

    private func range(_ address: UInt64, _ byteCount: UInt64) -> LoggedRange {
      LoggedRange(address: GuestAddress(rawValue: address), byteCount: byteCount)
    }

    @Test func nothingIsLoggedWithoutLogOrWithoutWish() throws {
      let (harness, frontend) = try running()
      try setLog(frontend)
      #expect(logging(harness) == nil)
      // A log that nobody uses is no reason to pause.
      #expect(harness.device.calls == [])
      let (other, second) = try running()
      try setFeatures(second, Self.features | Self.logAll)
      #expect(logging(other) == nil)
    }

    /// As QEMU begins a migration: a log, the feature, the ring's address.
    @Test func migrationBeginsWhileRingsRun() throws {
      let (harness, frontend) = try running()
      try setLog(frontend)
      try setFeatures(frontend, Self.features | Self.logAll)
      var now = try #require(logging(harness))
      #expect(now.includesBuffers && now.log.pageCount == 1 << 19)
      // The used ring at its own guest address, until the front-end says another.
      #expect(now.ring == [range(0x4000_8000, 6 + 8 * 256)])
      try setAddress(frontend, flags: 1, log: 0x7654_3210)
      now = try #require(logging(harness))
      #expect(now.includesBuffers && now.ring == [range(0x7654_3210, 6 + 8 * 256)])
      #expect(
        harness.device.calls == [
          .stop(index: 0), .features(Self.features | Self.logAll), .start(index: 0, base: 7),
          .stop(index: 0), .start(index: 0, base: 14),
        ])
      // And as it ends one that was given up.
      try setFeatures(frontend, Self.features)
      #expect(try #require(logging(harness)).includesBuffers == false)
      try setAddress(frontend, flags: 0, log: 0)
      #expect(logging(harness) == nil)
      #expect(harness.device.running == [0])
    }

    @Test func ringAloneIsLoggedWithItsFlagAlone() throws {
      let (harness, frontend) = try running()
      try setLog(frontend)
      try setAddress(frontend, flags: 1, log: 0x1000)
      let now = try #require(logging(harness))
      #expect(!now.includesBuffers && now.ring == [range(0x1000, 6 + 8 * 256)])
    }

    @Test func packedRingIsLoggedWithItsDescriptors() throws {
      let (harness, frontend) = try running(Self.features | Self.packed)
      try setLog(frontend)
      try setFeatures(frontend, Self.features | Self.packed | Self.logAll)
      #expect(
        try #require(logging(harness)).ring
          == [range(0x4000_8000, 4), range(0x4000_0000, 16 * 256)])
      // What the front-end calls the used ring's address is that of the device's events.
      try setAddress(frontend, flags: 1, log: 0x5000)
      #expect(
        try #require(logging(harness)).ring == [range(0x5000, 4), range(0x4000_0000, 16 * 256)])
    }

    /// Nothing goes into the old log once the answer is there.
    @Test func logInUseIsExchangedWhileRingsStandStill() throws {
      let (harness, frontend) = try running()
      try setLog(frontend)
      try setFeatures(frontend, Self.features | Self.logAll)
      harness.device.forgetCalls()
      try setLog(frontend, LogPayload(mmapByteCount: 1 << 15, mmapOffset: 1 << 15))
      #expect(harness.device.calls == [.stop(index: 0), .start(index: 0, base: 14)])
      #expect(try #require(logging(harness)).log.pageCount == 1 << 18)
    }

    @Test func logShorterThanMemoryIsComplainedAbout() throws {
      let lines = LogLines()
      let (harness, frontend) = try running(lines: lines)
      try setLog(frontend, LogPayload(mmapByteCount: 100, mmapOffset: 3))
      try setFeatures(frontend, Self.features | Self.logAll)
      #expect(try #require(logging(harness)).log.pageCount == 800)
      #expect(lines.all.contains { $0.contains("shorter than guest memory") })
    }

    @Test func refusedLogLeavesNoAnswerThatCouldBeTakenForConsent() throws {
      let (harness, frontend) = try running()
      frontend.send(
        .setLogBase, LogPayload(mmapByteCount: 1 << 20, mmapOffset: 0).encoded,
        descriptors: [file.descriptor], needsReply: true)
      #expect(frontend.isCutOff())
      #expect(harness.ended())
    }

    @Test func logEventReachesRingsThatAreLogged() throws {
      let (harness, frontend) = try running()
      let event = try Event()
      func descriptor() -> Int32? { harness.device.state.withLock { $0.logEvents[0] } }
      #expect(try frontend.acknowledged(.setLogDescriptor, descriptors: [event.descriptor]) == 0)
      #expect(descriptor() == -1)
      try setLog(frontend)
      try setFeatures(frontend, Self.features | Self.logAll)
      #expect((descriptor() ?? -1) >= 0)
    }

    @Test func nextFrontendHasNoLog() throws {
      let path = try temporarySocketPath()
      let harness = try Harness.listening(at: path)
      for round in 0..<2 {
        let frontend = try RawFrontend.connect(path: path)
        try frontend.negotiate(features: Self.features | Self.logAll)
        frontend.setMemory([region])
        if round == 0 { try setLog(frontend) }
        frontend.setUpRing(0, in: region, kick: kick)
        try frontend.settle()
        #expect((logging(harness) != nil) == (round == 0))
        frontend.server = nil
      }
    }
  }
}
