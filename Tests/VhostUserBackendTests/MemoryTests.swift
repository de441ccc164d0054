import Testing
import VhostUserProtocol

extension OneAtATime {
  @Suite("Memory table")
  struct MemoryTests {
    let region: GuestRegion
    let other: GuestRegion
    let kick: Event

    init() throws {
      region = try GuestRegion()
      other = try GuestRegion(guestAddress: 0x1000_0000, frontendAddress: 0x7100_0000_0000)
      kick = try Event()
    }

    @Test func hotPluggedRegionPausesTheRingAndKeepsItsPlace() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, base: 1, kick: kick)
      try frontend.settle()
      harness.device.forgetCalls()
      #expect(
        try frontend.acknowledged(
          .addMemoryRegion, other.payload.encodedSingle, descriptors: [other.file.descriptor]) == 0)
      #expect(harness.device.calls == [.stop(index: 0), .start(index: 0, base: 8)])
      harness.device.forgetCalls()
      #expect(try frontend.acknowledged(.removeMemoryRegion, other.payload.encodedSingle) == 0)
      #expect(harness.device.calls == [.stop(index: 0), .start(index: 0, base: 15)])
    }

    @Test func ringWhoseMemoryGoesStaysStoppedUntilItReturns() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region, other])
      frontend.setUpRing(0, in: region, kick: kick)
      frontend.setUpRing(1, in: other, kick: kick)
      try frontend.settle()
      #expect(harness.device.running == [0, 1])
      // Old front-ends send a descriptor with this; it is closed unused.
      #expect(
        try frontend.acknowledged(
          .removeMemoryRegion, other.payload.encodedSingle, descriptors: [other.file.descriptor])
          == 0
      )
      #expect(harness.device.running == [0])
      #expect(
        try frontend.acknowledged(
          .addMemoryRegion, other.payload.encodedSingle, descriptors: [other.file.descriptor]) == 0)
      #expect(harness.device.running == [0, 1])
    }

    @Test func refusedTableLeavesTheRingsAlone() throws {
      let (harness, frontend) = try Harness.connected()
      try frontend.negotiate()
      frontend.setMemory([region])
      frontend.setUpRing(0, in: region, kick: kick)
      try frontend.settle()
      harness.device.forgetCalls()
      var wrapping = region.payload
      wrapping.mmapOffset = .max - 10
      var tooLong = region.payload
      tooLong.regionByteCount += 0x1_0000
      for bad in [wrapping, tooLong] {
        #expect(
          try frontend.acknowledged(
            .setMemoryTable, MemoryTablePayload(regions: [bad]).encoded,
            descriptors: [region.file.descriptor]) == 1)
        #expect(
          try frontend.acknowledged(
            .addMemoryRegion, bad.encodedSingle, descriptors: [region.file.descriptor]) == 1)
      }
      // The same place twice, and a region that is not there.
      #expect(
        try frontend.acknowledged(
          .setMemoryTable, MemoryTablePayload(regions: [region.payload, region.payload]).encoded,
          descriptors: [region.file.descriptor, region.file.descriptor]) == 1)
      #expect(try frontend.acknowledged(.removeMemoryRegion, other.payload.encodedSingle) == 1)
      #expect(harness.device.calls.isEmpty)
      #expect(harness.device.running == [0])
    }

    /// The ninth descriptor of a full table finds no room in the server's read, but must not go unnoticed.
    @Test func fullTableWithASurplusDescriptorIsRefused() throws {
      let (_, frontend) = try Harness.connected()
      try frontend.negotiate()
      let regions = (UInt64(0)..<8).map { index in
        MemoryRegionPayload(
          guestAddress: index * 4096, regionByteCount: 4096,
          frontendAddress: GuestRegion.frontendBase + index * 4096, mmapOffset: index * 4096)
      }
      let table = MemoryTablePayload(regions: regions).encoded
      let nine = [Int32](repeating: region.file.descriptor, count: 9)
      #expect(try frontend.acknowledged(.setMemoryTable, table, descriptors: nine) == 1)
      #expect(
        try frontend.acknowledged(.setMemoryTable, table, descriptors: Array(nine.prefix(8))) == 0)
    }

    @Test func descriptorsMustMatchTheRegions() throws {
      let (_, frontend) = try Harness.connected()
      try frontend.negotiate()
      let two = MemoryTablePayload(regions: [region.payload, other.payload]).encoded
      #expect(
        try frontend.acknowledged(.setMemoryTable, two, descriptors: [region.file.descriptor]) == 1)
      let one = MemoryTablePayload(regions: [region.payload]).encoded
      #expect(
        try frontend.acknowledged(
          .setMemoryTable, one, descriptors: [region.file.descriptor, other.file.descriptor]) == 1)
      #expect(try frontend.acknowledged(.addMemoryRegion, region.payload.encodedSingle) == 1)
    }
  }
}
