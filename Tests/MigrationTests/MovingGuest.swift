import CryptoTypes
import Foundation
import Synchronization
import TestSupport
import VhostUserFrontend
import VirtioSpec

/// A guest that works all the time, on a thread of its own, and that can be moved to other memory and another device.
///
/// Each request's text is another each time, so that no old result can pass for a new one. The pages that the guest itself
/// writes, which a hypervisor would know of, are its `ownPages`; all others change by the device alone.
final class MovingGuest: @unchecked Sendable {
  // Unchecked: the thread's alone while it is `working`, else the test's.

  /// What the requests of a guest are made of.
  struct Session: Sendable {
    var spec: SessionSpec
    /// nil: requests carry their keys.
    var identifier: UInt64?
  }

  private struct Slot {
    var operation: OperationSpec
    var placed: PlacedRequest
    var head: UInt16
    /// nil where there is none.
    var sessionAddress: UInt64?
    var sourceAddress: UInt64
    var isPosted = false
    var postedAt: UInt64 = 0
  }

  enum Wish: Int { case work, pause, end }

  private(set) var queue: DriverQueue
  private(set) var memory: GuestRAM
  private let client: CryptoClient
  private let sessions: [Session]
  private var slots: [Slot] = []
  private var slotOfHead: [UInt16: Int] = [:]
  private var idle: [Int] = []
  private var random = SeededRandom.printed("guest")
  private var number: UInt64 = 0

  private let wish = Atomic(Wish.work.rawValue)
  private let isResting = Atomic(false)
  private let finished = Atomic<UInt64>(0)
  private let first = Atomic<UInt64>(0)
  private let isOver = DispatchSemaphore(value: 0)
  private var failure: String?
  private var posted: UInt64 = 0
  /// The longest that any request took, in nanoseconds.
  private(set) var longest: UInt64 = 0

  /// `sessions`: at least one; requests take turns with them.
  init(_ client: CryptoClient, sessions: [Session], requestCount: Int) throws {
    self.client = client
    self.sessions = sessions
    queue = client.dataQueues[0]
    memory = client.memory
    self.requestCount = requestCount
    for index in 0..<requestCount { try addSlot(index) }
  }

  private func addSlot(_ index: Int) throws {
    let session = sessions[index % sessions.count]
    let byteCount = [64, 512, 4096, 5008][index / 4 % 4]
    let operation = self.operation(session, random.bytes(byteCount))
    var plan = RequestPlan()
    plan.alignment = LoggedGuest.page
    if index % 3 == 1 { plan.destination = .count(3) }
    if index % 5 == 2 { plan.isIndirect = false }
    let request = CryptoRequestBuilder.data(operation, format: client.format)
    let placed = try PlacedRequest(request, plan: plan, in: memory)
    let head = try queue.reserve(placed.buffers, indirect: plan.isIndirect)
    guard let source = placed.source.first, let header = placed.headerAddress else {
      throw TestSupportError("a request without header or source")
    }
    slotOfHead[head] = slots.count
    idle.append(slots.count)
    slots.append(
      Slot(
        operation: operation, placed: placed, head: head,
        sessionAddress: session.identifier == nil ? nil : header + 8,
        sourceAddress: source.guestAddress))
  }

  private func operation(_ session: Session, _ source: [UInt8]) -> OperationSpec {
    var operation = OperationSpec(
      session.spec, sessionID: session.identifier, source: source)
    switch session.spec {
    case .cipher: operation.iv = [UInt8](repeating: 3, count: 16)
    case .aead:
      operation.iv = [UInt8](repeating: 4, count: 12)
      operation.aad = [5, 6, 7]
    default: break
    }
    return operation
  }

  /// Pages that the guest writes while it works.
  var ownPages: Set<UInt64> {
    var pages = Set<UInt64>()
    for slot in slots {
      pages.formUnion(GuestRAM.pages(slot.sourceAddress, byteCount: 8))
      if let address = slot.sessionAddress {
        pages.formUnion(GuestRAM.pages(address, byteCount: 8))
      }
    }
    let size = Int(queue.size)
    pages.formUnion(GuestRAM.pages(queue.layout.available, byteCount: 6 + 2 * size))
    if queue.kind.isPacked {
      pages.formUnion(GuestRAM.pages(queue.layout.descriptorTable, byteCount: 16 * size))
    }
    return pages
  }

  /// When the first request came back after `resume`; 0 as long as none has.
  var firstFinish: UInt64 { first.load(ordering: .acquiring) }
  var finishedCount: UInt64 { finished.load(ordering: .relaxed) }
  var postedCount: UInt64 { posted }
  /// The most that are in flight.
  let requestCount: Int
  var inFlightCount: Int { slots.count { $0.isPosted } }

  // MARK: Life

  func start() {
    Thread.detachNewThread { [self] in
      do {
        try live()
      } catch {
        failure = "\(error)"
      }
      isResting.store(true, ordering: .releasing)
      isOver.signal()
    }
  }

