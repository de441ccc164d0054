import CryptoTypes
import Foundation
import VhostUserFrontend
import VhostUserProtocol
import VirtioSpec

/// A guest with requests in flight in several rings, whose daemon is killed now and then.
final class KillRun {
  private let settings: DriverSettings
  private let host: DaemonHost
  private let memory: GuestRAM
  private var random: SeededRandom
  private var report: KillReport
  private var frontend: Frontend
  private var area: InflightArea?
  private var queues: [DriverQueue] = []
  /// By queue.
  private var riders: [[Rider]] = []
  private var byHead: [[UInt16: Int]] = []
  private var idle: [[Int]] = []
  private var sessionSpecs: [SessionSpec]
  private var sessions: [UInt64] = []
  /// After a kill: which queues have not answered anything new since.
  private var waiting: Set<Int> = []
  private var killTime: UInt64 = 0
  /// Nothing came back for so long: what is in flight is lost.
  private static let patience: UInt64 = 20_000_000_000

  init(_ settings: DriverSettings) throws {
    self.settings = settings
    var random = SeededRandom(seed: settings.seed)
    sessionSpecs = Rider.sessions(&random)
    self.random = random
    report = KillReport(ring: settings.ring)
    report.mayLoseSessions = settings.sessions == .lost
    FileHandle.standardError.write(Data("seed \(settings.seed)\n".utf8))
    host = try DaemonHost(settings)
    memory = try GuestRAM(byteCount: 256 << 20)
    frontend = try host.connect()
    try frontend.negotiate()
    guard RingKind(features: frontend.features) == settings.ring else {
      throw DriverError("the device does not offer \(settings.ring) rings")
    }
    let size = UInt16(1024)
    if settings.usesInflight {
      let area = try frontend.inflightArea(queueCount: settings.queueCount, queueSize: size)
      try frontend.setInflightArea(area)
      self.area = area
    }
    try frontend.shareMemory(memory)
    try openSessions()
    for index in 0..<settings.queueCount {
      let queue = try frontend.makeQueue(size: size)
      queues.append(queue)
      try addRiders(queue)
      try frontend.startQueue(index, queue)
    }
  }

  private func openSessions() throws {
    guard settings.sessions != .none else { return }
    sessions = try sessionSpecs.map { spec in
      let answer = try frontend.createSession(spec)
      guard answer.statusWord == 0 else { throw DriverError("no session: \(answer.status)") }
      return answer.sessionID
    }
  }

  private func addRiders(_ queue: DriverQueue) throws {
    var own: [Rider] = []
    while own.count < settings.depth * 2 {
      let kind = Int(random.next() % UInt64(sessionSpecs.count))
      let isStateless =
        sessions.isEmpty || (settings.sessions == .mixed && own.count % 2 == 0)
      own.append(
        try Rider(
          sessionSpecs[kind], id: isStateless ? nil : sessions[kind],
          format: frontend.requestFormat, queue: queue, memory: memory, random: &random))
    }
    byHead.append(Dictionary(uniqueKeysWithValues: own.enumerated().map { ($1.head, $0) }))
    idle.append(Array(own.indices))
    riders.append(own)
  }

  // MARK: - The guest

  func run() throws -> KillReport {
    var nextKill = monotonicNanoseconds() + delay()
    var lastProgress = monotonicNanoseconds()
    while true {
      let isEnding = report.kills == settings.kills && waiting.isEmpty
      var isIdle = true
      for index in queues.indices {
        if try take(index) > 0 {
          isIdle = false
          answered(index)
        }
        if !isEnding { try fill(index) }
      }
      let now = monotonicNanoseconds()
      if !isIdle { lastProgress = now }
      let inFlight = riders.joined().count { $0.isInFlight }
      if isEnding && inFlight == 0 { break }
      let isStuck = !waiting.isEmpty && now - killTime > Self.patience
      if isStuck || now - lastProgress > Self.patience {
        report.lost = inFlight
        throwAway()
        break
      }
      if report.kills < settings.kills, waiting.isEmpty, now >= nextKill {
        try killAndRestart()
        nextKill = monotonicNanoseconds() + delay()
        lastProgress = monotonicNanoseconds()
      }
      if isIdle { yieldProcessor() }
    }
    try host.end()
    return report
  }

