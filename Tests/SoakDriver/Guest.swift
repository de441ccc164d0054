import TestSupport
import VhostUserFrontend
import VirtioSpec

/// A guest with requests of every service in flight in several rings, over one front-end after the other.
final class Guest {
  /// What kind of guest it is.
  struct Settings {
    var name: String
    var ring: RingKind
    var queueCount = 2
    var ridersPerQueue = 60
    var depth = 24
    /// Looks at a ring only when the device has called, and so finds calls that are lost.
    var waitsForCalls = false
    /// How many times as long everything may take.
    var slowness = 1
    var seed: UInt64
  }

  let settings: Settings
  let ledger: Ledger
  var random: SeededRandom
  let memory: GuestRAM
  let controlQueue: DriverQueue
  let queues: [DriverQueue]
  let area: InflightArea
  var client: CryptoClient
  /// By queue.
  var riders: [[Rider]]
  var byHead: [[UInt16: Int]]
  var idle: [[Int]]
  /// Those that have no session at the moment.
  var sleepers: [[Int]]
  var isAwake: [Bool]
  var inFlightCount = 0
  var lastProgress = monotonicNanoseconds()
  /// Engines are made to fail.
  var toleratesFailures = false
  /// While false, nothing new is sent.
  var sendsRequests = true

  /// Nothing has come back for so long: what is in flight is lost.
  private static let patience: UInt64 = 20_000_000_000
  private static let queueSize: UInt16 = 256

  /// Connects, and starts all queues.
  ///
  /// `step` runs each step of it, and may try it again.
  init(
    path: String, _ settings: Settings, _ ledger: Ledger,
    step: (() throws -> Void) throws -> Void = { try $0() }
  ) throws {
    self.settings = settings
    self.ledger = ledger
    random = SeededRandom(seed: settings.seed)
    let frontend = try Self.connect(path, settings)
    let count = settings.queueCount
    var area: InflightArea?
    try step {
      area = try frontend.inflightArea(queueCount: count, queueSize: Self.queueSize)
    }
    guard let area else { throw DriverError("no record of requests in flight") }
    try step { try frontend.setInflightArea(area) }
    self.area = area
    let memory = try GuestRAM(byteCount: 64 << 20)
    try step { try frontend.shareMemory(memory) }
    self.memory = memory
    let controlQueue = try frontend.makeQueue(size: 64)
    let queues = try (0..<count).map { _ in try frontend.makeQueue(size: Self.queueSize) }
    let controlIndex = Int(try frontend.readConfiguration().maxDataQueues)
    try step { try frontend.startQueue(controlIndex, controlQueue) }
    for (index, queue) in queues.enumerated() {
      try step { try frontend.startQueue(index, queue) }
    }
    self.controlQueue = controlQueue
    self.queues = queues
    client = CryptoClient(
      frontend: frontend, memory: memory, dataQueues: queues, control: .queue(controlQueue))
    riders = [[Rider]](repeating: [], count: count)
    byHead = [[UInt16: Int]](repeating: [:], count: count)
    idle = [[Int]](repeating: [], count: count)
    sleepers = idle
    isAwake = [Bool](repeating: true, count: count)
  }

  static func connect(_ path: String, _ settings: Settings) throws -> Frontend {
    let format = RequestFormat(
      isRevision1: true, statelessServices: [.cipher, .hash, .mac, .aead, .akcipher])
    var options = Frontend.Options(format: format, ring: settings.ring)
    options.timeoutMilliseconds = 20_000 * settings.slowness
    let frontend = try Frontend.connect(path: path, options: options)
    try frontend.negotiate()
    guard RingKind(features: frontend.features) == settings.ring else {
      throw DriverError("the device does not offer \(settings.ring) rings")
    }
    return frontend
  }

  // MARK: Requests

  /// Thinks of requests and tries each once; nothing may be in flight.
  func addRiders() throws {
    var source = try WishSource(seed: random.next())
    for index in queues.indices {
      while riders[index].count < settings.ridersPerQueue {
        guard let rider = try makeRider(source.next(), queue: index) else { continue }
        byHead[index][rider.head] = riders[index].count
        idle[index].append(riders[index].count)
        riders[index].append(rider)
      }
    }
    lastProgress = monotonicNanoseconds()
  }

