import CryptoTypes
import TestSupport
import VhostUserFrontend
import VirtioSpec

/// Everything at once in one ring: algorithms, engines, sizes, sessions and stateless, good requests and bad ones.
final class MixedTraffic {
  private struct Rider {
    var placed: PlacedRequest
    var head: UInt16
    var status: VirtioCryptoStatus
    var output: [UInt8]
    var result: [UInt8]
    var what: String
  }

  private let ring: Ring
  private var source: RequestSource
  private var riders: [Rider] = []

  init(_ ring: Ring, seed: UInt64) throws {
    self.ring = ring
    source = RequestSource(.cipher(.aesCBC), seed: seed)
    // Indirect chains, each of which keeps one of the ring's 1024 descriptors.
    while riders.count < 1000 { try addRider() }
  }

  /// A request whose answer is known: from libcrypto, from a first run for what that lacks, or for what is wrong with it.
  private func addRider() throws {
    let algorithm = source.pick(CryptoAlgorithm.symmetric)
    var own = RequestSource(algorithm, seed: source.random.next())
    let session = own.session()
    let created = try ring.client.createSession(session)
    guard created.statusWord == 0 else { return }
    var operation = own.operation(session, own.upTo(3) == 0 ? nil : created.sessionID)
    if operation.source.count > 20000 { return }
    var status: VirtioCryptoStatus?
    switch own.upTo(9) {
    case 0:
      operation.sessionID = created.sessionID ^ 1 << 40
      status = .invsess
    case 1 where session.service == .cipher:
      operation.destinationByteCount = operation.source.count + 16
      status = .err
    case 2 where session.service == .hash || session.service == .mac:
      operation.resultByteCount = operation.sessionID == nil ? 70000 : session.resultByteCount + 1
      status = .err
    default: break
    }
    let known = status == nil ? ReferenceCrypto.answer(to: operation) : nil
    let plan = own.plan()
    let answer = try ring.perform([operation], [plan])[0]
    if let known {
      guard answer.status == .ok, answer.output == known.output, answer.result == known.result
      else { throw DriverError("\(algorithm.name): \(answer.status) at the first try") }
    } else if let status, answer.status != status {
      throw DriverError("\(algorithm.name): \(answer.status) instead of \(status)")
    }
    let placed = try PlacedRequest(
      CryptoRequestBuilder.data(operation, format: ring.client.format), plan: notInPlace(plan),
      in: ring.client.memory)
    riders.append(
      Rider(
        placed: placed,
        head: try ring.client.dataQueues[0].reserve(placed.buffers, indirect: true),
        status: answer.status, output: answer.status == .ok ? answer.output : [],
        result: answer.status == .ok ? answer.result : [],
        what: "\(algorithm.name) of \(operation.source.count) bytes"))
  }

  /// A request that is sent again and again must not change its own source.
  private func notInPlace(_ plan: RequestPlan) -> RequestPlan {
    var plan = plan
    plan.isInPlace = false
    return plan
  }

  /// Sends so many, up to 256 in flight, and compares each answer; the counts by status.
  func run(_ count: Int) throws -> String {
    let queue = ring.client.dataQueues[0]
    let memory = ring.client.memory
    var byHead: [UInt16: Int] = [:]
    for (index, rider) in riders.enumerated() { byHead[rider.head] = index }
    var idle = Array(riders.indices)
    var isInFlight = [Bool](repeating: false, count: riders.count)
    var left = count
    var inFlight = 0
    var statuses: [String: Int] = [:]
    while left > 0 || inFlight > 0 {
      var posted = false
      while left > 0, inFlight < 256 {
        let place = Int(source.random.next() % UInt64(idle.count))
        idle.swapAt(place, idle.count - 1)
        let index = idle.removeLast()
        try riders[index].placed.wipeAnswer(in: memory)
        queue.post(riders[index].head)
        isInFlight[index] = true
        inFlight += 1
        left -= 1
        posted = true
      }
      if posted {
        queue.disableCalls()
        if queue.publish() { try queue.kick() }
      }
      var used = try queue.pollUsed(timeoutMilliseconds: 60000)
      while true {
        guard let index = byHead[UInt16(truncatingIfNeeded: used.head)], isInFlight[index] else {
          throw DriverError("chain \(used.head) came back and was not sent, or twice")
        }
        isInFlight[index] = false
        try check(riders[index], used)
        statuses["\(riders[index].status)", default: 0] += 1
        idle.append(index)
        inFlight -= 1
        guard let next = queue.popUsed() else { break }
        used = next
      }
    }
    let list = statuses.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return "mixed: requests=\(count) " + list.joined(separator: " ")
  }

  private func check(_ rider: Rider, _ used: UsedElement) throws {
    let answer = try ring.client.answer(rider.placed, used)
    guard answer.status == rider.status else {
      throw DriverError("\(rider.what): \(answer.status) instead of \(rider.status)")
    }
    guard answer.status == .ok else { return }
    guard answer.output == rider.output, answer.result == rider.result else {
      throw DriverError("\(rider.what): a wrong result")
    }
  }
}
