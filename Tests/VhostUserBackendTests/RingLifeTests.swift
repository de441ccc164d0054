import LinuxSystem
import Testing
import VhostUserProtocol

extension OneAtATime {
  @Suite("Ring life")
  struct RingLifeTests {
    let region: GuestRegion
    let kick: Event

    init() throws {
      region = try GuestRegion()
      kick = try Event()
    }

    @Test func ringRunsOnceCompleteForAFrontendThatNeverEnables() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, base: 5, kick: kick)
      try frontend.settle()
      #expect(harness.device.running == [0])
      #expect(harness.device.calls.contains(.start(index: 0, base: 5)))
    }

    @Test func ringsStartEnabledWithoutProtocolFeatures() throws {
      let (harness, frontend) = try Harness.connected()
      frontend.send(.setFeatures, NumberPayload(1 << 32).encoded)
      frontend.setMemory([region])
      for index in 0..<2 { frontend.setUpRing(UInt32(index), in: region, kick: kick) }
      try frontend.settle()
      #expect(harness.device.running == [0, 1])
      // Speaking of one ring says nothing of the others, and accepting bit 30 disables none.
      frontend.enableRing(0, false)
      frontend.send(.setFeatures, NumberPayload(1 << 32 | 1 << 30).encoded)
      try frontend.settle()
      #expect(harness.device.running == [1])
    }

    @Test func enablingOneRingEndsTheTimeWhenAllRun() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      for index in 0..<2 { frontend.setUpRing(UInt32(index), in: region, kick: kick) }
      try frontend.settle()
      #expect(harness.device.running == [0, 1])
      frontend.enableRing(1)
      try frontend.settle()
      #expect(harness.device.running == [1])
      frontend.enableRing(0)
      try frontend.settle()
      #expect(harness.device.running == [0, 1])
      frontend.enableRing(1, false)
      try frontend.settle()
      #expect(harness.device.running == [0])
    }

    @Test func featuresAndKicksNeverDisableAnEnabledRing() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.enableRing(0)
      frontend.setUpRing(0, in: region, kick: kick)
      frontend.send(.setFeatures, NumberPayload(1 << 32 | 1 << 30 | 1 << 29).encoded)
      frontend.send(
        .setVringKick, VringDescriptor(index: 0).encoded, descriptors: [kick.descriptor])
      try frontend.settle()
      #expect(harness.device.running == [0])
      // Every pause went on where the ring was: 0, 7 after the features, 14 after the kick.
      #expect(harness.device.calls.last == .start(index: 0, base: 14))
    }

    @Test func repeatedFeaturesDoNotPauseRings() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, kick: kick)
      try frontend.settle()
      harness.device.forgetCalls()
      frontend.send(.setFeatures, NumberPayload(1 << 32 | 1 << 30).encoded)
      try frontend.settle()
      #expect(!harness.device.calls.contains(.stop(index: 0)))
    }

    @Test func kickWithoutDescriptorMeansPolling() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.send(.setVringNum, VringState(index: 2, number: 64).encoded)
      frontend.send(.setVringAddress, region.address(ring: 2).encoded)
      frontend.send(.setVringKick, VringDescriptor(index: 2, hasNoDescriptor: true).encoded)
      try frontend.settle()
      #expect(harness.device.running == [2])
    }

    @Test func changesWhileRunningContinueWhereTheRingWas() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, base: 10, kick: kick)
      try frontend.settle()
      harness.device.forgetCalls()
      let call = try Event()
      frontend.send(
        .setVringCall, VringDescriptor(index: 0).encoded, descriptors: [call.descriptor])
      try frontend.settle()
      #expect(harness.device.calls == [.stop(index: 0), .start(index: 0, base: 17)])
      harness.device.forgetCalls()
      frontend.send(.setVringBase, VringState(index: 0, number: 100).encoded)
      try frontend.settle()
      #expect(harness.device.calls == [.stop(index: 0), .start(index: 0, base: 100)])
    }

    /// Whoever served the ring before may have ended before its last call.
    @Test func everyStartCallsTheDriver() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      let call = try Event()
      frontend.send(
        .setVringCall, VringDescriptor(index: 0).encoded, descriptors: [call.descriptor])
      try frontend.settle()
      #expect(EventFD.drain(call.descriptor) == 0)
      frontend.setUpRing(0, in: region, base: 10, kick: kick)
      try frontend.settle()
      #expect(harness.device.running == [0])
      #expect(EventFD.drain(call.descriptor) > 0)
      // Another one takes over what the first may have got.
      let next = try Event()
      frontend.send(
        .setVringCall, VringDescriptor(index: 0).encoded, descriptors: [next.descriptor])
      try frontend.settle()
      #expect(EventFD.drain(call.descriptor) == 0 && EventFD.drain(next.descriptor) > 0)
    }

    @Test func getVringBaseStopsUntilTheNextKick() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, base: 3, kick: kick)
      #expect(try frontend.getVringBase(0) == 10)
      #expect(harness.device.running.isEmpty)
      // Neither memory nor enabling wakes it, and asking again answers the same.
      frontend.setMemory([region])
      frontend.enableRing(0)
      #expect(try frontend.getVringBase(0) == 10)
      #expect(harness.device.running.isEmpty)
      frontend.send(
        .setVringKick, VringDescriptor(index: 0).encoded, descriptors: [kick.descriptor])
      try frontend.settle()
      #expect(harness.device.running == [0])
      #expect(harness.device.calls.last == .start(index: 0, base: 10))
    }

    @Test func resetDeviceStopsRingsAndForgetsTheirPlace() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, base: 3, kick: kick)
      try frontend.settle()
      harness.device.forgetCalls()
      #expect(try frontend.acknowledged(.resetDevice) == 0)
      #expect(harness.device.calls == [.stop(index: 0), .reset])
      #expect(try frontend.getVringBase(0) == 0)
    }

    @Test func deviceThatWillNotStartARingIsReported() throws {
      let (harness, frontend) = try Harness.connected()
      harness.device.state.withLock { $0.refusesStart = true }
      try frontend.negotiate()
      frontend.setMemory([region])
      let error = try Event()
      frontend.send(
        .setVringError, VringDescriptor(index: 0).encoded, descriptors: [error.descriptor])
      frontend.send(.setVringNum, VringState(index: 0, number: 64).encoded)
      frontend.send(.setVringAddress, region.address(ring: 0).encoded)
      #expect(
        try frontend.acknowledged(
          .setVringKick, VringDescriptor(index: 0).encoded, descriptors: [kick.descriptor]) == 1)
      #expect(error.wasSignalled())
      #expect(harness.device.running.isEmpty)
      // Not asked to acknowledge, the connection goes on all the same.
      frontend.send(
        .setVringKick, VringDescriptor(index: 0).encoded, descriptors: [kick.descriptor])
      try frontend.settle()
    }

    @Test(
      arguments: [
        // Misaligned table, available ring, used ring; table past the region's end; wrapping address; hole.
        (0x8, 0x4000, 0x8000), (0, 0x4001, 0x8000), (0, 0x4000, 0x8002),
        (0x10_0000 - 64, 0x4000, 0x8000), (0, 0x4000, UInt64.max - GuestRegion.frontendBase - 2),
        (0x20_0000, 0x4000, 0x8000),
      ] as [(UInt64, UInt64, UInt64)])
    func ringWithBadAddressesDoesNotStart(table: UInt64, available: UInt64, used: UInt64) throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, kick: kick)
      try frontend.settle()
      let base = region.frontendAddress
      let address = VringAddress(
        index: 0, descriptorTable: base &+ table, usedRing: base &+ used,
        availableRing: base &+ available)
      #expect(try frontend.acknowledged(.setVringAddress, address.encoded) == 1)
      #expect(harness.device.running.isEmpty)
      #expect(try frontend.acknowledged(.setVringAddress, region.address(ring: 0).encoded) == 0)
      #expect(harness.device.running == [0])
    }
  }
}
