import CryptoTypes
import Foundation
import Testing

@testable import Capabilities

@Suite("The capability file's manual page")
struct ManualTests {
  /// A key is marked as one somewhere in its section's text.
  @Test func hasEveryKey() throws {
    let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("docs/man/vhost-user-crypto.yaml.5")
    let text = try String(contentsOf: page, encoding: .utf8).replacing("\\-", with: "-")
    var sections: [String: String] = [:]
    var section = ""
    for line in text.split(separator: "\n") {
      if line.hasPrefix(".Ss ") { section = String(line.dropFirst(4)) }
      if line.hasPrefix(".Sh ") { section = "" }
      sections[section, default: ""] += line + "\n"
    }
    for (section, keys) in [
      ("", Schema.document), ("device", Schema.device + Schema.limits),
      ("devices", Schema.deviceEntry), ("workers", Schema.workers + Schema.poll),
      ("engines", Schema.openssl + Schema.kernel + KnownEngines.all.map(\.name)),
      ("algorithms", Schema.services + Schema.policy + Schema.choice + ["default"]),
      ("stats", Schema.stats), ("control", Schema.control), ("log", Schema.log),
    ] {
      let text = try #require(sections[section], "\(section)")
      // Words behind a Cm, up to what ends a key there.
      let words = text.split(separator: "\n")
        .filter { $0.hasPrefix(".Cm ") || $0.hasPrefix(".It Cm ") }
        .flatMap { $0.split(whereSeparator: { " ,{}:".contains($0) }).map(String.init) }
      for key in keys { #expect(words.contains(key), "\(key) in \(section)") }
    }
  }
}
