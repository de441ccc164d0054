import CryptoDevice
import CryptoTypes
import GuestMemory
import VirtQueue
import VirtioSpec

/// A guest that makes and ends sessions on the control queue.
///
/// Input: the dialect and features (1 byte), then requests: how it lies in memory (2 bytes), which session's identifier to
/// put in (1 byte, of those made before; from 128 on: none), room for the outcome (1 byte), length (2 bytes), bytes.
final class ControlRequestsEntry: FuzzEntry {
  private let memory: ScriptedMemory
  private let lane: OfferedDevice.Lane
  private static let sessionCapacity = 16

  init() throws {
    memory = try ScriptedMemory()
    lane = try OfferedDevice.Lane(sessionCapacity: Self.sessionCapacity)
  }

  func run(_ input: inout FuzzInput) throws {
    memory.reset()
    let flags = input.byte()
    let dialect = Dialect.allCases[Int(flags & 3) % Dialect.allCases.count]
    let device = OfferedDevice(
      dialect, lane: lane, sessionCapacity: Self.sessionCapacity,
      stateless: Set(CryptoService.allCases))
    let core = device.core
    core.negotiate(features: flags & 4 != 0 ? core.offer.features : 0)
    var ring = ScriptedRing(memory)
    var queue = try ControlQueue(queue: ring.deviceEnd(), memory: memory.map.view)
    var made: [UInt64] = []
    while !input.isAtEnd {
      let shape = ScriptedRing.Shape(input.byte() & 3, cuts: input.byte())
      let which = Int(input.byte())
      let room = Int(input.byte() & 63)
      var request = input.takePadded(Int(input.word16()) % ScriptedRing.mostByteCount)
      if which < 128, let identifier = made.isEmpty ? nil : made[which % made.count],
        request.count >= 24
      {
        for index in 0..<8 {
          request[16 + index] = UInt8(truncatingIfNeeded: identifier >> (8 * UInt64(index)))
        }
      }
      ring.post(request, writableByteCount: room, shape)
      try checkKeys(of: request, core)
      let before = core.sessions.openCount
      do throws(QueueError) {
        _ = try queue.serve(core)
      } catch {
        throw Finding("a well-formed chain is a ring's fault: \(error)")
      }
      try check(ring, request, room: room)
      if core.sessions.openCount > before {
        made.append(ring.answer.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) })
      }
      try require(
        core.sessions.openCount <= Self.sessionCapacity, "more sessions than there is room for")
    }
    let sessions = core.sessions
    try require(
      sessions.createdCount == sessions.destroyedCount + UInt64(sessions.openCount),
      "sessions made, ended and open do not add up")
  }

  /// The keys of a request lie in it: behind it there may be those of another.
  private func checkKeys(of request: [UInt8], _ core: DeviceCore) throws {
    guard
      case .create(_, let cipherKey, let authKey)? = try? ControlRequest(
        request.span.bytes, revision1: core.revision1, dialect: core.offer.dialect)
    else { return }
    try require(
      max(cipherKey.upperBound, authKey.upperBound) <= request.count, "a key behind its request")
  }

  private func check(_ ring: ScriptedRing, _ request: [UInt8], room: Int) throws {
    guard let used = ring.usedByteCount() else { throw Finding("a request is not answered") }
    let answer = ring.answer
    try require([0, 1, 8, 16].contains(used), "an outcome of \(used) bytes")
    try require(Int(used) <= room, "an outcome of \(used) bytes in \(room)")
    try require(
      ScriptedRing.isUntouched(answer.dropFirst(Int(used))),
      "bytes behind an outcome were written")
    try require(ring.request == request, "a readable buffer was written")
  }
}
