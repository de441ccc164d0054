import CryptoDevice
import CryptoTypes
import GuestMemory
import LinuxSystem
import Testing
import VirtQueue

@testable import FuzzEntries

/// The order of answers on a control queue, with the rings and devices that fuzzing uses.
@Suite struct ControlAnswerTests {
  /// What a ring was asked for.
  private final class Log {
    var driver: ScriptedRing
    var waiting: [[UInt8]]
    /// Answers that are written and not shown, and the most of them at any time.
    var unshown = 0
    var mostUnshown = 0
    var shown = 0

    init(_ driver: ScriptedRing, _ requests: [[UInt8]]) {
      self.driver = driver
      waiting = requests
    }

    /// Makes the next request available.
    func post() {
      guard !waiting.isEmpty else { return }
      driver.post(waiting.removeFirst(), writableByteCount: 16, ScriptedRing.Shape(0, cuts: 0))
    }
  }

  /// A ring whose driver has another request as soon as one is finished.
  ///
  /// Generic, since the compiler fails over the typed errors of a ring it knows, with ThreadSanitizer.
  private struct BusyRing<Ring: VirtQueueRing & ~Copyable>: ~Copyable, VirtQueueRing {
    var ring: Ring
    let log: Log

    var base: UInt32 { ring.base }
    var publishedPosition: UInt32 { ring.publishedPosition }
    var resubmissionCount: Int { 0 }
    var isSettled: Bool { ring.isSettled }
    var notesSkipped: Bool { false }

    mutating func look() throws(QueueError) -> Bool {
      log.post()
      return try ring.look()
    }

    mutating func hasMore() -> Bool {
      log.post()
      return (try? ring.look()) ?? false
    }

    mutating func takeChain(
      into chain: inout DescriptorChain, _ memory: inout MemoryView
    ) throws(QueueError) { try ring.takeChain(into: &chain, &memory) }

    func startResubmission(
      _ index: Int, in chain: inout DescriptorChain, _ memory: inout MemoryView
    ) throws(QueueError) {}

    mutating func complete(_ ticket: ChainTicket, writtenByteCount: UInt32) {
      log.unshown += 1
      log.mostUnshown = max(log.mostUnshown, log.unshown)
      ring.complete(ticket, writtenByteCount: writtenByteCount)
    }

    mutating func skip(_ ticket: ChainTicket, behind skippedSlotCount: UInt16) {}

    mutating func publish() -> Bool {
      log.shown += log.unshown
      log.unshown = 0
      return ring.publish()
    }

    mutating func suppressKicks() { ring.suppressKicks() }
    mutating func armKicks() throws(QueueError) -> Bool { try ring.armKicks() }
  }

  private static func words(_ values: UInt32...) -> [UInt8] {
    values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
  }

  /// Where sessions outlive the daemon, no request is carried out before the answer of the one in front is shown, whether
  /// that has changed anything or not: who dies in between is judged by what is shown.
  @Test(arguments: [true, false])
  func eachAnswerIsShownBeforeTheNextRequest(isKept: Bool) throws {
    let create =
      Self.words(0x002, 3, 0, 0, 3, 16, 1, 0) + [UInt8](repeating: 0, count: 32)
      + Self.words(1, 0) + [UInt8](0..<16)
    // Of a session that there is not, and of no known kind.
    let end = Self.words(0x003, 0, 0, 0, 77, 0) + [UInt8](repeating: 0, count: 48)
    let unknown = Self.words(0x0FF, 0, 0, 0) + [UInt8](repeating: 0, count: 56)
    let memory = try ScriptedMemory()
    memory.reset()
    let driver = ScriptedRing(memory)
    let log = Log(driver, [end, create, unknown, create, end, unknown])
    let lane = try OfferedDevice.Lane(sessionCapacity: 8)
    let device = OfferedDevice(
      .virtio13, lane: lane, sessionCapacity: 8, stateless: [],
      journal: isKept
        ? try SessionJournal(name: "control-answers", slotCount: DeviceCore.slotCount(capacity: 8))
        : nil)
    device.core.negotiate(features: device.core.offer.features)
    var queue = try ControlQueue(
      queue: BusyRing(ring: try driver.deviceEnd(), log: log), memory: memory.map.view)
    _ = try queue.serve(device.core)
    #expect(log.shown == 6 && log.unshown == 0)
    #expect(device.core.sessions.openCount == 2)
    #expect(log.mostUnshown == (isKept ? 1 : 6))
  }
}
