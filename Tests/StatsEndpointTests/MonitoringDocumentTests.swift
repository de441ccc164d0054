import Foundation
import TestSupport
import Testing

@Suite struct MonitoringDocumentTests {
  @Test("docs/monitoring.md explains every metric, and no other")
  func everyMetricIsExplained() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(
      contentsOf: root.appending(path: "docs/monitoring.md"), encoding: .utf8)
    // The table's first two columns: name and kind.
    let explained = text.split(separator: "\n").compactMap { line -> [String]? in
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 4 || cells.count == 3, let name = cells.first,
        name.hasPrefix("`vhost_crypto") || name.hasPrefix("`process_")
      else { return nil }
      return [String(name.dropFirst().dropLast()), cells[1]]
    }
    let metrics = try OpenMetricsText(SampleSource().snapshot(percentiles: true).openMetrics())
    let served = metrics.families.map { [$0.name, $0.kind] }
    #expect(Set(explained) == Set(served))
    #expect(explained.count == served.count)
    for metric in metrics.families {
      let line = try #require(
        text.split(separator: "\n").first { $0.hasPrefix("| `\(metric.name)` |") })
      for label in Set(metric.samples.flatMap(\.labels.keys)) where label != "le" {
        #expect(
          line.contains("`\(label)`") || line.contains("the same") || line.contains("as `"),
          "\(metric.name): \(label)")
      }
    }
  }
}
