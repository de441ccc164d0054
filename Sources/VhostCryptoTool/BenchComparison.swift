import Glibc

/// Whose sample it is.
enum BenchSide: String, Codable, CaseIterable, Sendable {
  /// The back-end of `--socket-path` or `--daemon`.
  case device
  /// The back-end of `--against`.
  case against
  /// The engines in this process.
  case raw
}

/// One measurement of one side.
struct BenchSample: Sendable {
  var side: BenchSide
  var requestsPerSecond: Double
  var verified: UInt64
  var compared: UInt64
  /// Which engine it was, where that is known.
  var engine: String?
  /// All that was measured through a device.
  var row: BenchRow?

  init(
    side: BenchSide, requestsPerSecond: Double, verified: UInt64, compared: UInt64,
    engine: String? = nil
  ) {
    self.side = side
    self.requestsPerSecond = requestsPerSecond
    self.verified = verified
    self.compared = compared
    self.engine = engine
  }

  init(side: BenchSide, row: BenchRow) {
    self.init(
      side: side, requestsPerSecond: row.requestsPerSecond, verified: row.verified,
      compared: row.compared)
    self.row = row
  }
}

/// One sample of every side, close together in time.
struct BenchRound: Sendable {
  var samples: [BenchSample] = []
  /// The processors' distance in nanoseconds, before each sample and after the last; empty where it is not known which
  /// processors to look at, nil where they were too busy.
  var lines: [Double?] = []

  /// Distances that differ by no more than this factor are one regime.
  ///
  /// What was seen of a virtual machine's two processors: 60 ns and 500 ns, each within a quarter.
  static let tolerance = 1.5

  func requestsPerSecond(_ side: BenchSide) -> Double? {
    samples.first { $0.side == side }?.requestsPerSecond
  }

  /// Whether the processors kept their distance for the whole round.
  var isSteady: Bool {
    let known = lines.compactMap { $0 }
    guard known.count == lines.count else { return false }
    guard let least = known.min(), let most = known.max() else { return true }
    return most <= least * Self.tolerance
  }

  /// The distance, nil when it is not known.
  var line: Double? {
    let known = lines.compactMap { $0 }
    return known.isEmpty ? nil : Spread(known).median
  }
}

/// Rounds of samples of several sides, turn by turn, and what they say about each other.
struct BenchComparison {
  /// In the order of the first round; the second is in the reverse order, and so on.
  let sides: [BenchSide]
  /// How many rounds are to count.
  let roundCount: Int
  /// The two processors, where it is known which they are.
  let pingPong: LinePingPong?

  /// DPDK's takes some milliseconds to free a connection's pools, on the front-end's processor.
  private static let settlingMicroseconds: UInt32 = 20_000
  /// How many rounds are tried for each that is to count.
  private static let patience = 3

  /// Measures until enough rounds were steady or patience ends, and tells of every sample.
  ///
  /// - Returns: every round, unsteady ones too.
  func run(
    measure: (BenchSide) throws -> BenchSample,
    report: (_ round: Int, _ sample: BenchSample, _ lines: [Double?]) throws -> Void
  ) throws -> [BenchRound] {
    var rounds: [BenchRound] = []
    var steadyCount = 0
    while steadyCount < roundCount && rounds.count < roundCount * Self.patience {
      var round = BenchRound()
      // Each side goes first equally often: what a side leaves behind is not always the same one's burden.
      let order = rounds.count.isMultiple(of: 2) ? sides : sides.reversed()
      if let pingPong { round.lines.append(try pingPong.nanoseconds()) }
      for side in order {
        let sample = try measure(side)
        round.samples.append(sample)
        // What a back-end tidies up once its front-end is gone must not be the next side's burden.
        usleep(Self.settlingMicroseconds)
        if let pingPong { round.lines.append(try pingPong.nanoseconds()) }
        try report(rounds.count, sample, round.lines.suffix(2))
      }
      if round.isSteady { steadyCount += 1 }
      rounds.append(round)
    }
    return rounds
  }

  /// The steady rounds, those of one distance together, the shortest first.
  static func regimes(_ rounds: [BenchRound]) -> [[BenchRound]] {
    let steady = rounds.filter(\.isSteady).sorted { ($0.line ?? 0) < ($1.line ?? 0) }
    var regimes: [[BenchRound]] = []
    for round in steady {
      // Against the regime's first, so that many small steps do not make one of all.
      if let first = regimes.last?.first,
        (round.line ?? 0) <= (first.line ?? 0) * BenchRound.tolerance
      {
        regimes[regimes.count - 1].append(round)
      } else {
        regimes.append([round])
      }
    }
    return regimes
  }
}

/// How numbers lie.
struct Spread: Codable, Equatable, Sendable {
  var median: Double
  var lowerQuartile: Double
  var upperQuartile: Double
  var least: Double
  var most: Double

  /// Of at least one number.
  init(_ numbers: [Double]) {
    let sorted = numbers.sorted()
    /// Between neighbours, in proportion.
    func quantile(_ fraction: Double) -> Double {
      guard let last = sorted.indices.last else { return 0 }
      let position = fraction * Double(last)
      let below = Int(position)
      let above = min(below + 1, last)
      return sorted[below] + (sorted[above] - sorted[below]) * (position - Double(below))
    }
    median = quantile(0.5)
    lowerQuartile = quantile(0.25)
    upperQuartile = quantile(0.75)
    least = quantile(0)
    most = quantile(1)
  }
}
