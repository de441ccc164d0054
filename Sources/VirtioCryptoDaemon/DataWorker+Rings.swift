import CryptoDevice
import EngineContract
import HostEngines
import QueueWorkers
import VhostUserBackend
import VirtQueue
import VirtioSpec

/// What was negotiated about rings.
struct RingFeatures {
  /// `VIRTIO_F_EVENT_IDX`.
  var eventIndex: Bool
  /// `VIRTIO_F_IN_ORDER`.
  var inOrder: Bool

  init(_ features: UInt64) {
    eventIndex = features & VirtioFeature.ringEventIndex != 0
    inOrder = features & VirtioFeature.inOrder != 0
  }

  /// Whether one used entry may stand for a batch: DPDK's driver, which looks for one per chain, is told from Linux's by
  /// its having no EVENT_IDX.
  var skipsUsedEntries: Bool { eventIndex }
}

extension SplitQueue {
  /// The ring of a setup that is split.
  init(_ setup: borrowing QueueSetup, eventIndex: Bool) throws {
    let layout = try SplitQueueLayout(
      size: Int(setup.size), descriptorTable: setup.descriptorTable,
      availableRing: setup.availableRing, usedRing: setup.usedRing)
    guard let record = InflightRecord(setup) else {
      try self.init(layout: layout, eventIndex: eventIndex, nextAvailable: setup.nextAvailable)
      return
    }
    try self.init(
      layout: layout, eventIndex: eventIndex, nextAvailable: setup.nextAvailable,
      recorder: SplitRecorder(record, layout: layout))
  }
}

extension PackedQueue {
  /// The ring of a setup that is packed.
  init(_ setup: borrowing QueueSetup, eventIndex: Bool) throws {
    let layout = try PackedQueueLayout(
      size: Int(setup.size), base: setup.base, descriptorRing: setup.descriptorTable,
      driverEvent: setup.availableRing, deviceEvent: setup.usedRing)
    guard let record = InflightRecord(setup) else {
      try self.init(layout: layout, eventIndex: eventIndex)
      return
    }
    try self.init(
      layout: layout, eventIndex: eventIndex,
      recorder: PackedRecorder(record, layout: layout))
  }
}

extension InflightRecord {
  /// Where a ring's requests are recorded; nil: nowhere.
  ///
  /// The front-end's connection keeps the memory until the ring was stopped, and with it all that writes there is gone.
  init?(_ setup: borrowing QueueSetup) {
    guard let region = setup.inflight else { return nil }
    self.init(slice: region.slice, capacity: region.capacity)
  }
}

extension UndoLog {
  /// Where requests are saved that write over themselves: with the record of requests in flight, if there is one.
  init(_ setup: borrowing QueueSetup, _ layout: RequestLayout, resubmissionCount: Int) {
    guard let annex = setup.inflight?.annex else {
      self.init()
      return
    }
    self.init(
      head: annex.head, data: annex.data,
      maximumRequestByteCount: Int(layout.maximumRequestByteCount),
      resubmissionCount: resubmissionCount)
  }
}

extension DataWorkerSetup {
  /// Chooses the kind of ring, once for the life of the queue, and serves it.
  func withRing(_ context: QueueWorker.Context, _ crew: HelperCrew?) throws {
    let size = Int(queue.size)
    switch (queue.isPacked, rings.inOrder) {
    case (false, false):
      let ring = try SplitQueue(queue, eventIndex: rings.eventIndex)
      try run(ring, context, crew, serve: serveOnHotPath(split:))
    case (true, false):
      let ring = try PackedQueue(queue, eventIndex: rings.eventIndex)
      try run(ring, context, crew, serve: serveOnHotPath(packed:))
    case (false, true):
      let ring = InOrderQueue(
        try SplitQueue(queue, eventIndex: rings.eventIndex), size: size,
        skipsEntries: rings.skipsUsedEntries)
      try run(ring, context, crew, serve: serveOnHotPath(splitInOrder:))
    case (true, true):
      let ring = InOrderQueue(
        try PackedQueue(queue, eventIndex: rings.eventIndex), size: size,
        skipsEntries: rings.skipsUsedEntries)
      try run(ring, context, crew, serve: serveOnHotPath(packedInOrder:))
    }
  }
}

// The whole life of a data queue, once for each kind of ring: the compiler refuses to build it if any of it could
// allocate or lock. Lane and ring are named, because it settles the loop's calls only where it sees which there are.

@_noAllocation @_noLocks
private func serveOnHotPath(
  split loop: inout WorkerLoop<HostLane, SplitQueue>
) throws(QueueError) { try loop.run() }

@_noAllocation @_noLocks
private func serveOnHotPath(
  packed loop: inout WorkerLoop<HostLane, PackedQueue>
) throws(QueueError) { try loop.run() }

@_noAllocation @_noLocks
private func serveOnHotPath(
  splitInOrder loop: inout WorkerLoop<HostLane, InOrderQueue<SplitQueue>>
) throws(QueueError) { try loop.run() }

@_noAllocation @_noLocks
private func serveOnHotPath(
  packedInOrder loop: inout WorkerLoop<HostLane, InOrderQueue<PackedQueue>>
) throws(QueueError) { try loop.run() }