  /// From 1 to 41 ms: long enough for some thousand requests, short enough for hundreds of kills.
  private func delay() -> UInt64 { 1_000_000 + random.next() % 40_000_000 }

  private func throwAway() {
    for index in riders.indices {
      for place in riders[index].indices { riders[index][place].isInFlight = false }
    }
  }

  private func fill(_ index: Int) throws {
    if try post(index) { try show(index) }
  }

  /// Puts new requests into a ring; whether there were any.
  private func post(_ index: Int) throws -> Bool {
    let queue = queues[index]
    var posted = false
    while riders[index].count - idle[index].count < settings.depth, !idle[index].isEmpty {
      let place = Int(random.next() % UInt64(idle[index].count))
      idle[index].swapAt(place, idle[index].count - 1)
      let number = idle[index].removeLast()
      let rider = riders[index][number]
      try rider.renew(in: memory)
      if settings.sessions == .lost, let kind = sessionSpecs.firstIndex(of: rider.session) {
        try rider.placed.setSession(sessions[kind], in: memory)
      }
      queue.post(rider.head)
      riders[index][number].isInFlight = true
      posted = true
    }
    return posted
  }

  private func show(_ index: Int) throws {
    queues[index].disableCalls()
    if queues[index].publish() { try queues[index].kick() }
  }

  /// Takes what is finished and compares it; how many there were.
  private func take(_ index: Int) throws -> Int {
    var count = 0
    while let used = queues[index].popUsed() {
      count += 1
      guard let number = byHead[index][UInt16(truncatingIfNeeded: used.head)],
        riders[index][number].isInFlight
      else {
        report.duplicated += 1
        continue
      }
      riders[index][number].isInFlight = false
      idle[index].append(number)
      report.requests += 1
      if riders[index][number].isInPlace { report.inPlace += 1 }
      if riders[index][number].isOfSession { report.sessionRequests += 1 }
      try check(riders[index][number], used)
    }
    return count
  }

  private func check(_ rider: Rider, _ used: UsedElement) throws {
    let status = try rider.placed.statusAddress.map { try memory.read($0, byteCount: 1) }
    if status == [VirtioCryptoStatus.invsess.rawValue] {
      report.invalidSessions += 1
      return
    }
    guard status == [VirtioCryptoStatus.ok.rawValue],
      Int(used.byteCount) == rider.output.count + rider.result.count + 1,
      try PlacedRequest.content(of: rider.placed.destination, in: memory) == rider.output,
      try PlacedRequest.content(of: rider.placed.result, in: memory) == rider.result
    else {
      report.wrong += 1
      return
    }
  }

  // MARK: - The host

  private func killAndRestart() throws {
    // As much as possible is to be in flight.
    for index in queues.indices { _ = try take(index) }
    let posted = try queues.indices.filter { try post($0) }
    for index in posted { try show(index) }
    killTime = monotonicNanoseconds()
    try host.stop {
      // A daemon that is told to end has its time for that, in which the guest goes on.
      guard settings.signal != SIGKILL else { return }
      for index in queues.indices {
        _ = try take(index)
        try fill(index)
      }
    }
    report.kills += 1
    // What was finished before the end is no answer of the next daemon's.
    for index in queues.indices { _ = try take(index) }
    report.inFlight += riders.joined().count { $0.isInFlight }
    report.inPlaceInFlight += riders.joined().count { $0.isInFlight && $0.isInPlace }
    waiting = Set(queues.indices)
    try host.start()
    frontend = try host.connect()
    try frontend.resume(
      area, memory: memory,
      queues: Dictionary(uniqueKeysWithValues: queues.enumerated().map { ($0, $1) }))
    if settings.sessions == .lost { try openSessions() }
  }

  private func answered(_ index: Int) {
    guard waiting.remove(index) != nil, waiting.isEmpty else { return }
    report.waits.append(monotonicNanoseconds() - killTime)
  }
}
