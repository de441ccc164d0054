import CryptoTypes
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// Where the device did something else than the model says.
struct Mismatch: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// A device and the model of it, which take the same steps.
final class World {
  /// What was negotiated.
  struct Kind: Hashable {
    var name: String
    var format: RequestFormat
    var ring: RingKind

    static let all = RingKind.allCases.flatMap { ring in
      [
        ("legacy", RequestFormat.legacy), ("revision1", .revision1), ("stateless", .stateless),
      ].map { Kind(name: "\($0)/\(ring.rawValue)", format: $1, ring: ring) }
    }
  }

  static let sessionCapacity = 12

  private let kind: Kind
  private let client: CryptoClient
  private var live: [Session] = []
  private var gone: [UInt64] = []
  /// How many steps were taken, and what the last one was.
  private(set) var stepCount = 0
  private(set) var lastStep = ""

  init(_ kind: Kind, path: String) throws {
    self.kind = kind
    client = try CryptoClient.start(
      path: path, options: Frontend.Options(format: kind.format, ring: kind.ring), queueSize: 128,
      controlQueueSize: 16)
  }

  func leave() { client.frontend.disconnect() }

  /// Takes the step that a number stands for; what it means depends on the sessions that there are.
  func take(_ step: UInt64) throws {
    var random = SeededRandom(seed: step)
    stepCount += 1
    switch random.upTo(19) {
    case 0..<6: try create(&random)
    case 6..<9: try destroy(&random)
    case 9: try restart(&random)
    default: try exchange(&random)
    }
  }

  // MARK: Sessions

  private func create(_ random: inout SeededRandom) throws {
    let creation = Creation(&random, format: kind.format, withRSA: true)
    lastStep = "create \(creation.fault.map(\.what) ?? "\(creation.session.spec.service.rawValue)")"
    let allowed = creation.statuses(
      isFull: live.count == Self.sessionCapacity, format: kind.format)
    let answer = try client.create(creation.request)
    guard answer.usedByteCount == 16 else {
      throw Mismatch("an outcome of \(answer.usedByteCount ?? -1) bytes instead of 16")
    }
    guard answer.statusWord < 256, allowed.contains(answer.status) else {
      throw Mismatch("\(answer.status) instead of \(allowed)")
    }
    guard answer.status == .ok else { return }
    guard !live.contains(where: { $0.identifier == answer.sessionID }) else {
      throw Mismatch("the identifier of another session")
    }
    var session = creation.session
    session.identifier = answer.sessionID
    live.append(session)
  }

  private static let services: [VirtioCryptoService] = [.cipher, .hash, .mac, .aead, .akcipher]

  private func destroy(_ random: inout SeededRandom) throws {
    let index = live.isEmpty ? nil : random.upTo(live.count - 1)
    var identifier = index.map { live[$0].identifier } ?? random.next()
    var service = index.map { live[$0].service } ?? .cipher
    var isThere = index != nil
    switch random.upTo(5) {
    case 0:
      identifier = gone.last ?? identifier ^ 1 << 40
      isThere = false
    case 1:
      let others = Self.services.filter { $0 != service }
      service = random.pick(others)
      isThere = false
    default: break
    }
    let room = random.pick([1, 8, 1, 8, 2, 7, 16])
    lastStep = "destroy \(isThere ? "a session" : "what is none"), room for \(room)"
    let (used, outcome) = try client.send(
      CryptoRequestBuilder.destroySession(
        identifier, service: service, format: kind.format, writableByteCount: room))
    let status: VirtioCryptoStatus = isThere ? .ok : .invsess
    let expected = room >= 8 ? [status.rawValue, 0, 0, 0, 0, 0, 0, 0] : [status.rawValue]
    guard used == expected.count,
      outcome == expected
        + [UInt8](repeating: PlacedRequest.untouched, count: room - expected.count)
    else { throw Mismatch("\(used) bytes, \(outcome) instead of \(expected)") }
    if isThere, let index { gone.append(live.remove(at: index).identifier) }
  }

  // MARK: Data

  private struct InFlight {
    var request: Request
    var placed: PlacedRequest
    var head: UInt16
  }

