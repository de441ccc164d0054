import Foundation

/// Throughput and latency over size, as SVG.
///
/// Both axes are logarithmic: sizes by two, the rest by ten. It has a ground of its own, so that it can be read on a light
/// page and on a dark one.
struct BenchChart {
  let points: [BenchPoint]
  /// Lines below the picture.
  let caption: [String]

  private static let width = 900.0
  private static let left = 78.0
  private static let right = 24.0
  private static let panelHeight = 300.0
  private static let gap = 62.0
  /// Colours that people with any kind of colour vision tell apart (Okabe and Ito's, without the yellow).
  private static let colours = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444",
  ]

  private struct Series {
    var name: String
    var colour: String
    var dash: String
    var width: Double
    var points: [(size: Double, value: Double, range: ClosedRange<Double>?)]
  }

  private var operations: [String] {
    points.reduce(into: []) { if !$0.contains($1.operation) { $0.append($1.operation) } }
  }

  private func colour(_ operation: String) -> String {
    let index = operations.firstIndex(of: operation) ?? 0
    return Self.colours[index % Self.colours.count]
  }

  private static func dash(_ side: BenchSide) -> String {
    switch side {
    case .device: ""
    case .against: "9 5"
    case .raw: "2 4"
    }
  }

  private static func name(_ side: BenchSide) -> String {
    switch side {
    case .device: "the daemon"
    case .against: "second back-end (--against)"
    case .raw: "the engine alone (--raw)"
    }
  }

  // MARK: - What is drawn

  private var throughput: [Series] {
    var series: [Series] = []
    for side in BenchSide.allCases {
      for operation in operations {
        let own = points.filter { $0.side == side && $0.operation == operation }
        series.append(
          Series(
            name: operation, colour: colour(operation), dash: Self.dash(side), width: 2,
            points: own.map { point in
              let factor = Double(point.byteCount) / 1e6
              return (
                Double(point.byteCount), point.megabytesPerSecond,
                point.quartiles.map { $0.lowerBound * factor...$0.upperBound * factor }
              )
            }))
      }
    }
    return series.filter { !$0.points.isEmpty }
  }

  private var latency: [Series] {
    var series: [Series] = []
    for side in [BenchSide.device, .against] {
      for operation in operations {
        let own = points.filter { $0.side == side && $0.operation == operation }
        for (width, value) in [
          (2.0, { (point: BenchPoint) in point.p50Microseconds }), (1.0, { $0.p99Microseconds }),
        ] {
          series.append(
            Series(
              name: operation, colour: colour(operation), dash: Self.dash(side), width: width,
              points: own.compactMap { point in
                value(point).map { (Double(point.byteCount), $0, nil) }
              }))
        }
      }
    }
    return series.filter { !$0.points.isEmpty }
  }

  // MARK: - Drawing

  func svg() -> String {
    var body = ""
    var y = 26.0
    y = legend(&body, at: y)
    y = panel(
      &body, top: y + 34, title: "Throughput, MB/s (10⁶ bytes)", throughput, isLast: false)
    y = panel(
      &body, top: y + Self.gap,
      title: "Latency from posting to completion, µs: thick 50 %, thin 99 % of the requests",
      latency, isLast: true)
    y += 62
    for line in caption.flatMap({ Self.wrapped($0, 128) }) {
      body += Self.text(line, x: Self.left, y: y, size: 11.5, colour: "#555")
      y += 16
    }
    let height = y + 4
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.number(Self.width)) \
      \(Self.number(height))" width="\(Self.number(Self.width))" height="\(Self.number(height))" \
      font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" role="img">
      <title>Throughput and latency of virtio-crypto requests over their size</title>
      <rect x="0.5" y="0.5" width="\(Self.number(Self.width - 1))" \
      height="\(Self.number(height - 1))" rx="8" fill="#ffffff" stroke="#c8c8c8"/>
      \(body)</svg>

      """
  }

  /// Colours are operations, dashes are sides; the y of its end.
  private func legend(_ body: inout String, at top: Double) -> Double {
    var entries = operations.map { (name: $0, colour: colour($0), dash: "") }
    let sides = BenchSide.allCases.filter { side in points.contains { $0.side == side } }
    if sides.count > 1 {
      entries += sides.map { (name: Self.name($0), colour: "#222", dash: Self.dash($0)) }
    }
    var x = Self.left
    var y = top
    for entry in entries {
      let width = 42 + 7.2 * Double(entry.name.count) + 22
      if x + width > Self.width - Self.right, x > Self.left {
        x = Self.left
        y += 22
      }
      body += Self.line(x, y - 4, x + 34, y - 4, entry.colour, width: 2.5, dash: entry.dash)
      body += Self.text(entry.name, x: x + 42, y: y, size: 13, colour: "#222")
      x += width
    }
    return y
  }

  /// One pair of axes with its lines; the y of its end.
  private func panel(
    _ body: inout String, top: Double, title: String, _ series: [Series], isLast: Bool
  ) -> Double {
    let bottom = top + Self.panelHeight
    let sizes = Set(points.map { Double($0.byteCount) }).sorted()
    let values = series.flatMap(\.points).flatMap { point in
      [point.value] + (point.range.map { [$0.lowerBound, $0.upperBound] } ?? [])
    }.filter { $0 > 0 }
    body += Self.text(title, x: Self.left, y: top - 10, size: 14, colour: "#222", isBold: true)
    guard let first = sizes.first, let last = sizes.last, let least = values.min(),
      let most = values.max()
    else { return bottom }
    let horizontal = Scale(
      log2(first) - 0.3, log2(last) + 0.3, Self.left, Self.width - Self.right)
    let vertical = Scale(
      log10(least) - 0.08 * max(0.5, log10(most / least)),
      log10(most) + 0.08 * max(0.5, log10(most / least)), bottom, top)

    for (value, isMajor) in Self.ticks(vertical.low, vertical.high) {
      let y = vertical.place(log10(value))
      body += Self.line(
        Self.left, y, Self.width - Self.right, y, isMajor ? "#d8d8d8" : "#efefef", width: 1)
      body += Self.text(
        Self.label(value), x: Self.left - 8, y: y + 4, size: 11.5, colour: "#444", anchor: "end")
    }
    for size in sizes {
      let x = horizontal.place(log2(size))
      body += Self.line(x, top, x, bottom, "#efefef", width: 1)
      body += Self.text(
        Self.sizeLabel(size), x: x, y: bottom + 18, size: 11.5, colour: "#444", anchor: "middle")
    }
    body += Self.line(Self.left, bottom, Self.width - Self.right, bottom, "#888", width: 1)
    body += Self.line(Self.left, top, Self.left, bottom, "#888", width: 1)
    if isLast {
      body += Self.text(
        "Payload of a request", x: (Self.left + Self.width - Self.right) / 2, y: bottom + 38,
        size: 13, colour: "#222", anchor: "middle")
    }
    for one in series {
      let places = one.points.filter { $0.value > 0 }.sorted { $0.size < $1.size }.map { point in
        (x: horizontal.place(log2(point.size)), y: vertical.place(log10(point.value)), point.range)
      }
      let list = places.map { "\(Self.number($0.x)),\(Self.number($0.y))" }
      body +=
        "<polyline points=\"\(list.joined(separator: " "))\" fill=\"none\" stroke=\"\(one.colour)\" "
        + "stroke-width=\"\(Self.number(one.width))\""
        + (one.dash.isEmpty ? "" : " stroke-dasharray=\"\(one.dash)\"") + "/>\n"
      for place in places {
        if let range = place.2, range.lowerBound > 0 {
          body += Self.line(
            place.x, vertical.place(log10(range.lowerBound)), place.x,
            vertical.place(log10(range.upperBound)), one.colour, width: 1)
        }
        body +=
          "<circle cx=\"\(Self.number(place.x))\" cy=\"\(Self.number(place.y))\" "
          + "r=\"\(one.width > 1 ? "3.2" : "2")\" fill=\"\(one.colour)\"/>\n"
      }
    }
    return bottom
  }

  /// From numbers to places.
  private struct Scale {
    let low: Double
    let high: Double
    let start: Double
    let end: Double

    init(_ low: Double, _ high: Double, _ start: Double, _ end: Double) {
      (self.low, self.high, self.start, self.end) = (low, high, start, end)
    }

    func place(_ value: Double) -> Double {
      high > low ? start + (value - low) / (high - low) * (end - start) : (start + end) / 2
    }
  }

  /// Powers of ten, and 2 and 5 times those where there are few.
  private static func ticks(_ low: Double, _ high: Double) -> [(Double, isMajor: Bool)] {
    let exponents = Int(low.rounded(.down))...Int(high.rounded(.up))
    let isWide = high - low > 4
    return exponents.flatMap { exponent in
      (isWide ? [1.0] : [1.0, 2, 5]).map { ($0 * pow(10, Double(exponent)), $0 == 1) }
    }.filter { (low...high).contains(log10($0.0)) }
  }

  private static func label(_ value: Double) -> String {
    if value >= 1e6 { return String(format: "%gM", value / 1e6) }
    return value >= 1e4 ? String(format: "%gk", value / 1e3) : String(format: "%g", value)
  }

  private static func sizeLabel(_ size: Double) -> String {
    if size >= 1_048_576 { return String(format: "%g MiB", size / 1_048_576) }
    return size >= 1024 ? String(format: "%g KiB", size / 1024) : String(format: "%g B", size)
  }

  // MARK: - SVG

  private static func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ colour: String, width: Double,
    dash: String = ""
  ) -> String {
    "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" "
      + "stroke=\"\(colour)\" stroke-width=\"\(number(width))\""
      + (dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"") + "/>\n"
  }

  private static func text(
    _ text: String, x: Double, y: Double, size: Double, colour: String, anchor: String = "start",
    isBold: Bool = false
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(number(size))\" fill=\"\(colour)\""
      + (anchor == "start" ? "" : " text-anchor=\"\(anchor)\"")
      + (isBold ? " font-weight=\"bold\"" : "") + ">\(escaped(text))</text>\n"
  }

  /// What XML forbids, and what it means something by.
  private static func escaped(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
      switch scalar {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "\"": "&quot;"
      case _ where scalar.value < 0x20 || scalar.value == 0xfffe || scalar.value == 0xffff: " "
      default: String(scalar)
      }
    }.joined()
  }

  private static func wrapped(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.count + 1 + word.count <= width {
        lines[lines.count - 1] = last + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  private static func number(_ value: Double) -> String {
    let text = String(format: "%.1f", value)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
