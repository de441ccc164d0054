import GuestMemory
import LinuxSystem
import VhostUserBackend
import VhostUserProtocol
import VirtQueue

/// A device behind the protocol's server: it reads the rings that it is given, and minds the order of calls.
final class RecordingDevice: VhostUserDevice {
  private final class Running {
    let setup: QueueSetup
    var base: UInt32
    var dirty: DirtyPages
    init(_ setup: consuming QueueSetup) {
      base = setup.base
      dirty = DirtyPages(setup.dirtyLogging, memory: setup.memory)
      self.setup = setup
    }

    /// Where requests in flight are recorded.
    private var record: InflightRecord? {
      setup.inflight.map { InflightRecord(slice: $0.slice, capacity: $0.capacity) }
    }

    func splitRecorder(_ layout: SplitQueueLayout) throws -> SplitRecorder {
      guard let record else { return SplitRecorder() }
      return try SplitRecorder(record, layout: layout)
    }

    func packedRecorder(_ layout: PackedQueueLayout) throws -> PackedRecorder {
      guard let record else { return PackedRecorder() }
      return try PackedRecorder(record, layout: layout)
    }
  }

  private var running: [Int: Running] = [:]
  private var corrupt: Set<Int> = []
  private var isOpen = false
  private var problem: String?
  private var sessionCount: Int64 = 0
  private var channel: FrontendChannel?
  private var transfer: StateTransferDirection?
  var status: UInt8 = 0

  private func expect(_ condition: Bool, _ what: String) {
    if !condition { problem = problem ?? what }
  }

  func checkEnd() throws {
    expect(!isOpen && running.isEmpty, "the front-end left, and something still runs")
    if let problem { throw Finding(problem) }
  }

  var offeredFeatures: UInt64 {
    VhostUserLimit.protocolFeaturesBit | 1 << 35 | 1 << 34 | 1 << 32 | 1 << 29 | 1 << 28
      | VhostUserLimit.logAllBit | 0x3F
  }
  var offeredProtocolFeatures: UInt64 {
    ProtocolFeature.replyAcknowledgement | ProtocolFeature.multiqueue | ProtocolFeature.config
      | ProtocolFeature.cryptoSession | ProtocolFeature.configureMemorySlots
      | ProtocolFeature.status | ProtocolFeature.resetDevice | ProtocolFeature.backendRequests
      | ProtocolFeature.logSharedMemory | ProtocolFeature.inflightSharedMemory
      | ProtocolFeature.getVringBaseInflight | ProtocolFeature.inBandNotifications
      | ProtocolFeature.deviceState
  }
  var queueCount: Int { 3 }
  var inflightAnnexByteCount: Int { 8192 }
  var serviceDescriptors: [Int32] { [] }

  func connectionOpened(_ frontend: FrontendChannel) {
    expect(!isOpen, "opened twice")
    isOpen = true
    channel = frontend
  }

  func connectionClosed() {
    expect(isOpen && running.isEmpty, "closed with rings that run")
    expect(channel?.notifyConfigurationChange() != true, "told a front-end that left")
    isOpen = false
  }

  func setFeatures(_ accepted: UInt64) {
    expect(running.isEmpty, "features change while rings run")
    expect(accepted & ~offeredFeatures == 0, "features that were not offered")
  }

  func setProtocolFeatures(_ accepted: UInt64) {
    expect(accepted & ~offeredProtocolFeatures == 0, "protocol features that were not offered")
    _ = channel?.notifyConfigurationChange()
  }

