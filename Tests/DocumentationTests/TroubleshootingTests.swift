import Foundation
import Testing

extension TheDocuments {
  @Suite struct Troubleshooting {
    private static let sources = URL(fileURLWithPath: ScratchHost.sourceTree + "/Sources")

    @Test func everyMessageIsExplained() throws {
      let document = MessageDocument(try TheDocuments.text("docs/troubleshooting.md"))
      let messages = try SourceMessage.all(below: Self.sources)
      // Fewer would mean that they are no longer found.
      #expect(messages.count > 180, "\(messages.count)")
      for message in messages.sorted() where !document.explains(message) {
        Issue.record("docs/troubleshooting.md lacks `\(message.text)`, of \(message.origin)")
      }
    }

    /// Every level's calls are found, whatever stands around the text.
    @Test func messagesAreFound() {
      let source = #"""
        // logger.warning("in a comment")
        logger.warning("plain", metadata: ["name": "none of it"])
        log.log(
          .info, "of \(count) \(things.map { "x\($0)" }) with " + "two parts",
          ["reason": "\(error)"])
        throw field.error("\(path) is a \"word\"", isOff ? "remedy one" : "remedy two")
        func warning(_ text: String = "no call") {}
        struct StartError: Error, CustomStringConvertible {
          var description: String { switch self { case .one: "first text" } }
          init(_ other: Other) { self.init("second text: \(other)", 7) }
        }
        enum Refusal: Error { case ringIndex(UInt32) }
        """#
      let found = SourceMessage.messages(of: source, file: "Room/File.swift").map(\.text)
      #expect(
        found == [
          "plain", "of … … with two parts", "… is a \"word\"", "remedy one", "remedy two",
          "first text", "second text: …", "ringIndex",
        ])
    }

    @Test func aMessageThatIsMissingIsMissed() {
      let document = MessageDocument(
        "| `it is\nthere, …` | `… and prefix (…)` | not between quotes |")
      func explains(_ text: String) -> Bool {
        document.explains(SourceMessage(text: text, origin: ""))
      }
      #expect(explains("it is there, …"))
      #expect(explains("… and prefix ("))
      #expect(!explains("it is"))
      #expect(!explains("not between quotes"))
    }

    /// Statuses are told as they are given.
    @Test func everyStatusIsExplained() throws {
      let document = try TheDocuments.text("docs/troubleshooting.md")
      for name in [
        "EX_USAGE", "EX_UNAVAILABLE", "EX_SOFTWARE", "EX_CANTCREAT", "EX_TEMPFAIL", "EX_CONFIG",
      ] {
        #expect(document.contains("`\(name)`"), "\(name)")
      }
      let used = try FileManager.default.subpathsOfDirectory(atPath: Self.sources.path)
        .filter { $0.hasSuffix(".swift") }
        .flatMap { path in
          try String(contentsOfFile: Self.sources.path + "/" + path, encoding: .utf8)
            .matches(of: /\bEX_[A-Z]+\b/).map { String($0.0) }
        }
      for name in Set(used) { #expect(document.contains("`\(name)`"), "\(name)") }
    }
  }
}
