import TestSupport
import VhostUserFrontend

/// The whole run: cycles of phases in an order that the seed decides.
///
/// A cycle begins with kills of the daemon. What the last one of them holds after one round of all other phases is what
/// it is compared with after each later phase of the cycle.
final class Soak {
  let settings: DriverSettings
  var random: SeededRandom
  let ledger = Ledger()
  let host: Host
  let scratch: TemporaryDirectory
  private var growth = Growth()
  /// Guests that stay.
  private(set) var residents: [Guest] = []
  private let start = monotonicNanoseconds()
  /// How long a phase takes.
  private let phaseSeconds: Double
  private static let roundsOfCycle = 5

  init(_ settings: DriverSettings) throws {
    self.settings = settings
    random = SeededRandom(seed: settings.seed)
    say("seed \(settings.seed), \(settings.seconds) s")
    phaseSeconds = min(5, max(0.8, Double(settings.seconds) / 40))
    scratch = try TemporaryDirectory()
    host = try Host(settings)
  }

  private var seconds: Double { Double(monotonicNanoseconds() - start) / 1e9 }

  /// Whether all is well; the report is printed.
  func run() -> Bool {
    do {
      while !isTimeOver { try cycle() }
      try host.end()
    } catch {
      ledger.violate("\(error)\(host.sudden.map { "; " + $0 } ?? "")")
    }
    growth.end()
    say(ledger.report)
    say(host.faults.report)
    say("daemons' holdings (memory allowance \(Growth.memoryAllowance >> 10)KiB):")
    for line in growth.lines { say(line) }
    say(ledger.isClean ? "clean" : "NOT CLEAN")
    return ledger.isClean
  }

  private func cycle() throws {
    try makeResidents()
    try play(.kills)
    for phase in round() { try play(phase) }
    try growth.begin(host.daemon)
    // One round is compared, however little time there is.
    for number in 0..<Self.roundsOfCycle where number == 0 || !isTimeOver {
      for phase in round() where number == 0 || !isTimeOver {
        try play(phase)
        if let reason = try growth.compare(host.daemon) {
          ledger.violate("\(phase.rawValue): \(reason)")
        }
      }
    }
    growth.end()
    for guest in residents { guest.vanish() }
    residents = []
  }

  private var isTimeOver: Bool { seconds >= Double(settings.seconds) }

  /// All phases but the kills, in some order.
  private func round() -> [Phase] {
    Phase.allCases.filter { $0 != .kills }.shuffled(using: &random)
  }

  /// Two guests with everything in flight; the second one waits for calls.
  private func makeResidents() throws {
    for index in 0..<Host.deviceCount - 1 {
      let ring = RingKind.allCases[Int(random.next() % 4)]
      let guest = try Guest(
        path: host.path(index),
        .init(
          name: "guest \(index) (\(ring.rawValue))", ring: ring, waitsForCalls: index == 1,
          slowness: settings.slowness, seed: random.next()), ledger)
      try guest.addRiders()
      residents.append(guest)
    }
  }

  private func play(_ phase: Phase) throws {
    let begin = seconds
    let answered = ledger.answered
    let end = monotonicNanoseconds() + UInt64(phaseSeconds * 1e9)
    try run(phase, until: end)
    host.faults.none()
    for guest in residents {
      try guest.finish()
      guest.toleratesFailures = false
      try guest.wakeSleepers()
    }
    try checkRecovery()
    if let sudden = host.sudden { throw DriverError(sudden) }
    ledger.countEngines(try host.newCounts())
    let time = Int(begin)
    say("\(time) s: \(phase.rawValue): \(ledger.answered - answered) answers")
  }

  /// Without a fault, everybody's requests are right at once.
  private func checkRecovery() throws {
    let failed = ledger.failedCount
    let wanted = ledger.answered + 2000 / settings.slowness
    while ledger.answered < wanted { try turn() }
    for guest in residents { try guest.finish() }
    guard ledger.failedCount == failed else {
      throw DriverError("requests fail although nothing is made to fail any more")
    }
  }

  /// One turn of all guests that stay.
  func turn() throws {
    host.listen()
    var progressed = false
    for guest in residents where try guest.turn() { progressed = true }
    if !progressed { yieldProcessor() }
  }

  /// Lets the guests work for so long.
  func work(milliseconds: UInt64) throws {
    let end = monotonicNanoseconds() + milliseconds * 1_000_000
    while monotonicNanoseconds() < end { try turn() }
  }

  /// A number below `limit`.
  func chance(_ limit: UInt64) -> UInt64 { random.next() % limit }
}
