import GuestMemory
import LinuxSystem
import VhostUserFrontend
import VirtQueue
import VirtioSpec

/// The guest: memory, a ring, and the same requests over and over, laid out as Linux's driver lays them out.
final class GuestSide {
  /// Requests as Linux's driver sends them, and a ring that is large enough for direct chains.
  static let format = RequestFormat.legacy
  private static let ringSize: UInt16 = 1024

  private struct Place {
    let placed: PlacedRequest
    let head: UInt16
    let status: UnsafeMutablePointer<UInt8>
    /// What libcrypto computes, beside the engines.
    let expected: [UInt8]
    /// What the device has to say that it wrote.
    let usedByteCount: UInt32
    /// Of a request in place, what its result is written over.
    let source: [UInt8]?
  }

  private let ring: RingKind
  let memory: GuestRAM
  let queue: DriverQueue
  /// The same memory as the device has it.
  let map: MemoryMap
  private var places: [Place] = []
  private var placeOfHead: [Int]

  init(ring: RingKind) throws {
    self.ring = ring
    memory = try GuestRAM(byteCount: 32 << 20)
    queue = try DriverQueue(
      size: Self.ringSize, memory: memory, hasEventIndex: true, kind: ring)
    placeOfHead = Array(repeating: -1, count: Int(Self.ringSize))
    let region = memory.regions[0]
    // The map closes the one that it is given; the other stays the guest's.
    let own = FileDescriptor(owning: region.file.descriptor)
    let file = try own.duplicate()
    _ = own.release()
    map = try MemoryMap().adding(
      RegionDescription(
        guestAddress: GuestAddress(rawValue: region.spec.guestAddress),
        byteCount: UInt64(region.spec.byteCount),
        frontendAddress: FrontendAddress(rawValue: region.frontendAddress), mmapOffset: 0),
      descriptor: file)
  }

  private func slice(_ address: UInt64, _ byteCount: Int) throws -> GuestSlice {
    guard let slice = map.translate(GuestAddress(rawValue: address), byteCount: byteCount) else {
      throw DriverError("the ring is not in guest memory")
    }
    return slice
  }

  /// The device's end of a split ring, with the record of its requests, if there is one.
  func splitRing(_ record: InflightRecord?) throws -> SplitQueue {
    let size = Int(queue.size)
    let layout = try SplitQueueLayout(
      size: size, descriptorTable: slice(queue.layout.descriptorTable, 16 * size),
      availableRing: slice(queue.layout.available, 6 + 2 * size),
      usedRing: slice(queue.layout.used, 6 + 8 * size))
    guard let record else {
      return try SplitQueue(layout: layout, eventIndex: true, nextAvailable: 0)
    }
    return try SplitQueue(
      layout: layout, eventIndex: true, nextAvailable: 0,
      recorder: SplitRecorder(record, layout: layout))
  }

  /// The same of a packed ring.
  func packedRing(_ record: InflightRecord?) throws -> PackedQueue {
    let size = Int(queue.size)
    let layout = try PackedQueueLayout(
      size: size, base: PackedQueueLayout.initialBase,
      descriptorRing: slice(queue.layout.descriptorTable, 16 * size),
      driverEvent: slice(queue.layout.available, 4), deviceEvent: slice(queue.layout.used, 4))
    guard let record else { return try PackedQueue(layout: layout, eventIndex: true) }
    return try PackedQueue(
      layout: layout, eventIndex: true, recorder: PackedRecorder(record, layout: layout))
  }

  /// What of the ring the device writes, as the daemon logs it.
  var writtenRingParts: [LoggedRange] {
    let size = UInt64(queue.size)
    let usedByteCount = ring.isPacked ? 4 : 6 + 8 * size
    var parts = [
      LoggedRange(
        address: GuestAddress(rawValue: queue.layout.used), byteCount: usedByteCount)
    ]
    if ring.isPacked {
      parts.append(
        LoggedRange(
          address: GuestAddress(rawValue: queue.layout.descriptorTable), byteCount: 16 * size))
    }
    return parts
  }

  // MARK: Requests

  /// Lays requests out in guest memory, and formats their chains.
  ///
  /// `plan`: where buffers lie. `computes`: their results are to be what libcrypto computes; else destinations are to stay as
  /// they are.
  func place(_ operations: [OperationSpec], plan: RequestPlan, computes: Bool) throws {
    for operation in operations {
      let request = CryptoRequestBuilder.data(operation, format: Self.format)
      let placed = try PlacedRequest(request, plan: plan, in: memory)
      let head = try queue.reserve(placed.buffers, indirect: plan.isIndirect)
      guard let answer = ReferenceCrypto.answer(to: operation),
        let statusAddress = placed.statusAddress
      else { throw DriverError("a request that libcrypto cannot answer") }
      let result = answer.output + answer.result
      placeOfHead[Int(head)] = places.count
      places.append(
        Place(
          placed: placed, head: head,
          status: try memory.pointer(at: statusAddress, byteCount: 1)
            .assumingMemoryBound(to: UInt8.self),
          expected: computes ? result : [],
          usedByteCount: UInt32(result.count + 1),
          source: plan.isInPlace ? operation.source : nil))
    }
    queue.disableCalls()
  }

  /// Makes all of them available.
  func postAll() {
    for place in places { queue.post(place.head) }
    // Nobody sleeps who would need the kick.
    _ = queue.publish()
  }

  /// Takes what is finished; how many there were.
  func takeFinished() throws -> Int {
    var count = 0
    while let used = queue.popUsed() {
      let index = used.head < UInt32(placeOfHead.count) ? placeOfHead[Int(used.head)] : -1
      guard index >= 0 else { throw DriverError("chain \(used.head) was not sent") }
      guard places[index].status.pointee == 0 else {
        throw DriverError("request \(index) has status \(places[index].status.pointee)")
      }
      guard used.byteCount == places[index].usedByteCount else {
        throw DriverError(
          "request \(index): \(used.byteCount) bytes written instead of \(places[index].usedByteCount)"
        )
      }
      count += 1
    }
    return count
  }

  /// Forgets all answers, so that old ones cannot pass for new ones; requests in place are as they were at first.
  func spoilAnswers() throws {
    for place in places {
      place.status.pointee = PlacedRequest.untouched
      for buffer in place.placed.destination + place.placed.result {
        try memory.fill(
          buffer.guestAddress, byteCount: Int(buffer.byteCount), with: PlacedRequest.untouched)
      }
      if let source = place.source, let destination = place.placed.destination.first {
        try memory.write(source, at: destination.guestAddress)
      }
    }
  }

  /// Compares every answer with libcrypto's.
  func checkAnswers() throws {
    for (index, place) in places.enumerated() where !place.expected.isEmpty {
      let content = try PlacedRequest.content(
        of: place.placed.destination + place.placed.result, in: memory)
      guard content == place.expected else {
        throw DriverError("request \(index): not what libcrypto computes")
      }
    }
  }
}