  func startQueue(_ setup: consuming QueueSetup) throws(QueueStartError) {
    let index = setup.index
    expect(running[index] == nil && index < queueCount, "a ring that runs is started")
    expect(!corrupt.contains(index), "a ring that was spoiled is started")
    let ring = Running(setup)
    // Whoever says that it is there has to have mapped it.
    if let annex = ring.setup.inflight?.annex {
      annex.head.pointer[annex.head.byteCount - 1] = 1
      if let data = annex.data { data.pointer[data.byteCount - 1] = 1 }
    }
    do {
      if ring.setup.isPacked {
        let layout = try PackedQueueLayout(
          size: Int(ring.setup.size), base: ring.base, descriptorRing: ring.setup.descriptorTable,
          driverEvent: ring.setup.availableRing, deviceEvent: ring.setup.usedRing)
        var queue = try PackedQueue(
          layout: layout, eventIndex: true,
          recorder: try ring.packedRecorder(layout))
        read(&queue, ring, index)
      } else {
        let layout = try SplitQueueLayout(
          size: Int(ring.setup.size), descriptorTable: ring.setup.descriptorTable,
          availableRing: ring.setup.availableRing, usedRing: ring.setup.usedRing)
        var queue = try SplitQueue(
          layout: layout, eventIndex: true, nextAvailable: ring.setup.nextAvailable,
          recorder: try ring.splitRecorder(layout))
        read(&queue, ring, index)
      }
    } catch { throw QueueStartError(reason: "\(error)") }
    running[index] = ring
  }

  /// Answers what is in the ring; a few chains, for an index may be far ahead.
  ///
  /// In their order or the last one first, as the first one's number has it, and of many the last one not at all: then it is
  /// in flight when the ring stops.
  private func read<Queue: VirtQueueRing & ~Copyable>(
    _ queue: inout Queue, _ ring: Running, _ index: Int
  ) {
    var view = ring.setup.memory.view
    do throws(QueueError) {
      var tickets: [ChainTicket] = []
      while tickets.count < 8, try queue.look() {
        var chain = try queue.takeChain(&view)
        if let last = try chain.lastWritableByte(&view) {
          last.pointee = 0
          ring.dirty.note(last, byteCount: 1)
        }
        tickets.append(chain.ticket)
      }
      if tickets.count > 3 { tickets.removeLast() }
      if let first = tickets.first, first.id & 1 == 1 { tickets.reverse() }
      for ticket in tickets { queue.complete(ticket, writtenByteCount: 1) }
      ring.dirty.flush()
      if queue.publish() { EventFD.signal(ring.setup.callRawValue) }
      ring.dirty.markRing()
      _ = try queue.armKicks()
    } catch {
      corrupt.insert(index)
      EventFD.signal(ring.setup.errorRawValue)
    }
    ring.base = queue.base
  }

  func stopQueue(_ index: Int) -> UInt32? { running.removeValue(forKey: index)?.base }

  func ringIsCorrupt(_ index: Int) -> Bool { corrupt.remove(index) != nil }

  func readConfiguration(offset: Int, byteCount: Int) -> [UInt8]? {
    guard offset + byteCount <= 56 else { return nil }
    return [UInt8](repeating: 1, count: byteCount)
  }

  func writeConfiguration(offset: Int, bytes: [UInt8]) -> Bool { offset == 0 && bytes.count == 4 }

  func createSession(_ request: SessionRequest) -> Int64 {
    sessionCount += 1
    return request.cipherKey.count + request.authKey.count > 0 ? sessionCount : -1
  }

  func closeSession(_ id: UInt64) -> Bool { id <= UInt64(sessionCount) }

  func beginStateTransfer(
    _ direction: StateTransferDirection, _ channel: consuming FileDescriptor
  ) -> Bool {
    expect(running.isEmpty, "the state is transferred while rings run")
    guard (try? TransferChannel(owning: channel, writes: direction == .save)) != nil else {
      return false
    }
    transfer = direction
    return true
  }

  func endStateTransfer() -> Bool {
    expect(running.isEmpty, "the state's transfer ends while rings run")
    return transfer.take() != nil
  }

  func reset() { expect(running.isEmpty, "reset while rings run") }

  func descriptorIsReady(_ descriptor: Int32) {}
}