  /// Several requests at once; sometimes a session goes, or the ring stops, while they are on their way.
  private func exchange(_ random: inout SeededRandom) throws {
    guard !live.isEmpty else { return try create(&random) }
    let queue = client.dataQueues[0]
    var flying: [InFlight] = []
    for _ in 0...random.upTo(7) {
      let request = makeRequest(&random)
      let placed = try PlacedRequest(request.data, plan: request.plan, in: client.memory)
      let isDirect = !request.plan.isIndirect && placed.buffers.count <= queue.freeCount - 8
      let head = try queue.reserve(placed.buffers, indirect: !isDirect)
      queue.post(head)
      flying.append(InFlight(request: request, placed: placed, head: head))
    }
    let isCalled = random.oneIn(3)
    if isCalled { _ = queue.enableCalls() } else { queue.disableCalls() }
    lastStep = "\(flying.count) requests: \(flying.map(\.request.what).joined(separator: "; "))"
    if queue.publish() { try queue.kick() }
    switch random.upTo(7) {
    case 0: try restart(&random)
    case 1: try destroyInFlight(&flying, &random)
    default: break
    }
    try collect(flying, isCalled: isCalled)
  }

  private func makeRequest(_ random: inout SeededRandom) -> Request {
    var session = random.pick(live)
    var isStateless = false
    if kind.format.isRevision1, random.oneIn(3) {
      // Parameters need no session of theirs.
      session = .random(&random, withRSA: false)
      isStateless = true
    }
    let others =
      live.filter { $0.service != session.service }.map(\.identifier) + gone.suffix(3)
    return .random(
      session, isStateless: isStateless, others: others, format: kind.format, &random)
  }

  /// Requests of a session that ends are answered, with its keys or without it.
  private func destroyInFlight(
    _ flying: inout [InFlight], _ random: inout SeededRandom
  ) throws {
    let index = random.upTo(live.count - 1)
    let session = live.remove(at: index)
    lastStep += "; a session ends meanwhile"
    for place in flying.indices where flying[place].request.identifier == session.identifier {
      flying[place].request.expectation.statuses.insert(.invsess)
    }
    let status = try client.destroySession(session.identifier, service: session.service)
    guard status == .ok else { throw Mismatch("\(status) at the end of a session") }
    gone.append(session.identifier)
  }

  /// Takes the ring back from the device and gives it back, where it was.
  private func restart(_ random: inout SeededRandom) throws {
    let queue = client.dataQueues[0]
    lastStep += "; the ring stops and goes on"
    let base = try client.frontend.stopQueue(0)
    guard let index = queue.index(ofBase: base), index == queue.rawUsedIndex else {
      throw Mismatch("a base of \(base) with something in flight")
    }
    try client.frontend.command(
      .setVringBase, payload: VringState(index: 0, number: base).encoded)
    try client.frontend.command(
      .setVringKick, payload: VringDescriptor(index: 0).encoded,
      descriptors: [queue.kickEvent.descriptor])
  }

  private func collect(_ flying: [InFlight], isCalled: Bool) throws {
    let queue = client.dataQueues[0]
    var left = flying
    while !left.isEmpty {
      let used = isCalled ? try queue.waitUsed() : try queue.pollUsed()
      guard let place = left.firstIndex(where: { UInt32($0.head) == used.head }) else {
        throw Mismatch("chain \(used.head), which is not in flight")
      }
      guard !kind.ring.isInOrder || place == 0 else { throw Mismatch("a chain before its turn") }
      let done = left.remove(at: place)
      try check(done, used)
      queue.release(done.head)
      done.placed.free(in: client.memory)
    }
  }

  private func check(_ done: InFlight, _ used: UsedElement) throws {
    let expected = done.request.expectation
    let what = done.request.what
    let answer = try client.answer(done.placed, used)
    if expected.hasNoStatus {
      guard answer.usedByteCount == 0 else {
        throw Mismatch("\(what): \(answer.usedByteCount) bytes written of none")
      }
      return
    }
    // Where there is no descriptor for it, the status is in the last byte of what there is.
    let status =
      done.placed.statusAddress == nil
      ? VirtioCryptoStatus(rawValue: (answer.output + answer.result).last ?? 0xFF) : answer.status
    guard expected.statuses.contains(status) else {
      throw Mismatch("\(what): \(status) instead of \(expected.statuses)")
    }
    guard status == .ok else {
      guard answer.usedByteCount == 1 else {
        throw Mismatch("\(what): \(status) with \(answer.usedByteCount) bytes written")
      }
      return
    }
    let count = expected.output.count + expected.result.count + 1
    guard answer.usedByteCount == count else {
      throw Mismatch("\(what): \(answer.usedByteCount) bytes written instead of \(count)")
    }
    guard answer.output.starts(with: expected.output), answer.result == expected.result else {
      throw Mismatch("\(what): another result")
    }
    guard
      answer.output.dropFirst(expected.output.count).allSatisfy({ $0 == PlacedRequest.untouched })
    else {
      throw Mismatch(
        "\(what): bytes behind the \(expected.output.count) of the result were written: \(answer.output.dropFirst(expected.output.count))"
      )
    }
  }
}