  /// Stops the guest where it is, as a hypervisor stops its processors: requests stay in flight.
  func pause() throws {
    wish.store(Wish.pause.rawValue, ordering: .releasing)
    while !isResting.load(ordering: .acquiring) { usleep(20) }
    if let failure { throw TestSupportError(failure) }
  }

  /// Goes on with other memory and another device's queue.
  func resume(memory: GuestRAM, queue: DriverQueue) {
    self.memory = memory
    self.queue = queue
    first.store(0, ordering: .relaxed)
    wish.store(Wish.work.rawValue, ordering: .releasing)
    while isResting.load(ordering: .acquiring) { usleep(20) }
  }

  /// Has everything that is in flight come back, and ends.
  func end() throws {
    wish.store(Wish.end.rawValue, ordering: .releasing)
    guard isOver.wait(timeout: .now() + 60) == .success else {
      throw TestSupportError("the guest does not end")
    }
    if let failure { throw TestSupportError(failure) }
  }

  private func live() throws {
    var lastProgress = monotonicNanoseconds()
    while true {
      let wish = Wish(rawValue: self.wish.load(ordering: .acquiring)) ?? .end
      if wish == .pause {
        // Stopped right behind a kick: with as much in flight as there can be.
        if !isResting.load(ordering: .relaxed) { try postSome() }
        isResting.store(true, ordering: .releasing)
        usleep(20)
        lastProgress = monotonicNanoseconds()
        continue
      }
      isResting.store(false, ordering: .releasing)
      if wish == .work, idle.count >= min(8, slots.count) { try postSome() }
      if try reap() { lastProgress = monotonicNanoseconds() }
      if wish == .end, idle.count == slots.count { return }
      guard monotonicNanoseconds() - lastProgress < 20_000_000_000 else {
        throw TestSupportError("no answer for 20 s; in flight: \(slots.count - idle.count)")
      }
    }
  }

  private func postSome() throws {
    queue.disableCalls()
    let now = monotonicNanoseconds()
    // A few stay behind, so that not all are finished together.
    while idle.count > 2, let index = idle.popLast() {
      number += 1
      let session = sessions[
        Int(truncatingIfNeeded: UInt64(index % 4) + 4 * number) % sessions.count]
      // The same kind of session as before: the request keeps its shape.
      let word = WireWord.bytes(number)
      try memory.write(word, at: slots[index].sourceAddress)
      slots[index].operation.source.replaceSubrange(0..<8, with: word)
      if let address = slots[index].sessionAddress, let identifier = session.identifier,
        session.spec.isLike(slots[index].operation.session)
      {
        try memory.write(WireWord.bytes(identifier), at: address)
        slots[index].operation.session = session.spec
        slots[index].operation.sessionID = identifier
      }
      slots[index].isPosted = true
      slots[index].postedAt = now
      queue.post(slots[index].head)
      posted += 1
    }
    if queue.publish() { try queue.kick() }
  }

  private func reap() throws -> Bool {
    var any = false
    while let used = queue.popUsed() {
      any = true
      guard let index = slotOfHead[UInt16(truncatingIfNeeded: used.head)], slots[index].isPosted
      else { throw TestSupportError("chain \(used.head) came back and is not in flight") }
      slots[index].isPosted = false
      let now = monotonicNanoseconds()
      if first.load(ordering: .relaxed) == 0 { first.store(now, ordering: .releasing) }
      longest = max(longest, now - slots[index].postedAt)
      try check(slots[index], used)
      idle.append(index)
      finished.wrappingAdd(1, ordering: .relaxed)
    }
    return any
  }

  private func check(_ slot: Slot, _ used: UsedElement) throws {
    var status = PlacedRequest.untouched
    if let address = slot.placed.statusAddress {
      status = try memory.read(address, byteCount: 1).first ?? status
    }
    guard status == 0 else { throw TestSupportError("\(slot.operation.session): \(status)") }
    let output = try PlacedRequest.content(of: slot.placed.destination, in: memory)
    let result = try PlacedRequest.content(of: slot.placed.result, in: memory)
    guard let expected = ReferenceCrypto.answer(to: slot.operation) else {
      throw TestSupportError("no reference for \(slot.operation.session)")
    }
    guard output == expected.output, result == expected.result,
      Int(used.byteCount) == output.count + result.count + 1
    else { throw TestSupportError("a wrong answer of \(slot.operation.session)") }
  }
}

/// A le64.
enum WireWord {
  static func bytes(_ word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
  }
}

extension SessionSpec {
  /// Whether a request of one has the shape of a request of the other.
  func isLike(_ other: SessionSpec) -> Bool {
    switch (self, other) {
    case (.cipher(let one, let first, _), .cipher(let two, let second, _)):
      one == two && first == second
    case (.mac(let one, _, let first), .mac(let two, _, let second)): one == two && first == second
    case (.hash, .hash): true
    case (.aead(let one, let first, _, _, _), .aead(let two, let second, _, _, _)):
      one == two && first == second
    default: false
    }
  }
}
