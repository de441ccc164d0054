/// A table that leaves out its least important columns where it would be too wide.
struct TopTable<Row: Sendable>: Sendable {
  struct Column: Sendable {
    var head: String
    /// Words stand to the left, numbers to the right.
    var isWord = false
    /// The highest goes first; 0 stays.
    var dispensability: Int
    var text: @Sendable (Row) -> String
  }

  var columns: [Column]

  func lines(_ rows: [Row], width: Int) -> [TopLine] {
    var shown = columns.map { column in
      (column: column, cells: [column.head] + rows.map(column.text))
    }
    while Self.width(shown.map(\.cells)) > width,
      let most = shown.map(\.column.dispensability).max(), most > 0
    {
      shown.removeAll { $0.column.dispensability == most }
    }
    let padded = shown.map { column, cells in
      let width = Self.width([cells])
      return cells.map { cell in
        let space = String(repeating: " ", count: width - cell.count)
        return column.isWord ? cell + space : space + cell
      }
    }
    return (0...rows.count).map { row in
      TopLine(
        text: padded.map { $0[row] }.joined(separator: "  "), style: row == 0 ? .head : .plain)
    }
  }

  private static func width(_ columns: [[String]]) -> Int {
    columns.reduce(0) { $0 + ($1.map(\.count).max() ?? 0) } + 2 * max(0, columns.count - 1)
  }
}

extension TopTable<TopRates.Queue> {
  static var queues: Self {
    TopTable(columns: [
      Column(head: "queue", isWord: true, dispensability: 0) {
        "\($0.index)" + ($0.isFaulty ? " FAULT" : $0.isRunning ? "" : " stopped")
      },
      Column(head: "cpu", dispensability: 4) { $0.cpu.map(String.init) ?? "-" },
      Column(head: "busy", dispensability: 0) { TopText.percent($0.workerShare) },
      Column(head: "helpers", dispensability: 3) { TopText.percent($0.helperShare) },
      Column(head: "ops/s", dispensability: 0) { TopText.count($0.operations) },
      Column(head: "MB/s", dispensability: 0) { TopText.megabytes($0.bytes) },
      Column(head: "req/batch", dispensability: 1) { $0.batchSize.map(TopText.ratio) ?? "-" },
      Column(head: "kicks/s", dispensability: 2) { TopText.count($0.kicks) },
      Column(head: "calls/s", dispensability: 2) { TopText.count($0.calls) },
      Column(head: "in flight", dispensability: 3) { "\($0.inFlight)" },
      Column(head: "errors/s", dispensability: 0) { TopText.count($0.errors) },
    ])
  }
}

extension TopTable<TopRates.Algorithm> {
  static var algorithms: Self {
    TopTable(columns: [
      Column(head: "algorithm", isWord: true, dispensability: 0) { TopScreen.clean($0.name) },
      Column(head: "operation", isWord: true, dispensability: 0) {
        TopScreen.clean($0.operation)
      },
      Column(head: "engine", isWord: true, dispensability: 1) { TopScreen.clean($0.engine) },
      Column(head: "ops/s", dispensability: 0) { TopText.count($0.operations) },
      Column(head: "MB/s", dispensability: 2) { TopText.megabytes($0.bytes) },
      Column(head: "p50", dispensability: 3) { $0.p50.map(TopText.nanoseconds) ?? "-" },
      Column(head: "p99", dispensability: 0) { $0.p99.map(TopText.nanoseconds) ?? "-" },
      Column(head: "errors/s", dispensability: 0) { TopText.count($0.errors) },
    ])
  }

  /// With the device's name in front.
  static var algorithmsOfDevices: Self {
    var table = algorithms
    table.columns.insert(
      Column(head: "device", isWord: true, dispensability: 0) { TopScreen.clean($0.device) },
      at: 0)
    return table
  }
}
