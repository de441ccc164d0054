import Foundation

/// One sample of a comparison, as a line of JSON.
struct BenchSampleLine: Encodable {
  var type = "sample"
  var operation: String
  var byteCount: Int
  /// Counted from 0, unsteady ones too.
  var round: Int
  var side: BenchSide
  var requestsPerSecond: Double
  var lineNanosecondsBefore: Double?
  var lineNanosecondsAfter: Double?
  var latencyMicroseconds: BenchRow.Latency?
  var processorShare: Double?
  var engine: String?
  var verified: UInt64
  var compared: UInt64

  init(
    operation: String, byteCount: Int, round: Int, sample: BenchSample, lines: [Double?]
  ) {
    self.operation = operation
    self.byteCount = byteCount
    self.round = round
    side = sample.side
    requestsPerSecond = sample.requestsPerSecond
    lineNanosecondsBefore = lines.first ?? nil
    lineNanosecondsAfter = lines.last ?? nil
    latencyMicroseconds = sample.row?.latencyMicroseconds
    processorShare = sample.row?.processorShare
    engine = sample.engine
    verified = sample.verified
    compared = sample.compared
  }
}

/// Latencies of one side in microseconds, from posting a request to seeing it used.
struct BenchLatencies: Encodable {
  var p50Microseconds: Double
  var p99Microseconds: Double

  /// The medians over rounds; nil where nothing was measured through a device.
  init?(_ rounds: [BenchRound], _ side: BenchSide) {
    let rows = rounds.flatMap(\.samples).filter { $0.side == side }.compactMap(\.row)
    guard !rows.isEmpty else { return nil }
    p50Microseconds = Spread(rows.map(\.latencyMicroseconds.p50)).median
    p99Microseconds = Spread(rows.map(\.latencyMicroseconds.p99)).median
  }

  init(_ latency: BenchRow.Latency) {
    p50Microseconds = latency.p50
    p99Microseconds = latency.p99
  }
}

/// What the rounds of one regime say, as a line of JSON and of the table.
struct BenchComparisonLine: Encodable {
  var type = "comparison"
  var operation: String
  var byteCount: Int
  var depth: Int
  var batch: Int
  var queues: Int
  var mode: String
  var secondsPerSample: Double
  /// The processors' distance; absent where it was not measured.
  var lineNanoseconds: Double?
  /// Rounds of this regime, and all rounds of the operation and size.
  var rounds: Int
  var roundsInAll: Int
  /// Rounds of the operation and size that do not count, because the processors' distance changed in them.
  var unsteadyRounds: Int
  /// Requests per second of each side.
  var device: Spread?
  var against: Spread?
  var raw: Spread?
  /// Of each round, not of medians: neighbours in time are compared.
  var deviceToAgainst: Spread?
  var deviceToRaw: Spread?
  /// Medians of what each round says.
  var deviceLatency: BenchLatencies?
  var againstLatency: BenchLatencies?
  var rawEngine: String?
  var verified: UInt64
  var compared: UInt64

  /// `regime` without rounds: there was none that counts.
  init(
    operation: String, byteCount: Int, settings: BenchSettings, regime: [BenchRound],
    all: [BenchRound]
  ) {
    func spread(_ value: (BenchRound) -> Double?) -> Spread? {
      let values = regime.compactMap(value)
      return values.isEmpty ? nil : Spread(values)
    }
    func ratio(_ side: BenchSide) -> Spread? {
      spread { round in
        guard let device = round.requestsPerSecond(.device),
          let other = round.requestsPerSecond(side), other > 0
        else { return nil }
        return device / other
      }
    }
    self.operation = operation
    self.byteCount = byteCount
    depth = settings.depth
    batch = settings.batch
    queues = settings.queueCount
    mode = settings.mode.rawValue
    secondsPerSample = settings.seconds
    lineNanoseconds = spread(\.line)?.median
    rounds = regime.count
    roundsInAll = all.count
    unsteadyRounds = all.filter { !$0.isSteady }.count
    device = spread { $0.requestsPerSecond(.device) }
    against = spread { $0.requestsPerSecond(.against) }
    raw = spread { $0.requestsPerSecond(.raw) }
    deviceToAgainst = ratio(.against)
    deviceToRaw = ratio(.raw)
    deviceLatency = BenchLatencies(regime, .device)
    againstLatency = BenchLatencies(regime, .against)
    let samples = all.flatMap(\.samples)
    rawEngine = samples.compactMap(\.engine).first
    verified = samples.reduce(0) { $0 + $1.verified }
    compared = samples.reduce(0) { $0 + $1.compared }
  }

  // MARK: The table

  private static let columns: [(head: String, width: Int)] = [
    ("op", 34), ("size", 6), ("line ns", 8), ("rounds", 8), ("req/s", 10), ("against", 10),
    ("ratio", 7), ("q1-q3", 13), ("raw", 10), ("dev/raw", 8), ("q1-q3", 13), ("verified", 15),
  ]

  static let header = row(columns.map(\.head))

  var tableLine: String {
    func number(_ value: Double?, _ format: String) -> String {
      value.map { String(format: format, $0) } ?? "-"
    }
    func quartiles(_ spread: Spread?) -> String {
      spread.map { String(format: "%.3f-%.3f", $0.lowerQuartile, $0.upperQuartile) } ?? "-"
    }
    return Self.row([
      operation, String(byteCount), number(lineNanoseconds, "%.0f"), "\(rounds)/\(roundsInAll)",
      number(device?.median, "%.0f"), number(against?.median, "%.0f"),
      number(deviceToAgainst?.median, "%.3f"), quartiles(deviceToAgainst),
      number(raw?.median, "%.0f"), number(deviceToRaw?.median, "%.3f"), quartiles(deviceToRaw),
      "\(verified)/\(compared)",
    ])
  }

  /// The first column to the left, the others to the right.
  private static func row(_ cells: [String]) -> String {
    zip(cells, columns).enumerated().map { index, pair in
      let (cell, column) = pair
      let space = String(repeating: " ", count: max(0, column.width - cell.count))
      return index == 0 ? cell + space : space + cell
    }.joined(separator: " ")
  }
}