  /// nil where the device does not offer what is wished for.
  private func makeRider(_ wish: Wish, queue index: Int) throws -> Rider? {
    var operation = wish.operation
    var session: UInt64?
    if !wish.isStateless {
      let answer = try client.createSession(wish.session)
      guard answer.statusWord == 0 else {
        guard answer.status == .notsupp else {
          throw DriverError("\(settings.name): a session for \(wish): \(answer.status)")
        }
        return nil
      }
      session = answer.sessionID
      operation.sessionID = wish.strangeSession ?? answer.sessionID
      if wish.strangeSession != nil {
        _ = try client.destroySession(answer.sessionID, service: wish.session.service)
      }
    }
    var expectation = wish.expectation
    if expectation == nil {
      let answer = try client.perform(operation, plan: wish.plan, queue: index)
      guard answer.status != .notsupp else { return nil }
      expectation = Expectation(
        status: answer.status, result: .bytes(output: answer.output, result: answer.result))
    }
    guard let expectation else { return nil }
    let placed = try PlacedRequest(
      CryptoRequestBuilder.data(operation, format: client.format), plan: wish.plan, in: memory)
    return Rider(
      wish: wish, placed: placed, head: try queues[index].reserve(placed.buffers, indirect: true),
      expectation: expectation, sessionID: wish.strangeSession == nil ? session : nil)
  }

  // MARK: The guest's work

  /// Takes what is finished and sends what is idle; whether anything came back.
  @discardableResult
  func turn() throws -> Bool {
    var progressed = false
    for index in queues.indices {
      if try take(index) > 0 { progressed = true }
      if sendsRequests { try fill(index) }
    }
    let now = monotonicNanoseconds()
    if progressed || inFlightCount == 0 {
      lastProgress = now
    } else if now - lastProgress > Self.patience * UInt64(settings.slowness) {
      ledger.lost += inFlightCount
      let isThere = queues.contains { $0.hasUsed }
      throw DriverError(
        "\(settings.name): \(inFlightCount) requests are lost"
          + (isThere ? "; answers are there, and no call came" : ""))
    }
    return progressed
  }

  func take(_ index: Int) throws -> Int {
    let queue = queues[index]
    if settings.waitsForCalls, !isAwake[index] {
      guard try queue.callEvent.drain() > 0 else { return 0 }
    }
    var count = 0
    repeat {
      while let used = queue.popUsed() {
        count += 1
        try settle(index, used)
      }
    } while settings.waitsForCalls && queue.enableCalls()
    isAwake[index] = false
    return count
  }

  private func settle(_ index: Int, _ used: UsedElement) throws {
    guard let number = byHead[index][UInt16(truncatingIfNeeded: used.head)],
      riders[index][number].isInFlight
    else {
      ledger.duplicated += 1
      return
    }
    let rider = riders[index][number]
    riders[index][number].isInFlight = false
    riders[index][number].mayLackItsSession = false
    idle[index].append(number)
    inFlightCount -= 1
    if rider.wish.plan.isInPlace { ledger.inPlace += 1 }
    let (status, verdict) = try rider.verdict(
      used, toleratesFailures: toleratesFailures, memory: memory)
    ledger.count(rider.wish, status, verdict, guest: settings.name)
  }

  private func fill(_ index: Int) throws {
    let queue = queues[index]
    var posted = false
    while riders[index].count - idle[index].count - sleepers[index].count < settings.depth,
      !idle[index].isEmpty
    {
      let place = Int(random.next() % UInt64(idle[index].count))
      idle[index].swapAt(place, idle[index].count - 1)
      let number = idle[index].removeLast()
      let rider = riders[index][number]
      guard rider.isReady else {
        sleepers[index].append(number)
        continue
      }
      try rider.renew(in: memory)
      queue.post(rider.head)
      riders[index][number].isInFlight = true
      inFlightCount += 1
      ledger.sent += 1
      posted = true
    }
    guard posted else { return }
    if !settings.waitsForCalls { queue.disableCalls() }
    if queue.publish() { try queue.kick() }
  }
}
