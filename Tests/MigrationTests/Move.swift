import Foundation
import TestSupport
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// One live migration, as a hypervisor does it, from a device that works to one that waits.
struct Move {
  /// How sessions get to the other device.
  enum Sessions: Sendable {
    /// Requests carry their keys: there are none.
    case none
    /// By DEVICE_STATE.
    case deviceState
  }

  let source: CryptoClient
  let target: Frontend
  let sessions: Sessions
  /// Rounds in which pages are copied while the guest works.
  var roundCount = 8
  var roundMicroseconds = 20_000 * UInt32(sanitizerSlack)

  // What came of it.
  private(set) var pageCounts: [Int] = []
  private(set) var inFlightCount = 0
  private(set) var stateByteCount = 0
  /// From the moment when the guest stands still to its going on, in nanoseconds.
  private(set) var standstill: UInt64 = 0
  /// The same to the first answer.
  private(set) var downtime: UInt64 = 0
  /// How long it took to begin logging, in nanoseconds.
  private(set) var logStart: UInt64 = 0
  /// Pages that differ although all that was logged was copied.
  private(set) var lostPages: [UInt64] = []

  init(from source: CryptoClient, to target: Frontend, sessions: Sessions) {
    self.source = source
    self.target = target
    self.sessions = sessions
  }

  /// Moves the guest; both sides have negotiated the same.
  mutating func run(_ guest: MovingGuest) throws {
    let memory = guest.memory
    let copy = try memory.emptyCopy()
    try target.shareMemory(copy)
    let bitmap = try DirtyBitmap(covering: memory)
    let begin = monotonicNanoseconds()
    try source.startLogging(bitmap)
    logStart = monotonicNanoseconds() - begin
    memory.copyAll(to: copy)
    for _ in 0..<roundCount {
      let (before, inFlight) = (guest.finishedCount, UInt64(guest.requestCount))
      usleep(roundMicroseconds)
      // On a busy machine, until one is finished that was posted in this round.
      try waitUntil("requests while memory is copied") {
        guest.finishedCount > before + inFlight
      }
      let pages = bitmap.take()
      memory.copyPages(pages, to: copy)
      pageCounts.append(pages.count)
    }
    try guest.pause()
    let stop = monotonicNanoseconds()
    inFlightCount = guest.inFlightCount
    // What the guest wrote: a hypervisor knows it.
    memory.copyPages(guest.ownPages, to: copy)
    let queues = try source.startedQueues()
    var bases: [Int: UInt32] = [:]
    for index in queues.keys.sorted() { bases[index] = try source.frontend.stopQueue(index) }
    let last = bitmap.take()
    memory.copyPages(last, to: copy)
    pageCounts.append(last.count)
    if case .deviceState = sessions { try moveState() }
    // Nobody writes either memory now. The time that this takes is the test's, not the migration's.
    let judging = monotonicNanoseconds()
    lostPages = memory.differingPages(from: copy)
    let judged = monotonicNanoseconds() - judging
    let moved = try DriverQueue(moving: guest.queue, to: copy)
    for (index, queue) in queues.sorted(by: { $0.key < $1.key }) {
      let there = index == 0 ? moved : try DriverQueue(moving: queue, to: copy)
      try target.startQueue(index, there, base: bases[index])
      // Requests may have come that nobody saw.
      try there.kick()
    }
    standstill = monotonicNanoseconds() - stop - judged
    guest.resume(memory: copy, queue: moved)
    try waitUntil("the first answer of the other device", milliseconds: 20000) {
      guest.firstFinish != 0
    }
    downtime = guest.firstFinish - stop - judged
  }

  // MARK: DEVICE_STATE

  /// The device's state from one to the other, through a pipe each.
  ///
  /// Spec: vhost-user, "Back-end state".
  private mutating func moveState() throws {
    let state = try save()
    stateByteCount = state.count
    try load(state)
  }

  private func transfer(
    _ frontend: Frontend, direction: UInt32, descriptor: Int32
  ) throws {
    let payload = NumberPayload(UInt64(direction)).encoded
    let reply = try frontend.call(
      .setDeviceStateDescriptor, payload: payload, descriptors: [descriptor])
    // Bit 8: no descriptor comes back, ours is used; below it an error.
    let word = try NumberPayload(parsing: reply.payload.span).value
    guard word == 1 << 8 else { throw TestSupportError("SET_DEVICE_STATE_FD: \(word)") }
  }

  private func check(_ frontend: Frontend) throws {
    let reply = try frontend.call(.checkDeviceState)
    let word = try NumberPayload(parsing: reply.payload.span).value
    guard word == 0 else { throw TestSupportError("CHECK_DEVICE_STATE: \(word)") }
  }

  private func save() throws -> [UInt8] {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw TestSupportError("no pipe") }
    let reading = OwnedFile(descriptor: ends[0])
    // Our end of the other side closes first, so that the state has an end.
    try withExtendedLifetime(OwnedFile(descriptor: ends[1])) {
      try transfer(source.frontend, direction: 0, descriptor: $0.descriptor)
    }
    var state: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    try withExtendedLifetime(reading) {
      while true {
        let count = read(reading.descriptor, &chunk, chunk.count)
        guard count >= 0 else { throw TestSupportError("reading the state: errno \(errno)") }
        if count == 0 { return }
        state += chunk[..<count]
      }
    }
    try check(source.frontend)
    return state
  }

  private func load(_ state: [UInt8]) throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw TestSupportError("no pipe") }
    try withExtendedLifetime(OwnedFile(descriptor: ends[1])) { writing in
      try withExtendedLifetime(OwnedFile(descriptor: ends[0])) {
        try transfer(target, direction: 1, descriptor: $0.descriptor)
      }
      var rest = state[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(writing.descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { throw TestSupportError("writing the state: errno \(errno)") }
        rest = rest.dropFirst(count)
      }
    }
    try check(target)
  }
}
