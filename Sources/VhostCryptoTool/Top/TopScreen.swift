import Foundation

/// A line of the screen, without the terminal's own language.
struct TopLine: Equatable, Sendable {
  enum Style: Sendable { case plain, title, head, alarm }

  var text: String
  var style = Style.plain
}

/// Draws a model: nothing but lines, none longer than the screen is wide.
enum TopScreen {
  /// The last line, from wide to narrow.
  private static let feet = [
    "q quit  p pause  + - interval  sort: o ops  b bytes  l latency  e errors  n name",
    "q quit  p pause  + - interval  o b l e n sort", "q quit  p + -  o b l e n", "q quit",
  ]

  /// The whole screen.
  static func lines(_ model: TopModel, width: Int, height: Int) -> [TopLine] {
    let foot = TopLine(text: feet.first { $0.count <= width } ?? "", style: .title)
    var lines = [title(model)] + body(model, width: width)
    let room = max(1, height - 1)
    if lines.count > room {
      let hidden = lines.count - room + 1
      lines = lines.prefix(room - 1) + [TopLine(text: "… \(hidden) more lines", style: .alarm)]
    }
    lines += (lines.count..<max(lines.count, room)).map { _ in TopLine(text: "") }
    if height > 1 { lines.append(foot) }
    return lines.map { fitted($0, width) }
  }

  /// The same for a file: as wide and long as it comes.
  static func report(_ model: TopModel) -> String {
    ([title(model)] + body(model, width: .max))
      .map { String($0.text.reversed().drop { $0 == " " }.reversed()) + "\n" }.joined()
  }

  private static func fitted(_ line: TopLine, _ width: Int) -> TopLine {
    var line = line
    if line.text.count > width { line.text = String(line.text.prefix(max(0, width - 1))) + "…" }
    if width < 1 { line.text = "" }
    // Bars reach the edge.
    if line.style == .title {
      line.text += String(repeating: " ", count: max(0, width - line.text.count))
    }
    return line
  }

  private static func title(_ model: TopModel) -> TopLine {
    var parts = ["vhost-crypto top"]
    if let rates = model.rates {
      parts.append("\(clean(rates.version)), up \(TopText.duration(rates.uptimeSeconds))")
    }
    parts.append("every \(TopText.seconds(model.intervalSeconds))")
    parts.append("by \(model.order.rawValue)")
    if model.isPaused { parts.append("PAUSED") }
    return TopLine(text: parts.joined(separator: "  "), style: .title)
  }

  private static func body(_ model: TopModel, width: Int) -> [TopLine] {
    var lines: [TopLine] = []
    if let absence = model.absence {
      lines.append(TopLine(text: "waiting for \(clean(model.socketPath))", style: .alarm))
      lines.append(TopLine(text: clean(absence)))
      return lines
    }
    guard let rates = model.rates else { return [TopLine(text: "measuring")] }
    lines.append(
      TopLine(
        text: "process  cpu \(TopText.percent(rates.processShare))"
          + "  memory \(TopText.bytes(rates.residentBytes))  files \(rates.openFiles)"))
    for device in rates.devices {
      lines.append(TopLine(text: ""))
      lines.append(header(device, history: model.history[device.name] ?? [], width: width))
      let busy = device.queues.filter { $0.isRunning || $0.isFaulty || $0.operations > 0 }
      if !busy.isEmpty { lines += TopTable.queues.lines(busy, width: width) }
    }
    if rates.devices.isEmpty { lines.append(TopLine(text: "no devices")) }
    let rows = model.order.sorted(rates.algorithms)
    lines.append(TopLine(text: ""))
    if rows.isEmpty {
      lines.append(TopLine(text: "no requests yet"))
    } else {
      let table = rates.devices.count > 1 ? TopTable.algorithmsOfDevices : TopTable.algorithms
      lines += table.lines(rows, width: width)
    }
    return lines
  }

  private static func header(
    _ device: TopRates.Device, history: [Double], width: Int
  ) -> TopLine {
    let state = device.isFaulty ? "FAULT" : device.isConnected ? "connected" : "no front-end"
    // From the most to the least important; what does not fit is left out.
    let parts = [
      "device \(clean(device.name))", state, "\(TopText.count(device.operations)) ops/s",
      "\(TopText.megabytes(device.bytes)) MB/s", "\(TopText.count(device.errors)) errors/s",
      "sessions \(device.openSessions)",
    ]
    var text = parts[0]
    for part in parts.dropFirst() {
      guard width == .max || text.count + 2 + part.count <= width else { break }
      text += "  " + part
    }
    text += "  "
    let room = min(TopModel.historyLength, max(0, width == .max ? 0 : width - text.count))
    return TopLine(
      text: text + sparkline(history, width: room), style: device.isFaulty ? .alarm : .plain)
  }

  /// The last values as bars, the highest of all a full one.
  static func sparkline(_ values: [Double], width: Int) -> String {
    let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    let shown = values.suffix(max(0, width))
    guard let highest = shown.max(), highest > 0 else {
      return String(repeating: bars[0], count: shown.count)
    }
    return String(
      shown.map { bars[min(bars.count - 1, Int($0 / highest * Double(bars.count)))] })
  }

  /// Names come from a file and from sockets: nothing in them may move the cursor or take two places.
  static func clean(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { scalar in
          switch scalar.value {
          case 0x20...0x7e, 0xa1...0xac, 0xae...0x24f: scalar
          default: "?"
          }
        }))
  }
}
